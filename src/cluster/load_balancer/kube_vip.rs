//! `kube-vip-arp` and `kube-vip-bgp`: kube-vip as a static pod of the control planes. By ARP the leader of an election holds
//! the address; by BGP every node announces it.
//!
//! The manifest is the role's template. What it says on a host depends on how far that host is:
//!
//! - before init, on the host that is initialised: with super-admin.conf, since admin.conf has no rights until the cluster
//!   has its bindings (kubeadm 1.29 and newer, kube-vip#684);
//! - on a member: with what `kube_vip_kubeconfig` says;
//! - on a host that is to join: not at all. By BGP its own `lo` would hold the address while its API server is not there
//!   yet, so that kubeadm's own join could not reach the cluster; by ARP it is of no use before.

pub mod sign;

use serde_json::json;

use super::{Carrier, Holders, Leaves, Parts};
use crate::cluster::act;
use crate::cluster::spec::{Bgp, BgpPeer, ClusterSpec, Feature, HostSpec, KubeVip, Profile, Way};
use crate::host::Observed;
use crate::host::fact::Kubernetes;
use crate::model::{Map, Sha256, Value};
use crate::plan::Step;

/// The pod's manifest, of either way.
pub(super) const MANIFEST: &str = "/etc/kubernetes/manifests/kube-vip.yaml";

pub(super) const ARP: Parts = Parts {
    holders: Holders::One,
    settled: Some(runs),
    ..BGP
};

pub(super) const BGP: Parts = Parts {
    first: &[],
    roles: &["kube_vip"],
    behind_node: true,
    units: &[],
    pods: &["kube-vip"],
    vip_before_init: false,
    holders: Holders::Each,
    differs_on_members: true,
    settled: Some(announces),
    leaves: Leaves {
        manifests: &[MANIFEST],
        units: &["quorate-apiserver-redirect"],
        packages: &[],
        paths: &[
            KUBECONFIG,
            "/etc/kubernetes/kube-vip-bgp.yaml",
            "/etc/systemd/system/quorate-apiserver-redirect.service",
        ],
        address: true,
    },
};

/// The kubeconfig that quorate makes for kube-vip.
pub const KUBECONFIG: &str = "/etc/kubernetes/kube-vip.conf";
const ADMIN: &str = "/etc/kubernetes/admin.conf";
const SUPER_ADMIN: &str = "/etc/kubernetes/super-admin.conf";

/// BFD's intervals in microseconds (RFC 5880, 4.1) and how many may be missed. Measured in the lab on 22 November 2026: a
/// frozen node's route is gone after 0.76 to 0.94 s. Shorter ones were not tried.
const BFD: &str = "true;300000;300000;3";

/// How long kube-vip's new pod may take to run: the kubelet lets the old one end first, 30 s at most
/// (`terminationGracePeriodSeconds`).
const POD_SECONDS: u64 = 90;

/// What is to be done about the manifest of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Nothing: kube-vip has no business here yet, or waits for its kubeconfig.
    Leave,
    /// It is to be there, with this kubeconfig.
    Place {
        /// Its path on the host.
        kubeconfig: &'static str,
        /// The digest of the client's certificate in it, where quorate signed it.
        certificate: Option<Sha256>,
    },
}

/// Returns whether kube-vip asks the API at all. By BGP without Services it does not: it announces an address and checks an
/// URL (kube-vip 0.8 to 1.2, pkg/cluster/service.go, StartVipService).
pub fn asks_the_api(way: Way, settings: &KubeVip) -> bool {
    way == Way::KubeVipArp || settings.services
}

/// Returns what the manifest of a control plane is to be. `first` says whether a new cluster would begin on this host.
pub fn stage(way: Way, settings: &KubeVip, first: bool, seen: &Kubernetes) -> Stage {
    let asks = asks_the_api(way, settings);
    let place = |kubeconfig| Stage::Place {
        kubeconfig,
        certificate: None,
    };
    if is_member(seen) {
        return match (settings.dedicated_kubeconfig, asks) {
            (false, _) => place(ADMIN),
            (true, false) => place(KUBECONFIG),
            (true, true) => match own_certificate(seen) {
                Some(certificate) => Stage::Place {
                    kubeconfig: KUBECONFIG,
                    certificate: Some(certificate),
                },
                None => Stage::Leave,
            },
        };
    }
    let open = |act: &str| {
        seen.marker
            .as_ref()
            .is_some_and(|m| m.act == act && !m.done)
    };
    let begins = open("init") || (first && seen.marker.is_none() && seen.traces.is_empty());
    match (begins, asks, settings.dedicated_kubeconfig) {
        (false, ..) => Stage::Leave,
        (true, true, _) => place(SUPER_ADMIN),
        (true, false, true) => place(KUBECONFIG),
        (true, false, false) => place(ADMIN),
    }
}

