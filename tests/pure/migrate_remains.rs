//! What another way of load balancing has left on a host: told from what is not ours, and gone where no cluster lives.

use quorate::cluster::load_balancer::{
    TAKING_DOWN, facts_of_others, has_own, leftovers, remains, remains_of_any,
};
use quorate::cluster::migrate;
use quorate::cluster::next::forbidden;
use quorate::cluster::spec::Way;
use quorate::cluster::{HostView, Standing};
use quorate::host::fact::Kubernetes;
use quorate::model::Sha256;

use super::migrate::{name, seen_as, services, shape};
use super::migrate_steps::mover;
use super::simulated::{Model, text};

pub(super) const CHECK: &str = "/etc/keepalived/check_apiserver.sh";

#[test]
fn what_another_way_left_is_told_from_what_is_not_ours() {
    let (services, pods, arp) = (
        Way::KeepalivedHaproxy,
        Way::KeepalivedHaproxyPods,
        Way::KubeVipArp,
    );
    let found = |way: Way, model: &Model| remains(way, &model.observe(&facts_of_others(way)));
    let mut model = Model::bare();
    for way in Way::ALL {
        assert_eq!(found(way, &model), None, "{way}");
    }
    // Somebody's own haproxy beside kube-vip.
    model.units.insert("haproxy".into(), (true, true, 1));
    model
        .files
        .insert("/etc/haproxy/haproxy.cfg".into(), text("theirs"));
    assert_eq!(found(arp, &model), None);
    for path in [CHECK, "/etc/keepalived/keepalived.conf"] {
        model.files.insert(path.into(), text("ours"));
    }
    model.units.insert("keepalived".into(), (true, true, 1));
    assert_eq!(found(services, &model), None, "its own");
    let old = found(pods, &model).unwrap();
    assert_eq!(old.from, Some(services));
    assert_eq!(old.units, ["keepalived", "haproxy"]);
    assert_eq!(old.pods, ["kube-vip"]);
    assert_eq!(
        old.paths,
        Vec::<&str>::new(),
        "the pods read the same files"
    );
    let old = found(arp, &model).unwrap();
    assert_eq!(old.pods, ["keepalived", "haproxy"]);
    assert_eq!(old.paths.len(), 3);
    assert_eq!(old.paths.last(), Some(&CHECK));
    // Stopped, and yet it would come at boot; then nothing of it.
    model.units.insert("keepalived".into(), (false, true, 1));
    model.units.insert("haproxy".into(), (false, false, 1));
    assert_eq!(found(pods, &model).unwrap().units, ["keepalived"]);
    model.units.insert("keepalived".into(), (false, false, 1));
    assert_eq!(found(pods, &model), None);
    // A takedown that was begun is one to be ended.
    model.files.insert(TAKING_DOWN.into(), text(""));
    let old = found(pods, &model).unwrap();
    assert_eq!((old.from, old.units.len()), (None, 0));
    model.files.remove(TAKING_DOWN);
    // The pods' manifests, and kube-vip's kubeconfig.
    model
        .files
        .insert("/etc/kubernetes/manifests/haproxy.yaml".into(), text("pod"));
    let old = found(services, &model).unwrap();
    assert_eq!(old.from, Some(pods));
    assert_eq!(old.pods, ["keepalived", "haproxy", "kube-vip"]);
    // Not the services', though their files have the same names.
    assert_eq!(found(arp, &model).unwrap().from, Some(pods));
    let mut model = Model::bare();
    model
        .files
        .insert("/etc/kubernetes/kube-vip.conf".into(), text("kubeconfig"));
    assert_eq!(found(pods, &model), None, "nothing is at work");
    let left = |way: Way, model: &Model| leftovers(way, &model.observe(&facts_of_others(way)));
    assert_eq!(left(pods, &model), ["/etc/kubernetes/kube-vip.conf"]);
    assert_eq!(left(arp, &model), Vec::<&str>::new());
    model.files.insert(
        "/etc/kubernetes/manifests/kube-vip.yaml".into(),
        text("pod"),
    );
    let old = found(pods, &model).unwrap();
    assert_eq!((old.from, old.paths.len()), (Some(arp), 1));
    assert_eq!(left(pods, &model), Vec::<&str>::new(), "all at once");
    for way in [Way::KubeVipBgp, Way::External] {
        assert_eq!(found(way, &model), None, "{way} is not moved to");
    }
    // What was not looked at is not gone.
    assert_eq!(remains(pods, &Default::default()), None);
}

