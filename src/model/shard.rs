//! A stable part of many hosts.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use super::HostName;

/// How many shards there may be: more than there are machines to run them on.
const MOST: u32 = 10_000;

/// One of several parts, of which each host is in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    of: u32,
}

/// Why a text names no shard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// Not two numbers.
    #[error("`{0}` is no shard: I/N, such as 0/4, names the first of four")]
    Form(String),
    /// The second number is none that can be.
    #[error("there are 1 to {MOST} shards, not {0}")]
    Count(u32),
    /// The first number is too large.
    #[error("shards are counted from 0: the last of {of} is {}/{of}, not {index}/{of}", of - 1)]
    Index {
        /// The first number.
        index: u32,
        /// The second.
        of: u32,
    },
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let form = || ShardError::Form(text.to_owned());
        let (index, of) = text.split_once('/').ok_or_else(form)?;
        let number = |digits: &str| {
            let is_plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            digits
                .parse::<u32>()
                .ok()
                .filter(|_| is_plain)
                .ok_or_else(form)
        };
        let (index, of) = (number(index)?, number(of)?);
        if !(1..=MOST).contains(&of) {
            return Err(ShardError::Count(of));
        }
        if index >= of {
            return Err(ShardError::Index { index, of });
        }
        Ok(Self { index, of })
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl Shard {
    /// Returns whether it is the first: the one that hosts belong to which stay together.
    pub fn is_first(self) -> bool {
        self.index == 0
    }

    /// Returns whether the host is in it. That hangs on its name and the number of shards alone: another host that comes or
    /// goes moves none, and one shard more moves only the hosts that it gets.
    pub fn holds(self, host: &HostName) -> bool {
        let digest = Sha256::digest(host.as_str());
        let key = digest
            .iter()
            .take(8)
            .fold(0, |key, byte| key << 8 | u64::from(*byte));
        jump(key, self.of) == self.index
    }
}

/// Returns the bucket of a key: jump consistent hash (Lamping and Veach, arXiv:1406.2294, figure 1).
fn jump(mut key: u64, buckets: u32) -> u32 {
    let (mut bucket, mut next) = (0_u64, 0_u64);
    while next < u64::from(buckets) {
        bucket = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        // (bucket + 1) * 2^31 / (key >> 33 + 1), in whole numbers: a fraction would be cut off all the same.
        next = ((bucket + 1) << 31) / ((key >> 33) + 1);
    }
    u32::try_from(bucket).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(text: &str) -> Shard {
        text.parse().unwrap()
    }

    fn host(n: u32) -> HostName {
        HostName::new(&format!("w{n}")).unwrap()
    }

    #[test]
    fn what_names_a_shard() {
        assert_eq!(shard("3/4").to_string(), "3/4");
        assert!(shard("0/1").is_first() && !shard("1/2").is_first());
        for (text, said) in [
            (
                "",
                "`` is no shard: I/N, such as 0/4, names the first of four",
            ),
            (
                "1",
                "`1` is no shard: I/N, such as 0/4, names the first of four",
            ),
            (
                "+1/4",
                "`+1/4` is no shard: I/N, such as 0/4, names the first of four",
            ),
            (
                "/4",
                "`/4` is no shard: I/N, such as 0/4, names the first of four",
            ),
            (
                "1/4/2",
                "`1/4/2` is no shard: I/N, such as 0/4, names the first of four",
            ),
            (
                "4/4",
                "shards are counted from 0: the last of 4 is 3/4, not 4/4",
            ),
            ("0/0", "there are 1 to 10000 shards, not 0"),
        ] {
            assert_eq!(text.parse::<Shard>().unwrap_err().to_string(), said);
        }
    }

    /// A change of these would move hosts from one shard to another under everybody's feet.
    #[test]
    fn a_host_stays_where_it_is() {
        let of = |n: u32, count: u32| {
            (0..count).find(|i| shard(&format!("{i}/{count}")).holds(&host(n)))
        };
        let places: Vec<u32> = (1..=12).map(|n| of(n, 4).unwrap()).collect();
        assert_eq!(places, PLACES);
        for n in 0..2000 {
            let (before, after) = (of(n, 7).unwrap(), of(n, 8).unwrap());
            // One shard more takes hosts away from others, and moves none between them.
            assert!(before == after || after == 7, "{n}: {before} {after}");
        }
    }

    #[test]
    fn shards_are_alike_in_size() {
        for count in [2, 5, 16] {
            for index in 0..count {
                let shard = shard(&format!("{index}/{count}"));
                let held = (0..5000).filter(|n| shard.holds(&host(*n))).count();
                let fair = 5000 / count as usize;
                assert!(held.abs_diff(fair) < fair / 4, "{shard}: {held} of {fair}");
            }
        }
    }

    const PLACES: [u32; 12] = [3, 1, 3, 2, 0, 0, 0, 2, 1, 3, 3, 1];
}
