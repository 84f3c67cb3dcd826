//! The keywords of a task, and those of Ansible's that are none here, with what to write instead.

/// The keywords that a task has.
pub(super) const KEYWORDS: &[&str] = &[
    "name",
    "when",
    "loop",
    "loop_control",
    "notify",
    "listen",
    "register",
    "tags",
    "become",
    "become_user",
    "changed_when",
    "failed_when",
    "until",
    "retries",
    "delay",
    "no_log",
    "vars",
];

/// The keywords that a block has beside `block`, `rescue` and `always`.
pub(super) const BLOCK: &[&str] = &[
    "name",
    "when",
    "notify",
    "tags",
    "become",
    "become_user",
    "no_log",
    "vars",
];

/// Ansible's words and the alternative.
const REFUSED: &[(&str, &str)] = &[
    (
        "any_errors_fatal",
        "leave it out: the workflow stops what depends on a failed host",
    ),
    ("apt_key", "use `deb822_repository`, which brings its key"),
    ("apt_repository", "use `deb822_repository`"),
    ("args", "write the arguments into the module's own map"),
    (
        "async",
        "leave it out: long commands outlive the connection by themselves",
    ),
    (
        "check_mode",
        "leave it out: `quorate plan` never changes anything",
    ),
    (
        "cron",
        "use `systemd_timer`: its runs are in the journal, and one that was missed is made up for",
    ),
    (
        "delegate_to",
        "write a play for that host in site.yml; what moves between hosts belongs to the workflow",
    ),
    ("diff", "use `quorate plan --diff`"),
    (
        "environment",
        "set it in the command: `argv: [env, NAME=value, ...]`",
    ),
    ("ignore_errors", "use `failed_when: false` on a command"),
    (
        "hosts",
        "tasks/main.yml is a list of tasks: plays stand in site.yml beside the inventory",
    ),
    (
        "import_role",
        "name both roles in a play of site.yml, or list its tasks in this role",
    ),
    (
        "import_tasks",
        "write the tasks into tasks/main.yml, or into a role of its own",
    ),
    (
        "include_role",
        "name both roles in a play of site.yml, or list its tasks in this role",
    ),
    (
        "include_tasks",
        "write the tasks into tasks/main.yml, or into a role of its own",
    ),
    (
        "local_action",
        "write a play for that host in site.yml; nothing runs on the controller",
    ),
    (
        "poll",
        "leave it out: long commands outlive the connection by themselves",
    ),
    ("raw", "use `shell`"),
    (
        "replace",
        "use `lineinfile` or `blockinfile`, or `template` for the whole file",
    ),
    (
        "run_once",
        "write a play for one host in site.yml: `hosts: kube_control_plane[0]`",
    ),
    ("script", "use `copy` and `command`"),
    (
        "serial",
        "it is a play's, in site.yml; what disturbs the API goes host by host by itself",
    ),
    ("setup", "leave it out: facts are there as `facts`"),
    (
        "tasks",
        "tasks/main.yml is a list of tasks: plays stand in site.yml beside the inventory",
    ),
    ("wait_for", "wait inside a command, with a deadline"),
    (
        "authorized_key",
        "use `lineinfile` on the user's ~/.ssh/authorized_keys, or `copy` for the whole file",
    ),
    ("become_method", "leave it out: root is reached by sudo"),
    ("connection", "leave it out: every host is reached by SSH"),
    ("fetch", "read files with `quorate exec HOSTS -- cat FILE`"),
    (
        "firewalld",
        "say `prepare_firewall: true`, or use `command` with `creates`",
    ),
    (
        "git",
        "use `get_url` and `unarchive` with a release: hosts need no git",
    ),
    (
        "iptables",
        "say `prepare_firewall: true`, or write the rules' file with `template`",
    ),
    ("module_defaults", "write the arguments at each task"),
    (
        "pause",
        "wait inside a command, with a deadline (`until`, `retries`, `delay`)",
    ),
    (
        "reboot",
        "leave it out: no role reboots a host; do it between two runs, host by host",
    ),
    ("remote_user", "set `ansible_user` in the inventory"),
    ("slurp", "use `command: cat FILE` with `register`"),
    (
        "stat",
        "leave it out: modules look for themselves; `creates` and `removes` are for commands",
    ),
    (
        "tempfile",
        "leave it out: files are written atomically by themselves",
    ),
    ("throttle", "write `serial` at a play in site.yml"),
    (
        "timeout",
        "set it in the command: `argv: [timeout, \"60\", ...]`",
    ),
    (
        "ufw",
        "say `prepare_firewall: true`, or use `command` with `creates`",
    ),
    ("uri", "use `command: curl ...` with `register` and `until`"),
    (
        "wait_for_connection",
        "leave it out: a connection that is lost is made again",
    ),
];

/// Returns what to say of a word that is none of ours, and what to write instead.
pub(super) fn refused(word: &str) -> Option<(String, &'static str)> {
    let bare = word.rsplit('.').next().unwrap_or(word);
    if bare.starts_with("with_") {
        return Some((
            format!("`{bare}` is not part of this language"),
            "use `loop`",
        ));
    }
    let (_, instead) = REFUSED.iter().find(|(name, _)| *name == bare)?;
    Some((format!("`{bare}` is not part of this language"), instead))
}