/// Returns whether kubeadm came to its end here: init or join by quorate, or a cluster that was there before it.
fn is_member(seen: &Kubernetes) -> bool {
    let trace = |end: &str| seen.traces.iter().any(|t| t.ends_with(end));
    let open = seen.marker.as_ref().is_some_and(|m| !m.done);
    trace("/kube-apiserver.yaml") && trace("/kubelet.conf") && !open && !seen.kubeadm_running
}

/// Returns the digest of the certificate that was signed for kube-vip here, by this cluster's CA.
fn own_certificate(seen: &Kubernetes) -> Option<Sha256> {
    let kubeconfig = seen.kube_vip.as_ref()?;
    let ours = seen.ca.is_some() && kubeconfig.ca == seen.ca;
    Some(kubeconfig.client.as_ref().filter(|_| ours)?.digest)
}

/// Returns why a control plane needs a kubeconfig signed for kube-vip; `None` where it needs none now.
pub fn due(spec: &ClusterSpec, observed: &Observed) -> Option<String> {
    let seen = observed.kubernetes.as_ref()?;
    let settings = spec.load_balancer.kube_vip.as_ref()?;
    let asks = asks_the_api(spec.load_balancer.way, settings);
    if !settings.dedicated_kubeconfig || !asks || !is_member(seen) {
        return None;
    }
    let Some(kubeconfig) = &seen.kube_vip else {
        return Some("kube-vip has no kubeconfig of its own yet".into());
    };
    let Some(client) = &kubeconfig.client else {
        return Some("its kubeconfig holds no certificate".into());
    };
    if kubeconfig.ca != seen.ca {
        return Some("its kubeconfig is for another cluster".into());
    }
    if kubeconfig.rights.as_deref() != Some(sign::note(spec).as_str()) {
        return Some("kube-vip is to have other rights".into());
    }
    let left = client.not_after - observed.system.clock;
    (left < sign::LIFE_SECONDS / 3).then(|| match left / 86_400 {
        _ if left <= 0 => "its kubeconfig has expired".into(),
        days => format!("its kubeconfig expires in {days} days, less than a third of its life"),
    })
}

/// Returns the variables of role `kube_vip` that only the host's own state tells.
///
/// Before a host is asked (`None`) they are such that every task of the role applies, since its questions are collected then.
pub fn host_variables(
    spec: &ClusterSpec,
    host: &HostSpec,
    first: bool,
    observed: Option<&Observed>,
) -> Map {
    let balancer = &spec.load_balancer;
    let Some(settings) = &balancer.kube_vip else {
        return Map::new();
    };
    let stage = match observed {
        None => Stage::Place {
            kubeconfig: KUBECONFIG,
            certificate: None,
        },
        Some(observed) => {
            let seen = observed.kubernetes.clone().unwrap_or_default();
            stage(balancer.way, settings, first, &seen)
        }
    };
    let (place, kubeconfig, certificate) = match stage {
        Stage::Leave => (false, "", None),
        Stage::Place {
            kubeconfig,
            certificate,
        } => (true, kubeconfig, certificate),
    };
    let interface = match (balancer.way, observed) {
        // Announced over BGP, the address is nobody's on the wire.
        (Way::KubeVipBgp, _) => Some("lo".to_owned()),
        (_, observed) => host.interface.clone().or_else(|| {
            let (name, _) = observed?.interface_of(host.ip.address)?;
            Some(name.to_owned())
        }),
    };
    let mut all: Map = variables(spec, host);
    all.insert("kube_vip_interface".into(), json!(interface));
    all.insert("kube_vip_kubeconfig_path".into(), json!(kubeconfig));
    // Anybody who may read pods sees the revision: of what holds passwords so little that nobody can guess by it.
    let peers = Sha256::of(format!(
        "{:?} {:?}",
        all.remove("kube_vip_peers"),
        all.remove("kube_vip_peer_list")
    ));
    let rest = Sha256::of(format!("{all:?} {:?} {certificate:?}", balancer.bgp));
    let revision = format!("{:.12}{:.4}", rest.to_string(), peers.to_string());
    Map::from_iter([
        ("kube_vip_placed".to_owned(), json!(place)),
        ("kube_vip_kubeconfig_path".to_owned(), json!(kubeconfig)),
        ("kube_vip_revision".to_owned(), json!(revision)),
    ])
}

