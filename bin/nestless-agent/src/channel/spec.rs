//! Which channel, as the operator says it.

use std::{path::PathBuf, str::FromStr};

/// Which channel, as the operator says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ChannelSpec {
    /// The serial port if the VM has one, else vsock.
    Auto,
    /// A virtio-serial port; `None`: the one with our name.
    Serial(Option<PathBuf>),
    /// A unix socket: a namespace that plays a VM.
    Unix(PathBuf),
    /// The host by AF_VSOCK.
    Vsock,
    /// Mutual TLS over TCP.
    Tls {
        /// Name or address, which the host's certificate must have.
        host: String,
        /// Port.
        port: u16,
    },
}

impl FromStr for ChannelSpec {
    type Err = ChannelSpecError;

    fn from_str(text: &str) -> Result<Self, ChannelSpecError> {
        let wrong = || ChannelSpecError { text: text.to_owned() };
        let (kind, rest) = text.split_once(':').map_or((text, None), |(kind, rest)| (kind, Some(rest)));
        match (kind, rest) {
            ("auto", None) => Ok(Self::Auto),
            ("serial", None) => Ok(Self::Serial(None)),
            ("serial", Some(path)) if path.starts_with('/') => Ok(Self::Serial(Some(path.into()))),
            ("unix", Some(path)) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            ("vsock", None) => Ok(Self::Vsock),
            ("tls", Some(rest)) => {
                let (host, port) = rest.rsplit_once(':').ok_or_else(wrong)?;
                let port = port.parse().map_err(|_| wrong())?;
                if host.is_empty() { Err(wrong()) } else { Ok(Self::Tls { host: host.to_owned(), port }) }
            }
            _ => Err(wrong()),
        }
    }
}

/// No channel.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is not a channel: write auto, serial, serial:/PATH, unix:/PATH, vsock, or tls:HOST:PORT")]
pub(crate) struct ChannelSpecError {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_channel() {
        let unix: ChannelSpec = "unix:/run/a.sock".parse().unwrap();
        assert_eq!(unix, ChannelSpec::Unix("/run/a.sock".into()));
        assert_eq!("serial".parse(), Ok(ChannelSpec::Serial(None)));
        assert_eq!("tls:[::1]:7".parse(), Ok(ChannelSpec::Tls { host: "[::1]".into(), port: 7 }));
        for bad in ["", "tcp:1", "unix:relative", "tls:host", "tls::1", "vsock:3", "tls:host:99999"] {
            assert!(bad.parse::<ChannelSpec>().is_err(), "{bad}");
        }
    }
}
