//! The core without a front. Here it lends NICs to what plays dockerd.

#[allow(dead_code, reason = "the plugin's tests use all of it")]
#[path = "../../tests/world/fake_host.rs"]
mod fake_host;

use super::{Agent, AttachError, AttachRequest, Attached, DetachRequest};
use crate::{
    channel::Dialer,
    config::Config,
    host_client::{HostClient, PodWish, Purpose, keep_connected},
};
use clap::Parser as _;
use fake_host::FakeHost;
use nestless_guest::home::Home;
use nestless_model::{
    attachment::PodRef,
    identity::{AttachmentId, ContainerId, InterfaceName},
    refusal::Reason,
};
use nestless_support::{netlink::Netlink, netns::Namespace, telemetry::TraceParent};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio_util::task::AbortOnDropHandle;

/// Long enough that only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(30);

/// The VM is the namespace of the test's thread.
struct Vm {
    directory: tempfile::TempDir,
    namespace: Namespace,
    host: FakeHost,
}

/// An agent that is connected, until it is dropped.
struct Running {
    agent: Arc<Agent>,
    _connection: AbortOnDropHandle<()>,
}

impl Vm {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let namespace = Namespace::anonymous().unwrap();
        namespace.enter().unwrap();
        let host = FakeHost::new(directory.path().join("channel.sock"), namespace.clone());
        host.start();
        Self { directory, namespace, host }
    }

    fn run_dir(&self) -> PathBuf {
        self.directory.path().join("run")
    }

    async fn agent(&self) -> Running {
        let channel = format!("unix:{}", self.directory.path().join("channel.sock").display());
        let run_dir = self.run_dir();
        std::fs::create_dir_all(&run_dir).unwrap();
        let arguments = ["nestless-agent", "--channel", &channel, "--run-dir", run_dir.to_str().unwrap()];
        let config = Config::parse_from(arguments);
        let (host, slot) = HostClient::new(config.deadlines());
        let dialer = Dialer::new(&config).unwrap();
        let connection = tokio::spawn(keep_connected(dialer, "boot".to_owned(), slot));
        let (agent, _) = Agent::new(&config, host, "boot".to_owned()).await.unwrap();
        agent.resume().await;
        tokio::time::timeout(PATIENCE, agent.host.connected_after(0)).await.expect("no connection");
        Running { agent, _connection: AbortOnDropHandle::new(connection) }
    }

    /// The names of all links but `lo`.
    async fn links(&self) -> Vec<String> {
        let links = Netlink::inside(&self.namespace).await.unwrap().links().await.unwrap();
        links.into_iter().filter(|link| !link.loopback).map(|link| link.name).collect()
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        self.host.stop();
        let _ = Namespace::delete(self.run_dir().join("parking"));
    }
}

fn attachment(container: &str) -> AttachmentId {
    AttachmentId {
        container: ContainerId::new(container).unwrap(),
        interface: InterfaceName::new("eth0").unwrap(),
    }
}

impl Running {
    async fn lend(&self, container: &str, name: &str) -> Result<Attached, AttachError> {
        let request = AttachRequest {
            attachment: attachment(container),
            conf: "docker".parse().unwrap(),
            home: Home::Vm(InterfaceName::new(name).unwrap()),
            pod: PodRef::default(),
            purpose: Purpose::Pod(PodWish::default()),
            port_mappings: Vec::new(),
        };
        self.agent.attach(request, TraceParent::root()).await
    }

    async fn detach(&self, container: &str) {
        let request = DetachRequest { attachment: attachment(container), sandbox: None, sandbox_path: None };
        self.agent.detach(request, TraceParent::root()).await.unwrap();
    }
}

#[tokio::test]
async fn a_nic_is_lent_and_taken_back_by_the_next_agent() {
    let vm = Vm::new();
    let running = vm.agent().await;
    let attached = running.lend("a", "dk0").await.unwrap();
    let link = Netlink::inside(&vm.namespace).await.unwrap().link("dk0").await.unwrap();
    assert_eq!((link.up, link.mtu_bytes), (false, attached.offer.mtu.bytes()));
    assert!(attached.configured.routes.is_empty());

    let reason = |outcome: Result<Attached, AttachError>| outcome.err().unwrap().reason();
    assert_eq!(reason(running.lend("a", "dk1").await), Reason::AlreadyAttached);
    assert_eq!(reason(running.lend("b", "dk0").await), Reason::InterfaceExists);
    assert_eq!(vm.links().await, ["dk0"]);
    drop(running);

    // dockerd has moved it into a container; no agent may think that it is lost.
    let in_vm = Netlink::inside(&vm.namespace).await.unwrap();
    let container = Namespace::anonymous().unwrap();
    in_vm.move_to(&link, &container, Some("eth0")).await.unwrap();
    let running = vm.agent().await;
    let inside = Netlink::inside(&container).await.unwrap();
    let link = inside.link("eth0").await.unwrap();
    inside.move_to(&link, &vm.namespace, Some("dk7")).await.unwrap();
    drop(running);
    let running = vm.agent().await;
    assert_eq!(vm.links().await, ["dk7"]);
    running.detach("a").await;
    running.detach("a").await;
    assert_eq!(vm.links().await, [] as [String; 0]);
    assert!(vm.host.state().attachments.is_empty());
    assert!(running.agent.attachments.all().is_empty());
}
