//! `host:port` pairs.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A DNS name or address with a port, as kubeadm's `controlPlaneEndpoint` takes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint {
    host: String,
    port: u16,
}

/// Why a text is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// There is no `:port` at the end.
    #[error("`{0}` has no port; write it as `name:8443`")]
    NoPort(String),
    /// What stands behind the last colon is no port.
    #[error("`{0}` is not a port; a port is a number from 1 to 65535")]
    Port(String),
    /// What stands before the port is neither a DNS name (RFC 1123) nor an address.
    #[error("`{0}` is neither a DNS name nor an address")]
    Host(String),
}

impl Endpoint {
    /// Returns the endpoint, or what is wrong with its host or port.
    pub fn new(host: &str, port: u16) -> Result<Self, EndpointError> {
        if port == 0 {
            return Err(EndpointError::Port("0".into()));
        }
        let bare = host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .unwrap_or(host);
        if bare.parse::<IpAddr>().is_err() && !is_dns_name(bare) {
            return Err(EndpointError::Host(host.into()));
        }
        Ok(Self {
            host: bare.into(),
            port,
        })
    }

    /// Returns the name or address, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the address, where the host is one and not a name.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// Returns whether `text` is a DNS subdomain as Kubernetes takes it (RFC 1123, lower case).
fn is_dns_name(text: &str) -> bool {
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && l.chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    text.len() <= 253
        && text.split('.').all(label)
        && !text
            .split('.')
            .all(|l| l.chars().all(|c| c.is_ascii_digit()))
}

/// The endpoint of an API server at this address, with the port that kubeadm gives it (kubeadm-config.v1beta4, bindPort).
impl From<IpAddr> for Endpoint {
    fn from(address: IpAddr) -> Self {
        Self {
            host: address.to_string(),
            port: 6443,
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;
    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let (host, port) = text
            .rsplit_once(':')
            .ok_or_else(|| EndpointError::NoPort(text.into()))?;
        if host.contains(':') && !host.starts_with('[') {
            return Err(EndpointError::NoPort(text.into()));
        }
        let port = port.parse().map_err(|_| EndpointError::Port(port.into()))?;
        Self::new(host, port)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl TryFrom<String> for Endpoint {
    type Error = EndpointError;
    fn try_from(text: String) -> Result<Self, EndpointError> {
        text.parse()
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> String {
        endpoint.to_string()
    }
}
