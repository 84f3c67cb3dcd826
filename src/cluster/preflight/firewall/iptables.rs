//! What iptables-save(8) says of its table `filter`, seen by one packet.

use std::net::IpAddr;

use ipnet::IpNet;

use super::walk::{Kind, Packet, Rule, Table, Verdict, both};

/// Returns the table.
pub(super) fn table(text: &str, packet: &Packet) -> Table {
    let mut table = Table::default();
    for line in text.lines() {
        if let Some(chain) = line.strip_prefix(':') {
            let mut words = chain.split(' ');
            let (Some(name), policy) = (words.next(), words.next()) else {
                continue;
            };
            table.chains.entry(name.to_string()).or_default();
            if name == "INPUT" {
                let drops = policy == Some("DROP");
                table.entries.push((name.to_string(), drops));
            }
        } else if let Some(rule) = line.strip_prefix("-A ") {
            let words = words(rule);
            if let Some((chain, options)) = words.split_first() {
                let rules = table.chains.entry(chain.clone()).or_default();
                rules.push(self::rule(options, packet));
            }
        }
    }
    table
}

/// Returns the words of a line: iptables-save puts those with white space in quotes, and a backslash before a quote.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' if quoted => word.get_or_insert_default().extend(chars.next()),
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Reads a rule's options (iptables-extensions(8)). What is not known here makes the whole rule one that may match.
fn rule(options: &[String], packet: &Packet) -> Rule {
    let mut matches = Some(true);
    let mut verdict = None;
    let mut inverted = false;
    let mut rest = options.iter().map(String::as_str);
    while let Some(option) = rest.next() {
        if option == "!" {
            inverted = true;
            continue;
        }
        let mut argument = || rest.next().unwrap_or_default();
        let holds = match option {
            "-m" | "--match" | "--comment" => {
                // The match's own options follow. `limit` has none that says no for sure.
                argument();
                continue;
            }
            "-j" | "--jump" => {
                verdict = target(argument());
                // What follows belongs to the target.
                break;
            }
            "-g" | "--goto" => {
                verdict = Some(Verdict::Goto(argument().to_string()));
                break;
            }
            "-s" | "--source" => network(argument(), packet.source),
            "-d" | "--destination" => network(argument(), packet.destination),
            "-i" | "--in-interface" => {
                let name = argument();
                Some(match name.strip_suffix('+') {
                    Some(begin) => packet.interface.starts_with(begin),
                    None => packet.interface == name,
                })
            }
            "-p" | "--protocol" => {
                let name = argument();
                Some(name == "all" || packet.kind.is_called(name))
            }
            "--dport" | "--destination-port" | "--dports" | "--destination-ports" => {
                ports(argument(), packet.kind)
            }
            "--state" | "--ctstate" => Some(argument().split(',').any(|state| state == "NEW")),
            "--dst-type" => {
                let kind = match packet.destination.is_multicast() {
                    true => "MULTICAST",
                    false => "LOCAL",
                };
                Some(argument().split(',').any(|one| one == kind))
            }
            // A new connection begins with SYN alone.
            "--syn" => Some(matches!(packet.kind, Kind::Tcp(_))),
            _ => None,
        };
        let holds = match inverted {
            true => holds.map(|holds| !holds),
            false => holds,
        };
        inverted = false;
        matches = both(matches, holds);
    }
    Rule { matches, verdict }
}

fn target(name: &str) -> Option<Verdict> {
    Some(match name {
        "ACCEPT" => Verdict::Accept,
        "DROP" | "REJECT" => Verdict::Drop,
        "RETURN" => Verdict::Return,
        "LOG" | "NFLOG" | "ULOG" | "MARK" | "CONNMARK" | "TRACE" | "AUDIT" | "SECMARK"
        | "CONNSECMARK" | "SET" => return None,
        "QUEUE" | "NFQUEUE" => Verdict::Any,
        chain => Verdict::Jump(chain.to_string()),
    })
}

fn network(text: &str, address: IpAddr) -> Option<bool> {
    match text.parse::<IpNet>() {
        Ok(network) => Some(network.contains(&address)),
        Err(_) => Some(text.parse::<IpAddr>().ok()? == address),
    }
}

/// Reads ports: `22`, `2379:2380`, or several with `,` between.
fn ports(text: &str, kind: Kind) -> Option<bool> {
    let Kind::Tcp(port) = kind else {
        return Some(false);
    };
    for one in text.split(',') {
        let (low, high) = one.split_once(':').unwrap_or((one, one));
        let low: u16 = if low.is_empty() { 0 } else { low.parse().ok()? };
        let high: u16 = match high {
            "" => u16::MAX,
            high => high.parse().ok()?,
        };
        if (low..=high).contains(&port) {
            return Some(true);
        }
    }
    Some(false)
}
