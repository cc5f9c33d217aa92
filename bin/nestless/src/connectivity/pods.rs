//! The two pods, and what of them must be removed.

use crate::cni_plugin::Plugin;
use anyhow::Context as _;
use ipnet::IpNet;
use nestless_support::netns::Namespace;
use serde_json::{Map, Value, json};
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

const NAMESPACES: &str = "/run/netns";
const INTERFACE: &str = "eth0";
const ENDPOINT: &str = "hostlo0";

/// A pod that has its interface.
pub(super) struct Pod {
    pub(super) namespace: Namespace,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) gateways: Vec<IpAddr>,
    name: String,
    result: Value,
}

/// All pods of one test.
pub(super) struct Pods {
    plugin: Plugin,
    network: Option<String>,
    agent_socket: PathBuf,
    /// Names of those that may be there in part.
    begun: Vec<String>,
}

impl Pods {
    pub(super) fn new(plugin: Plugin, network: Option<String>, agent_socket: PathBuf) -> Self {
        Self { plugin, network, agent_socket, begun: Vec::new() }
    }

    /// Makes one; `map` leads a port of the VM to one of its own.
    pub(super) async fn add(&mut self, number: u8, map: Option<PortMapping>) -> anyhow::Result<Pod> {
        let name = format!("nestless-test-{}-{number}", std::process::id());
        if !self.begun.contains(&name) {
            self.begun.push(name.clone());
        }
        let path = path(&name);
        let namespace = Namespace::open_or_create(&path)?;
        set_up_lo(&namespace).await?;
        let mut configuration = self.configuration();
        if let Some(PortMapping { host, container }) = map {
            let mapping =
                |protocol: &str| json!({"hostPort": host, "containerPort": container, "protocol": protocol});
            configuration["runtimeConfig"] = json!({"portMappings": [mapping("tcp"), mapping("udp")]});
        }
        let result = self.call("ADD", &name, INTERFACE, &configuration).await?;
        let ips = result["ips"].as_array().cloned().unwrap_or_default();
        let text = |ip: &Value, key: &str| ip[key].as_str().map(str::to_owned);
        let addresses = ips.iter().filter_map(|ip| text(ip, "address")?.parse::<IpNet>().ok());
        Ok(Pod {
            namespace,
            addresses: addresses.map(|address| address.addr()).collect(),
            gateways: ips.iter().filter_map(|ip| text(ip, "gateway")?.parse().ok()).collect(),
            name,
            result,
        })
    }

    /// Makes pods fractions of one split pod.
    pub(super) async fn split(&self, pods: [&Pod; 2]) -> anyhow::Result<()> {
        let group = format!("nestless-test-{}", std::process::id());
        for (fraction, pod) in ["a", "b"].into_iter().zip(pods) {
            let mut configuration = self.configuration();
            configuration["mode"] = "loopback".into();
            configuration["loopback"] = json!({"group": group, "fraction": fraction, "size": 2});
            configuration["prevResult"] = pod.result.clone();
            self.call("ADD", &pod.name, ENDPOINT, &configuration).await?;
        }
        Ok(())
    }

    /// Removes whatever there is of them; a sentence for each thing that is left.
    pub(super) async fn remove(&self) -> Vec<String> {
        let mut left = Vec::new();
        for name in &self.begun {
            let mut split = self.configuration();
            split["mode"] = "loopback".into();
            for (interface, configuration) in [(ENDPOINT, split), (INTERFACE, self.configuration())] {
                if let Err(error) = self.call("DEL", name, interface, &configuration).await {
                    left.push(format!("{name}: {error:#}"));
                }
            }
            if let Err(error) = Namespace::delete(path(name)) {
                left.push(format!("{:#}", anyhow::Error::new(error)));
            }
        }
        left
    }

    fn configuration(&self) -> Value {
        let mut keys = Map::new();
        keys.insert("cniVersion".into(), "1.0.0".into());
        keys.insert("name".into(), "nestless-test".into());
        keys.insert("type".into(), "nestless-cni".into());
        keys.insert("agentSocket".into(), self.agent_socket.display().to_string().into());
        keys.extend(self.network.as_ref().map(|network| ("network".to_owned(), network.as_str().into())));
        keys.into()
    }

    async fn call(
        &self,
        command: &str,
        name: &str,
        interface: &str,
        configuration: &Value,
    ) -> anyhow::Result<Value> {
        let path = path(name).display().to_string();
        let variables = [
            ("CNI_CONTAINERID", name),
            ("CNI_IFNAME", interface),
            ("CNI_NETNS", path.as_str()),
            ("CNI_PATH", "/opt/cni/bin"),
        ];
        self.plugin.call(command, configuration, &variables).await
    }
}

/// Of the VM and of the pod.
#[derive(Clone, Copy)]
pub(super) struct PortMapping {
    pub(super) host: u16,
    pub(super) container: u16,
}

impl PortMapping {
    /// To `container`, from a port of this VM that nobody listens on.
    pub(super) fn free(container: u16) -> anyhow::Result<Self> {
        let any = SocketAddr::from(([0, 0, 0, 0], 0));
        let listener = std::net::TcpListener::bind(any).context("find a free port of the VM")?;
        Ok(Self { host: listener.local_addr()?.port(), container })
    }
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(NAMESPACES).join(name)
}

async fn set_up_lo(namespace: &Namespace) -> anyhow::Result<()> {
    let netlink = nestless_support::netlink::Netlink::inside(namespace).await?;
    netlink.set_up(&netlink.link("lo").await?).await?;
    Ok(())
}
