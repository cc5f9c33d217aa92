//! The network configuration, key by key.

use super::{CniError, CniResult, Dns, Mode, RuntimeConfig, Version, keys, node::Node};
use crate::{
    identity::{AttachmentId, ContainerId, InterfaceName, NetworkName},
    refusal::Reason,
};
use serde_json::Value;
use std::path::PathBuf;

/// Where the agent listens unless the configuration says otherwise.
pub const DEFAULT_AGENT_SOCKET: &str = "/run/nestless/agent.sock";

/// A plugin's configuration, as the runtime completes it for one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkConf {
    /// `cniVersion`: answers are given in it.
    pub version: Version,
    /// `name`: the configuration's own name, which GC goes by.
    pub name: NetworkName,
    /// `mode`
    pub mode: Mode,
    /// `network`: the pod network on the host; `None`: the VM's default.
    pub network: Option<NetworkName>,
    /// `agentSocket`
    pub agent_socket: PathBuf,
    /// `dns`
    pub dns: Dns,
    /// `runtimeConfig`
    pub runtime: RuntimeConfig,
    /// `prevResult`
    pub prev_result: Option<CniResult>,
}

/// How much of a configuration a command needs. DEL must succeed with the little that identifies the attachment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Everything.
    Whole,
    /// Only what says where the agent is and what the network is called.
    Identity,
}

impl NetworkConf {
    pub(super) fn parse(value: &Value, depth: Depth) -> Result<Self, CniError> {
        let node = Node::root(value);
        let version =
            Version::parse(node.need("cniVersion", "a version such as \"1.1.0\"")?.text("a string")?)?;
        let name = node.need("name", "the network configuration's name")?;
        let name =
            name.parse("1 to 63 letters, digits, '.', '_' or '-', beginning with a letter or digit")?;
        let network = match node.get("network")?.filter(|network| network.value() != "") {
            Some(network) => Some(network.parse("the name of a network in nestlessd's configuration")?),
            None => None,
        };
        let agent_socket = parse_agent_socket(&node)?;
        let mut conf = Self {
            version,
            name,
            mode: Mode::parse(&node)?,
            network,
            agent_socket,
            dns: Dns::default(),
            runtime: RuntimeConfig::default(),
            prev_result: None,
        };
        if depth == Depth::Whole {
            conf.parse_rest(&node)?;
        }
        Ok(conf)
    }

    fn parse_rest(&mut self, node: &Node<'_>) -> Result<(), CniError> {
        keys::check(node)?;
        if let Some(kind) = node.get("ipam")?.map(|ipam| ipam.get("type")).transpose()?.flatten() {
            return Err(
                kind.unsupported("addresses are given by the host's network, so \"ipam\" must be left out")
            );
        }
        if let Some(dns) = node.get("dns")? {
            self.dns = Dns::parse(&dns)?;
        }
        if let Some(runtime) = node.get("runtimeConfig")? {
            self.runtime = RuntimeConfig::parse(&runtime)?;
        }
        if let Some(previous) = node.get("prevResult")? {
            self.prev_result = Some(CniResult::parse(&previous)?);
        }
        Ok(())
    }

    /// What GC is to keep.
    pub(super) fn valid_attachments(&self, value: &Value) -> Result<Vec<AttachmentId>, CniError> {
        let expected = "a list of {\"containerID\": ..., \"ifname\": ...}";
        // Taking an absent list for an empty one would end every pod of the network.
        let items = Node::root(value).need("cni.dev/valid-attachments", expected)?.items(expected)?;
        items.iter().map(|item| Ok(self.attachment(parse_attachment(item)?))).collect()
    }

    /// The attachment that a call for this one is about.
    pub(super) fn attachment(&self, called_for: AttachmentId) -> AttachmentId {
        match self.mode {
            Mode::Pod => called_for,
            Mode::Loopback => AttachmentId::of_endpoint(called_for.container),
        }
    }
}

fn parse_attachment(item: &Node<'_>) -> Result<AttachmentId, CniError> {
    let container: ContainerId = item.need("containerID", "a container id")?.parse("a container id")?;
    let interface: InterfaceName = item.need("ifname", "an interface name")?.parse("an interface name")?;
    Ok(AttachmentId { container, interface })
}

fn parse_agent_socket(node: &Node<'_>) -> Result<PathBuf, CniError> {
    let Some(socket) = node.get("agentSocket")? else { return Ok(PathBuf::from(DEFAULT_AGENT_SOCKET)) };
    let expected = "an absolute path of at most 107 bytes";
    let path = socket.text(expected)?;
    // sun_path in <linux/un.h> holds 108 bytes, the last of them a zero.
    let usable = path.starts_with('/') && path.len() <= 107 && !path.contains('\0');
    if usable { Ok(PathBuf::from(path)) } else { Err(socket.wrong(expected)) }
}

/// Decodes standard input.
pub(super) fn decode(text: &str) -> Result<Value, CniError> {
    serde_json::from_str(text).map_err(|e| {
        CniError::new(Reason::Decode, format!("the network configuration on standard input is not JSON: {e}"))
    })
}
