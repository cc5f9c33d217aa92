//! UDP as on one machine.

use nestless_model::identity::Mtu;
use nestless_test::fractions::{Fractions, at};
use nix::sys::socket::{setsockopt, sockopt::UdpGsoSegment};
use std::{io::ErrorKind, net::UdpSocket};

/// A datagram there, and its answer from the very address it was sent to.
fn exchange(client: &UdpSocket, server: &UdpSocket, to: &str, bytes: usize) {
    let text: Vec<u8> = (0..bytes).map(|byte| (byte * 7 + bytes) as u8).collect();
    let mut heard = vec![0; 65536];
    client.send_to(&text, at(to)).unwrap();
    let (count, from) = server.recv_from(&mut heard).unwrap();
    assert!(heard[..count] == text, "{bytes} bytes to {to} came as {count}, or otherwise");
    server.send_to(&text, from).unwrap();
    let (count, from) = client.recv_from(&mut heard).unwrap();
    assert!(heard[..count] == text, "{bytes} bytes back from {to} came as {count}, or otherwise");
    assert_eq!(from, at(to));
}

#[tokio::test]
async fn datagrams_find_their_socket_connected_or_not() {
    let mut fractions = Fractions::new().await;
    let all = [fractions.join(1).await, fractions.join(1).await, fractions.join(1).await];
    for (to, any) in
        [("127.0.0.1:53", "127.0.0.1:0"), ("127.9.8.7:53", "127.0.0.5:0"), ("[::1]:53", "[::1]:0")]
    {
        let server = all[2].udp(to);
        for client in &all {
            exchange(&client.udp(any), &server, to, 100);
            let connected = client.udp(any);
            connected.connect(at(to)).unwrap();
            connected.send(b"ping").unwrap();
            let mut heard = [0; 9];
            let (count, from) = server.recv_from(&mut heard).unwrap();
            assert_eq!(&heard[..count], b"ping");
            server.send_to(b"pong", from).unwrap();
            assert_eq!((connected.recv(&mut heard).unwrap(), &heard[..4]), (4, &b"pong"[..]));
        }
    }
    // Once bound, a flow costs one copy.
    let (client, server) = (all[0].udp("127.0.0.1:0"), all[1].udp("127.0.0.1:54"));
    exchange(&client, &server, "127.0.0.1:54", 10);
    let (asked, forwarded) = (fractions.counters(&all[0]).asked, fractions.counters(&all[0]).forwarded);
    (0..10).for_each(|_| exchange(&client, &server, "127.0.0.1:54", 10));
    let after = fractions.counters(&all[0]);
    assert_eq!((after.asked - asked, after.forwarded - forwarded), (0, 10));
}

#[tokio::test]
async fn sixty_four_kibibytes_arrive_whole_and_in_fragments() {
    // With the NIC's largest MTU IPv4 needs no fragments, IPv6 one; with Ethernet's both need many.
    for mtu_bytes in [65535, 1500] {
        let mut fractions = Fractions::with_mtu(Mtu::new(mtu_bytes).unwrap()).await;
        let (one, two, _three) = (fractions.join(1).await, fractions.join(1).await, fractions.join(1).await);
        for (to, any, most) in [("127.0.0.1:53", "127.0.0.1:0", 65507), ("[::1]:53", "[::1]:0", 65527)] {
            let (client, server) = (one.udp(any), two.udp(to));
            for bytes in [0, 1, 1472, 1473, 40_000, 65507, most] {
                exchange(&client, &server, to, bytes);
            }
        }
    }
}

