//! Pods, without a container runtime: a network namespace in a VM, and the CNI calls that connect it.

use crate::{
    cni::Plugin,
    error::LabError,
    guest::{Exec, Output},
    lab::Lab,
    vm::Vm,
};
use ipnet::IpNet;
use nestless_model::identity::VmName;
use serde_json::{Map, Value, json};
use std::net::IpAddr;

/// What a pod's eth0 is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PodNetwork {
    /// By nestless-cni: a NIC of its own.
    #[default]
    Nestless,
    /// As usual: a veth, a bridge and NAT inside the VM. Needs `ip` and `nft` in the VM.
    Classic,
    /// There is none.
    None,
}

/// The part that a pod is of a split one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fraction {
    /// The split pod: all of one group share 127.0.0.1 and ::1.
    pub group: String,
    /// Its own name in the group.
    pub name: String,
    /// The most fractions that the group will have, where that is said: the same for all of them.
    pub size: Option<u32>,
}

/// What a pod is to be.
#[derive(Clone, Debug, Default)]
pub struct PodOptions {
    /// How it is connected.
    pub network: PodNetwork,
    /// Keys added to the configuration of the plugin that makes its eth0, `runtimeConfig` among them.
    pub config: Map<String, Value>,
    /// By nestless-cni, behind what makes its eth0: the endpoint of a localhost that it shares.
    pub fraction: Option<Fraction>,
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

    /// A fraction of a split pod, with the endpoint of its localhost, and nothing else.
    pub fn fraction(group: &str, name: &str) -> Self {
        let fraction = Fraction { group: group.to_owned(), name: name.to_owned(), size: None };
        Self { network: PodNetwork::None, fraction: Some(fraction), ..Self::default() }
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
    /// What the last plugin answered; null where none was called.
    pub result: Value,
}

impl Pod {
    /// Its IPv4 address.
    ///
    /// # Errors
    /// When it has none.
    pub fn ipv4(&self) -> Result<IpAddr, LabError> {
        let found = self.addresses.iter().copied().find(IpAddr::is_ipv4);
        found.ok_or_else(|| LabError::NoAddress { what: format!("pod {} of {}", self.name, self.vm) })
    }
}

impl Lab {
    /// Makes a pod. When it cannot be connected, nothing of it is left.
    ///
    /// # Errors
    /// When there is one of that name, which is left as it is; when the VM or the plugin refuses.
    pub async fn pod_add(&self, vm: &str, pod: &str, options: PodOptions) -> Result<Pod, LabError> {
        let vm = self.vm(vm)?;
        // The VM tells who made it, so that of two callers at once only one goes on.
        if !vm.client().await?.add_namespace(pod).await? {
            let (lab, vm) = (self.name().clone(), vm.name().clone());
            return Err(LabError::PodExists { lab, vm, pod: pod.to_owned() });
        }
        let connected = connect(vm, pod, &options).await;
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

    /// Runs a program in a pod, to its end.
    ///
    /// # Errors
    /// As [`Lab::exec`].
    pub async fn pod_exec(&self, vm: impl AsRef<str>, pod: &str, exec: Exec) -> Result<Output, LabError> {
        self.exec(vm.as_ref(), &exec.in_pod(pod)).await
    }

    /// Disconnects a pod, takes it out of its loopback group if it is in one, and removes it.
    ///
    /// # Errors
    /// When there is none; when the VM or the plugin refuses, and the pod is still there then.
    pub async fn pod_del(&self, vm: &str, pod: &str, options: PodOptions) -> Result<(), LabError> {
        let vm = self.vm(vm)?;
        let client = vm.client().await?;
        if !client.namespaces().await?.iter().any(|known| known == pod) {
            let (lab, vm) = (self.name().clone(), vm.name().clone());
            return Err(LabError::NoPod { lab, vm, pod: pod.to_owned() });
        }
        // A classic pod's veth goes with the namespace.
        if options.network != PodNetwork::Classic {
            let plugin = plugin(vm, pod, &options);
            // The plugin knows by itself which group it was, and whether it was in one.
            plugin.del(&loopback(None, Value::Null)).await?;
            plugin.del(&options.config).await?;
        }
        Ok(client.remove_namespace(pod).await?)
    }

    /// The pods of a VM, by name.
    ///
    /// # Errors
    /// When the VM does not answer.
    pub async fn pods(&self, vm: &str) -> Result<Vec<String>, LabError> {
        Ok(self.vm(vm)?.client().await?.namespaces().await?)
    }
}

fn plugin<'a>(vm: &'a Vm, pod: &'a str, options: &'a PodOptions) -> Plugin<'a> {
    Plugin { vm, pod, args: &options.args, once: options.once }
}

/// Gives a new pod its eth0, and then its localhost.
async fn connect(vm: &Vm, pod: &str, options: &PodOptions) -> Result<Pod, LabError> {
    let plugin = plugin(vm, pod, options);
    let (addresses, result) = match options.network {
        PodNetwork::Nestless => {
            let result = plugin.add(&options.config).await?;
            (addresses(&result), result)
        }
        PodNetwork::Classic => (add_classic(vm, pod).await?, Value::Null),
        PodNetwork::None => (Vec::new(), Value::Null),
    };
    let mut made = Pod { vm: vm.name().clone(), name: pod.to_owned(), addresses, result };
    let Some(fraction) = &options.fraction else { return Ok(made) };
    match plugin.add(&loopback(Some(fraction), made.result.clone())).await {
        Ok(result) => {
            made.result = result;
            Ok(made)
        }
        Err(error) => {
            if options.network == PodNetwork::Nestless
                && let Err(left) = plugin.del(&options.config).await
            {
                tracing::warn!(error = &left as &dyn std::error::Error, pod, "disconnect a failed pod");
            }
            Err(error)
        }
    }
}

fn addresses(result: &Value) -> Vec<IpAddr> {
    let ips = result["ips"].as_array().into_iter().flatten();
    ips.filter_map(|ip| ip["address"].as_str()?.parse::<IpNet>().ok()).map(|net| net.addr()).collect()
}

/// What the plugin is told where it stands behind another one, which gave `previous`, or where there is none before it.
fn loopback(fraction: Option<&Fraction>, previous: Value) -> Map<String, Value> {
    let mut keys = Map::new();
    keys.insert("mode".to_owned(), "loopback".into());
    if let Some(Fraction { group, name, size }) = fraction {
        let mut wish = json!({"group": group, "fraction": name});
        if let Some(size) = size {
            wish["size"] = json!(size);
        }
        keys.insert("loopback".to_owned(), wish);
    }
    if !previous.is_null() {
        keys.insert("prevResult".to_owned(), previous);
    }
    keys
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

async fn add_classic(vm: &Vm, pod: &str) -> Result<Vec<IpAddr>, LabError> {
    let exec = Exec::shell(CLASSIC).env("POD", pod);
    let output = vm.exec(&exec).await?.success("connect the pod by a bridge")?;
    Ok(output.text().parse().into_iter().collect())
}
