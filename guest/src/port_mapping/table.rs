//! The table `inet nestless`, changed for one attachment at a time.

use super::{
    error::PortMappingError,
    flows, nft,
    obstacles::obstacles,
    ruleset::{self, Key},
    wholeness::{Mapped, missing, targets},
};
use nestless_model::{identity::AttachmentId, port_mapping::Occasion};
use nestless_support::sysctl;
use serde_json::Value;
use std::{collections::BTreeSet, net::IpAddr};

/// Makes the mappings lead to the addresses, instead of what this attachment had before. Whoever spoke to such a port of UDP's
/// before speaks to the pod from now on. Blocks while `nft` runs; works on the calling thread's namespace.
///
/// # Errors
/// When `nft` is missing or refuses; the mappings are then as they were.
pub fn set(mapped: &Mapped) -> Result<(), PortMappingError> {
    let Mapped { attachment, addresses, mappings } = mapped;
    enable_forwarding(addresses)?;
    let key = Key::of(attachment);
    let listing = list()?;
    let mut commands = ruleset::base();
    commands.extend(ruleset::removal(&listing, |found| *found == key));
    commands.extend(ruleset::addition(&key, attachment, addresses, mappings));
    apply(commands)?;
    let before = targets(&listing, |found| *found == key);
    let left: Vec<IpAddr> = before.into_iter().filter(|address| !addresses.contains(address)).collect();
    flows::forget(&left, &[], Occasion::Ended);
    flows::forget(addresses, mappings, Occasion::Begun);
    Ok(())
}

/// What keeps the mappings from working, in sentences: rules that somebody took away, and what in the VM drops what it should
/// forward.
///
/// # Errors
/// When `nft` refuses.
pub fn check(mapped: &Mapped) -> Result<Vec<String>, PortMappingError> {
    let mut faults = missing(&list()?, mapped);
    faults.extend(obstacles());
    Ok(faults)
}

/// Those of which something is missing.
///
/// # Errors
/// When `nft` refuses.
pub fn damaged(all: &[Mapped]) -> Result<Vec<AttachmentId>, PortMappingError> {
    let listing = list()?;
    let damaged = all.iter().filter(|mapped| !missing(&listing, mapped).is_empty());
    Ok(damaged.map(|mapped| mapped.attachment.clone()).collect())
}

/// Removes the mappings of this attachment, and cuts the connections that they led; succeeds when it has none.
///
/// # Errors
/// When `nft` refuses.
pub fn remove(attachment: &AttachmentId) -> Result<(), PortMappingError> {
    let key = Key::of(attachment);
    remove_where(|found| *found == key)
}

/// Removes the mappings of all attachments but these: what is left of pods that died while no agent ran.
///
/// # Errors
/// When `nft` refuses.
pub fn retain<'a>(living: impl IntoIterator<Item = &'a AttachmentId>) -> Result<(), PortMappingError> {
    let living: BTreeSet<Key> = living.into_iter().map(Key::of).collect();
    remove_where(|found| !living.contains(found))
}

fn remove_where(dead: impl Fn(&Key) -> bool) -> Result<(), PortMappingError> {
    // Without `nft` nothing can have been mapped.
    let listing = match list() {
        Err(PortMappingError::Missing { .. }) => return Ok(()),
        listing => listing?,
    };
    let commands = ruleset::removal(&listing, &dead);
    if commands.is_empty() {
        return Ok(());
    }
    apply(commands)?;
    flows::forget(&targets(&listing, dead), &[], Occasion::Ended);
    Ok(())
}

/// Mapped connections are forwarded. IPv6 is left to the operator: switching it on makes the VM deaf to router
/// advertisements, which may be what it has its own default route from.
fn enable_forwarding(addresses: &[IpAddr]) -> Result<(), PortMappingError> {
    let forwards = |key| sysctl::read(key).is_ok_and(|value| value == "1");
    if addresses.iter().any(IpAddr::is_ipv4) && !forwards("net/ipv4/ip_forward") {
        sysctl::write("net/ipv4/ip_forward", "1")
            .map_err(|source| PortMappingError::Forwarding { source })?;
    }
    if addresses.iter().any(IpAddr::is_ipv6) && !forwards("net/ipv6/conf/all/forwarding") {
        tracing::warn!("IPv6 port mappings do not work until net.ipv6.conf.all.forwarding is 1 in this VM");
    }
    Ok(())
}

fn list() -> Result<Value, PortMappingError> {
    serde_json::from_slice(&nft::list()?).map_err(|source| PortMappingError::Listing { source })
}

fn apply(commands: Vec<Value>) -> Result<(), PortMappingError> {
    nft::apply(serde_json::json!({ "nftables": commands }).to_string().as_bytes())
}
