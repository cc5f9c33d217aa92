//! Connections that began before the rules changed, and would go on as they began.

use nestless_model::port_mapping::{Flow, Occasion, PortMapping, Protocol, goes_astray};
use nestless_support::conntrack::{self, Connection, TCP, UDP};
use std::{collections::BTreeSet, io, net::IpAddr};

/// Has the kernel forget those that would go astray. A VM whose kernel does not tell what it remembers keeps them: told, and no
/// failure, for the rules are right.
pub(super) fn forget(pod: &[IpAddr], mappings: &[PortMapping], occasion: Occasion) {
    let concerns = occasion == Occasion::Ended || mappings.iter().any(|m| m.protocol == Protocol::Udp);
    if pod.is_empty() || !concerns {
        return;
    }
    match forget_some(pod, mappings, occasion) {
        Ok(0) => {}
        Ok(count) => tracing::debug!(count, "connections of mapped ports were cut, to begin anew"),
        Err(error) => tracing::warn!(%error, "connections of mapped ports that began earlier may go astray"),
    }
}

fn forget_some(pod: &[IpAddr], mappings: &[PortMapping], occasion: Occasion) -> io::Result<usize> {
    let own = own_addresses()?;
    let mut count = 0;
    for connection in conntrack::list()? {
        let Some(flow) = flow(&connection) else { continue };
        if goes_astray(&flow, pod, mappings, occasion, |address| own.contains(&address))
            && conntrack::forget(&connection)?
        {
            count += 1;
        }
    }
    Ok(count)
}

fn flow(connection: &Connection) -> Option<Flow> {
    let protocol = match connection.protocol {
        TCP => Protocol::Tcp,
        UDP => Protocol::Udp,
        _ => return None,
    };
    Some(Flow { protocol, asked: connection.asked, answering: connection.answering })
}

fn own_addresses() -> io::Result<BTreeSet<IpAddr>> {
    let all = nix::ifaddrs::getifaddrs()?;
    let ip = |entry: nix::ifaddrs::InterfaceAddress| {
        let address = entry.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::from(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::from(v6.ip())))
    };
    Ok(all.filter_map(ip).collect())
}