/// After `kubeadm reset` of all hosts, or before the first init: nobody is served by what another way has left.
#[test]
fn where_no_cluster_lives_another_way_just_goes() {
    let bare = || {
        let mut view = seen_as(["o", "o", "ov"]);
        for host in view.hosts.values_mut() {
            host.kubernetes = Kubernetes::default();
        }
        view.api = None;
        view
    };
    assert!(migrate::is_vacant(&shape(), &bare()));
    type Spoil = (&'static str, fn(&mut HostView));
    let spoils: [Spoil; 6] = [
        ("a CA", |h| h.kubernetes.ca = Some(Sha256::of("ca"))),
        ("a trace", |h| {
            h.kubernetes.traces = vec!["/etc/kubernetes/kubelet.conf".into()];
        }),
        ("a marker", |h| {
            h.kubernetes.marker = Some(quorate::host::fact::Marker {
                act: "init".into(),
                run: "r".into(),
                config: "config".into(),
                done: false,
            });
        }),
        ("kubeadm", |h| h.kubernetes.kubeadm_running = true),
        ("a bridge", |h| h.moving.bridge = true),
        ("down", |h| h.standing = Standing::Unknown("down".into())),
    ];
    for (what, spoil) in spoils {
        let mut view = bare();
        spoil(view.hosts.get_mut(&name("cp3")).unwrap());
        assert!(!migrate::is_vacant(&shape(), &view), "{what}");
        let said = migrate::without_cluster(&view.hosts[0]).unwrap();
        assert!(said.contains("yet a host shows a cluster"), "{said}");
    }
    let mut view = bare();
    view.hosts.shift_remove(&name("cp3"));
    assert!(!migrate::is_vacant(&shape(), &view), "not looked at");
    assert!(!migrate::is_vacant(&shape(), &seen_as(["", "", "v"])));

    // An address where nothing tells that it is ours: who joins would be led to itself.
    let mut view = bare();
    for host in view.hosts.values_mut() {
        host.moving.old = None;
    }
    let mut shape = shape();
    shape.lasting.vip = Some("10.77.0.100".parse().unwrap());
    let refusal = forbidden(&shape, &view).unwrap();
    assert_eq!(refusal.hosts, [name("cp3")]);
    assert!(refusal.help.contains("10.77.0.100/32"), "{}", refusal.help);
    let holder = view.hosts.get_mut(&name("cp3")).unwrap();
    holder.moving.marked = true;
    assert_eq!(forbidden(&shape, &view), None, "it is taken off");
    view.hosts.get_mut(&name("cp3")).unwrap().moving.marked = false;
    shape.vip_before_init = true;
    assert_eq!(forbidden(&shape, &view), None, "looked at before init");
    // Files alone are left as they are while a cluster may live: by them the address is known.
    let mut host = seen_as(["", "", ""]).hosts[0].clone();
    assert_eq!(migrate::without_cluster(&host), None);
    host.moving.left = Some(services());
    assert!(migrate::without_cluster(&host).is_some());

    // BGP too, which a live cluster is not moved from or to; and files alone, which a reset leaves.
    let found =
        |way: Way, model: &Model| remains_of_any(way, &model.observe(&facts_of_others(way)));
    let mut model = Model::bare();
    for way in Way::ALL {
        assert_eq!(found(way, &model), None, "{way}");
    }
    let own = |way: Way, model: &Model| has_own(way, &model.observe(&facts_of_others(way)));
    for path in [CHECK, "/etc/keepalived/keepalived.conf"] {
        model.files.insert(path.into(), text("ours"));
    }
    assert_eq!(found(Way::KeepalivedHaproxyPods, &model), None, "its own");
    assert!(own(Way::KeepalivedHaproxyPods, &model) && !own(Way::KubeVipBgp, &model));
    let old = found(Way::KubeVipBgp, &model).unwrap();
    assert_eq!(old.paths, ["/etc/keepalived/keepalived.conf", CHECK]);
    model.units.insert("keepalived".into(), (true, true, 1));
    let old = found(Way::KubeVipBgp, &model).unwrap();
    assert_eq!(old.from, Some(Way::KeepalivedHaproxy));
    assert_eq!(old.units, ["keepalived"]);
    let steps = migrate::steps::vacate(&mover(), &old);
    let titles: Vec<&str> = steps.iter().map(|s| s.title.as_str()).collect();
    assert_eq!(
        titles,
        [
            "load balancer : the old one is taken down",
            "load balancer : the old pods are gone",
            "load balancer : no address is left",
            "load balancer : nothing is left",
        ]
    );
    // Somebody's own haproxy stays.
    let haproxy = "/etc/haproxy/haproxy.cfg";
    let mut model = Model::bare();
    model.units.insert("haproxy".into(), (true, true, 1));
    assert_eq!(found(Way::KubeVipBgp, &model), None);
    let theirs = "frontend theirs\n    bind :80\n";
    model.files.insert(haproxy.into(), text(theirs));
    assert_eq!(found(Way::KubeVipBgp, &model), None);
    // The package's own, which has no port: a run was stopped behind its installation.
    let package = "global\n\tdaemon\ndefaults\n\tmode http\n";
    model.files.insert(haproxy.into(), text(package));
    assert_eq!(found(Way::KubeVipBgp, &model).unwrap().units, ["haproxy"]);
    // A run that was stopped between haproxy and keepalived: only what stands in the file tells whose it is.
    let ours = text("# Written by quorate (role haproxy)");
    model.files.insert(haproxy.into(), ours);
    let old = found(Way::KubeVipBgp, &model).unwrap();
    assert_eq!(old.units, ["haproxy"]);
    assert_eq!(old.paths, [haproxy]);
    let old = found(Way::KeepalivedHaproxyPods, &model).unwrap();
    assert_eq!((old.units, old.paths), (vec!["haproxy"], vec![]));
}
