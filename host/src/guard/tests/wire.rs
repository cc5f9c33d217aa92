//! Two pods on a bridge, with real frames between them.

use super::{
    frame::{cases, ethernet, ipv4, mld_query, solicitation, udp},
    world::{World, ifindex, ip, link, rules},
};
use nix::sys::{
    socket::{AddressFamily, SockFlag, SockProtocol, SockType, setsockopt, socket, sockopt},
    time::{TimeVal, TimeValLike as _},
};
use std::{
    os::fd::{AsRawFd as _, OwnedFd},
    process::Command,
};

/// Marks the end: from the NIC itself, so that the guard lets it through.
const MARK: u16 = 4242;

fn mark() -> Vec<u8> {
    ipv4("10.88.0.2", 17, 0, &[], &udp(MARK))
}

/// A packet socket on one link.
pub(crate) struct WireEnd(OwnedFd);

impl WireEnd {
    #[allow(unsafe_code, reason = "nix has no way to make a packet socket's address")]
    pub(crate) fn open(name: &str) -> Self {
        let all = Some(SockProtocol::EthAll);
        let fd = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, all).unwrap();
        // SAFETY: an all-zero sockaddr_ll is a valid value of that plain structure.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = ifindex(name) as i32;
        let bytes = size_of_val(&address) as u32;
        // SAFETY: the pointer and the size are those of a live sockaddr_ll.
        let result = unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), bytes) };
        assert_eq!(result, 0, "bind to {name}");
        // Only a broken test waits so long.
        setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::seconds(20)).unwrap();
        Self(fd)
    }

    pub(crate) fn send(&self, frame: &[u8]) {
        assert_eq!(nix::unistd::write(&self.0, frame).unwrap(), frame.len());
    }

    pub(crate) fn receive(&self) -> Vec<u8> {
        let mut frame = vec![0; 2048];
        let bytes = nix::unistd::read(&self.0, &mut frame).unwrap();
        frame.truncate(bytes);
        frame
    }

    /// All that arrives before the mark.
    fn until_mark(&self) -> Vec<Vec<u8>> {
        std::iter::repeat_with(|| self.receive()).take_while(|frame| *frame != mark()).collect()
    }
}

const PODS: u8 = 4;

/// `nl1` and others on a bridge; their pods' ends are `pod1` and others.
fn bridge() {
    let mut events = netlink_sys::Socket::new(netlink_sys::protocols::NETLINK_ROUTE).unwrap();
    events.bind_auto().unwrap();
    events.add_membership(libc::RTNLGRP_LINK).unwrap();
    setsockopt(&events, sockopt::ReceiveTimeout, &TimeVal::seconds(20)).unwrap();
    // Where the host has br_netfilter, frames with a wrong checksum would be dropped by it, not by us.
    for family in ["ip", "ip6", "arp"] {
        let _ = std::fs::write(format!("/proc/sys/net/bridge/bridge-nf-call-{family}tables"), "0");
    }
    ip("link add br0 type bridge mcast_snooping 0 forward_delay 0");
    ip("link set br0 up");
    for n in 1..=PODS {
        ip(&format!("link add nl{n} type veth peer name pod{n}"));
        ip(&format!("link set nl{n} master br0 up"));
        ip(&format!("link set pod{n} up"));
    }
    while !(1..=PODS).all(|n| is_forwarding(&format!("nl{n}"))) {
        events.recv_from_full().expect("the bridge's ports come up");
    }
}

fn is_forwarding(port: &str) -> bool {
    let shown = Command::new("bridge").args(["link", "show", "dev", port]).output().unwrap();
    String::from_utf8(shown.stdout).unwrap().contains("state forwarding")
}

#[test]
fn only_what_the_rules_allow_arrives_and_the_rest_is_counted() {
    let world = World::enter();
    bridge();
    let guard = world.guard();
    guard.protect(&link("nl1"), &rules()).unwrap();
    let (sender, receiver) = (WireEnd::open("pod1"), WireEnd::open("pod2"));
    let mut passed = 0;
    for (name, frame, reason) in cases() {
        let before = guard.counters(&link("nl1")).unwrap().unwrap();
        sender.send(&frame);
        sender.send(&mark());
        let arrived = receiver.until_mark();
        let after = guard.counters(&link("nl1")).unwrap().unwrap();
        let counted: Vec<_> = before
            .dropped
            .by_reason()
            .zip(after.dropped.by_reason())
            .filter(|((_, b), (_, a))| a > b)
            .map(|((reason, _), _)| reason)
            .collect();
        if reason.is_empty() {
            passed += 1;
            assert_eq!((arrived, counted), (vec![frame], vec![]), "{name}");
        } else {
            assert_eq!((arrived, counted), (vec![], vec![reason]), "{name}");
        }
    }
    assert!(passed > 10, "the cases hold legitimate frames too");
}

#[test]
fn a_closed_link_sends_nothing_and_still_receives() {
    let world = World::enter();
    bridge();
    let guard = world.guard();
    guard.close(&link("nl2")).unwrap();
    guard.protect(&link("nl1"), &rules()).unwrap();
    let (first, second) = (WireEnd::open("pod1"), WireEnd::open("pod2"));
    second.send(&ethernet([2, 0, 0, 0, 0, 2], 0x0800, &mark()[14..]));
    first.send(&mark());
    // The packet socket on pod2 sees only what arrives there, not what it sent itself.
    assert_eq!(second.until_mark(), Vec::<Vec<u8>>::new());
    let counters = guard.counters(&link("nl2")).unwrap().unwrap();
    assert_eq!((counters.dropped.closed, counters.passed), (1, 0));
}

/// On a bridge that snoops on multicast, as an operator's own may, a pod plays querier. Without a guard before it, the bridge
/// forgets where the others' neighbour discovery goes, and only the querier hears it.
#[test]
fn a_pod_that_plays_querier_draws_nobodys_neighbour_discovery_away() {
    let world = World::enter();
    bridge();
    ip("link set br0 type bridge mcast_snooping 1");
    let guard = world.guard();
    guard.protect(&link("nl1"), &rules()).unwrap();
    let [guarded, asker, asked, unguarded] = ["pod1", "pod2", "pod3", "pod4"].map(WireEnd::open);
    let is_heard = || {
        asker.send(&solicitation());
        asker.send(&mark());
        asked.until_mark().contains(&solicitation())
    };
    guarded.send(&mld_query());
    guarded.send(&mark());
    // The mark came behind the query.
    for end in [&asked, &unguarded] {
        assert!(!end.until_mark().contains(&mld_query()));
    }
    assert!(is_heard());
    assert_eq!(guard.counters(&link("nl1")).unwrap().unwrap().dropped.router, 1);

    // The bridge believes a querier from some milliseconds on, so that what is tried here works at all.
    unguarded.send(&mld_query());
    assert!((0..100_000).any(|_| !is_heard()), "the bridge is not deceived even without a guard");
}
