//! The root user of a pod forges frames, raw, in a real guest. Nothing of it arrives anywhere, each is counted under its
//! reason, and what is the pod's own passes.

use nestless_lab::{Pod, PodOptions, Vmm};
use nestless_proto::GuardCounters;
use nestless_test::{
    Site, agree, eventually,
    frame::{self, ICMPV6, Raw, Sender, arp, ethernet, ipv6, neighbour, router_advertisement, udp4, udp6},
    lab, operator,
    spare::Spare,
    traffic,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

fn sender(pod: &Pod) -> Sender {
    let (IpAddr::V4(v4), IpAddr::V6(v6)) = (traffic::address(pod, true), traffic::address(pod, false)) else {
        unreachable!("asked for by family")
    };
    let mac = pod.result["interfaces"][0]["mac"].as_str().unwrap();
    let mac = frame::unhex(&mac.replace(':', "")).try_into().unwrap();
    Sender { mac, v4, v6 }
}

/// Each with the reason that it must be dropped for.
fn forged(own: Sender, victim: Sender) -> Vec<(&'static str, Vec<u8>)> {
    let text = b"forged";
    let ip4 = |packet: Vec<u8>| ethernet(own.mac, 0x0800, &packet);
    let ip6 = |packet: Vec<u8>| ethernet(own.mac, 0x86dd, &packet);
    let outsider = Ipv4Addr::new(10, 78, 200, 200);
    let link_local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x99);
    vec![
        ("source_mac", ethernet(victim.mac, 0x0800, &udp4(own.v4, (1000, 2000), text))),
        ("source_mac", ethernet([2, 0, 0, 0, 0, 9], 0x88b5, text)),
        ("source_ipv4", ip4(udp4(victim.v4, (1000, 2000), text))),
        ("source_ipv4", ip4(udp4(outsider, (1000, 2000), text))),
        ("source_ipv4", ip4(udp4(Ipv4Addr::new(10, 78, 0, 1), (53, 2000), text))),
        ("source_ipv6", ip6(udp6(victim.v6, (1000, 2000), text))),
        ("source_ipv6", ip6(udp6(link_local, (1000, 2000), text))),
        ("arp", ethernet(own.mac, 0x0806, &arp(2, own.mac, victim.v4, own.v4))),
        ("arp", ethernet(own.mac, 0x0806, &arp(1, own.mac, Ipv4Addr::new(10, 78, 0, 1), victim.v4))),
        ("arp", ethernet(own.mac, 0x0806, &arp(2, victim.mac, own.v4, victim.v4))),
        ("neighbour", ip6(ipv6(own.v6, ICMPV6, &neighbour(136, victim.v6, own.mac)))),
        ("neighbour", ip6(ipv6(own.v6, ICMPV6, &neighbour(135, victim.v6, victim.mac)))),
        ("router", ip6(ipv6(own.v6, ICMPV6, &router_advertisement()))),
        ("dhcp_server", ip4(udp4(own.v4, (67, 68), text))),
        ("dhcp_server", ip6(udp6(own.v6, (547, 546), text))),
        ("ether_type", ethernet(own.mac, 0x8100, &[&[0, 5, 8, 0][..], &udp4(own.v4, (1, 2), text)].concat())),
        ("ether_type", ethernet(own.mac, 0x88b5, text)),
        ("malformed", ip4(vec![0x45, 0, 0, 20])),
    ]
}

