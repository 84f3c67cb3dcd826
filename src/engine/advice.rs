//! What is said of a step that failed: the last lines of its output, and what to do.

use crate::cluster::act;
use crate::model::HostName;

/// Returns what to do about a failed step.
pub(super) fn help_for(title: &str, lines: &[String], host: &HostName) -> String {
    let text = lines.join("\n");
    let known = [
        (
            "No space left on device",
            "free space on the host and run again; the old file is as it was",
        ),
        // As containerd says it.
        (
            "no space left on device",
            "free space on the host and run again",
        ),
        (
            "Unable to locate package",
            "check the package's name and the host's package sources, then run again",
        ),
        (
            "Read-only file system",
            "the file system is mounted read-only: look into `dmesg` on the host",
        ),
        (
            "is not Ready",
            "`kubectl describe node NODE` says why, for the node that the lines above name: mend it there and run again",
        ),
        // kubeadm's phase kubelet-start.
        (
            "already exists in the cluster. You must delete the existing Node",
            "its Node stands for another kubelet: where that is another host, give one of them another name; where this host was made bare, the Node is NotReady 40 s after its last word: run again then, or `kubectl delete node NODE` first",
        ),
        ("still running on this host", "run again to wait for it"),
        ("while this run was planned", "run again"),
        (
            "refused by its validator",
            "mend the template or variable that the lines above name, then run again",
        ),
    ];
    let found = known
        .iter()
        .find(|(sign, _)| text.contains(sign))
        .map(|(_, help)| (*help).to_string());
    if found.is_none() && act::is_kubeadm(title) {
        return format!(
            "mend the cause on {host} and run again: kubeadm is resumed there. If a variable has to change for that, change it, and `quorate plan` says how to start over on {host}"
        );
    }
    found.unwrap_or_else(|| format!("look at the lines above, mend the cause on {host} and run again: what is done stays done"))
}

/// Returns the last lines of an output, for a person: without colours, and without the list of kernel settings that
/// kubeadm's SystemVerification prints before any error (k8s.io/system-validators).
pub(super) fn tail(output: &str) -> Vec<String> {
    const NOISE: [&str; 4] = ["CONFIG_", "CGROUPS_", "KERNEL_VERSION: ", "OS: "];
    let lines: Vec<String> = output
        .lines()
        .map(|line| plain(line).trim_end().chars().take(500).collect::<String>())
        .filter(|line| !line.is_empty() && !NOISE.iter().any(|noise| line.starts_with(noise)))
        .collect();
    lines[lines.len().saturating_sub(20)..].to_vec()
}

/// Returns a line without its colours (ECMA-48 SGR: `ESC [ ... m`).
fn plain(line: &str) -> String {
    let mut pieces = line.split("\u{1b}[");
    let mut text = pieces.next().unwrap_or_default().to_string();
    for piece in pieces {
        let end = piece.find(|c: char| !(c.is_ascii_digit() || c == ';'));
        text.push_str(end.map_or("", |end| {
            piece[end..].strip_prefix('m').unwrap_or(&piece[end..])
        }));
    }
    text
}
