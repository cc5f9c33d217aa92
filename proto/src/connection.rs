//! gRPC over a unix socket: how the operator reaches nestlessd, and a test whatever it likes.

use crate::{MAX_MESSAGE_BYTES, operator_client::OperatorClient};
use hyper_util::rt::TokioIo;
use std::{
    io,
    path::{Path, PathBuf},
};
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

/// A daemon's whole state is larger than any message of a guest's.
const MAX_ANSWER_BYTES: usize = 16 * MAX_MESSAGE_BYTES;

/// No connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens, or this user may not connect.
    #[error("connect to {path}")]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Who listens there does not speak HTTP/2.
    #[error("speak gRPC to {path}")]
    Grpc {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: tonic::transport::Error,
    },
}

/// The operator's connection to the daemon that listens on `socket`.
///
/// # Errors
/// When no daemon listens there, or this user may not ask it.
pub async fn operator(socket: &Path) -> Result<OperatorClient<Channel>, ConnectError> {
    Ok(OperatorClient::new(channel(socket).await?).max_decoding_message_size(MAX_ANSWER_BYTES))
}

/// A connection to whoever listens on `socket`. One that breaks is made anew at the next call.
///
/// # Errors
/// When nobody listens there, or this user may not connect.
pub async fn channel(socket: &Path) -> Result<Channel, ConnectError> {
    let path = socket.to_owned();
    // Connected before HTTP/2 is spoken, so that a refusal is told as what it is.
    let first = UnixStream::connect(socket).await;
    let mut first = Some(first.map_err(|source| ConnectError::Socket { path: path.clone(), source })?);
    let connector = tower::service_fn(move |_| {
        let (first, path) = (first.take(), path.clone());
        async move {
            match first {
                Some(stream) => Ok(stream),
                None => UnixStream::connect(path).await,
            }
            .map(TokioIo::new)
        }
    });
    // The URI is only what HTTP/2 wants to be told.
    let connecting = Endpoint::from_static("http://nestlessd").connect_with_connector(connector).await;
    connecting.map_err(|source| ConnectError::Grpc { path: socket.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn where_nobody_listens_is_told() {
        let folder = env!("CARGO_MANIFEST_DIR");
        let error = operator(&Path::new(folder).join("nobody.sock")).await.unwrap_err();
        let ConnectError::Socket { source, .. } = &error else { panic!("{error}") };
        assert_eq!(source.kind(), io::ErrorKind::NotFound);
        assert_eq!(error.to_string(), format!("connect to {folder}/nobody.sock"));
    }
}
