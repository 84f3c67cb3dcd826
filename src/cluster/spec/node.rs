//! Labels and taints of nodes.

use std::fmt;
use std::str::FromStr;

/// What a taint does to pods that do not tolerate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// None are scheduled.
    NoSchedule,
    /// None are scheduled if others have room.
    PreferNoSchedule,
    /// None are scheduled, running ones leave.
    NoExecute,
}

impl FromStr for Effect {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "NoSchedule" => Ok(Self::NoSchedule),
            "PreferNoSchedule" => Ok(Self::PreferNoSchedule),
            "NoExecute" => Ok(Self::NoExecute),
            _ => Err(format!(
                "`{text}` is no effect of a taint: NoSchedule, PreferNoSchedule or NoExecute"
            )),
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NoSchedule => "NoSchedule",
            Self::PreferNoSchedule => "PreferNoSchedule",
            Self::NoExecute => "NoExecute",
        })
    }
}

/// A taint, `key[=value]:Effect`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value, often none.
    pub value: Option<String>,
    /// What it does.
    pub effect: Effect,
}

impl FromStr for Taint {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (left, effect) = text
            .rsplit_once(':')
            .ok_or_else(|| format!("`{text}` is no taint; write it as `key=value:NoSchedule`"))?;
        let (key, value) = match left.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (left, None),
        };
        Self::new(key, value, effect)
    }
}

impl Taint {
    /// Returns the taint, or which of its parts Kubernetes would refuse.
    pub fn new(key: &str, value: Option<&str>, effect: &str) -> Result<Self, String> {
        check_key(key)?;
        let value = value.filter(|v| !v.is_empty());
        if let Some(value) = value {
            check_value(value)?;
        }
        Ok(Self {
            key: key.into(),
            value: value.map(Into::into),
            effect: effect.parse()?,
        })
    }
}

impl fmt::Display for Taint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        if let Some(value) = &self.value {
            write!(f, "={value}")?;
        }
        write!(f, ":{}", self.effect)
    }
}

/// Checks a label's or taint's key: `[prefix/]name` (kubernetes.io, "Labels and Selectors", syntax and character set).
pub(super) fn check_key(key: &str) -> Result<(), String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if let Some(prefix) = prefix {
        let label = |l: &str| {
            !l.is_empty()
                && l.chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
                && !l.starts_with('-')
                && !l.ends_with('-')
        };
        if prefix.len() > 253 || !prefix.split('.').all(label) {
            return Err(format!(
                "`{prefix}` is no DNS name, which the part of a key before `/` has to be"
            ));
        }
    }
    if name.is_empty() {
        return Err(format!("the key `{key}` has no name"));
    }
    check_value(name).map_err(|_| format!("`{name}` cannot be a key's name: 63 letters, digits, `-`, `_` and `.`, a letter or digit at both ends"))
}

/// Checks a label's or taint's value; it may be empty.
pub(super) fn check_value(value: &str) -> Result<(), String> {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let fits = value.len() <= 63
        && value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && edge(value.chars().next())
        && edge(value.chars().next_back());
    if value.is_empty() || fits {
        Ok(())
    } else {
        Err(format!(
            "`{value}` cannot be a value: up to 63 letters, digits, `-`, `_` and `.`, a letter or digit at both ends"
        ))
    }
}
