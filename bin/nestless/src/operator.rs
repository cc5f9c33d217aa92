//! The way to a daemon: gRPC over the unix socket that only root may open.

use crate::complete;
use anyhow::anyhow;
use clap::Args;
use clap_complete::ArgValueCandidates;
use nestless_lab::LabName;
use nestless_model::identity::VmName;
use nestless_proto::{
    Refusal,
    connection::{self, ConnectError},
    operator_client::OperatorClient,
};
use std::{io::ErrorKind, path::PathBuf};
use tonic::{Status, transport::Channel};

const SOCKET: &str = "/run/nestless/nestlessd.sock";

/// Which daemon to ask.
#[derive(Debug, Args)]
pub(crate) struct Daemon {
    /// The daemon's operator socket.
    #[arg(
        long,
        value_name = "PATH",
        default_value = SOCKET,
        env = "NESTLESS_SOCKET"
    )]
    socket: PathBuf,
    /// Ask the daemon of this lab instead.
    #[arg(long, value_name = "NAME", conflicts_with = "socket", add = ArgValueCandidates::new(complete::labs))]
    lab: Option<VmName>,
}

impl Daemon {
    /// As flags would choose it.
    pub(crate) fn chosen(socket: Option<&str>, lab: Option<&LabName>) -> Self {
        let lab = lab.and_then(|name| VmName::new(name.as_str()).ok());
        let named = socket.map(ToOwned::to_owned).or_else(|| std::env::var("NESTLESS_SOCKET").ok());
        Self { socket: named.unwrap_or_else(|| SOCKET.to_owned()).into(), lab }
    }

    /// The socket that the flags choose.
    pub(crate) fn path(&self) -> PathBuf {
        match &self.lab {
            Some(name) => PathBuf::from(format!("/run/nestless/lab/{name}/run/nestlessd.sock")),
            None => self.socket.clone(),
        }
    }

    /// What the daemon is started with, where that is known.
    pub(crate) fn configuration(&self) -> Option<PathBuf> {
        self.lab.as_ref().map(|name| PathBuf::from(format!("/run/nestless/lab/{name}/nestlessd.toml")))
    }

    /// Connects.
    ///
    /// # Errors
    /// When no daemon listens, or this user may not ask it; the error says what to do.
    pub(crate) async fn connect(&self) -> anyhow::Result<OperatorClient<Channel>> {
        connection::operator(&self.path()).await.map_err(|error| self.advise(error))
    }

    fn advise(&self, error: ConnectError) -> anyhow::Error {
        let ConnectError::Socket { path, source } = &error else { return error.into() };
        let path = path.display();
        match (source.kind(), &self.lab) {
            (ErrorKind::NotFound | ErrorKind::ConnectionRefused, Some(lab)) => {
                anyhow!("no nestlessd listens on {path}: is lab {lab} up? `nestless lab ls` shows the labs")
            }
            (ErrorKind::NotFound | ErrorKind::ConnectionRefused, None) => anyhow!(
                "no nestlessd listens on {path}: start it with `systemctl start nestlessd` or \
                 `nestlessd --config /etc/nestless/nestlessd.toml`; --socket and --lab choose another one"
            ),
            (ErrorKind::PermissionDenied, _) => {
                anyhow!("{path} is open to root only: repeat the command as root")
            }
            _ => error.into(),
        }
    }
}

/// What the daemon said against a request, in its own words.
pub(crate) fn refused(status: Status) -> anyhow::Error {
    match Refusal::from_status(&status) {
        Some(refusal) => anyhow::anyhow!(refusal.message),
        None if status.message().is_empty() => anyhow::anyhow!("nestlessd answered {}", status.code()),
        None => anyhow::anyhow!("nestlessd answered: {}", status.message()),
    }
}
