//! Pods, without a container runtime: a network namespace in a VM, and the CNI call that connects it.

use crate::{
    error::LabError,
    guest::{Exec, Output},
    image::Program,
    lab::Lab,
    vm::Vm,
};
use ipnet::IpNet;
use nestless_model::identity::VmName;
use serde_json::{Map, Value, json};
use std::{net::IpAddr, time::Duration};
use tokio::time::Instant;

const AGENT_SOCKET: &str = "/run/nestless/agent.sock";
const INTERFACE: &str = "eth0";
/// CNI SPEC 1.1.0, "Error": try again later. An agent that has just started says so.
const TRY_AGAIN: u64 = 11;
const RETRY_DELAY: Duration = Duration::from_millis(100);
const RETRY_DEADLINE: Duration = Duration::from_secs(30);

/// How a pod is connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PodNetwork {
    /// By nestless-cni: a NIC of its own.
    #[default]
    Nestless,
    /// As usual: a veth, a bridge and NAT inside the VM. Needs `ip` and `nft` in the VM.
    Classic,
}

/// What a pod is to be.
#[derive(Clone, Debug, Default)]
pub struct PodOptions {
    /// How it is connected.
    pub network: PodNetwork,
    /// Keys added to the plugin's configuration, `runtimeConfig` among them.
    pub config: Map<String, Value>,
    /// Give up at "try again later" instead of trying again for half a minute, as container runtimes do.
    pub once: bool,
    /// CNI_ARGS, such as "K8S_POD_NAMESPACE=default;K8S_POD_NAME=web".
    pub args: String,
}

impl PodOptions {
    /// With a bridge and NAT inside the VM.
    pub fn classic() -> Self {
        Self { network: PodNetwork::Classic, ..Self::default() }
    }

    /// A fraction of a split pod, by nestless-cni: with the endpoint of its localhost, and nothing else.
    pub fn fraction(group: &str, fraction: &str) -> Self {
        let config = json!({"mode": "loopback", "loopback": {"group": group, "fraction": fraction}});
        Self { config: config.as_object().cloned().unwrap_or_default(), ..Self::default() }
    }
}

/// A pod that is connected.
#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    /// Its VM.
    pub vm: VmName,
    /// Its name, which is its container id too.
    pub name: String,
    /// Of its eth0.
    pub addresses: Vec<IpAddr>,
    /// What the plugin answered; null for a classic pod.
    pub result: Value,
}

impl Lab {
    /// Makes a pod. When it cannot be connected, nothing of it is left.
    ///
    /// # Errors
    /// When the VM or the plugin refuses.
    pub async fn pod_add(&self, vm: &str, pod: &str, options: PodOptions) -> Result<Pod, LabError> {
        let vm = self.vm(vm)?;
        vm.client().await?.add_namespace(pod).await?;
        let connected = match options.network {
            PodNetwork::Nestless => add_by_cni(vm, pod, &options).await,
            PodNetwork::Classic => add_classic(vm, pod).await,
        };
        if connected.is_err() {
            // The error that matters is the first.
            if let Err(error) = vm.client().await?.remove_namespace(pod).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    pod,
                    "remove the namespace of a failed pod"
                );
            }
        }
        connected
    }

    /// Makes a pod a fraction of a split one, beside the interface that it has: what the plugin does behind another one.
    ///
    /// # Errors
    /// When the VM or the plugin refuses; the pod is as it was then.
    pub async fn pod_join(&self, pod: &Pod, group: &str, fraction: &str) -> Result<(), LabError> {
        let mut options = PodOptions::fraction(group, fraction);
        options.config.insert("prevResult".into(), pod.result.clone());
        call(self.vm(pod.vm.as_str())?, "ADD", &pod.name, &options).await?;
        Ok(())
    }

    /// Runs a program in a pod, to its end.
    ///
    /// # Errors
    /// As [`Lab::exec`].
    pub async fn pod_exec(&self, vm: impl AsRef<str>, pod: &str, exec: Exec) -> Result<Output, LabError> {
        self.exec(vm.as_ref(), &exec.in_pod(pod)).await
    }

    /// Disconnects a pod and removes it. Succeeds when there is none.
    ///
    /// # Errors
    /// When the VM or the plugin refuses; the pod is still there then.
    pub async fn pod_del(&self, vm: &str, pod: &str, options: PodOptions) -> Result<(), LabError> {
        let vm = self.vm(vm)?;
        match options.network {
            PodNetwork::Nestless => {
                call(vm, "DEL", pod, &options).await?;
            }
            PodNetwork::Classic => {
                // The veth goes with the namespace.
            }
        }
        Ok(vm.client().await?.remove_namespace(pod).await?)
    }

    /// The pods of a VM, by name.
    ///
    /// # Errors
    /// When the VM does not answer.
    pub async fn pods(&self, vm: &str) -> Result<Vec<String>, LabError> {
        Ok(self.vm(vm)?.client().await?.namespaces().await?)
    }
}

