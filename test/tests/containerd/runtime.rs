//! containerd in a lab's VM, and its Container Runtime Interface as kubelet uses it.

use super::image;
use hyper_util::rt::TokioIo;
use nestless_lab::{Exec, Lab};
use nestless_test::eventually;
use proto::{
    ContainerConfig, ContainerMetadata, CreateContainerRequest, ExecSyncRequest, ImageSpec,
    LinuxContainerConfig, LinuxPodSandboxConfig, PodSandboxConfig, PodSandboxMetadata, PodSandboxStatus,
    PortMapping, RunPodSandboxRequest, SandboxRequest, StartContainerRequest, StatusRequest,
    runtime_service_client::RuntimeServiceClient,
};
use std::{collections::HashMap, io, net::SocketAddr, time::Duration};
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};

/// Generated from `proto/cri.proto`.
#[allow(missing_docs, clippy::all, unreachable_pub)]
mod proto {
    tonic::include_proto!("runtime.v1");
}

/// What must be in the VM beyond what every guest has.
pub(crate) const PROGRAMS: [&str; 8] =
    ["containerd", "containerd-shim-runc-v2", "runc", "ctr", "mount", "ip", "nft", "/usr/lib/cni/loopback"];

/// As `deploy/containerd/config.toml`, with the CRI open to the lab's host. A guest whose root is an initramfs cannot pivot
/// away from it.
const CONFIG: &str = r#"
version = 2
[grpc]
  address = "/run/containerd/containerd.sock"
  tcp_address = "0.0.0.0:10010"
[plugins."io.containerd.grpc.v1.cri"]
  disable_tcp_service = false
  restrict_oom_score_adj = true
  sandbox_image = "localhost/busybox:test"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      NoPivotRoot = true
"#;
const CRI_PORT: u16 = 10010;
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// What users are told to install.
const CONFLIST: &str = include_str!("../../../deploy/guest/10-nestless.conflist");

const START: &str = "containerd --config /etc/containerd/config.toml >>/tmp/containerd.log 2>&1 & echo $! >/run/containerd.pid";

/// A pod to make.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    /// Port of the VM and port of the pod.
    pub(crate) ports: Vec<(u16, u16)>,
    /// As users write them for bandwidth.
    pub(crate) annotations: Vec<(&'static str, &'static str)>,
}

/// A pod with one container, which waits.
#[derive(Clone, Debug)]
pub(crate) struct CriPod {
    pub(crate) sandbox: String,
    pub(crate) container: String,
    /// As the runtime tells them.
    pub(crate) addresses: Vec<String>,
}

/// containerd in one VM.
pub(crate) struct Runtime<'a> {
    lab: &'a Lab,
    vm: &'static str,
    cri: RuntimeServiceClient<Channel>,
}

impl<'a> Runtime<'a> {
    /// Installs our configuration, starts containerd, gives it the image, and waits until it says that pods can have a
    /// network.
    pub(crate) async fn install(lab: &'a Lab, vm: &'static str) -> Self {
        let guest = lab.vm(vm).unwrap();
        guest.write_file("/etc/containerd/config.toml", CONFIG, 0o644).await.unwrap();
        guest.write_file("/etc/cni/net.d/10-nestless.conflist", CONFLIST, 0o644).await.unwrap();
        // Sandboxes get the VM's.
        guest.write_file("/etc/resolv.conf", "nameserver 192.0.2.53\n", 0o644).await.unwrap();
        guest.write_file("/tmp/image.tar", image::archive(), 0o644).await.unwrap();
        // Layers cannot lie over an initramfs.
        run(lab, vm, "mkdir -p /var/lib/containerd && mount -t tmpfs none /var/lib/containerd").await;
        run(lab, vm, START).await;
        let cri = connect(lab, vm).await;
        let mut runtime = Self { lab, vm, cri };
        runtime.ready("RuntimeReady").await;
        run(lab, vm, "ctr -n k8s.io images import /tmp/image.tar").await;
        runtime.ready("NetworkReady").await;
        runtime
    }

    /// Kills containerd as a crash does, and starts it again. The pods' processes live on, as they are shims' children.
    pub(crate) async fn crash(&mut self) {
        run(self.lab, self.vm, "kill -9 $(cat /run/containerd.pid)").await;
        run(self.lab, self.vm, START).await;
        self.cri = connect(self.lab, self.vm).await;
        self.ready("NetworkReady").await;
    }

