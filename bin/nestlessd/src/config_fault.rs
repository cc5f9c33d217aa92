//! What can be wrong with a configuration.

use nestless_model::identity::{LinkName, NetworkName, VmName};
use std::{borrow::Cow, path::PathBuf};

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are the objects named in each message")]
pub enum ConfigError {
    #[error("read configuration {}: name another with --config FILE", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("configuration {}{}", path.display(), list(faults))]
    Faults { path: PathBuf, faults: Vec<Fault> },
}

/// One in the same line, several each in a line of its own.
fn list(faults: &[Fault]) -> String {
    match faults {
        [fault] => format!(": {}", fault.to_string().trim_end()),
        several => {
            let lines = several.iter().map(|fault| format!("\n- {}", fault.to_string().trim_end()));
            format!(" has {} faults:{}", several.len(), lines.collect::<String>())
        }
    }
}

/// One thing that is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each message says it")]
#[non_exhaustive]
pub enum Fault {
    #[error(transparent)]
    Syntax(#[from] toml::de::Error),
    #[error("{key} is {path:?}, a relative path: write where it begins, from / on")]
    Relative { key: String, path: PathBuf },
    #[error("[tls]: {why}")]
    Tls { why: String },
    #[error(
        "network {network}: `uplink` interface {interface} is not on this host: `ip link` lists those that are"
    )]
    NoUplink { network: NetworkName, interface: LinkName },
    #[error("there is no [[network]]: pods need at least one")]
    NoNetwork,
    #[error(transparent)]
    Network(#[from] nestless_model::network::NetworkError),
    #[error("[[vm]] {vm} stands there twice")]
    TwoVms { vm: VmName },
    #[error("[[vm]] {vm}: its channel is VM {other}'s too, and a channel is a VM's identity")]
    OneChannel { vm: VmName, other: VmName },
    #[error("[[vm]] {vm}: its hypervisor, {endpoint}, is VM {other}'s too")]
    OneHypervisor { vm: VmName, other: VmName, endpoint: String },
    #[error("[[vm]] {vm}: default_network {network} is no [[network]] of this file")]
    UnknownNetwork { vm: VmName, network: NetworkName },
    #[error("[[vm]] {vm}: {key} must be {expected}")]
    Range { vm: VmName, key: &'static str, expected: Cow<'static, str> },
    #[error("[[vm]] {vm}: channel.certificate needs a [tls] section")]
    NoTls { vm: VmName },
}
