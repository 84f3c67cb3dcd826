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
        "leave it out: installations and imports of images outlive the connection by themselves, a `command` does not",
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
        "leave it out: installations and imports of images outlive the connection by themselves, a `command` does not",
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
        "add_host",
        "write the host into the inventory, or print it with an inventory script",
    ),
    (
        "alternatives",
        "use `file` with `state: link`, or `command: update-alternatives --set NAME PATH`",
    ),
    (
        "authorized_key",
        "use `lineinfile` on the user's ~/.ssh/authorized_keys, or `copy` for the whole file",
    ),
    (
        "collections",
        "leave it out: all modules are in the program, and Ansible's full names of them are read",
    ),
    (
        "debugger",
        "leave it out: `quorate plan --diff -v` shows what a task would do",
    ),
    ("become_method", "leave it out: root is reached by sudo"),
    ("connection", "leave it out: every host is reached by SSH"),
    ("fetch", "read files with `quorate exec HOSTS -- cat FILE`"),
    (
        "find",
        "use `command: find ...` with `register`, `changed_when: false` and a `loop` over `stdout_lines`",
    ),
    (
        "firewalld",
        "say `prepare_firewall: true`, or use `command` with `creates`",
    ),
    (
        "git",
        "use `get_url` and `unarchive` with a release: hosts need no git",
    ),
    (
        "group_by",
        "write the groups into the inventory, or `when` over `facts`",
    ),
    (
        "ignore_unreachable",
        "leave it out: a host that cannot be reached ends alone; `max_fail_percentage` of a play says how many may",
    ),
    (
        "iptables",
        "say `prepare_firewall: true`, or write the rules' file with `template`",
    ),
    (
        "known_hosts",
        "use `lineinfile` on the user's ~/.ssh/known_hosts; for this machine's own `quorate hosts trust`",
    ),
    ("module_defaults", "write the arguments at each task"),
    ("pam_limits", "use `copy` into /etc/security/limits.d"),
    (
        "pip",
        "use `package`, or `command: pip install ...` with `creates`",
    ),
    (
        "pause",
        "wait inside a command, with a deadline (`until`, `retries`, `delay`)",
    ),
    (
        "reboot",
        "leave it out: no role reboots a host; do it between two runs, host by host",
    ),
    ("remote_user", "set `ansible_user` in the inventory"),
    (
        "selinux",
        "use `lineinfile` on /etc/selinux/config, and `command: setenforce ...` until the next boot",
    ),
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
        "timezone",
        "use `file` with `state: link` from /etc/localtime to /usr/share/zoneinfo/NAME",
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

/// Arguments of Ansible's modules that ours have not, by our module's name, and the alternative.
const ARGUMENTS: &[(&str, &str, &str)] = &[
    ("copy", "directory_mode", FOLDER),
    ("copy", "force", ALWAYS),
    (
        "copy",
        "remote_src",
        "nothing is copied from one path of a host to another: use `command: cp -a SRC DEST` with `creates`",
    ),
    ("file", "dest", "write `path`"),
    (
        "file",
        "follow",
        "leave it out: name the path that is meant, the link's or what it points to",
    ),
    (
        "file",
        "force",
        "leave it out: a file or link takes the place of another one by itself, and of a directory never",
    ),
    ("file", "name", "write `path`"),
    (
        "file",
        "recurse",
        "what lies in a directory is left alone: use a `loop` over the paths, or `command: chown -R OWNER PATH`",
    ),
    (
        "get_url",
        "force",
        "leave it out: `checksum` says whether it is the file",
    ),
    (
        "get_url",
        "timeout",
        "leave it out: a download is ended after 15 minutes",
    ),
    ("lineinfile", "dest", "write `path`"),
    (
        "lineinfile",
        "backrefs",
        "write the line out: parts of what matched are not put into it",
    ),
    ("mount", "name", "write `path`"),
    (
        "package",
        "cache_valid_time",
        "leave it out: lists are fetched anew where an installation fails with those that are there",
    ),
    (
        "package",
        "update_cache",
        "leave it out: lists are fetched anew where an installation fails with those that are there",
    ),
    ("package", "upgrade", LATEST),
    (
        "sysctl",
        "reload",
        "leave it out: the parameter is set at once and in its file",
    ),
    (
        "sysctl",
        "sysctl_set",
        "leave it out: the parameter is set at once and in its file",
    ),
    ("template", "force", ALWAYS),
    (
        "unarchive",
        "list_files",
        "leave it out: what is in the archive is not listed",
    ),
];

const ALWAYS: &str = "leave it out: a file that differs is written. One that is made once and left alone is a `shell` with `creates`";

/// What to write where a folder is to be copied.
pub(super) const FOLDER: &str = "folders are not copied: write one `copy` with a `loop` over its files, or pack it and use `unarchive`";

/// What to write where a package is to be the latest.
pub(super) const LATEST: &str = "a run installs what is missing and upgrades nothing: name a version as `name=VERSION`, or upgrade with a `command`";

/// Returns what to write in the place of an argument of Ansible's that one of our modules has not.
pub(super) fn argument(module: &str, name: &str) -> Option<&'static str> {
    let found = ARGUMENTS
        .iter()
        .find(|(m, n, _)| (*m, *n) == (module, name));
    found.map(|(_, _, instead)| *instead)
}
