//! The CNI plugins that are compared, and one call of each.

use anyhow::Context as _;
use ipnet::IpNet;
use nestless_lab::{Exec, Vm, Vmm};
use nestless_model::{
    identity::{LinkName, Mtu, NetworkName},
    network::{Network, Subnet, Uplink},
};
use serde_json::json;
use std::time::Duration;

const COLD: &str = "cold";

/// What connects a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plugin {
    /// nestless-cni, by a spare NIC.
    Warm,
    /// nestless-cni, on a network that has no spare NICs.
    Cold,
    /// The CNI project's `bridge`, with `host-local`: a veth and a bridge in the guest. Without its NAT, which would
    /// make it slower.
    Reference,
}

/// A network whose NICs are never spare, for [`Plugin::Cold`].
pub fn cold_network() -> Network {
    let prefix: IpNet = ipnet::Ipv4Net::new_assert([10, 89, 0, 0].into(), 16).into();
    Network {
        name: NetworkName::new(COLD).expect("four letters are a network name"),
        bridge: LinkName::new("nestless1").expect("nine letters and digits are a link name"),
        uplink: Uplink::None,
        mtu: Mtu::default(),
        subnets: vec![Subnet { prefix, gateway: None, first: None, last: None, exclude: Vec::new() }],
        cool_down_s: 1,
        may_overlap: Vec::new(),
        dns: Vec::new(),
        macs: Vec::new(),
    }
}

impl Plugin {
    /// Its name among the results.
    pub fn side(self) -> &'static str {
        match self {
            Self::Warm => "warm",
            Self::Cold => COLD,
            Self::Reference => "reference",
        }
    }

    /// The call `command` (ADD, DEL) for `pod`, whose namespace is there.
    pub(super) fn call(self, vmm: Vmm, command: &str, pod: &str) -> Exec {
        let directory = match vmm {
            Vmm::Qemu => "/opt/cni/bin",
            Vmm::Namespace => "/usr/lib/cni",
        };
        let (program, config) = match self {
            Self::Warm | Self::Cold => {
                let network = if self == Self::Warm { "pods" } else { COLD };
                let config = json!({
                    "cniVersion": "1.0.0", "name": network, "type": "nestless-cni",
                    "network": network, "agentSocket": "/run/nestless/agent.sock",
                });
                ("nestless-cni".to_owned(), config)
            }
            Self::Reference => {
                let config = json!({
                    "cniVersion": "1.0.0", "name": "reference", "type": "bridge", "bridge": "cni0", "isGateway": true,
                    "ipam": {
                        "type": "host-local", "ranges": [[{ "subnet": "172.31.0.0/16" }]],
                        "routes": [{ "dst": "0.0.0.0/0" }], "dataDir": "/run/reference-cni",
                    },
                });
                (format!("{directory}/bridge"), config)
            }
        };
        Exec::new([program])
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", pod)
            .env("CNI_NETNS", format!("/run/netns/{pod}"))
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", directory)
            .stdin(config.to_string())
    }

    /// Connects one pod, disconnects it, and tells how long both took, in milliseconds.
    pub(super) async fn add_and_del(self, vm: &Vm, vmm: Vmm) -> anyhow::Result<(f64, f64)> {
        let pod = format!("{}-pod", self.side());
        let client = vm.client().await?;
        client.add_namespace(&pod).await?;
        let add = calls(vm, &[self.call(vmm, "ADD", &pod)]).await?;
        let del = calls(vm, &[self.call(vmm, "DEL", &pod)]).await?;
        client.remove_namespace(&pod).await?;
        Ok((milliseconds(add), milliseconds(del)))
    }
}

/// Makes all calls at once; the time from the first one's start to the last one's end.
pub(super) async fn calls(vm: &Vm, execs: &[Exec]) -> anyhow::Result<Duration> {
    let runs = vm.client().await?.measure(execs).await?;
    for (run, exec) in runs.iter().zip(execs) {
        run.output.clone().success(exec.line())?;
    }
    let began = runs.iter().map(|run| run.began).min().context("a measurement of nothing")?;
    let ended = runs.iter().map(|run| run.ended).max().context("a measurement of nothing")?;
    Ok(ended.saturating_sub(began))
}

pub(super) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