/// Returns the variables of role `kube_vip` that the inventory tells. They hold passwords of BGP peers.
pub fn variables(spec: &ClusterSpec, host: &HostSpec) -> Map {
    let balancer = &spec.load_balancer;
    let Some(settings) = &balancer.kube_vip else {
        return Map::new();
    };
    let [duration, renew, retry] = settings.lease;
    let mut all = Map::from_iter([
        (
            "kube_vip_full_image".to_owned(),
            json!(format!("{}:{}", settings.image, settings.version)),
        ),
        (
            "kube_vip_asks_the_api".to_owned(),
            json!(asks_the_api(balancer.way, settings)),
        ),
        (
            "kube_vip_subnet".to_owned(),
            json!(balancer.vip.map(|vip| if vip.is_ipv4() { 32 } else { 128 })),
        ),
        (
            "kube_vip_has_subnet".to_owned(),
            json!(settings.knows(Feature::Subnet)),
        ),
        (
            "kube_vip_has_dhcp_mode".to_owned(),
            json!(settings.knows(Feature::DhcpMode)),
        ),
        ("kube_vip_lease_seconds".to_owned(), json!(duration)),
        ("kube_vip_renew_seconds".to_owned(), json!(renew)),
        ("kube_vip_retry_seconds".to_owned(), json!(retry)),
        ("kube_vip_config_file".to_owned(), json!(false)),
        ("kube_vip_secret_environment".to_owned(), json!(false)),
        ("kube_vip_health_check".to_owned(), json!(false)),
    ]);
    if let Some(bgp) = &balancer.bgp {
        all.extend(bgp_variables(settings, bgp));
        let health = settings.knows(Feature::HealthCheck) && balancer.profile == Profile::Fast;
        all.insert("kube_vip_health_check".into(), json!(health));
        // 127.0.0.1 is in no API server's certificate: that node would never be announced.
        let url = std::net::SocketAddr::new(host.ip.address, balancer.src_port);
        all.insert(
            "kube_vip_health_url".into(),
            json!(format!("https://{url}/livez")),
        );
    }
    all
}

/// The peers: in the environment where nobody has a password, else in a file that only root can read. A static pod's
/// environment shows in its mirror pod.
fn bgp_variables(settings: &KubeVip, bgp: &Bgp) -> Map {
    let secret = bgp.peers.iter().any(|p| p.password.is_some());
    let file = secret && settings.knows(Feature::ConfigFile);
    let in_environment = bgp.peers.iter().map(|p| text(p, bgp.bfd));
    let environment = in_environment.collect::<Vec<_>>().join(",");
    let listed: Value = bgp.peers.iter().map(|p| object(p, bgp.bfd)).collect();
    Map::from_iter([
        ("kube_vip_config_file".to_owned(), json!(file)),
        (
            "kube_vip_secret_environment".to_owned(),
            json!(secret && !file),
        ),
        (
            "kube_vip_peers".to_owned(),
            json!(if file { String::new() } else { environment }),
        ),
        (
            "kube_vip_peer_list".to_owned(),
            if file { listed } else { json!([]) },
        ),
    ])
}

/// Returns a peer as kube-vip's environment has it: `address:AS:password:multihop[:port:MP-BGP:BFD]`.
fn text(peer: &BgpPeer, bfd: bool) -> String {
    let password = peer.password.as_ref().map_or("", |p| p.expose().as_str());
    let rest = if bfd && !peer.has_bfd() {
        let parts = peer.parts();
        let part = |i: usize| parts.get(i).copied().filter(|p| !p.is_empty());
        let port = part(1).unwrap_or("179");
        let multihop = part(0).unwrap_or("false");
        format!("{multihop}:{port}:{}:{BFD}", part(2).unwrap_or_default())
    } else {
        peer.rest.clone()
    };
    format!(
        "{}:{}:{password}:{rest}",
        peer.address, peer.autonomous_system
    )
}

