//! Tells the link who has an address now: gratuitous ARP (RFC 5227, section 3) and unsolicited neighbour advertisement
//! (RFC 4861, section 7.2.6). Without it neighbours go on sending to the pod that had the address before.
#![expect(unsafe_code, reason = "the address of a packet socket has no safe constructor")]

use crate::identify::hardware;
use ipnet::IpNet;
use nestless_model::identity::Mac;
use nestless_support::{
    netlink::{Netlink, NetlinkError},
    netns::Namespace,
};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    time::Duration,
};

/// Between the first announcement and the second (RFC 5227, section 1.1: ANNOUNCE_NUM, ANNOUNCE_INTERVAL). The bridge may
/// not forward yet when the first one comes.
const INTERVAL: Duration = Duration::from_secs(2);

/// Announces every address on the link of number `link` in `sandbox`: now, and what of it is still true once more in a
/// task. A failure is only logged: neighbours then learn it from the pod's first packet.
pub async fn announce(sandbox: &Namespace, link: u32, mac: Mac, addresses: &[IpNet]) {
    let socket = match sandbox.run(open).await.map_err(io::Error::other).flatten() {
        Ok(socket) => socket,
        Err(error) => return tracing::debug!(%error, "addresses were not announced"),
    };
    if let Err(error) = send(&socket, link, mac, addresses) {
        tracing::debug!(%error, "addresses were not announced; another attempt follows");
    }
    let (sandbox, addresses) = (sandbox.clone(), addresses.to_vec());
    tokio::spawn(async move {
        tokio::time::sleep(INTERVAL).await;
        // The NIC may have left meanwhile, and even be back for another pod: nothing may claim what it has no more.
        match still_there(&sandbox, link, mac, &addresses).await {
            Ok(addresses) => drop(send(&socket, link, mac, &addresses)),
            Err(error) => tracing::debug!(%error, "addresses were not announced again"),
        }
    });
}

async fn still_there(
    sandbox: &Namespace,
    link: u32,
    mac: Mac,
    addresses: &[IpNet],
) -> Result<Vec<IpNet>, NetlinkError> {
    let inside = Netlink::inside(sandbox).await?;
    let link = inside.link_by_index(link).await?;
    if link.mac != Some(hardware(mac)) {
        return Ok(Vec::new());
    }
    let present = inside.addresses_of(&link).await?;
    let is_present = |address: &IpNet| present.iter().any(|own| own.address.addr() == address.addr());
    Ok(addresses.iter().copied().filter(is_present).collect())
}

/// The frame that announces one address.
pub fn frame(mac: Mac, address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => gratuitous_arp(mac, address),
        IpAddr::V6(address) => neighbour_advertisement(mac, address),
    }
}

fn gratuitous_arp(mac: Mac, address: Ipv4Addr) -> Vec<u8> {
    let mac = mac.bytes();
    let mut frame = Vec::with_capacity(42);
    frame.extend([0xff; 6]);
    frame.extend(mac);
    frame.extend([0x08, 0x06]);
    // Ethernet, IPv4, 6 and 4 bytes, request: RFC 5227 announces by request.
    frame.extend([0, 1, 0x08, 0x00, 6, 4, 0, 1]);
    frame.extend(mac);
    frame.extend(address.octets());
    frame.extend([0; 6]);
    frame.extend(address.octets());
    frame
}

fn neighbour_advertisement(mac: Mac, address: Ipv6Addr) -> Vec<u8> {
    let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let mut message = vec![136, 0, 0, 0];
    // Override: what neighbours have learnt is to be replaced.
    message.extend([0x20, 0, 0, 0]);
    message.extend(address.octets());
    // Target link-layer address, one unit of eight bytes.
    message.extend([2, 1]);
    message.extend(mac.bytes());
    let checksum = icmpv6_checksum(address, all_nodes, &message);
    message[2..4].copy_from_slice(&checksum.to_be_bytes());

    let mut frame = Vec::with_capacity(86);
    frame.extend([0x33, 0x33, 0, 0, 0, 1]);
    frame.extend(mac.bytes());
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
    frame.extend((message.len() as u16).to_be_bytes());
    // ICMPv6, and the hop limit that proves that no router passed it on.
    frame.extend([58, 255]);
    frame.extend(address.octets());
    frame.extend(all_nodes.octets());
    frame.extend(message);
    frame
}

/// RFC 8200, section 8.1. The message's own checksum field must be zero.
fn icmpv6_checksum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let mut pseudo = Vec::with_capacity(40 + message.len());
    pseudo.extend(source.octets());
    pseudo.extend(destination.octets());
    pseudo.extend((message.len() as u32).to_be_bytes());
    pseudo.extend([0, 0, 0, 58]);
    pseudo.extend(message);
    let mut sum: u32 = pseudo
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn open() -> io::Result<OwnedFd> {
    // Protocol 0: this socket receives nothing.
    // SAFETY: a plain system call; a descriptor that it returns belongs to nobody else.
    let descriptor = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened, and owned from here on.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn send(socket: &OwnedFd, link: u32, mac: Mac, addresses: &[IpNet]) -> io::Result<()> {
    // SAFETY: all bytes zero are a valid `sockaddr_ll`, which is plain data.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_ifindex = link.cast_signed();
    for announced in addresses {
        let frame = frame(mac, announced.addr());
        // SAFETY: the frame and the address are valid for the lengths given.
        let sent = unsafe {
            libc::sendto(
                socket.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                0,
                (&raw const address).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arp_announcement_names_the_address_twice() {
        let frame = frame("02:00:00:00:00:07".parse().unwrap(), "10.0.0.7".parse().unwrap());
        assert_eq!(frame.len(), 42);
        assert_eq!(frame[28..32], [10, 0, 0, 7]);
        assert_eq!(frame[38..42], [10, 0, 0, 7]);
    }

    #[test]
    fn an_advertisement_has_a_sound_checksum() {
        let address: Ipv6Addr = "fd00::7".parse().unwrap();
        let frame = frame("02:00:00:00:00:07".parse().unwrap(), address.into());
        assert_eq!(frame.len(), 86);
        // A message with its checksum in place sums up to zero.
        let all_nodes = "ff02::1".parse().unwrap();
        assert_eq!(icmpv6_checksum(address, all_nodes, &frame[54..]), 0);
    }
}
