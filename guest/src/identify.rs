//! Which links are NICs of ours, and which NIC a link is: by the address it was plugged with, never by name.

use nestless_model::identity::Mac;
use nestless_support::netlink::{HardwareAddress, Link};

/// A NIC's alias while it is ours. It outlives a changed address, a crash of ours and a move between namespaces.
const ALIAS_STEM: &str = "nestless nic ";

/// The plug-time address of a NIC of ours; `None` for any other link.
///
/// A virtio NIC tells the address it was born with, which nobody in the guest can change. A veth, which plays a NIC where
/// there is no hypervisor, does not: it is known by its alias, and before it has one by its address.
pub fn plugged_mac(link: &Link) -> Option<Mac> {
    if !matches!(link.kind.as_deref(), None | Some("veth")) || link.loopback {
        return None;
    }
    let ours = |address: HardwareAddress| Mac::new(address.0).ok().filter(|mac| mac.is_nic());
    match link.permanent_mac {
        Some(address) => ours(address),
        None => link.alias.as_deref().and_then(read_alias).or_else(|| link.mac.and_then(ours)),
    }
}

/// What [`plugged_mac`] reads back.
pub fn alias(nic: Mac) -> String {
    format!("{ALIAS_STEM}{nic}")
}

fn read_alias(alias: &str) -> Option<Mac> {
    alias.strip_prefix(ALIAS_STEM)?.parse().ok().filter(|mac: &Mac| mac.is_nic())
}

/// The name a NIC has while it waits: unique, because its plug-time address is.
pub fn parked_name(nic: Mac) -> String {
    let [_, _, a, b, c, d] = nic.bytes();
    format!("nl{a:02x}{b:02x}{c:02x}{d:02x}")
}

pub(crate) fn hardware(mac: Mac) -> HardwareAddress {
    HardwareAddress(mac.bytes())
}

/// The NIC among `links`.
pub(crate) fn find(links: Vec<Link>, nic: Mac) -> Option<Link> {
    links.into_iter().find(|link| plugged_mac(link) == Some(nic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_reads_back() {
        let nic: Mac = "4e:4c:00:01:00:05".parse().unwrap();
        assert_eq!(read_alias(&alias(nic)), Some(nic));
        assert_eq!(read_alias("nestless nic 02:00:00:00:00:01"), None);
        assert_eq!(parked_name(nic), "nl00010005");
    }
}
