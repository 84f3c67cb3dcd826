//! What takes the place of a variable that could not be read, so that what hangs on it can be checked all the same.

use std::collections::BTreeSet;
use std::net::IpAddr;

/// Which variables have a stand-in: what was set could not be read, or nothing was set. Both were told.
#[derive(Default)]
pub(super) struct StandIns(BTreeSet<&'static str>);

impl StandIns {
    /// Returns what was read of a variable, or what stands in for it.
    pub(super) fn take<T>(
        &mut self,
        name: &'static str,
        read: Option<T>,
        other: impl FnOnce() -> T,
    ) -> T {
        read.unwrap_or_else(|| {
            self.0.insert(name);
            other()
        })
    }

    /// Returns the default of a variable that is not set. It is a stand-in where that of `other`, which it follows, is one.
    pub(super) fn follow<T>(&mut self, name: &'static str, other: &str, default: T) -> T {
        if self.0.contains(other) {
            self.0.insert(name);
        }
        default
    }

    pub(super) fn into_names(self) -> BTreeSet<&'static str> {
        self.0
    }
}

/// Returns an address of the network for documentation (RFC 5737): no host has it.
pub(super) fn address(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}