/// Returns a peer as kube-vip's configuration file has it (pkg/kubevip/config_bgp.go, BGPPeer).
fn object(peer: &BgpPeer, bfd: bool) -> Value {
    let mut object = json!({
        "Address": peer.address.to_string(),
        "AS": peer.autonomous_system,
        "Port": 179,
        "MultiHop": peer.parts().first() == Some(&"true"),
    });
    if let Some(password) = &peer.password {
        object["Password"] = json!(password.expose());
    }
    for field in peer.parts().get(2).iter().flat_map(|p| p.split(';')) {
        let name = match field.split_once('=') {
            Some(("mpbgp_nexthop", value)) => ("MpbgpNexthop", value),
            Some(("mpbgp_ipv4", value)) => ("MpbgpIPv4", value),
            Some(("mpbgp_ipv6", value)) => ("MpbgpIPv6", value),
            _ => continue,
        };
        object[name.0] = json!(name.1);
    }
    let own = peer.parts().get(3).copied().filter(|p| !p.is_empty());
    if let Some(watch) = own.or(bfd.then_some(BFD)) {
        let mut fields = watch.split(';');
        object["BFDEnabled"] = json!(fields.next() == Some("true"));
        for name in [
            "BFDReceiveInterval",
            "BFDTransmitInterval",
            "BFDDetectMultiplier",
        ] {
            let number = fields.next().and_then(|f| f.parse::<u32>().ok());
            object[name] = json!(number);
        }
    }
    object
}

/// Returns the step that waits on a control plane until kube-vip's pod of the manifest that lies there runs: the kubelet
/// lets the one before end first, and only then does the address come back. Its container is newer than the manifest, and
/// the API (which answers over that address) says the same of the pod. A host that waits for its kubeconfig has none.
pub fn runs(host: &Carrier) -> Step {
    let what = "kube-vip's pod runs as its manifest says";
    running(&pod_runs(host), what)
}

/// Tells by kube-vip's log whether a peer refuses an AS number: the probe's own words.
const BAD_AS: &str = include_str!("../../host/bad_as.sh");

/// Returns the step that waits until the pod runs and a BGP session of this host stands. The address is on its own `lo`, so
/// that the API answers there whatever the routers think: with an AS number that they refuse, host after host would go. Such a
/// router accepts a connection and ends it when it has read the number: the same one has to be there three seconds later.
pub fn announces(host: &Carrier) -> Step {
    let node = &host.node;
    let (own, peers) = host.bgp.clone().unwrap_or_default();
    let told = |(address, number): &(std::net::IpAddr, u32)| format!("{address} (AS {number})");
    let told: Vec<String> = peers.iter().map(told).collect();
    let told = told.join(", ");
    let addresses: Vec<String> = peers.iter().map(|(a, _)| a.to_string()).collect();
    let addresses = addresses.join(" ");
    let condition = format!(
        "sessions() {{ ss -Htn state established dport = :179 2>/dev/null | awk '{{ print $3, $4 }}' | sort; }}\n\
         stood=$(sessions)\n\
         {}\n\
         command -v ss >/dev/null 2>&1 || exit 0\n\
         [ -n \"$stood\" ] && sessions | grep -qxF -e \"$stood\" && exit 0\n\
         {BAD_AS}\
         for peer in {addresses}; do bad_as \"$peer\" && why=\": $peer refuses an AS number, {own} as this host's or the one of bgp_peers as its own\"; done\n\
         echo \"no BGP session of {node} (bgp_local_as {own}) with {told} stands${{why-: is the router there, and does it know {} as a neighbour? kubectl -n kube-system logs kube-vip-{node}}}\"\n\
         exit 1",
        pod_runs(host),
        host.address,
    );
    let what = "kube-vip's pod runs as its manifest says, and a BGP session stands";
    running(&condition, what)
}

fn running(condition: &str, what: &str) -> Step {
    act::wait(
        "load balancer : kube-vip runs",
        what,
        condition,
        POD_SECONDS,
    )
}

fn pod_runs(host: &Carrier) -> String {
    let node = &host.node;
    let started = super::pods::started("kube-vip", host);
    format!(
        "file={MANIFEST}; [ -e $file ] || exit 0\n{started}\n{stays}\n\
         want=$(sed -n 's/^ *quorate\\/revision: *//p' $file | tr -d '\"')\n\
         seen=$(kubectl --kubeconfig {ADMIN} --request-timeout=5s -n kube-system get pod kube-vip-{node} \
         -o 'jsonpath={{.metadata.annotations.quorate/revision}} {{.status.containerStatuses[0].ready}}') || exit 1\n\
         [ \"$seen\" = \"$want true\" ] || {{ echo \"kube-vip-{node} is $seen, not $want true\"; exit 1; }}",
        stays = super::pods::stays("kube-vip", host),
    )
}
