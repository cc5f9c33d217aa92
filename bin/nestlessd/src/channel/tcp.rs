//! TCP with mutual TLS: the last resort, for a host that shares nothing else with its VMs. The name in the agent's
//! certificate is the VM's identity.

use super::{entrance::Entrance, names::Names};
use crate::config::Tls;
use anyhow::Context as _;
use nestless_model::identity::VmName;
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tracing::warn;

/// A handshake that takes longer is not an agent's.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
/// Handshakes under way at once: strangers can reach this socket.
const HANDSHAKES: usize = 64;

pub(super) struct Listener {
    socket: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener {
    pub(super) fn bind(tls: &Tls) -> anyhow::Result<Self> {
        let listen = || format!("listen on {}", tls.listen);
        let config = server(tls)?;
        let socket = std::net::TcpListener::bind(tls.listen).with_context(listen)?;
        socket.set_nonblocking(true).with_context(listen)?;
        let socket = TcpListener::from_std(socket).with_context(listen)?;
        Ok(Self { socket, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Accepts for ever.
    pub(super) async fn serve(self, vms: Names<String>, entrance: Entrance) {
        let places = Arc::new(Semaphore::new(HANDSHAKES));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let Ok((socket, address)) = self.socket.accept().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let (acceptor, vms, entrance) = (self.acceptor.clone(), vms.clone(), entrance.clone());
            tokio::spawn(async move {
                let shaken = timeout(HANDSHAKE_DEADLINE, acceptor.accept(socket)).await;
                drop(place);
                let Ok(Ok(stream)) = shaken else { return warn!(%address, "TLS handshake failed") };
                match vm_of(&stream, &vms) {
                    // The receiver is gone only if the daemon is stopping.
                    Some(vm) => drop(entrance.admit(stream, &vm).await),
                    None => warn!(%address, "a certificate that names no VM"),
                }
            });
        }
    }
}

/// What is wrong with the files of a `[tls]` section: each by itself, and then all together.
pub(crate) fn faults(tls: &Tls) -> Vec<String> {
    let alone = [
        roots(tls).map(drop),
        PrivateKeyDer::from_pem_file(&tls.key)
            .map(drop)
            .with_context(|| format!("read key {}", tls.key.display())),
        certificates(&tls.certificate).map(drop),
    ];
    let mut faults: Vec<_> = alone.into_iter().filter_map(Result::err).collect();
    if faults.is_empty() {
        faults.extend(server(tls).err());
    }
    faults.into_iter().map(|fault| format!("{fault:#}")).collect()
}

fn server(tls: &Tls) -> anyhow::Result<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(tls)?), Arc::clone(&provider))
        .build()
        .with_context(|| format!("use certificate authority {}", tls.client_ca.display()))?;
    let key =
        PrivateKeyDer::from_pem_file(&tls.key).with_context(|| format!("read key {}", tls.key.display()))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("choose TLS versions")?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(&tls.certificate)?, key)
        .with_context(|| format!("use certificate {}", tls.certificate.display()))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn roots(tls: &Tls) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&tls.client_ca)? {
        roots
            .add(certificate)
            .with_context(|| format!("read certificate authority {}", tls.client_ca.display()))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = || format!("read certificates {}", path.display());
    CertificateDer::pem_file_iter(path).with_context(read)?.collect::<Result<_, _>>().with_context(read)
}

fn vm_of(stream: &TlsStream<TcpStream>, vms: &Names<String>) -> Option<VmName> {
    let certificate = stream.get_ref().1.peer_certificates()?.first()?;
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    names.value.general_names.iter().find_map(|name| match name {
        x509_parser::extensions::GeneralName::DNSName(dns) => vms.get(*dns),
        _ => None,
    })
}