#[tokio::test]
async fn segmentation_is_left_to_the_receiver() {
    let mut fractions = Fractions::new().await;
    let (one, two) = (fractions.join(1).await, fractions.join(1).await);
    for (to, any) in [("127.0.0.1:53", "127.0.0.1:0"), ("[::1]:53", "[::1]:0")] {
        let (client, server) = (one.udp(any), two.udp(to));
        setsockopt(&client, UdpGsoSegment, &1000).unwrap();
        let before = fractions.counters(&one);
        client.send_to(&[7; 10_000], at(to)).unwrap();
        let mut heard = [0; 2000];
        for _ in 0..10 {
            assert_eq!(server.recv(&mut heard).unwrap(), 1000);
        }
        let after = fractions.counters(&one);
        assert_eq!(
            (after.asked - before.asked, after.bytes - before.bytes > 10_000),
            (1, true),
            "one packet"
        );
    }
}

#[tokio::test]
async fn nobody_there_is_told_to_connected_sockets() {
    let mut fractions = Fractions::new().await;
    let all = [fractions.join(1).await, fractions.join(1).await, fractions.join(1).await];
    for (round, (to, any)) in [("127.0.0.1:9", "127.0.0.1:0"), ("[::1]:9", "[::1]:0")].into_iter().enumerate()
    {
        let client = all[0].udp(any);
        client.connect(at(to)).unwrap();
        client.send(b"anybody?").unwrap();
        assert_eq!(client.recv(&mut [0; 9]).unwrap_err().kind(), ErrorKind::ConnectionRefused, "{to}");
        let [second, third] = [1, 2].map(|other| fractions.counters(&all[other]));
        assert_eq!(second.refused + third.refused, round as u64 + 1, "the last refusal passes");
        assert_eq!(second.withheld + third.withheld, round as u64 + 1, "the first does not");
    }
    assert!(fractions.flows(all[0].group).is_empty());
}

#[tokio::test]
async fn a_server_that_moved_is_found_again() {
    let mut fractions = Fractions::new().await;
    let all = [fractions.join(1).await, fractions.join(1).await, fractions.join(1).await];
    let client = all[0].udp("127.0.0.1:0");
    exchange(&client, &all[1].udp("127.0.0.1:53"), "127.0.0.1:53", 10);
    let server = all[2].udp("127.0.0.1:53");
    // The first datagram meets the old place's refusal, which unbinds.
    client.send_to(b"lost, as by a server that starts again", at("127.0.0.1:53")).unwrap();
    nestless_test::eventually("the old place's complaint", || async {
        let withheld = fractions.counters(&all[1]).withheld;
        if withheld == 1 { Ok(()) } else { Err(format!("{withheld} complaints")) }
    })
    .await;
    exchange(&client, &server, "127.0.0.1:53", 10);
}

#[tokio::test]
async fn two_servers_of_one_port_serve_their_own_and_never_mix() {
    let mut fractions = Fractions::new().await;
    let all = [fractions.join(1).await, fractions.join(1).await, fractions.join(1).await];
    let servers = [all[0].udp("127.0.0.1:53"), all[1].udp("127.0.0.1:53")];
    for (own, server) in all.iter().zip(&servers) {
        exchange(&own.udp("127.0.0.1:0"), server, "127.0.0.1:53", 10);
    }
    let client = all[2].udp("127.0.0.1:0");
    client.send_to(b"first come", at("127.0.0.1:53")).unwrap();
    let mut heard = [0; 20];
    // Both are asked, and both answer; the client hears one.
    for (server, answer) in servers.iter().zip([b"a", b"b"]) {
        let (_, from) = server.recv_from(&mut heard).unwrap();
        server.send_to(answer, from).unwrap();
    }
    nestless_test::eventually("the clash", || async {
        let clashes: u64 = all.iter().map(|fraction| fractions.counters(fraction).clash).sum();
        if clashes == 1 { Ok(()) } else { Err(format!("{clashes} clashes")) }
    })
    .await;
    assert_eq!((client.recv(&mut heard).unwrap(), heard[0]), (1, b'a'));
    exchange(&client, &servers[0], "127.0.0.1:53", 10);
    client.set_nonblocking(true).unwrap();
    assert_eq!(client.recv(&mut heard).unwrap_err().kind(), ErrorKind::WouldBlock);
}
