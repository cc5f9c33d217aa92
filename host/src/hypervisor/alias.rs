//! What tells whose a host end is, for people and after a restart.

use nestless_model::identity::{NicId, VmName};
use nestless_support::netlink::Link;

/// What people read on a host end, and what a back end finds its own links by after a restart.
pub fn link_alias(vm: &VmName, nic: NicId) -> String {
    format!("nestless vm={vm} nic={:x}", nic.0)
}

/// The VM whose NIC a link of the host's is the end of.
pub fn vm_of_link(link: &Link) -> Option<VmName> {
    let nic = NicId::from_link_name(&link.name)?;
    let vm =
        link.alias.as_deref()?.strip_prefix("nestless vm=")?.strip_suffix(&format!(" nic={:x}", nic.0))?;
    VmName::new(vm).ok()
}

/// The NIC that a link of the host's is the end of, if it is this VM's.
pub(super) fn nic_of(vm: &VmName, link: &Link) -> Option<NicId> {
    let nic = NicId::from_link_name(&link.name)?;
    (link.alias.as_deref() == Some(&link_alias(vm, nic))).then_some(nic)
}
