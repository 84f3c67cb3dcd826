//! What package managers are called with, in the shell of the hosts; rpm's are stand-ins that say how they were called.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

/// The functions of a wave that install and remove, with what they call of the rest.
fn script(words: &str) -> String {
    let wave = include_str!("../../src/host/wave.sh");
    let from = wave.find("\ninstalled() {").unwrap();
    let to = wave.find("\nunit_try() {").unwrap();
    format!(
        "gathered=\nchanging() {{ :; }}\nrunning() {{ return 1; }}\nlong() {{ shift 2; \"$@\"; }}\n{}\n{words}\n",
        &wave[from..to]
    )
}

/// Returns how the host's package manager was called.
fn calls(shell: &[&str], manager: &str, words: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let tool = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    // curl 8.5.0-1 is there, and so is whatever was installed.
    tool(
        "rpm",
        "for last do :; done\nread -r all <\"$HOME/there\" || :\ncase \" $all \" in *\" $last \"*) ;; *) exit 1 ;; esac\n\
         case $last in curl) printf '|8.5.0-1' ;; *) printf '|3.2.1-4' ;; esac",
    );
    tool(
        manager,
        "echo \"${0##*/} $*\" >>\"$HOME/calls\"\nread -r all <\"$HOME/there\" || :\necho \"$all haproxy\" >\"$HOME/there\"",
    );
    fs::write(folder.path().join("there"), "curl\n").unwrap();
    let status = Command::new(shell[0])
        .args(&shell[1..])
        .args(["-c", &script(words)])
        .env_clear()
        .env("PATH", folder.path())
        .env("HOME", folder.path())
        .status()
        .unwrap();
    assert!(status.success(), "{manager}: {words}");
    fs::read_to_string(folder.path().join("calls")).unwrap_or_default()
}

#[test]
fn each_manager_is_called_in_its_own_words() {
    let cases = [
        ("packages curl", "", "", ""),
        (
            "packages curl haproxy",
            "dnf -q -y --setopt=install_weak_deps=False install haproxy\n",
            "yum -q -y install haproxy\n",
            "zypper --non-interactive --quiet install --no-recommends --oldpackage -- haproxy\n",
        ),
        (
            "packages 'haproxy=3.2*'",
            "dnf -q -y --setopt=install_weak_deps=False install haproxy-3.2*\n",
            "yum -q -y install haproxy-3.2*\n",
            "zypper --non-interactive --quiet install --no-recommends --oldpackage -- haproxy=3.2*\n",
        ),
        (
            "packages 'haproxy=3.2.1-*'",
            "dnf -q -y --setopt=install_weak_deps=False install haproxy-3.2.1-*\n",
            "yum -q -y install haproxy-3.2.1-*\n",
            "zypper --non-interactive --quiet install --no-recommends --oldpackage -- haproxy=3.2.1\n",
        ),
        ("packages 'curl=8.5*'", "", "", ""),
        ("packages_absent haproxy", "", "", ""),
        (
            "packages_absent haproxy curl",
            "dnf -q -y remove curl\n",
            "yum -q -y remove curl\n",
            "zypper --non-interactive --quiet remove -- curl\n",
        ),
    ];
    for shell in [&["/bin/dash"][..], &["/bin/bash", "--posix"]] {
        for (words, dnf, yum, zypper) in cases {
            for (manager, expected) in [("dnf", dnf), ("yum", yum), ("zypper", zypper)] {
                let words = format!("set -f\n{words}");
                assert_eq!(calls(shell, manager, &words), expected, "{words}");
            }
        }
    }
}