fn cni(command: &str, pod: &str, options: &PodOptions) -> Exec {
    let mut config = json!({
        "cniVersion": "1.1.0",
        "name": "pods",
        "type": "nestless-cni",
        "network": "pods",
        "agentSocket": AGENT_SOCKET,
    });
    if let Some(map) = config.as_object_mut() {
        map.extend(options.config.clone());
    }
    let exec = Exec::new([Program::Cni.name()])
        .env("CNI_COMMAND", command)
        .env("CNI_CONTAINERID", pod)
        .env("CNI_NETNS", format!("/run/netns/{pod}"))
        .env("CNI_IFNAME", INTERFACE)
        .env("CNI_PATH", "/opt/cni/bin:/usr/lib/cni")
        .stdin(config.to_string());
    if options.args.is_empty() { exec } else { exec.env("CNI_ARGS", &options.args) }
}

/// Calls the plugin, as often as it says that it should be called again.
async fn call(vm: &Vm, command: &'static str, pod: &str, options: &PodOptions) -> Result<Output, LabError> {
    let deadline = Instant::now() + RETRY_DEADLINE;
    loop {
        let output = vm.exec(&cni(command, pod, options)).await?;
        if output.exit.is_success() {
            return Ok(output);
        }
        match refusal(command, pod, &output) {
            LabError::Cni { code: Some(TRY_AGAIN), .. } if !options.once && Instant::now() < deadline => {
                tokio::time::sleep(RETRY_DELAY).await;
            }
            refused => return Err(refused),
        }
    }
}

async fn add_by_cni(vm: &Vm, pod: &str, options: &PodOptions) -> Result<Pod, LabError> {
    let output = call(vm, "ADD", pod, options).await?;
    let result: Value = serde_json::from_slice(&output.stdout).map_err(|_| refusal("ADD", pod, &output))?;
    let ips = result["ips"].as_array().into_iter().flatten();
    let addresses = ips.filter_map(|ip| ip["address"].as_str()?.parse::<IpNet>().ok()).map(|net| net.addr());
    Ok(Pod { vm: vm.name().clone(), name: pod.to_owned(), addresses: addresses.collect(), result })
}

/// The message of CNI's error object, or whatever the plugin wrote.
fn refusal(command: &'static str, pod: &str, output: &Output) -> LabError {
    let object: Option<Value> = serde_json::from_slice(&output.stdout).ok();
    let told = object.as_ref().and_then(|object| {
        let message = object["msg"].as_str()?;
        let details = object["details"].as_str().filter(|d| !d.is_empty());
        Some(details.map_or(message.to_owned(), |d| format!("{message}: {d}")))
    });
    let code = object.as_ref().and_then(|object| object["code"].as_u64());
    let message = told.unwrap_or_else(|| {
        let text = String::from_utf8_lossy(&output.stderr);
        format!("{} {}", output.text(), text.trim())
    });
    LabError::Cni { command, pod: pod.to_owned(), message, code }
}

/// What the reference `bridge` plugin with `ipMasq` does, in the words of iproute2. The pod's number is the lowest free.
const CLASSIC: &str = r#"
set -e
ip link show cni0 >/dev/null 2>&1 || {
  ip link add cni0 type bridge
  ip addr add 172.30.0.1/16 dev cni0
  ip link set cni0 up
  echo 1 > /proc/sys/net/ipv4/ip_forward
  nft -f - <<END
table ip classic {
  chain postrouting {
    type nat hook postrouting priority srcnat;
    ip saddr 172.30.0.0/16 ip daddr != 172.30.0.0/16 masquerade
  }
}
END
}
n=2
while ip link show "veth$n" >/dev/null 2>&1; do n=$((n+1)); done
ip link add "veth$n" type veth peer name eth0 netns "$POD"
ip link set "veth$n" master cni0 up
ip -n "$POD" addr add "172.30.$((n/256)).$((n%256))/16" dev eth0
ip -n "$POD" link set eth0 up
ip -n "$POD" route add default via 172.30.0.1
echo "172.30.$((n/256)).$((n%256))"
"#;

async fn add_classic(vm: &Vm, pod: &str) -> Result<Pod, LabError> {
    let exec = Exec::shell(CLASSIC).env("POD", pod);
    let output = vm.exec(&exec).await?.success("connect the pod by a bridge")?;
    let addresses = output.text().parse().into_iter().collect();
    Ok(Pod { vm: vm.name().clone(), name: pod.to_owned(), addresses, result: Value::Null })
}
