//! What a VM is told at boot: words of the kernel's command line, or of its init's in a namespace VM.

use ipnet::IpNet;
use nestless_model::identity::{Mac, VmName};
use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr};

/// Where a namespace VM has busybox's applets.
pub const APPLETS: &str = "/run/nestless-lab/applets";

/// How the VM's agent reaches the host daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    /// virtio-serial.
    Serial,
    /// A unix socket that the host daemon listens on.
    Unix(PathBuf),
}

/// Everything an init must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestConfig {
    /// Its host name.
    pub name: VmName,
    /// Its own NIC. None in a namespace VM, where the NIC is called eth0 already.
    pub mac: Option<Mac>,
    /// Its own addresses.
    pub addresses: Vec<IpNet>,
    /// Its own next hops.
    pub gateways: Vec<IpAddr>,
    /// The agent's channel; no agent is run without one.
    pub channel: Option<Channel>,
}

/// A word that is no setting.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{word:?} is not a setting of a lab's guest")]
pub struct GuestConfigError {
    /// The word, or what is missing.
    pub word: String,
}

const PREFIX: &str = "nestless.";

impl fmt::Display for GuestConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}name={}", self.name)?;
        if let Some(mac) = self.mac {
            write!(f, " {PREFIX}mac={mac}")?;
        }
        for address in &self.addresses {
            write!(f, " {PREFIX}address={address}")?;
        }
        for gateway in &self.gateways {
            write!(f, " {PREFIX}gateway={gateway}")?;
        }
        match &self.channel {
            None => Ok(()),
            Some(Channel::Serial) => write!(f, " {PREFIX}channel=serial"),
            Some(Channel::Unix(path)) => write!(f, " {PREFIX}channel=unix:{}", path.display()),
        }
    }
}

impl FromStr for GuestConfig {
    type Err = GuestConfigError;

    /// Reads a whole command line; words that do not begin with "nestless." are the kernel's.
    fn from_str(line: &str) -> Result<Self, GuestConfigError> {
        let mut name = None;
        let (mut mac, mut channel) = (None, None);
        let (mut addresses, mut gateways) = (Vec::new(), Vec::new());
        for word in line.split_whitespace() {
            let Some(setting) = word.strip_prefix(PREFIX) else { continue };
            let bad = || GuestConfigError { word: word.to_owned() };
            let (key, value) = setting.split_once('=').ok_or_else(bad)?;
            match key {
                "name" => name = Some(VmName::new(value).map_err(|_| bad())?),
                "mac" => mac = Some(value.parse().map_err(|_| bad())?),
                "address" => addresses.push(value.parse().map_err(|_| bad())?),
                "gateway" => gateways.push(value.parse().map_err(|_| bad())?),
                "channel" => channel = Some(channel_of(value).ok_or_else(bad)?),
                _ => return Err(bad()),
            }
        }
        let name = name.ok_or_else(|| GuestConfigError { word: format!("(no {PREFIX}name)") })?;
        Ok(Self { name, mac, addresses, gateways, channel })
    }
}

fn channel_of(value: &str) -> Option<Channel> {
    if value == "serial" {
        return Some(Channel::Serial);
    }
    value.strip_prefix("unix:").map(|path| Channel::Unix(path.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_command_line() {
        let config = GuestConfig {
            name: VmName::new("vm1").unwrap(),
            mac: Some("52:54:00:00:00:01".parse().unwrap()),
            addresses: vec!["10.78.0.11/16".parse().unwrap(), "fd00:78::b/64".parse().unwrap()],
            gateways: vec!["10.78.0.1".parse().unwrap()],
            channel: Some(Channel::Unix("/run/x.sock".into())),
        };
        let line = format!("console=ttyS0 quiet {config} panic=-1");
        assert_eq!(line.parse::<GuestConfig>(), Ok(config.clone()));
        let other = GuestConfig { mac: None, channel: Some(Channel::Serial), ..config };
        assert_eq!(other.to_string().parse::<GuestConfig>(), Ok(other));
    }

    #[test]
    fn names_the_word_it_cannot_read() {
        let error = "nestless.name=a nestless.mac=x".parse::<GuestConfig>().unwrap_err();
        assert_eq!(error.word, "nestless.mac=x");
        assert!("console=ttyS0".parse::<GuestConfig>().is_err());
    }
}
