//! Published ports of a classic pod.

use crate::{error::LabError, guest::Exec, lab::Lab, pod::Pod};
use std::net::IpAddr;

/// What the reference `portmap` plugin does for a pod's ports, in the words of nft.
const MAP: &str = r#"
nft -f - <<END
table ip classic {
  chain prerouting {
    type nat hook prerouting priority dstnat;
    ip daddr $OUTER tcp dport { $PORTS } dnat to $INNER
    ip daddr $OUTER udp dport { $PORTS } dnat to $INNER
  }
}
END
"#;

impl Lab {
    /// Publishes ports of a classic pod on its VM's own address, which is returned; `ports` as nft writes a set:
    /// "80, 5201-5203".
    ///
    /// # Errors
    /// When the VM refuses.
    pub async fn publish_ports(&self, pod: &Pod, ports: &str) -> Result<IpAddr, LabError> {
        let (vm, inner) = (self.vm(pod.vm.as_str())?, pod.ipv4()?);
        let outer = vm.ipv4()?;
        let exec = Exec::shell(MAP).env("OUTER", outer.to_string()).env("INNER", inner.to_string());
        vm.runs("publish a pod's ports", &exec.env("PORTS", ports)).await?;
        Ok(outer)
    }
}
