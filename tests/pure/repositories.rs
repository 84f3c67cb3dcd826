//! Sources of packages: what is written, and what is wrong with one.

use quorate::host::{Content, Effect};
use quorate::role::{HostRoles, Registered};
use quorate::template::Scope;

use super::role::{effects, mistakes, with};
use super::simulated::Model;

const KEY: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----\nComment: a key\n\nabc\n=def\n-----END PGP PUBLIC KEY BLOCK-----\n";

fn roles(tasks: &str) -> (HostRoles, Scope) {
    with([
        ("tasks/main.yml", tasks),
        ("files/k8s.asc", KEY),
        ("files/no.asc", "no key\n"),
    ])
}

/// Returns what is planned on a host without the file, and the file's text.
fn planned(tasks: &str, manager: &str) -> Result<(Vec<String>, String), String> {
    let (roles, scope) = roles(tasks);
    let facts = roles
        .facts(&scope)
        .unwrap_or_else(|e| panic!("{tasks}\n{e:#?}"));
    let mut observed = Model::bare().observe(&facts);
    observed.system.package_manager = manager.into();
    let plan = roles.plan(&scope, &observed, &Registered::default());
    let plan = plan.map_err(|e| e.iter().map(ToString::to_string).collect::<String>())?;
    let text = plan
        .steps
        .iter()
        .flat_map(|s| &s.changes)
        .find_map(|change| {
            let Effect::WriteFile(file) = &change.effect else {
                return None;
            };
            let Content::Inline(bytes) = &file.content else {
                return None;
            };
            Some(String::from_utf8_lossy(bytes).into_owned())
        });
    Ok((effects(&plan), text.unwrap_or_default()))
}

#[test]
fn a_source_is_a_file_and_its_lists_are_read() {
    let mut all = String::new();
    for (tasks, manager) in [
        (
            "- deb822_repository: {name: k8s, uris: 'https://pkgs.example/core/', suites: /, key: k8s.asc}",
            "apt",
        ),
        (
            "- ansible.builtin.deb822_repository: {name: own, types: [deb, deb-src], uris: [http://a, http://b], suites: [stable], components: [main, contrib], architectures: amd64, signed_by: /etc/apt/keyrings/own.asc, enabled: false}",
            "apt",
        ),
        ("- deb822_repository: {name: old, state: absent}", "apt"),
        (
            "- yum_repository: {name: k8s, description: Kubernetes, baseurl: 'https://pkgs.example/rpm/', gpgkey: ['https://pkgs.example/a.key', 'file:///b.key']}",
            "dnf",
        ),
        (
            "- yum_repository: {name: plain, baseurl: [http://a, http://b], gpgcheck: false, enabled: false}",
            "yum",
        ),
        ("- yum_repository: {name: k8s, state: absent}", "apt"),
        ("- deb822_repository: {name: k8s, state: absent}", ""),
    ] {
        let (lines, text) = planned(tasks, manager).unwrap_or_else(|e| (vec![e], String::new()));
        all.push_str(&format!("{tasks}\n    {}\n{text}", lines.join("\n    ")));
        all.push('\n');
    }
    insta::assert_snapshot!("sources", all);
}

#[test]
fn mistakes_are_named_with_their_place() {
    let cases = [
        "- deb822_repository: {name: ../x, uris: http://a, suites: /, key: k8s.asc}",
        "- deb822_repository: {name: a, suites: /, key: k8s.asc}",
        "- deb822_repository: {name: a, uris: http://a, suites: stable, key: k8s.asc}",
        "- deb822_repository: {name: a, uris: http://a, suites: /}",
        "- deb822_repository: {name: a, uris: http://a, suites: /, key: gone.asc}",
        "- deb822_repository: {name: a, uris: http://a, suites: /, key: no.asc}",
        "- deb822_repository: {name: a, uris: http://a, suites: /, signed_by: 'https://a/key'}",
        "- deb822_repository: {name: a, uris: http://a, suites: /, signed_by: /k, key: k8s.asc}",
        "- deb822_repository: {name: a, uris: ['http://a b'], suites: /, key: k8s.asc}",
        "- deb822_repository: {name: a, uris: ['http://a\\nX: y'], suites: /, key: k8s.asc}",
        "- yum_repository: {name: a, baseurl: http://a}",
        "- yum_repository: {name: a, gpgcheck: false}",
        "- yum_repository: {name: a, baseurl: http://a, gpgcheck: false, description: \"a\\nb\"}",
        "- apt_repository: {repo: 'deb http://a stable main'}",
        "- apt_key: {url: http://a}",
    ];
    let more = [("files/k8s.asc", KEY), ("files/no.asc", "no key\n")];
    insta::assert_snapshot!("mistakes", mistakes(&cases, &more, |_| Scope::new()));
}
