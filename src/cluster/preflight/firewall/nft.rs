//! What `nft -j list ruleset` says (libnftables-json(5)), seen by one packet.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::walk::{Kind, Packet, Rule, Table, Verdict, any, both};
use crate::model::Value;

/// Returns the tables that IPv4 packets for this host come to; `None` where this is no list of rules.
pub(super) fn tables(ruleset: &Value, packet: &Packet) -> Option<Vec<Table>> {
    let mut tables: HashMap<(&str, &str), Table> = HashMap::new();
    for object in ruleset.get("nftables")?.as_array()? {
        if let Some(rule) = object.get("rule") {
            add_rule(&mut tables, rule, packet);
        }
        let Some(chain) = object.get("chain") else {
            continue;
        };
        let Some((key, name)) = place(chain, "name") else {
            continue;
        };
        let table = tables.entry(key).or_default();
        table.chains.entry(name.to_string()).or_default();
        let text = |field: &str| chain.get(field).and_then(Value::as_str);
        if text("type") == Some("filter") && matches!(text("hook"), Some("input" | "prerouting")) {
            let drops = text("policy") == Some("drop");
            table.entries.push((name.to_string(), drops));
        }
    }
    Some(tables.into_values().collect())
}

/// Returns the table, by family and name, and a name in it; `None` in a family that sees no IPv4 packet for a host.
fn place<'a>(object: &'a Value, field: &str) -> Option<((&'a str, &'a str), &'a str)> {
    let text = |field: &str| object.get(field)?.as_str();
    let family = text("family").filter(|family| ["ip", "inet"].contains(family))?;
    Some(((family, text("table")?), text(field)?))
}

fn add_rule<'a>(tables: &mut HashMap<(&'a str, &'a str), Table>, rule: &'a Value, packet: &Packet) {
    let (Some((key, chain)), Some(statements)) = (
        place(rule, "chain"),
        rule.get("expr").and_then(Value::as_array),
    ) else {
        return;
    };
    let rules = tables.entry(key).or_default();
    let rules = rules.chains.entry(chain.to_string()).or_default();
    let mut matches = Some(true);
    for statement in statements {
        let Some((what, body)) = statement.as_object().and_then(|map| map.iter().next()) else {
            matches = None;
            continue;
        };
        let verdict = match what.as_str() {
            "match" => {
                matches = both(matches, test(body, packet));
                continue;
            }
            "counter" | "log" | "comment" | "mangle" | "notrack" => continue,
            "vmap" => {
                let key = body.get("key").unwrap_or(&Value::Null);
                let data = body.get("data").and_then(|data| data.get("set"));
                match data.and_then(Value::as_array) {
                    Some(pairs) => rules.extend(pairs.iter().map(|pair| {
                        let value = pair.get(0).unwrap_or(&Value::Null);
                        Rule {
                            matches: both(matches, equal(key, value, packet)),
                            verdict: Some(pair.get(1).map_or(Verdict::Any, verdict)),
                        }
                    })),
                    // A map with a name, whose elements stand elsewhere.
                    None => rules.push(Rule {
                        matches: None,
                        verdict: Some(Verdict::Any),
                    }),
                }
                continue;
            }
            "accept" | "drop" | "reject" | "return" | "jump" | "goto" => verdict(statement),
            // A match of iptables' own that nft cannot tell, or its target.
            "xt" => {
                let target = body.get("type").and_then(Value::as_str) == Some("target");
                matches = None;
                if !target {
                    continue;
                }
                Verdict::Any
            }
            "queue" => Verdict::Any,
            // limit, quota, connlimit, and what is not known here.
            _ => {
                matches = None;
                continue;
            }
        };
        rules.push(Rule {
            matches,
            verdict: Some(verdict),
        });
    }
}

fn verdict(statement: &Value) -> Verdict {
    let target = |name: &str| {
        let target = statement.get(name)?.get("target")?.as_str()?;
        Some(target.to_string())
    };
    let is = |name: &str| statement.get(name).is_some();
    if is("accept") {
        Verdict::Accept
    } else if is("drop") || is("reject") {
        Verdict::Drop
    } else if is("return") {
        Verdict::Return
    } else if let Some(chain) = target("jump") {
        Verdict::Jump(chain)
    } else if let Some(chain) = target("goto") {
        Verdict::Goto(chain)
    } else {
        Verdict::Any
    }
}