async fn counters(site: &Site, pod: &Pod) -> GuardCounters {
    operator::nic_of(site, &pod.name).await.unwrap().guard.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_pods_root_user_forges_reaches_nobody() {
    let builder = lab("guard", Vmm::Qemu).vms(2).nics(1, 8).own_program(Raw::PROGRAM);
    let site = Site::up(builder).await;
    let one = site.pod_add("vm1", "one", PodOptions::default()).await.unwrap();
    let two = site.pod_add("vm2", "two", PodOptions::default()).await.unwrap();
    let (own, victim) = (sender(&one), sender(&two));
    traffic::meet(&site, &one, &two).await;

    let forged = forged(own, victim);
    let honest: Vec<Vec<u8>> = vec![
        ethernet(own.mac, 0x0806, &arp(1, own.mac, own.v4, victim.v4)),
        ethernet(own.mac, 0x86dd, &ipv6(own.v6, ICMPV6, &neighbour(135, victim.v6, own.mac))),
        ethernet(own.mac, 0x86dd, &udp6(own.v6, (1000, 2000), b"own, by IPv6")),
        ethernet(own.mac, 0x0800, &udp4(own.v4, (1000, 2000), b"own, by IPv4")),
    ];
    let last = honest.last().unwrap().clone();
    let before = counters(&site, &one).await;
    let heard = Raw::heard(&site, &two, &last, async || {
        let bad: Vec<Vec<u8>> = forged.iter().map(|(_, frame)| frame.clone()).collect();
        Raw::send(&site, "vm1", Some("one"), "eth0", &bad).await;
        Raw::send(&site, "vm1", Some("one"), "eth0", &honest).await;
    })
    .await;
    for (reason, frame) in &forged {
        let arrived = heard.iter().any(|seen| seen.starts_with(frame));
        assert!(!arrived, "{reason}: {}", frame::hex(frame));
    }
    for frame in &honest[..3] {
        assert!(heard.iter().any(|seen| seen.starts_with(frame)), "{}", frame::hex(frame));
    }
    let after = counters(&site, &one).await;
    for reason in after.dropped.keys() {
        let wanted = forged.iter().filter(|(expected, _)| expected == reason).count() as u64;
        let counted = after.dropped[reason] - before.dropped[reason];
        assert_eq!(counted, wanted, "{reason}: {before:?} then {after:?}");
    }
    assert!(after.passed >= before.passed + honest.len() as u64);
    traffic::meet(&site, &one, &two).await;

    a_spare_nic_is_silent(&site, &two).await;
    for (vm, pod) in [("vm1", "one"), ("vm2", "two")] {
        site.pod_del(vm, pod, PodOptions::default()).await.unwrap();
    }
    agree(&site).await;
    site.down().await;
}

/// A NIC that serves no pod lets nothing out, not even under its own address.
async fn a_spare_nic_is_silent(site: &Site, listener: &Pod) {
    let spare = Spare::raise(site, "vm1").await;
    let mac: [u8; 6] = frame::unhex(&spare.nic.nic_mac.replace(':', "")).try_into().unwrap();
    let frames = [
        ethernet(mac, 0x0806, &arp(1, mac, Ipv4Addr::new(10, 78, 9, 9), Ipv4Addr::new(10, 78, 0, 1))),
        ethernet(mac, 0x0800, &udp4(Ipv4Addr::new(10, 78, 9, 9), (1, 2), b"spare")),
        ethernet(mac, 0x86dd, &udp6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9), (1, 2), b"spare")),
    ];
    let sender_of_last = sender(&Pod { name: "two".into(), ..listener.clone() });
    // The pod "one" says when it is over.
    let one = operator::nic_of(site, "one").await.unwrap();
    let one_mac: [u8; 6] = frame::unhex(&one.pod_mac.replace(':', "")).try_into().unwrap();
    let one_v4: Ipv4Addr = one.addresses[0].split('/').next().unwrap().parse().unwrap();
    assert_ne!(one_mac, sender_of_last.mac);
    let last = ethernet(one_mac, 0x0800, &udp4(one_v4, (7, 7), b"it is over"));
    let heard = Raw::heard(site, listener, &last, async || {
        spare.send(&frames).await;
        Raw::send(site, "vm1", Some("one"), "eth0", std::slice::from_ref(&last)).await;
    })
    .await;
    for frame in &frames {
        assert!(!heard.iter().any(|seen| seen.starts_with(frame)), "{}", frame::hex(frame));
    }
    eventually("drops of a closed link", || async {
        let dropped = spare.dropped().await;
        if dropped >= frames.len() as u64 { Ok(()) } else { Err(format!("{dropped} drops")) }
    })
    .await;
    spare.lower().await;
}
