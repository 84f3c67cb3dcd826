//! How packages and images come to a host under both shells: in one call, once, and in the version that is asked for.

use quorate::host::record::End;
use quorate::host::{Effect, Expect};

use super::sandbox::{SHELLS, Sandbox, step};
use super::shell::write;

#[test]
fn packages_are_installed_as_a_unit_and_once() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        sandbox.write("/packages", "curl\n");
        let install = Effect::InstallPackages(vec!["curl".into(), "haproxy".into()]);
        let (end, _, output) = sandbox.one(install.clone());
        assert_eq!(end, End::Changed, "{kind:?} {output}");
        assert!(
            sandbox
                .read("/apt.log")
                .unwrap()
                .trim_end()
                .ends_with("-- haproxy"),
            "{:?}",
            sandbox.read("/apt.log")
        );
        assert_eq!(sandbox.one(install).0, End::Ok);
    }
}

/// A name that another package provides would be installed anew by every run.
#[test]
fn what_is_not_there_behind_an_installation_is_named() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        sandbox.write("/packages", "");
        let install = |names: &[&str]| {
            Effect::InstallPackages(names.iter().map(ToString::to_string).collect())
        };
        let (end, _, output) = sandbox.one(install(&["haproxy", "provided"]));
        assert_eq!(end, End::Failed, "{kind:?} {output}");
        assert!(
            output.contains("this is not installed: provided. Where that is a name"),
            "{kind:?} {output}"
        );
        assert_eq!(sandbox.one(install(&["provider"])).0, End::Ok, "{kind:?}");
        let outcome = sandbox.steps(vec![
            step(0, install(&["keepalived"])),
            step(1, install(&["provided"])),
        ]);
        let ends = [0, 1].map(|id| outcome.end(id).unwrap().0);
        assert_eq!(ends, [End::Changed, End::Failed], "{kind:?}");
    }
}

#[test]
fn a_package_of_another_version_is_changed_for_the_one_that_is_asked_for() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        sandbox.write("/packages", "kubelet\n");
        sandbox.write("/version-kubelet", "1.36.2-1.1");
        let install = |word: &str| Effect::InstallPackages(vec![word.into()]);
        let (end, _, output) = sandbox.one(install("kubelet=1.36.2-*"));
        assert_eq!(end, End::Ok, "{kind:?} {output}");
        assert_eq!(sandbox.read("/apt.log"), None, "{kind:?}");
        let (end, _, output) = sandbox.one(install("kubelet=1.36.1-*"));
        assert_eq!(end, End::Changed, "{kind:?} {output}");
        let call = sandbox.read("/apt.log").unwrap();
        let words = "--allow-downgrades --allow-change-held-packages -- kubelet=1.36.1-*";
        assert!(call.trim_end().ends_with(words), "{kind:?} {call}");
        assert_eq!(sandbox.one(install("kubelet=1.36.1-*")).0, End::Ok);
        // Whichever there is will do.
        assert_eq!(sandbox.one(install("kubelet")).0, End::Ok);
    }
}

#[test]
fn images_are_pulled_once_and_named_where_they_do_not_come() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        sandbox.write("/images", "a.io/there:1\n");
        let pull = |names: &[&str]| Effect::PullImages {
            names: names.iter().map(ToString::to_string).collect(),
            hosts: "/etc/containerd/certs.d".into(),
        };
        let (end, _, output) = sandbox.one(pull(&["a.io/there:1", "a.io/b:1"]));
        assert_eq!(end, End::Changed, "{kind:?} {output}");
        let calls = sandbox.read("/pulls").unwrap();
        assert!(
            calls.starts_with("-n k8s.io images pull --hosts-dir "),
            "{calls}"
        );
        assert!(
            calls.ends_with("/etc/containerd/certs.d a.io/b:1\n"),
            "{calls}"
        );
        assert_eq!(sandbox.one(pull(&["a.io/b:1"])).0, End::Ok, "{kind:?}");
        let (end, _, output) = sandbox.one(pull(&["nowhere.io/b:1"]));
        assert_eq!(end, End::Failed, "{kind:?}");
        assert!(
            output.contains("failed to resolve nowhere.io/b:1"),
            "{output}"
        );
        assert!(
            output.contains("nowhere.io/b:1 could not be pulled"),
            "{output}"
        );
    }
}

#[test]
fn packages_of_all_steps_are_installed_in_one_call() {
    let install = |name: &str| Effect::InstallPackages(vec![name.into()]);
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        sandbox.write("/packages", "");
        let outcome = sandbox.steps(vec![
            step(0, install("haproxy")),
            step(1, write("/etc/a", "1", Expect::Any)),
            step(2, install("keepalived")),
            step(3, write("/etc/apt/sources.list.d/x.list", "1", Expect::Any)),
            step(4, install("later")),
        ]);
        let calls: Vec<String> = sandbox
            .read("/apt.log")
            .unwrap()
            .lines()
            .map(str::to_string)
            .collect();
        assert_eq!(calls.len(), 2, "{kind:?} {calls:?}");
        assert!(calls[0].ends_with("-- haproxy keepalived"), "{calls:?}");
        assert!(calls[1].ends_with("-- later"), "{calls:?}");
        for id in [0, 2, 4] {
            assert_eq!(
                outcome.end(id).unwrap().0,
                End::Changed,
                "{kind:?} {id} {outcome:?}"
            );
        }
    }
}

#[test]
fn a_package_that_does_not_exist_fails_its_own_step() {
    let install = |name: &str| Effect::InstallPackages(vec![name.into()]);
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        sandbox.write("/packages", "");
        let outcome = sandbox.steps(vec![
            step(0, install("haproxy")),
            step(1, install("unheard-of")),
        ]);
        assert_eq!(
            outcome.end(0).unwrap().0,
            End::Changed,
            "{kind:?} {outcome:?}"
        );
        let (end, _, output) = outcome.end(1).unwrap();
        assert_eq!(end, End::Failed, "{kind:?}");
        assert!(
            output.contains("Unable to locate package unheard-of"),
            "{output}"
        );
    }
}