    async fn ready(&mut self, condition: &str) {
        let cri = self.cri.clone();
        eventually(condition, || async {
            let answer = cri.clone().status(StatusRequest {}).await.map_err(|status| status.to_string())?;
            let conditions = answer.into_inner().status.unwrap_or_default().conditions;
            let ready = conditions.iter().any(|found| found.r#type == condition && found.status);
            if ready { Ok(()) } else { Err(format!("{conditions:?}")) }
        })
        .await;
    }

    /// A sandbox, without a container.
    pub(crate) async fn sandbox(&mut self, name: &str, wish: &Wish) -> Result<String, Status> {
        let request = RunPodSandboxRequest { config: Some(sandbox_config(name, wish)) };
        Ok(self.cri.run_pod_sandbox(request).await?.into_inner().pod_sandbox_id)
    }

    /// A pod whose container runs.
    pub(crate) async fn pod(&mut self, name: &str, wish: &Wish) -> CriPod {
        let sandbox = self.sandbox(name, wish).await.unwrap_or_else(|status| panic!("run {name}: {status}"));
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata { name: "main".to_owned() }),
            image: Some(ImageSpec { image: image::NAME.to_owned() }),
            command: Vec::new(),
            linux: Some(LinuxContainerConfig {}),
        };
        let request = CreateContainerRequest {
            pod_sandbox_id: sandbox.clone(),
            config: Some(config),
            sandbox_config: Some(sandbox_config(name, wish)),
        };
        let container = self.cri.create_container(request).await.unwrap().into_inner().container_id;
        self.cri.start_container(StartContainerRequest { container_id: container.clone() }).await.unwrap();
        let network = self.status(&sandbox).await.network.unwrap_or_default();
        let further = network.additional_ips.into_iter().map(|further| further.ip);
        CriPod { sandbox, container, addresses: std::iter::once(network.ip).chain(further).collect() }
    }

    /// What the runtime knows of a sandbox.
    pub(crate) async fn status(&mut self, sandbox: &str) -> PodSandboxStatus {
        let answer = self.cri.pod_sandbox_status(request(sandbox)).await.unwrap();
        answer.into_inner().status.unwrap_or_default()
    }

    /// Runs a program in the pod's container, which must succeed.
    pub(crate) async fn exec(&mut self, pod: &CriPod, line: &str) -> String {
        let request = ExecSyncRequest {
            container_id: pod.container.clone(),
            cmd: ["sh", "-c", line].map(str::to_owned).to_vec(),
            timeout: 60,
        };
        let answer = self.cri.exec_sync(request).await.unwrap().into_inner();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        let (out, err) = (text(&answer.stdout), text(&answer.stderr));
        assert_eq!(answer.exit_code, 0, "{line} in {}: {out} {err}", pod.sandbox);
        out
    }

    /// Ends a pod, its network included.
    pub(crate) async fn stop(&mut self, sandbox: &str) -> Result<(), Status> {
        self.cri.stop_pod_sandbox(request(sandbox)).await.map(drop)
    }

    /// Forgets a pod.
    pub(crate) async fn remove(&mut self, sandbox: &str) -> Result<(), Status> {
        self.cri.remove_pod_sandbox(request(sandbox)).await.map(drop)
    }
}

fn request(sandbox: &str) -> SandboxRequest {
    SandboxRequest { pod_sandbox_id: sandbox.to_owned() }
}

fn sandbox_config(name: &str, wish: &Wish) -> PodSandboxConfig {
    let metadata = PodSandboxMetadata {
        name: name.to_owned(),
        uid: format!("uid-{name}"),
        namespace: "default".to_owned(),
    };
    let ports = wish
        .ports
        .iter()
        .map(|&(host, container)| PortMapping { container_port: container.into(), host_port: host.into() });
    let annotations = wish.annotations.iter().map(|&(key, value)| (key.to_owned(), value.to_owned()));
    PodSandboxConfig {
        metadata: Some(metadata),
        hostname: name.to_owned(),
        port_mappings: ports.collect(),
        annotations: annotations.collect::<HashMap<_, _>>(),
        linux: Some(LinuxPodSandboxConfig {}),
    }
}

async fn run(lab: &Lab, vm: &str, line: &str) {
    lab.exec(vm, &Exec::shell(line)).await.unwrap().success(line).unwrap();
}

/// From the lab's host, over the VM's own NIC.
async fn connect(lab: &Lab, vm: &str) -> RuntimeServiceClient<Channel> {
    let address = lab.vm(vm).unwrap().addresses()[0].addr();
    let address = SocketAddr::new(address, CRI_PORT);
    let host = lab.host().clone();
    let connector = tower::service_fn(move |_| {
        let host = host.clone();
        async move {
            let connecting = move || std::net::TcpStream::connect_timeout(&address, CONNECT_DEADLINE);
            let stream = host.run(connecting).await.map_err(io::Error::other)??;
            stream.set_nonblocking(true)?;
            tokio::net::TcpStream::from_std(stream).map(TokioIo::new)
        }
    });
    let endpoint = Endpoint::from_static("http://containerd");
    let channel = eventually("containerd", || async {
        let connecting = endpoint.connect_with_connector(connector.clone()).await;
        connecting.map_err(|error| nestless_support::error_chain::in_full(&error))
    });
    RuntimeServiceClient::new(channel.await)
}
