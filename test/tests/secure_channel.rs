//! The last kind of channel, end to end: daemon and agent with certificates of their own, mutual TLS over TCP between them,
//! and pods that come and go by it.

#[path = "../../bin/nestlessd/tests/daemon/authority.rs"]
#[allow(dead_code, reason = "the daemon's own tests use the rest of it")]
mod authority;

use authority::Authority;
use nestless_lab::{Exec, Piece, Vmm};
use nestless_test::{Call, Daemon, Site, agree, cni, eventually, lab, operator, traffic};
use serde_json::Value;
use std::{
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
};
use tokio::{sync::mpsc, task::JoinHandle};

const VM: &str = "vm1";
const PORT: u16 = 7788;
/// What the VM is called in its certificate.
const VM_NAME: &str = "vm1.test";

struct Host {
    site: Site,
    /// Where the VM reaches it.
    address: IpAddr,
    ca: Authority,
    folder: tempfile::TempDir,
    daemon: Daemon,
}

impl Host {
    async fn up() -> Self {
        let site = Site::up(lab("tls", Vmm::Namespace).without_daemon()).await;
        site.vm(VM).unwrap().stop_agent().await.unwrap();
        let address = address_towards(&site).await;
        let (ca, folder) = (Authority::new(), tempfile::tempdir().unwrap());
        let (certificate, key) = ca.sign(&address.to_string());
        for (name, text) in [("ca.pem", ca.pem()), ("host.pem", &certificate), ("host.key", &key)] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let daemon = Daemon::start(&site, &configuration(&site, address, &folder)).await;
        Self { site, address, ca, folder, daemon }
    }

    /// Starts an agent that shows a certificate of `signer`'s for `name`, and believes those of `believed`.
    async fn agent(&self, believed: &Authority, signer: &Authority, name: &str) -> Agent {
        let (certificate, key) = signer.sign(name);
        let path = |what: &str| self.folder.path().join(what).display().to_string();
        for (what, text) in
            [("agent-ca.pem", believed.pem()), ("agent.pem", &certificate), ("agent.key", &key)]
        {
            std::fs::write(self.folder.path().join(what), text).unwrap();
        }
        // It ends when its input does.
        let line = format!(
            "nestless-agent --channel tls:{}:{PORT} --tls-ca {} --tls-certificate {} --tls-key {} --run-dir /run/nestless \
             </dev/null 2>&1 & read end; kill $!; wait $!",
            self.address,
            path("agent-ca.pem"),
            path("agent.pem"),
            path("agent.key"),
        );
        let exec = Exec::shell(line).env("NESTLESS_LOG", "debug");
        let client = self.site.vm(VM).unwrap().client().await.unwrap();
        let (stop, input) = mpsc::channel(1);
        let said = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&said);
        let running = tokio::spawn(async move {
            let ended = client.exec_streaming(&exec, input, |piece| {
                let (Piece::Stdout(bytes) | Piece::Stderr(bytes)) = piece;
                heard.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes));
            });
            ended.await.unwrap();
        });
        let agent = Agent { stop, running, said };
        agent.says("serving CNI calls").await;
        agent
    }

    /// Nothing reaches the pods of a VM whose agent is not let in.
    async fn serves_nobody(&self) {
        let failure = Call::new("ADD", "pod").run(&self.site, VM).await.unwrap_err();
        assert_eq!(failure.code, cni::TRY_AGAIN, "{failure}");
        let vm = operator::vm(&self.site, VM).await;
        assert!(vm.channel != "connected" && vm.nics.is_empty(), "{vm:?}");
    }
}

/// An agent that runs in the VM.
struct Agent {
    stop: mpsc::Sender<Vec<u8>>,
    running: JoinHandle<()>,
    said: Arc<Mutex<String>>,
}

impl Agent {
    async fn says(&self, words: &str) {
        eventually(words, || async {
            let said = self.said.lock().unwrap().clone();
            if said.contains(words) { Ok(()) } else { Err(said) }
        })
        .await;
    }

    async fn end(self) {
        drop(self.stop);
        self.running.await.unwrap();
    }
}

/// The host's address that the VM can call.
async fn address_towards(site: &Site) -> IpAddr {
    let vm = site.vm(VM).unwrap().addresses().iter().find(|own| own.addr().is_ipv4()).unwrap().addr();
    let route = site.host_exec(&Exec::shell(format!("ip -o route get {vm}"))).await.unwrap().text();
    let source = route.split_whitespace().skip_while(|word| *word != "src").nth(1);
    source.unwrap_or_else(|| panic!("{route}")).parse().unwrap()
}

fn configuration(site: &Site, address: IpAddr, folder: &tempfile::TempDir) -> String {
    let namespace: PathBuf = site.name().vm_namespace(&VM.parse().unwrap());
    format!(
        "[tls]\nlisten = '{address}:{PORT}'\ncertificate = '{files}/host.pem'\nkey = '{files}/host.key'\n\
         client_ca = '{files}/ca.pem'\n\
         [[network]]\nname = 'pods'\nbridge = 'nestless9'\nuplink = 'none'\n\
         subnets = [{{ prefix = '10.99.0.0/16' }}, {{ prefix = 'fd00:99::/64' }}]\n\
         [[vm]]\nname = '{VM}'\nhypervisor = {{ namespace = {{ path = '{namespace}' }} }}\n\
         channel = {{ certificate = '{VM_NAME}' }}\nwarm_pool = 1\nnic_limit = 4\n",
        files = folder.path().display(),
        namespace = namespace.display(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_come_and_go_over_mutual_tls() {
    let host = Host::up().await;
    let (site, stranger) = (&host.site, Authority::new());
    cni::sandbox(site, VM, "pod").await.unwrap();

    // Of another authority; of the right one, but no VM's; and an agent that is called by a host it has no reason to trust.
    let agent = host.agent(&host.ca, &stranger, VM_NAME).await;
    host.daemon.logs("TLS handshake failed").await;
    host.serves_nobody().await;
    agent.end().await;
    let agent = host.agent(&host.ca, &host.ca, "vm2.test").await;
    host.daemon.logs("a certificate that names no VM").await;
    host.serves_nobody().await;
    agent.end().await;
    let agent = host.agent(&stranger, &host.ca, VM_NAME).await;
    agent.says("invalid peer certificate").await;
    host.serves_nobody().await;
    agent.end().await;

    let agent = host.agent(&host.ca, &host.ca, VM_NAME).await;
    let result = Call::new("ADD", "pod").insist(site, VM).await.unwrap();
    for gateway in ["10.99.0.1", "fd00:99::1"] {
        let ping = site.pod_exec(VM, "pod", traffic::ping(gateway)).await.unwrap();
        ping.success(gateway).unwrap_or_else(|error| panic!("{error}"));
    }
    assert_eq!(agree(site).await.vms[0].in_use, 1);
    let check = Call::new("CHECK", "pod").conf("prevResult", result);
    assert_eq!(check.run(site, VM).await, Ok(Value::Null));
    assert_eq!(Call::new("DEL", "pod").run(site, VM).await, Ok(Value::Null));
    cni::drop_sandbox(site, VM, "pod").await.unwrap();
    assert_eq!(agree(site).await.vms[0].in_use, 0);
    agent.end().await;

    host.daemon.end().await;
    host.site.down().await;
}
