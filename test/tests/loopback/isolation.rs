//! What must not pass: frames that are not a fraction's own loopback traffic, and traffic between those who share no group.

use nestless_host::loopback::Counters;
use nestless_support::netns::Namespace;
use nestless_test::{
    eventually,
    fractions::{Fraction, Fractions, Sandbox, at},
    frame::hex,
    loopback_frame::{LO, OUTSIDE, datagram, forged, segment, steered},
};
use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{TcpListener, UdpSocket},
    process::{Command, Stdio},
};

const RST: u8 = 4;
const SYN: u8 = 2;

/// The counters that grew, bytes aside.
fn grown(before: &Counters, after: &Counters) -> Vec<(&'static str, u64)> {
    let both = before.by_name().zip(after.by_name()).skip(1);
    both.filter(|(b, a)| a.1 > b.1).map(|((name, before), (_, after))| (name, after - before)).collect()
}

/// Sends frames raw, as the root user of a sandbox or of the host may.
fn send(namespace: &Namespace, link: &str, frames: &[Vec<u8>]) {
    let lines: Vec<String> = frames.iter().map(|frame| hex(frame)).collect();
    let send = || {
        let mut child = Command::new(env!("CARGO_BIN_EXE_nestless-test-frames"))
            .args(["send", link])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(lines.join("\n").as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    };
    namespace.run_blocking(send).unwrap();
}

/// Sends one frame from a fraction, and tells how it was judged.
async fn judged(fractions: &Fractions, from: &Fraction, frame: Vec<u8>) -> &'static str {
    let before = fractions.counters(from);
    send(&from.namespace, "hostlo0", std::slice::from_ref(&frame));
    eventually("a judgement", || async {
        match grown(&before, &fractions.counters(from))[..] {
            [(name, 1)] => Ok(name),
            ref other => Err(format!("{other:?} for {}", hex(&frame))),
        }
    })
    .await
}

