//! The settings of kube-vip and BGP.

use std::net::IpAddr;

use super::read::Got;
use super::reader::Reader;
use super::{Bgp, BgpPeer, KubeVip, Profile, Way};
use crate::model::{Diagnostic, Secret};

pub(super) fn read_kube_vip(
    reader: &mut Reader<'_>,
    way: Way,
    profile: Profile,
) -> Option<KubeVip> {
    let image = reader
        .text("kube_vip_image")
        .map_or_else(|| "ghcr.io/kube-vip/kube-vip".to_owned(), |g| g.value);
    let version = reader
        .text("kube_vip_version")
        .map_or_else(|| "v1.2.3".to_owned(), |g| g.value);
    let services = reader.boolean("kube_vip_services").unwrap_or(false);
    let dedicated = reader
        .one_of("kube_vip_kubeconfig", &["dedicated", "admin"])
        .is_none_or(|g| g.value == "dedicated");
    let mut lease = match profile {
        Profile::Fast => [5, 3, 1],
        Profile::Seed => [15, 10, 2],
    };
    if let Some(got) = reader.text("kube_vip_lease") {
        let numbers: Vec<u16> = got
            .value
            .split('/')
            .filter_map(|n| n.trim().parse().ok())
            .collect();
        match numbers[..] {
            // client-go's leader election refuses anything else (leaderelection.go, NewLeaderElector).
            [duration, renew, retry]
                if duration > renew && 5 * u32::from(renew) > 6 * u32::from(retry) && retry > 0 =>
            {
                lease = [duration, renew, retry];
            }
            [_, _, _] => {
                let error = Diagnostic::error(format!("`kube_vip_lease` cannot be {}", got.value))
                    .at(got.span);
                reader.findings.push(error.help("the lease is longer than the renewal, and the renewal than 1.2 times the retry: 5/3/1"));
            }
            _ => {
                let error = Diagnostic::error(format!(
                    "`kube_vip_lease` is three numbers of seconds, not `{}`",
                    got.value
                ))
                .at(got.span);
                reader
                    .findings
                    .push(error.help("as in \"5/3/1\": lease, renewal and retry"));
            }
        }
    }
    matches!(way, Way::KubeVipArp | Way::KubeVipBgp).then_some(KubeVip {
        image,
        version,
        lease,
        services,
        dedicated_kubeconfig: dedicated,
    })
}

pub(super) fn read_bgp(reader: &mut Reader<'_>, way: Way, profile: Profile) -> Option<Bgp> {
    let local_as = reader
        .integer("bgp_local_as", 1, i64::from(u32::MAX))
        .and_then(|g| u32::try_from(g.value).ok());
    let (hold, keepalive) = match profile {
        Profile::Fast => (3, 1),
        Profile::Seed => (30, 10),
    };
    let seconds = |got: Option<Got<i64>>, default| {
        got.and_then(|g| u16::try_from(g.value).ok())
            .unwrap_or(default)
    };
    let hold_time = reader.integer("bgp_hold_time", 1, i64::from(u16::MAX));
    let hold_span = hold_time.as_ref().and_then(|g| g.span.clone());
    let hold_time = seconds(hold_time, hold);
    let keepalive_interval = seconds(
        reader.integer("bgp_keepalive_interval", 1, i64::from(u16::MAX)),
        keepalive,
    );
    let bfd = reader.boolean("bgp_bfd").unwrap_or(false);
    let mut peers = Vec::new();
    if let Some(got) = reader.texts("bgp_peers") {
        for (i, text) in got.value.iter().enumerate() {
            match peer(text) {
                Ok(peer) => peers.push(peer),
                Err(problem) => reader.findings.push(
                    Diagnostic::error(format!("`bgp_peers`: {problem}"))
                        .at(got.at(&format!("/{i}"))),
                ),
            }
        }
    } else if way == Way::KubeVipBgp {
        reader.missing(
            "bgp_peers",
            "name the routers, as in bgp_peers: [\"192.0.2.1:65001::false\"]",
        );
    }
    if way == Way::KubeVipBgp {
        // RFC 4271, 4.2 and 4.4: at least three seconds, and three keepalives within them.
        if hold_time < 3 || keepalive_interval.saturating_mul(3) > hold_time {
            let error = Diagnostic::error(format!(
                "a hold time of {hold_time} s with keepalives each {keepalive_interval} s breaks BGP sessions"
            ));
            reader.findings.push(error.at(hold_span).help(
                "the hold time is three keepalive intervals or more, and 3 s at least (RFC 4271)",
            ));
        }
        return Some(Bgp {
            local_as: local_as.unwrap_or(65000),
            peers,
            hold_time,
            keepalive_interval,
            bfd,
        });
    }
    None
}

/// Returns the router of `address:AS[:password[:multihop…]]`. A password is never part of a message.
fn peer(text: &str) -> Result<BgpPeer, String> {
    let mut parts = text.splitn(4, ':');
    let address = parts.next().unwrap_or_default();
    let address: IpAddr = address.parse().map_err(|_| {
        format!("`{address}` is no address; a peer is address:AS:password:multihop")
    })?;
    let number = parts.next().unwrap_or_default();
    let autonomous_system = number.parse().ok().filter(|n| *n > 0).ok_or_else(|| {
        format!("`{number}` is no AS number; a peer is address:AS:password:multihop")
    })?;
    let password = parts
        .next()
        .filter(|p| !p.is_empty())
        .map(|p| Secret::new(p.to_owned()));
    Ok(BgpPeer {
        address,
        autonomous_system,
        password,
        rest: parts.next().unwrap_or("false").to_owned(),
    })
}
