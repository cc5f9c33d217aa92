//! The way to a daemon: gRPC over the unix socket that only root may open.

use anyhow::{Context as _, bail};
use clap::Args;
use hyper_util::rt::TokioIo;
use nestless_model::identity::VmName;
use nestless_proto::{MAX_MESSAGE_BYTES, Refusal, operator_client::OperatorClient};
use std::{io::ErrorKind, path::PathBuf};
use tokio::net::UnixStream;
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};

/// Which daemon to ask.
#[derive(Debug, Args)]
pub(crate) struct Daemon {
    /// The daemon's operator socket.
    #[arg(
        long,
        value_name = "PATH",
        default_value = "/run/nestless/nestlessd.sock",
        env = "NESTLESS_SOCKET"
    )]
    socket: PathBuf,
    /// Ask the daemon of this lab instead.
    #[arg(long, value_name = "NAME", conflicts_with = "socket")]
    lab: Option<VmName>,
}

impl Daemon {
    /// The socket that the flags choose.
    pub(crate) fn path(&self) -> PathBuf {
        match &self.lab {
            Some(name) => PathBuf::from(format!("/run/nestless/lab/{name}/run/nestlessd.sock")),
            None => self.socket.clone(),
        }
    }

    /// Connects.
    ///
    /// # Errors
    /// When no daemon listens, or this user may not ask it; the error says what to do.
    pub(crate) async fn connect(&self) -> anyhow::Result<OperatorClient<Channel>> {
        let path = self.path();
        let stream = match UnixStream::connect(&path).await {
            Ok(stream) => stream,
            Err(error) => match error.kind() {
                ErrorKind::NotFound | ErrorKind::ConnectionRefused => match &self.lab {
                    Some(lab) => bail!(
                        "no nestlessd listens on {}: is lab {lab} up? `nestless lab ls` shows the labs",
                        path.display()
                    ),
                    None => bail!(
                        "no nestlessd listens on {}: start it with `systemctl start nestlessd` or \
                         `nestlessd --config /etc/nestless/nestlessd.toml`; --socket and --lab choose another one",
                        path.display()
                    ),
                },
                ErrorKind::PermissionDenied => {
                    bail!("{} is open to root only: repeat the command as root", path.display())
                }
                _ => return Err(error).with_context(|| format!("connect to {}", path.display())),
            },
        };
        // The connection is there already; the URI is only what HTTP/2 wants to be told.
        let mut stream = Some(stream);
        let connector = tower::service_fn(move |_| {
            let once = stream.take().map(TokioIo::new);
            async move { once.ok_or_else(|| std::io::Error::from(ErrorKind::NotConnected)) }
        });
        let channel = Endpoint::from_static("http://nestlessd")
            .connect_with_connector(connector)
            .await
            .with_context(|| format!("speak gRPC to {}", path.display()))?;
        Ok(OperatorClient::new(channel).max_decoding_message_size(16 * MAX_MESSAGE_BYTES))
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