/// Returns whether a `match` holds.
fn test(body: &Value, packet: &Packet) -> Option<bool> {
    let (left, right) = (body.get("left")?, body.get("right")?);
    let is = equal(left, right, packet);
    match body.get("op")?.as_str()? {
        "==" | "in" => is,
        "!=" => is.map(|is| !is),
        _ => None,
    }
}

/// What a packet has where a rule looks.
enum Field<'a> {
    Address(IpAddr),
    Number(u64),
    /// Compared by a word; it may end in `*` there.
    Word(&'a str),
    Protocol(Kind),
    /// The packet has no such thing.
    None,
}

fn equal(left: &Value, right: &Value, packet: &Packet) -> Option<bool> {
    let field = field(left, packet)?;
    among(&field, right)
}

fn field<'a>(left: &Value, packet: &'a Packet) -> Option<Field<'a>> {
    let (what, body) = left.as_object()?.iter().next()?;
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    Some(match what.as_str() {
        "payload" => match (text("protocol")?, text("field")?) {
            ("ip", "saddr") => Field::Address(packet.source),
            ("ip", "daddr") => Field::Address(packet.destination),
            ("ip", "protocol") => Field::Protocol(packet.kind),
            ("tcp" | "th", "dport") => match packet.kind {
                Kind::Tcp(port) => Field::Number(port.into()),
                Kind::Vrrp => Field::None,
            },
            ("tcp", _) if matches!(packet.kind, Kind::Tcp(_)) => return None,
            ("tcp" | "udp" | "sctp" | "dccp" | "icmp" | "icmpv6" | "ip6", _) => Field::None,
            _ => return None,
        },
        "meta" => match text("key")? {
            "l4proto" => Field::Protocol(packet.kind),
            "nfproto" => Field::Word("ipv4"),
            "protocol" => Field::Word("ip"),
            "iifname" | "iif" => Field::Word(&packet.interface),
            _ => return None,
        },
        "ct" => match text("key")? {
            "state" => Field::Word("new"),
            // Nothing was translated on the way here.
            "status" => Field::None,
            _ => return None,
        },
        "fib" if text("result") == Some("type") && is_daddr(body.get("flags")?) => {
            Field::Word(if packet.destination.is_multicast() {
                "multicast"
            } else {
                "local"
            })
        }
        _ => return None,
    })
}

/// Returns whether a `fib` asks for the destination alone.
fn is_daddr(flags: &Value) -> bool {
    match flags {
        Value::Array(all) => all.len() == 1 && all.first().is_some_and(is_daddr),
        flags => flags == "daddr",
    }
}

fn among(field: &Field<'_>, right: &Value) -> Option<bool> {
    if matches!(field, Field::None) {
        return Some(false);
    }
    match right {
        Value::Array(all) => any(all.iter().map(|one| among(field, one))),
        Value::Object(map) => {
            let (what, body) = map.iter().next()?;
            match what.as_str() {
                "set" => among(field, body),
                "elem" => among(field, body.get("val")?),
                "range" => {
                    let (low, high) = (body.get(0)?, body.get(1)?);
                    match field {
                        Field::Number(n) => Some((low.as_u64()?..=high.as_u64()?).contains(n)),
                        Field::Address(a) => {
                            let bound = |v: &Value| v.as_str()?.parse::<IpAddr>().ok();
                            Some((bound(low)?..=bound(high)?).contains(a))
                        }
                        _ => None,
                    }
                }
                "prefix" => {
                    let length = u8::try_from(body.get("len")?.as_u64()?).ok()?;
                    let address = body.get("addr")?.as_str()?.parse().ok()?;
                    match field {
                        Field::Address(a) => Some(IpNet::new(address, length).ok()?.contains(a)),
                        _ => None,
                    }
                }
                _ => None,
            }
        }
        // A set with a name, whose elements stand elsewhere.
        Value::String(text) if text.starts_with('@') => None,
        Value::String(text) => match field {
            Field::Address(a) => Some(text.parse::<IpAddr>().ok()? == *a),
            Field::Number(n) => Some(text.parse::<u64>().ok()? == *n),
            Field::Protocol(kind) => Some(kind.is_called(text)),
            Field::Word(word) => Some(match text.strip_suffix('*') {
                Some(begin) => word.starts_with(begin),
                None => text == word,
            }),
            Field::None => Some(false),
        },
        Value::Number(number) => match field {
            Field::Number(n) => Some(number.as_u64()? == *n),
            Field::Protocol(kind) => Some(number.as_u64()? == kind.number()),
            _ => None,
        },
        _ => None,
    }
}