/// Packets that came in by a link.
fn received(sandbox: &Sandbox) -> u64 {
    let table = sandbox.read("/proc/thread-self/net/dev");
    let line = table.lines().find_map(|line| line.trim().strip_prefix("hostlo0:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn what_is_not_loopback_to_loopback_is_dropped_and_counted() {
    let mut fractions = Fractions::new().await;
    let (from, peer, other) = (fractions.join(1).await, fractions.join(1).await, fractions.join(2).await);
    let good = datagram(LO, LO, (1000, 2000));
    let before = [received(&peer), received(&other)];
    for (number, (reason, frame)) in forged().into_iter().enumerate() {
        assert_eq!(judged(&fractions, &from, frame).await, reason, "case {number}");
    }
    assert_eq!([received(&peer), received(&other)], before);
    assert_eq!(judged(&fractions, &from, steered(0x0800, &good)).await, "asked");
    assert_eq!(
        [received(&peer), received(&other)],
        [before[0] + 1, before[1]],
        "only its own group hears it"
    );
}

#[tokio::test]
async fn a_third_fraction_cannot_break_into_a_flow() {
    let mut fractions = Fractions::new().await;
    let all = [fractions.join(1).await, fractions.join(1).await, fractions.join(1).await];
    let listener = all[1].listen("127.0.0.1:80");
    let mut client = all[0].connect_from("127.0.0.1:4000", "127.0.0.1:80").unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let (asker, answerer) = (all[0].udp("127.0.0.1:4000"), all[1].udp("127.0.0.1:53"));
    asker.send_to(b"?", at("127.0.0.1:53")).unwrap();
    answerer.recv(&mut [0; 9]).unwrap();
    answerer.send_to(b"!", at("127.0.0.1:4000")).unwrap();
    assert_eq!(asker.recv(&mut [0; 9]).unwrap(), 1);
    for (reason, packet) in [
        ("stray", segment((4000, 80), RST)),
        ("stray", segment((80, 4000), RST)),
        ("stray", segment((80, 4000), 0)),
        ("clash", datagram(LO, LO, (53, 4000))),
    ] {
        assert_eq!(judged(&fractions, &all[2], steered(0x0800, &packet)).await, reason);
    }
    client.write_all(b"x").unwrap();
    server.read_exact(&mut [0]).unwrap();
    server.write_all(b"y").unwrap();
    client.read_exact(&mut [0]).unwrap();
    asker.set_nonblocking(true).unwrap();
    assert_eq!(asker.recv(&mut [0; 9]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[tokio::test]
async fn what_the_host_sends_must_be_loopback_too() {
    let mut fractions = Fractions::new().await;
    let (one, _two) = (fractions.join(1).await, fractions.join(1).await);
    let everything = one.udp("0.0.0.0:7");
    let honest = datagram(LO, LO, (1000, 7));
    let forged = [
        steered(0x0800, &datagram(OUTSIDE, LO, (1000, 7))),
        steered(0x0800, &datagram(LO, OUTSIDE, (1000, 7))),
        steered(0x0800, &datagram(OUTSIDE, OUTSIDE, (1000, 7))),
        steered(0x8100, &[&[0, 5, 8, 0][..], &honest].concat()),
    ];
    one.ip("addr add 10.0.0.1/32 dev lo");
    send(&fractions.host, one.link.as_str(), &forged);
    send(&fractions.host, one.link.as_str(), &[steered(0x0800, &datagram(LO, LO, (2000, 7)))]);
    let (_, from) = everything.recv_from(&mut [0; 9]).unwrap();
    assert_eq!(from, at("127.0.0.1:2000"), "the forged ones came first");
}

#[tokio::test]
async fn localhost_ends_at_the_group() {
    let mut fractions = Fractions::new().await;
    let (one, _two) = (fractions.join(1).await, fractions.join(1).await);
    let (other, lonely) = (fractions.join(2).await, Sandbox::new());
    let host = fractions.host.clone();
    let _listeners = [
        host.run_blocking(|| {
            assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
            TcpListener::bind("127.0.0.1:80").unwrap()
        })
        .unwrap(),
        fractions.vm.run_blocking(|| TcpListener::bind("0.0.0.0:80").unwrap()).unwrap(),
        other.listen("127.0.0.1:80"),
        lonely.listen("127.0.0.1:80"),
    ];
    let _datagrams: [UdpSocket; 2] = [other.udp("127.0.0.1:53"), lonely.udp("127.0.0.1:53")];
    assert_eq!(one.connect("127.0.0.1:80").unwrap_err().kind(), ErrorKind::ConnectionRefused);
    let asker = one.udp("127.0.0.1:0");
    asker.connect(at("127.0.0.1:53")).unwrap();
    asker.send(b"?").unwrap();
    assert_eq!(asker.recv(&mut [0; 9]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    for stranger in [&other.sandbox, &lonely] {
        stranger.connect("127.0.0.1:80").unwrap();
        assert_eq!(stranger.connect("127.0.0.1:81").unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
    assert!(fractions.flows(one.group).is_empty());
}

#[tokio::test]
async fn a_link_that_is_in_no_group_any_more_reaches_nobody() {
    let mut fractions = Fractions::new().await;
    let (one, two) = (fractions.join(1).await, fractions.join(1).await);
    fractions.on_host(|loopback| loopback.leave(one.group, one.place)).unwrap();
    let before = (received(&two), fractions.on_host(|loopback| loopback.strangers()).unwrap());
    let frames = [datagram(LO, LO, (1, 2)), segment((1, 2), SYN)].map(|packet| steered(0x0800, &packet));
    send(&one.namespace, "hostlo0", &frames);
    eventually("the strangers' counter", || async {
        let after = fractions.on_host(|loopback| loopback.strangers()).unwrap();
        let grown = grown(&before.1, &after);
        if grown == [("closed", 2)] { Ok(()) } else { Err(format!("{grown:?}")) }
    })
    .await;
    assert_eq!(received(&two), before.0);
}

#[tokio::test]
async fn what_a_fraction_says_to_itself_never_reaches_the_host() {
    let mut fractions = Fractions::new().await;
    let (one, two) = (fractions.join(1).await, fractions.join(1).await);
    // The same port is served elsewhere too.
    let _elsewhere = (two.listen("127.0.0.1:80"), two.listen("[::1]:80"), two.udp("127.0.0.1:53"));
    for address in ["127.0.0.1:80", "127.0.0.9:80", "[::1]:80"] {
        let listener = one.listen(address);
        let mut client = one.connect(address).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| client.write_all(&[7; 1 << 20]).unwrap());
            server.read_exact(&mut vec![0; 1 << 20]).unwrap();
        });
        // The side that closed first keeps a socket, which is not for what comes next.
        drop((client, server));
        let (_client, _server) = (one.connect(address).unwrap(), listener.accept().unwrap());
    }
    for address in ["127.0.0.1:53", "[::1]:53"] {
        let server = one.udp(address);
        let client = one.udp(&address.replace("53", "54"));
        client.send_to(&[7; 60_000], at(address)).unwrap();
        assert_eq!(server.recv(&mut vec![0; 65_536]).unwrap(), 60_000);
    }
    let counters = fractions.counters(&one);
    assert!(counters.by_name().all(|(_, count)| count == 0), "{counters:?}");
}
