//! One attachment.

use nestless_guest::{home::Home, port_mapping::Mapped, sandbox_watch::SandboxNumber};
use nestless_model::{
    identity::{AttachmentId, InterfaceName, Mac, NetworkName},
    port_mapping::PortMapping,
};
use nestless_support::netns::Namespace;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// The host may have been asked. What an agent that died leaves so is taken back.
    Attaching,
    /// Somebody has it.
    InUse,
    /// The NIC is parked; the host is to hear of it.
    Detaching,
}

/// What must be known to take it back. Agents of other versions read it: fields are added, with a default, and none dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) attachment: AttachmentId,
    pub(crate) phase: Phase,
    /// The front's name for all that it asked for together; `None` when only the host's list told of it.
    pub(crate) conf: Option<NetworkName>,
    /// The sandbox's path, as the front's caller said it.
    pub(crate) sandbox: Option<String>,
    /// Plug-time address; `None` until the host has answered.
    pub(crate) nic: Option<Mac>,
    /// Ports of the VM lead to it.
    #[serde(default)]
    pub(crate) mapped: bool,
    /// Which ports, so that they can be put back; none in records of versions that did not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) ports: Vec<PortMapping>,
    /// Where they lead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) addresses: Vec<IpAddr>,
    /// Its name in the VM's own namespace, where it was lent from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lent: Option<InterfaceName>,
    /// Counts only in the agent that gave it.
    #[serde(skip)]
    pub(crate) number: Option<SandboxNumber>,
}

impl Record {
    pub(crate) fn new(attachment: AttachmentId, phase: Phase) -> Self {
        Self {
            attachment,
            phase,
            conf: None,
            sandbox: None,
            nic: None,
            mapped: false,
            ports: Vec::new(),
            addresses: Vec::new(),
            lent: None,
            number: None,
        }
    }

    /// One that begins.
    pub(crate) fn at_home(attachment: AttachmentId, home: &Home) -> Self {
        let (sandbox, lent) = match home {
            Home::Sandbox(sandbox) => (Some(sandbox.origin().display().to_string()), None),
            Home::Vm(name) => (None, Some(name.clone())),
        };
        Self { sandbox, lent, ..Self::new(attachment, Phase::Attaching) }
    }

    /// Its ports, if any lead to it.
    pub(crate) fn mapped(&self) -> Option<Mapped> {
        (!self.ports.is_empty()).then(|| Mapped {
            attachment: self.attachment.clone(),
            addresses: self.addresses.clone(),
            mappings: self.ports.clone(),
        })
    }

    /// Where its NIC should be; `None` for a sandbox that is gone.
    pub(crate) fn home(&self) -> Option<Home> {
        match (&self.lent, &self.sandbox) {
            (Some(name), _) => Some(Home::Vm(name.clone())),
            (None, Some(path)) => Namespace::open(path).ok().map(Home::Sandbox),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Word for word what revision c3aba4d keeps of a pod's interface, and of one that the host's list told of.
    const EARLIER: [&str; 2] = [
        r#"{
  "attachment": {
    "container": "a",
    "interface": "eth0"
  },
  "phase": "InUse",
  "conf": "pods",
  "sandbox": "/run/netns/a",
  "nic": "4e:4c:00:01:00:05",
  "mapped": true
}"#,
        r#"{
  "attachment": {
    "container": "b",
    "interface": "hostlo0"
  },
  "phase": "Detaching",
  "conf": null,
  "sandbox": null,
  "nic": null,
  "mapped": false
}"#,
    ];

    #[test]
    fn an_earlier_version_s_records_are_read_and_written_as_they_were() {
        for text in EARLIER {
            let record: Record = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string_pretty(&record).unwrap(), text);
        }
        let pod: Record = serde_json::from_str(EARLIER[0]).unwrap();
        assert_eq!((pod.attachment.to_string().as_str(), pod.phase), ("a/eth0", Phase::InUse));
        assert_eq!(pod.nic.unwrap().to_string(), "4e:4c:00:01:00:05");
        assert!(pod.mapped && pod.lent.is_none());
    }

    /// Versions before ports were mapped had no such field.
    #[test]
    fn a_record_without_later_fields_is_read() {
        let text = EARLIER[1].replace(",\n  \"mapped\": false", "");
        assert_eq!(
            serde_json::from_str::<Record>(&text).unwrap(),
            serde_json::from_str::<Record>(EARLIER[1]).unwrap()
        );
    }
}
