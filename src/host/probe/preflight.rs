//! The questions before a host becomes a part of a cluster as words of a shell call, and their answers read back.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::fact::{Disk, Firewall, Listener, Preflight, Questions, Resolved, Rules};
use super::text;

/// Returns the words behind `probe_preflight`.
pub(super) fn words(questions: &Questions) -> Vec<String> {
    let ports: Vec<String> = questions.ports.iter().map(ToString::to_string).collect();
    vec![
        if questions.node { "node" } else { "balancer" }.into(),
        match &questions.endpoint {
            Some(name) if questions.in_hosts => format!("hosts:{name}"),
            Some(name) => name.clone(),
            None => "-".into(),
        },
        ports.join(" "),
        questions.modules.join(" "),
    ]
}

/// Takes one line of the answer.
pub(super) fn read(preflight: &mut Preflight, line: &str) -> Option<()> {
    let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
    match what {
        "asked" => {}
        "disk" => {
            let mut parts = rest.splitn(5, ' ');
            let path = parts.next()?.to_string();
            let (total, free) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            let read_only = parts.next()? == "ro";
            let mount = parts.next()?.to_string();
            preflight.disks.push(Disk {
                path,
                mount,
                total,
                free,
                read_only,
            });
        }
        "port" => {
            let mut parts = rest.splitn(4, ' ');
            let (port, address) = (parts.next()?.parse().ok()?, address(parts.next()?)?);
            let pid = parts.next()?.parse().ok();
            let name = parts.next().unwrap_or_default().trim().to_string();
            let listener = Listener {
                port,
                address,
                process: pid.map(|pid| (pid, name)),
            };
            preflight.listeners.push(listener);
        }
        "no-module" => preflight.missing_modules.push(rest.to_string()),
        "name" => {
            let mut parts = rest.split(' ');
            let (whose, name) = (parts.next()?, parts.next()?.to_string());
            let resolved = match parts.next()? {
                "found" => Resolved::To(parts.filter_map(|a| a.parse().ok()).collect()),
                "silent" => Resolved::Silent,
                _ => Resolved::Unknown,
            };
            match whose {
                "own" => preflight.own_name = Some((name, resolved)),
                _ => preflight.endpoint = Some(resolved),
            }
        }
        "cgroup" => preflight.cgroup = rest.parse().ok(),
        "selinux" => preflight.enforces = true,
        "boolean" => {
            let (name, value) = rest.split_once(' ')?;
            preflight.booleans.insert(name.to_string(), value == "1");
        }
        "proxy" => {
            let (who, _) = rest.split_once(' ')?;
            preflight.proxied.insert(who.to_string());
        }
        "no-proxy" => {
            let (who, value) = rest.split_once(' ').unwrap_or((rest, ""));
            preflight
                .no_proxy
                .insert(who.to_string(), value.to_string());
        }
        "firewall" => {
            preflight.firewall = match rest {
                "firewalld" => Some(Firewall::Firewalld),
                "ufw" => Some(Firewall::Ufw),
                _ => None,
            }
        }
        "rules" => {
            let (kind, rules) = rest.split_once(' ')?;
            let rules = text(rules)?;
            preflight.rules.push(match kind {
                "nft" => Rules::Nft(rules),
                _ => Rules::Iptables(rules),
            });
        }
        "long-rules" => preflight.rules.push(Rules::TooLong),
        _ => return None,
    }
    Some(())
}

/// Reads an address of /proc/net/tcp (proc(5)): words of 32 bits as a little-endian machine prints them. An IPv4 address in
/// an IPv6 socket is that address.
fn address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let word = u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?;
        Some(word.swap_bytes())
    };
    Some(match hex.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let all = words
                .iter()
                .fold(0u128, |all, word| all << 32 | u128::from(*word));
            Ipv6Addr::from(all).to_canonical()
        }
        _ => return None,
    })
}
