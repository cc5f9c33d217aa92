//! Opens the channel, again and again.

use super::spec::ChannelSpec;
use crate::config::Config;
use anyhow::Context as _;
use nestless_support::serial_link::{SerialLink, VirtioPort};
use std::path::Path;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_vsock::{VMADDR_CID_HOST, VsockAddr, VsockStream};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

/// The name of the virtio-serial port.
const SERIAL_PORT: &str = "org.nestless.channel.0";
/// Where nestlessd listens on AF_VSOCK.
const VSOCK_PORT: u32 = 1788;

/// What every channel gives.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// Knows where the host is.
pub(crate) struct Dialer {
    channel: ChannelSpec,
    endpoint: Endpoint,
    /// Kept from one session to the next: the port can be opened only once.
    serial: Option<SerialLink>,
}

impl Dialer {
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        let endpoint = match &config.channel {
            ChannelSpec::Tls { host, port } => Endpoint::from_shared(format!("https://{host}:{port}"))
                .with_context(|| format!("use {host}:{port} as the host's address"))?
                .tls_config(tls(config)?)
                .context("use the certificates of --tls-ca, --tls-certificate and --tls-key")?,
            // Only a stream is dialled, so the name is one for the log of the other side.
            _ => Endpoint::from_static("http://nestlessd"),
        };
        Ok(Self { channel: config.channel.clone(), endpoint, serial: None })
    }

    /// What gRPC is to make of the stream.
    pub(crate) fn endpoint(&self) -> Endpoint {
        self.endpoint.clone()
    }

    /// Opens a stream. A serial port waits until the host answers; the others fail at once.
    pub(crate) async fn dial(&mut self) -> anyhow::Result<Box<dyn ByteStream>> {
        match self.channel.clone() {
            ChannelSpec::Auto => self.dial_automatically().await,
            ChannelSpec::Serial(path) => self.dial_serial(path.as_deref()).await,
            ChannelSpec::Unix(path) => {
                let stream = UnixStream::connect(&path).await;
                Ok(Box::new(stream.with_context(|| format!("connect to {}", path.display()))?))
            }
            ChannelSpec::Vsock => dial_vsock().await,
            ChannelSpec::Tls { host, port } => {
                let stream = TcpStream::connect(format!("{host}:{port}")).await;
                let stream = stream.with_context(|| format!("connect to {host}:{port}"))?;
                stream
                    .set_nodelay(true)
                    .with_context(|| format!("set up the connection to {host}:{port}"))?;
                Ok(Box::new(stream))
            }
        }
    }

    async fn dial_automatically(&mut self) -> anyhow::Result<Box<dyn ByteStream>> {
        match self.dial_serial(None).await {
            Ok(stream) => Ok(stream),
            Err(serial) => {
                dial_vsock().await.with_context(|| format!("no serial channel ({serial:#}), and no vsock"))
            }
        }
    }

    async fn dial_serial(&mut self, path: Option<&Path>) -> anyhow::Result<Box<dyn ByteStream>> {
        let mut link = match self.serial.take() {
            Some(link) => link,
            None => {
                let port = path.map_or_else(|| VirtioPort::open_by_name(SERIAL_PORT), VirtioPort::open);
                SerialLink::new(port.context("open the serial channel")?)
            }
        };
        // A link that is closed is not kept: the next attempt opens the port anew.
        let stream = link.connect().await.context("begin a session on the serial channel")?;
        self.serial = Some(link);
        Ok(Box::new(stream))
    }
}

async fn dial_vsock() -> anyhow::Result<Box<dyn ByteStream>> {
    let host = VsockAddr::new(VMADDR_CID_HOST, VSOCK_PORT);
    let stream = VsockStream::connect(host).await;
    Ok(Box::new(stream.with_context(|| format!("connect to the host by vsock, port {VSOCK_PORT}"))?))
}

fn tls(config: &Config) -> anyhow::Result<ClientTlsConfig> {
    let read = |path: &Option<std::path::PathBuf>, flag: &str| {
        let path = path
            .as_ref()
            .with_context(|| format!("a tls channel needs {flag}: only mutual TLS is served"))?;
        std::fs::read(path).with_context(|| format!("read {}", path.display()))
    };
    let certificate = read(&config.tls_certificate, "--tls-certificate")?;
    let key = read(&config.tls_key, "--tls-key")?;
    Ok(ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read(&config.tls_ca, "--tls-ca")?))
        .identity(Identity::from_pem(certificate, key)))
}
