//! The settings of kube-vip and BGP.

use std::net::IpAddr;

use super::pods::image;
use super::read::{self, Got};
use super::reader::Reader;
use super::{Bgp, BgpPeer, KubeVip, Profile, Version, Way};
use crate::model::{Diagnostic, Secret, Span};

/// The oldest kube-vip whose manifest was compared with that of its own generator (tests/fixtures/kube-vip).
const OLDEST: Version = Version::new(0, 8, 0);
/// The first minor release that was not: newer than all that were.
const UNTRIED: Version = Version::new(1, 3, 0);

pub(super) fn read_kube_vip(reader: &mut Reader<'_>, way: Way) -> Option<KubeVip> {
    let image = read_image(reader);
    let kube_vip = way.uses_kube_vip();
    let (version, release) = read_release(reader, kube_vip);
    let services = reader.boolean("kube_vip_services").unwrap_or(false);
    let dedicated = reader
        .one_of("kube_vip_kubeconfig", &["dedicated", "admin"])
        .is_none_or(|g| g.value == "dedicated");
    // Those of kubeadm's document, with both profiles.
    let mut lease = [5, 3, 1];
    if let Some(got) = reader.text("kube_vip_lease") {
        let numbers = got.value.split('/').map(|n| n.trim().parse().ok());
        let numbers: Option<Vec<u16>> = numbers.collect();
        match numbers.unwrap_or_default()[..] {
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
    kube_vip.then_some(KubeVip {
        image,
        version,
        release,
        lease,
        services,
        dedicated_kubeconfig: dedicated,
    })
}

/// Reads `kube_vip_image`: the tag has a variable of its own, since the manifest hangs on it.
fn read_image(reader: &mut Reader<'_>) -> String {
    const NAME: &str = "kube_vip_image";
    let default = || "ghcr.io/kube-vip/kube-vip".to_owned();
    let Some(name) = image(reader, NAME) else {
        return default();
    };
    let (bare, digest) = match name.split_once('@') {
        Some((bare, _)) => (bare, true),
        None => (name.as_str(), false),
    };
    // A colon before a slash is a registry's port.
    let tag = bare.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'));
    let (what, bare, version) = match (digest, tag) {
        (false, None) => return name,
        (true, None) => ("a digest", bare, "v1.2.3"),
        (true, Some((bare, tag))) => ("a digest", bare, tag),
        (false, Some((bare, tag))) => ("a tag", bare, tag),
    };
    let error = Diagnostic::error(format!("`{NAME}` has {what}: `{name}`")).at(reader.place(NAME));
    let help = format!("write {NAME}: {bare} and kube_vip_version: {version}");
    reader.findings.push(error.help(help));
    default()
}

/// Reads `kube_vip_version`: a tag, `vX.Y.Z` with whatever a private build appends. What the manifest may say depends on it.
fn read_release(reader: &mut Reader<'_>, used: bool) -> (String, Version) {
    let default = ("v1.2.3".to_owned(), Version::new(1, 2, 3));
    let Some(got) = reader.text("kube_vip_version") else {
        return default;
    };
    let numbers = got.value.strip_prefix('v').unwrap_or(&got.value);
    let numbers = numbers.split(['-', '_']).next().unwrap_or_default();
    // A tag of an image has no other characters (the OCI Distribution Specification).
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let release = numbers.parse::<Version>().ok();
    let Some(release) = release.filter(|_| got.value.chars().all(plain)) else {
        let error = Diagnostic::error(format!(
            "`kube_vip_version` is a tag with three numbers, not `{}`",
            got.value.escape_debug()
        ));
        reader
            .findings
            .push(error.at(got.span).help("as in kube_vip_version: v1.2.3"));
        return default;
    };
    if release < OLDEST {
        let error = Diagnostic::error(format!("kube-vip {} is too old", got.value)).at(got.span);
        reader
            .findings
            .push(error.help("0.8 is the oldest that is supported, 1.2.3 the default"));
        return default;
    }
    if used && release >= UNTRIED {
        let warning = Diagnostic::warning(format!(
            "kube-vip {} is newer than what quorate's manifest was compared with",
            got.value
        ));
        reader.findings.push(
            warning
                .at(got.span.clone())
                .help("1.2 is the newest that was"),
        );
    }
    (got.value, release)
}

pub(super) fn read_bgp(
    reader: &mut Reader<'_>,
    way: Way,
    profile: Profile,
    kube_vip: Option<&KubeVip>,
) -> Option<Bgp> {
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
    let bfd_span = reader.get("bgp_bfd").and_then(|g| g.span);
    let mut peers: Vec<BgpPeer> = Vec::new();
    let mut peers_span = None;
    if let Some(got) = reader.texts("bgp_peers") {
        peers_span = got.at("");
        if got.value.is_empty() && way == Way::KubeVipBgp {
            let error = Diagnostic::error("`bgp_peers` is empty: nobody would learn the address");
            let help = "name the routers, as in bgp_peers: [\"192.0.2.1:65001::false\"]";
            reader
                .findings
                .push(error.at(peers_span.clone()).help(help));
        }
        for (i, text) in got.value.iter().enumerate() {
            match peer(text) {
                Ok(peer) if peers.iter().any(|p| p.address == peer.address) => {
                    let message = format!("`bgp_peers` names {} twice", peer.address);
                    let error = Diagnostic::error(message).at(got.at(&format!("/{i}")));
                    reader
                        .findings
                        .push(error.help("one session for each router"));
                }
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
        let local_as = local_as.unwrap_or(65000);
        if let Some(kube_vip) = kube_vip {
            check_release(reader, kube_vip, profile, bfd, &peers, bfd_span, peers_span);
        }
        return Some(Bgp {
            local_as,
            peers,
            hold_time,
            keepalive_interval,
            bfd,
        });
    }
    None
}

/// Checks what is asked of BGP against what this kube-vip can do.
fn check_release(
    reader: &mut Reader<'_>,
    kube_vip: &KubeVip,
    profile: Profile,
    bfd: bool,
    peers: &[BgpPeer],
    bfd_span: Option<Span>,
    peers_span: Option<Span>,
) {
    let version = &kube_vip.version;
    if !kube_vip.knows(Feature::Bfd) && (bfd || peers.iter().any(BgpPeer::has_bfd)) {
        let error = Diagnostic::error(format!("kube-vip {version} knows no BFD"));
        let at = if bfd { bfd_span } else { peers_span.clone() };
        reader.findings.push(
            error
                .at(at)
                .help("it is there from v1.2.2 on: set `kube_vip_version`"),
        );
    }
    let health = if profile == Profile::Seed {
        Some("profile `seed` has no health check: the route of a node whose API server is dead is never withdrawn".to_owned())
    } else if kube_vip.knows(Feature::HealthCheck) {
        None
    } else {
        Some(format!(
            "kube-vip {version} knows no health check: the route of a node whose API server is dead is never withdrawn"
        ))
    };
    if let Some(message) = health {
        let help = "`load_balancer_profile: fast` with kube-vip v1.2.0 or newer withdraws it after about two seconds";
        reader
            .findings
            .push(Diagnostic::warning(message).help(help));
    }
    let secret = peers.iter().filter(|p| p.password.is_some());
    if secret.clone().next().is_some() && !kube_vip.knows(Feature::ConfigFile) {
        let message = format!(
            "kube-vip {version} takes the password of a BGP peer from the pod's environment alone, which everybody sees who may read pods in kube-system"
        );
        reader.findings.push(
            Diagnostic::warning(message)
                .at(peers_span.clone())
                .help("v1.0.1 and newer read it from a file that only root can read"),
        );
        // In the environment the peers are one text, with commas in between (config_bgp.go, ParseBGPPeerConfig).
        let mut passwords = secret.filter_map(|p| p.password.as_ref());
        if passwords.any(|p| p.expose().contains(',')) {
            let message =
                format!("a BGP password with a comma cannot be given to kube-vip {version}");
            reader.findings.push(
                Diagnostic::error(message)
                    .at(peers_span)
                    .help("choose another, or v1.0.1 and newer"),
            );
        }
    }
}

/// Something that not every kube-vip can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// `vip_subnet` is a number of bits. Before, it had a slash in front, and `vip_cidr` was the number (pkg/vip/address.go).
    Subnet,
    /// `dhcp_mode` (pkg/kubevip/config_generator.go).
    DhcpMode,
    /// `--config-file` (cmd/kube-vip.go).
    ConfigFile,
    /// `control_plane_health_check_*` (pkg/kubevip/config_envvar.go).
    HealthCheck,
    /// A peer's seventh part (pkg/kubevip/config_bgp.go).
    Bfd,
}

impl KubeVip {
    /// Returns whether this release can do that. The numbers are those of the first tag whose sources have it.
    pub fn knows(&self, feature: Feature) -> bool {
        self.release
            >= match feature {
                Feature::Subnet => Version::new(0, 9, 0),
                Feature::DhcpMode => Version::new(1, 0, 3),
                Feature::ConfigFile => Version::new(1, 0, 1),
                Feature::HealthCheck => Version::new(1, 2, 0),
                Feature::Bfd => Version::new(1, 2, 2),
            }
    }
}

impl BgpPeer {
    /// Returns the parts from `multihop` on: multihop, port, MP-BGP, BFD (config_bgp.go, ParseBGPPeerConfig).
    pub fn parts(&self) -> Vec<&str> {
        self.rest.split(':').collect()
    }

    /// Returns whether the inventory gives it BFD of its own.
    pub fn has_bfd(&self) -> bool {
        self.parts().get(3).is_some_and(|bfd| !bfd.is_empty())
    }
}

/// Returns the router of `address:AS[:password[:multihop…]]`. A password is never part of a message.
fn peer(text: &str) -> Result<BgpPeer, String> {
    let mut parts = text.splitn(4, ':');
    let address = parts.next().unwrap_or_default();
    // What is wrong is not shown: a password in the wrong place would be.
    let address: IpAddr = address
        .parse()
        .map_err(|_| "the first part is no address; a peer is address:AS:password:multihop")?;
    if let Some(why) = read::unusable(address) {
        return Err(format!("{address} is no router's: {why}"));
    }
    let number = parts.next().unwrap_or_default();
    let autonomous_system = number
        .parse()
        .ok()
        .filter(|n| *n > 0)
        .ok_or("the second part is no AS number; a peer is address:AS:password:multihop")?;
    let password = parts
        .next()
        .filter(|p| !p.is_empty())
        .map(|p| Secret::new(p.to_owned()));
    let rest = parts.next().filter(|r| !r.is_empty()).unwrap_or("false");
    check_rest(rest)?;
    Ok(BgpPeer {
        address,
        autonomous_system,
        password,
        rest: rest.to_owned(),
    })
}

/// Checks `multihop[:port[:MP-BGP[:BFD]]]`. What is wrong is not shown: a password with a colon would end up here.
fn check_rest(rest: &str) -> Result<(), String> {
    let parts: Vec<&str> = rest.split(':').collect();
    let wrong = |what: &str| {
        Err(format!(
            "{what}; a peer is address:AS:password:multihop, and a password has no colon"
        ))
    };
    if !["true", "false", ""].contains(&parts[0]) {
        return wrong("multihop is true or false");
    }
    if let Some(port) = parts.get(1)
        && !port.is_empty()
        && *port != "179"
    {
        // It is read and not used: kube-vip always dials 179 (pkg/bgp/peers.go, defaultBGPPort).
        return wrong("the port of a BGP router is 179, kube-vip dials no other");
    }
    if parts.iter().any(|p| p.contains(',')) {
        return wrong("a peer has no comma");
    }
    // `key=value` pairs with semicolons between, else kube-vip ends at once (config_bgp.go, ParseBGPPeerConfig).
    let is_pair = |pair: &str| {
        pair.split_once('=')
            .is_some_and(|(k, v)| !k.is_empty() && !v.is_empty())
    };
    if let Some(addresses) = parts.get(2)
        && !addresses.is_empty()
        && !addresses.split(';').all(is_pair)
    {
        return wrong("MP-BGP is key=value, several with `;` between them");
    }
    if let Some(bfd) = parts.get(3)
        && !bfd.is_empty()
    {
        let fields: Vec<&str> = bfd.split(';').collect();
        let number = |text: &&str| text.parse::<u32>().is_ok_and(|n| n > 0);
        let good = fields.len() == 4
            && ["true", "false"].contains(&fields[0])
            && fields[1..].iter().all(number);
        if !good {
            return wrong("BFD is true;receive;transmit;multiplier, the intervals in microseconds");
        }
        // Detect Mult has eight bits (RFC 5880, 4.1).
        if fields[3].parse::<u8>().is_err() {
            return wrong("BFD's multiplier is 255 at most");
        }
        // kube-vip dials BFD's port for one hop, 3784 (pkg/bgp/peers.go); over several it is 4784 (RFC 5883).
        if fields[0] == "true" && parts[0] == "true" {
            return wrong("BFD does not go over several hops: kube-vip asks the next one alone");
        }
        // RFC 5880 counts microseconds, and gobgp passes the numbers on; kube-vip's own comment says 300.
        if fields[0] == "true"
            && fields[1..3]
                .iter()
                .any(|f| f.parse::<u32>().is_ok_and(|n| n < 10_000))
        {
            return wrong(
                "BFD's intervals are microseconds: 300000 is 0.3 s, less than 10000 no router bears",
            );
        }
    }
    if parts.len() > 4 {
        return wrong("there are more parts than seven");
    }
    Ok(())
}
