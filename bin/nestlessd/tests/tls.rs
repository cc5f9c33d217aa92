//! Mutual TLS over TCP: the certificate is the VM's identity, and nothing else is served.

use crate::daemon::{
    Site,
    authority::Authority,
    client::{hello, status, unix},
    inside,
};
use std::{fs, net::SocketAddr};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Error, Identity};

/// Each test has a network namespace of its own.
const ADDRESS: &str = "127.0.0.1:7788";

struct Host {
    _site: Site,
    ca: Authority,
    operator: Channel,
}

impl Host {
    async fn start() -> Self {
        let (mut site, ca) = (Site::new(), Authority::new());
        let (certificate, key) = ca.sign("nestlessd.test");
        for (name, text) in [("ca.pem", ca.pem()), ("host.pem", &certificate), ("host.key", &key)] {
            fs::write(site.path(name), text).unwrap();
        }
        let path = |name| site.path(name).display().to_string();
        let tls = format!(
            "[tls]\nlisten = \"{ADDRESS}\"\ncertificate = \"{}\"\nkey = \"{}\"\nclient_ca = \"{}\"\n",
            path("host.pem"),
            path("host.key"),
            path("ca.pem"),
        );
        let vms: String =
            ["vm1", "vm2"].map(|vm| site.vm(vm, &format!("certificate = \"{vm}.test\""))).concat();
        site.start(&format!("{tls}{vms}"));
        let operator = unix(&site.path("run/nestlessd.sock")).await;
        Self { _site: site, ca, operator }
    }

    /// A caller that trusts the host's certificate, and shows `identity`.
    async fn call(&self, identity: Option<Identity>) -> Result<Channel, Error> {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(self.ca.pem()))
            .domain_name("nestlessd.test");
        let tls = identity.into_iter().fold(tls, ClientTlsConfig::identity);
        Endpoint::from_shared(format!("https://{ADDRESS}"))?.tls_config(tls)?.connect().await
    }

    /// Whether a caller is turned away, at the handshake or at the first request. Nothing has changed then.
    async fn refuses(&self, identity: Option<Identity>) -> bool {
        let before = status(&self.operator).await;
        let refused = match self.call(identity).await {
            Err(_) => true,
            Ok(channel) => hello(channel).await.is_err(),
        };
        assert_eq!(status(&self.operator).await, before);
        refused
    }
}

#[test]
fn the_certificate_says_which_vm_calls() {
    inside(|| async {
        let host = Host::start().await;
        for vm in ["vm1", "vm2"] {
            let channel = host.call(Some(host.ca.identity(&format!("{vm}.test")))).await.unwrap();
            assert_eq!(hello(channel).await.unwrap(), vm);
        }
    });
}

#[test]
fn strangers_are_turned_away() {
    inside(|| async {
        let host = Host::start().await;
        assert!(host.refuses(None).await, "without a certificate");
        assert!(host.refuses(Some(Authority::new().identity("vm1.test"))).await, "of another authority");
        assert!(host.refuses(Some(host.ca.identity("vm3.test"))).await, "of no VM");
        assert!(host.refuses(Some(host.ca.identity("vm1"))).await, "a VM's name is not its certificate's");
        // Whoever talks without TLS gets no answer, and whoever says nothing holds up nobody.
        let address: SocketAddr = ADDRESS.parse().unwrap();
        let _silent = tokio::net::TcpStream::connect(address).await.unwrap();
        let plain = Endpoint::from_shared(format!("http://{ADDRESS}")).unwrap().connect().await;
        assert!(match plain {
            Err(_) => true,
            Ok(channel) => hello(channel).await.is_err(),
        });
        let channel = host.call(Some(host.ca.identity("vm1.test"))).await.unwrap();
        assert_eq!(hello(channel).await.unwrap(), "vm1");
    });
}

#[test]
fn a_configuration_without_readable_certificates_is_refused_with_the_file() {
    inside(|| async {
        let mut site = Site::new();
        let vm = site.vm("vm1", "certificate = \"vm1.test\"");
        let tls = format!(
            "[tls]\nlisten = \"{ADDRESS}\"\ncertificate = \"{0}\"\nkey = \"{0}\"\nclient_ca = \"{0}\"\n",
            site.path("missing.pem").display()
        );
        let (exit, text) = site.start_in_vain(&format!("{tls}{vm}"));
        assert!(!exit.success() && text.contains("missing.pem"), "{text}");
    });
}
