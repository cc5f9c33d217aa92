//! Layout of the file.

use nestless_model::identity::NetworkName;
use redb::TableDefinition;
use std::net::IpAddr;

/// NIC id to its record in JSON: readable in an emergency, and tolerant of added fields.
pub(super) const NICS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("nics");
/// "network address" to the second since 1970 at which it may be given again.
pub(super) const COOLING: TableDefinition<'_, &str, u64> = TableDefinition::new("cooling");
/// "network address" to its reservation in JSON. Ledgers from before there were any are without.
pub(super) const RESERVED: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("reserved");
/// VM to its guest's last boot id.
pub(super) const BOOTS: TableDefinition<'_, &str, &str> = TableDefinition::new("boots");
/// Counters.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

pub(super) fn address_key(network: &NetworkName, ip: IpAddr) -> String {
    format!("{network} {ip}")
}

pub(super) fn read_address_key(key: &str) -> Option<(NetworkName, IpAddr)> {
    let (network, ip) = key.split_once(' ')?;
    Some((network.parse().ok()?, ip.parse().ok()?))
}
