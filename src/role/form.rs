//! `form` in meta/argument_specs.yml: how a variable's text has to look. Ansible has no such word.

use crate::model::Value;

/// How a text has to look. It is asked of every text in a value: items of lists, keys and values of maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One line that closes no quotes.
    Line,
    /// The same without blanks, such as a URL, an image or a path.
    Word,
    /// A name of a Kubernetes object.
    Name,
    /// A port, or a range of them, with its protocol.
    Port,
}

/// The forms by their names.
pub(super) const FORMS: [(&str, Form); 4] = [
    ("line", Form::Line),
    ("word", Form::Word),
    ("name", Form::Name),
    ("port", Form::Port),
];

/// What ufw and firewalld both call protocols with ports; SCTP is firewalld's alone.
const PROTOCOLS: [&str; 3] = ["tcp", "udp", "sctp"];

impl Form {
    /// Returns what is expected, in words.
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Line => "one line without quotes, backslashes and control characters",
            Self::Word => "one word without blanks, quotes, backslashes and control characters",
            Self::Name => {
                "a name of lower-case letters, digits, `-` and `.`, 253 characters at most"
            }
            Self::Port => {
                "PORT/tcp, PORT/udp, PORT/sctp or FROM-TO/tcp with ports from 1 to 65535, the lower one first"
            }
        }
    }

    /// Returns whether a text has the form. An empty one is nothing, and so nothing wrong, but for a port.
    fn takes(self, text: &str) -> bool {
        let odd = |c: char| c.is_control() || "\"'`\\\u{2028}\u{2029}".contains(c);
        match self {
            Self::Line => !text.contains(odd),
            Self::Word => !text.contains(|c: char| odd(c) || c.is_whitespace()),
            // RFC 1123, as Kubernetes reads it ("Object Names and IDs").
            Self::Name => {
                let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
                text.len() <= 253
                    && text.chars().all(|c| is_part(c) || c == '-' || c == '.')
                    && [text.chars().next(), text.chars().last()]
                        .into_iter()
                        .flatten()
                        .all(is_part)
            }
            Self::Port => is_port(text),
        }
    }

    /// Returns the first text in a value that has another form.
    pub(super) fn refuses(self, value: &Value) -> Option<Value> {
        match value {
            Value::Array(items) => items.iter().find_map(|item| self.refuses(item)),
            Value::Object(map) => map.iter().find_map(|(key, value)| {
                let key = (!self.takes(key)).then(|| Value::String(key.clone()));
                key.or_else(|| self.refuses(value))
            }),
            Value::String(text) => (!self.takes(text)).then(|| value.clone()),
            Value::Number(number) => (!self.takes(&number.to_string())).then(|| value.clone()),
            Value::Null | Value::Bool(_) => (self == Self::Port).then(|| value.clone()),
        }
    }
}

fn is_port(text: &str) -> bool {
    let Some((ports, protocol)) = text.split_once('/') else {
        return false;
    };
    let number = |text: &str| -> Option<u16> {
        let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        // A zero before a number is octal to some.
        let is_plain = is_number && !text.starts_with('0');
        is_plain.then(|| text.parse().ok()).flatten()
    };
    let is_sound = match ports.split_once('-') {
        None => number(ports).is_some(),
        Some((from, to)) => number(from)
            .zip(number(to))
            .is_some_and(|(from, to)| from < to),
    };
    is_sound && PROTOCOLS.contains(&protocol)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_form_takes_what_it_is_for() {
        let all = [
            "",
            "8472/udp",
            "1/tcp",
            "65535/sctp",
            "30000-32767/tcp",
            "system-node-critical",
            "https://user:p%20w@mirror.example:5000/v2/?a=b&c",
            "registry.example:5000/a/pause:3.10@sha256:00ff",
            "/",
            "/usr/local/bin",
            "main contrib",
        ];
        let taken = |form: Form| all.iter().filter(|text| form.takes(text)).count();
        assert_eq!(FORMS.map(|(_, form)| taken(form)), [11, 10, 2, 4]);
    }

    #[test]
    fn each_form_refuses_what_would_be_read_otherwise() {
        for text in [
            "a\nb",
            "a\"",
            "a'b",
            "a`b`",
            "a\\",
            "a\u{0}",
            "a\u{7f}",
            "a\u{2028}b",
            "a\u{85}b",
        ] {
            for (name, form) in FORMS {
                assert!(!form.takes(text), "{name}: {text:?}");
            }
        }
        for text in ["a b", " a", "a\u{a0}b", "a\t"] {
            assert!(!Form::Word.takes(text), "{text:?}");
        }
        for text in ["A", "-a", "a.", "a_b", "a:", "{a}"] {
            assert!(!Form::Name.takes(text), "{text:?}");
        }
        for text in [
            "8472",
            "8472/",
            "/udp",
            "0/udp",
            "08472/udp",
            "65536/udp",
            "8472/UDP",
            "8472/icmp",
            "8472/udp ",
            "8472/udp/tcp",
            "8472; touch x; echo/udp",
            "8472/udp; touch x",
            "5-4/tcp",
            "5-5/tcp",
            "5-/tcp",
            "1-2-3/tcp",
            "5:6/tcp",
            "+5/tcp",
            "",
        ] {
            assert!(!Form::Port.takes(text), "{text:?}");
        }
    }

    #[test]
    fn every_text_in_a_value_is_asked() {
        let refused = |value: Value| Form::Word.refuses(&value);
        assert_eq!(refused(json!({"a": ["b", {"c": 1}], "d": null})), None);
        assert_eq!(refused(json!({"a": ["b", "c d"]})), Some(json!("c d")));
        assert_eq!(refused(json!({"a b": 1})), Some(json!("a b")));
        assert_eq!(Form::Port.refuses(&json!([8472])), Some(json!(8472)));
    }
}
