//! Fractions that come late, go in good order, die, or are one too many; and a daemon that starts again.

use nestless_model::loopback::{MAX_FRACTIONS, State};
use nestless_test::fractions::{Fraction, Fractions, ask, at, greet, serve};
use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

#[tokio::test]
async fn one_that_joins_late_serves_at_once() {
    let mut fractions = Fractions::new().await;
    let (one, _two) = (fractions.join(1).await, fractions.join(1).await);
    assert_eq!(one.connect("127.0.0.1:80").unwrap_err().kind(), ErrorKind::ConnectionRefused);
    let sandbox = nestless_test::fractions::Sandbox::new();
    let serving = serve(sandbox.listen("127.0.0.1:80"), "late", 1);
    assert_eq!(
        one.connect("127.0.0.1:80").unwrap_err().kind(),
        ErrorKind::ConnectionRefused,
        "not joined yet"
    );
    let _late = fractions.join_with(1, sandbox).await;
    assert_eq!(ask(one.connect("127.0.0.1:80").unwrap(), "").unwrap(), "late");
    serving.join().unwrap();
}

/// A connection from one fraction to another, and both its ends.
fn connected(client: &Fraction, server: &Fraction, address: &str) -> (TcpStream, TcpStream) {
    let listener = server.listen(address);
    let stream = client.connect(address).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    (stream, accepted)
}

#[tokio::test]
async fn connections_to_one_that_goes_are_reset_and_nothing_stays_open() {
    for dies in [false, true] {
        let mut fractions = Fractions::new().await;
        let all = [fractions.join(1).await, fractions.join(1).await, fractions.join(1).await];
        let group = all[0].group;
        let mut at_peers = Vec::new();
        let mut at_leaver = Vec::new();
        for address in ["127.0.0.1:80", "[::1]:80"] {
            let (peer, leaver) = connected(&all[0], &all[1], address);
            at_peers.push(peer);
            at_leaver.push(leaver);
            let (leaver, peer) = connected(&all[1], &all[2], address);
            at_peers.push(peer);
            at_leaver.push(leaver);
        }
        let (mut other, mut other_end) = connected(&all[0], &all[2], "127.0.0.1:81");
        let [one, leaver, three] = all;
        let told = if dies { fractions.die(leaver).await } else { fractions.leave(leaver).await.1 };
        assert_eq!(told, 4);
        for peer in &mut at_peers {
            assert_eq!(
                peer.read(&mut [0]).unwrap_err().kind(),
                ErrorKind::ConnectionReset,
                "it dies: {dies}"
            );
        }
        other.write_all(b"!").unwrap();
        other_end.read_exact(&mut [0]).unwrap();
        let rows = fractions.flows(group);
        assert!(rows.len() == 1 && matches!(rows[0].1.state, State::Bound { .. }), "{rows:?}");
        assert_eq!(one.connect("127.0.0.1:80").unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert_eq!(three.connect("[::1]:80").unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
}

/// As many as would fill the group's table, were they kept.
#[tokio::test]
async fn an_idle_connection_is_reset_whatever_came_between() {
    const COUNT: usize = 20_000;
    let mut fractions = Fractions::new().await.at_most(2);
    let (one, leaver) = (fractions.join(1).await, fractions.join(1).await);
    let group = one.group;
    let (mut idle, _end) = connected(&one, &leaver, "127.0.0.1:80");
    let (_turned, mut idle_too) = connected(&leaver, &one, "[::1]:80");
    let listener = leaver.listen("127.0.0.1:81");
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..COUNT {
                // The server closes first, so that no number of the client's is taken.
                drop(listener.accept().unwrap());
            }
        });
        one.inside(|| {
            for _ in 0..COUNT {
                let mut stream = TcpStream::connect("127.0.0.1:81").unwrap();
                assert_eq!(stream.read(&mut [0]).unwrap(), 0);
            }
        });
    });
    let (_, told) = fractions.leave(leaver).await;
    assert!(told >= 2, "{told} were told");
    for stream in [&mut idle, &mut idle_too] {
        assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
    assert_eq!(fractions.flows(group), []);
}

/// Waits until that many questions are open.
async fn questions(fractions: &Fractions, of: &Fraction, count: usize) {
    nestless_test::eventually("open questions", || async {
        let rows = fractions.flows(of.group);
        let open = rows.iter().filter(|(_, flow)| matches!(flow.state, State::Asked { .. })).count();
        if open == count { Ok(()) } else { Err(format!("{rows:?}")) }
    })
    .await;
}

#[tokio::test]
async fn questions_that_only_the_dead_could_answer_are_refused() {
    let mut fractions = Fractions::new().await;
    let (one, _two) = (fractions.join(1).await, fractions.join(1).await);
    // Its host end is there; in the VM, nobody takes the NIC up.
    let (_, link) = fractions.plug().await;
    let silent = fractions.admit(one.group, &link);
    let udp = [("127.0.0.1:0", "127.0.0.1:9"), ("[::1]:0", "[::1]:9")].map(|(from, to)| {
        let socket = one.udp(from);
        socket.connect(at(to)).unwrap();
        socket.send(b"?").unwrap();
        socket
    });
    let sandbox = one.sandbox.namespace.clone();
    let tcp = ["127.0.0.1:80", "[::1]:80"].map(|address| {
        let sandbox = sandbox.clone();
        thread::spawn(move || sandbox.run_blocking(|| TcpStream::connect(address)).unwrap())
    });
    questions(&fractions, &one, 4).await;
    let told = fractions.on_host(|loopback| loopback.leave(one.group, silent)).unwrap();
    assert_eq!(told, 4);
    for asker in tcp {
        assert_eq!(asker.join().unwrap().unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
    for asker in udp {
        assert_eq!(asker.recv(&mut [0; 9]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
    assert!(fractions.flows(one.group).is_empty());
}

#[tokio::test]
async fn sixteen_share_a_localhost_and_a_place_that_is_free_again_is_taken() {
    let mut fractions = Fractions::new().await;
    let mut all = Vec::new();
    for _ in 0..MAX_FRACTIONS {
        all.push(fractions.join(1).await);
    }
    for (server, address) in [(&all[15], "127.0.0.1:80"), (&all[0], "[::1]:80")] {
        let serving = serve(server.listen(address), "here", MAX_FRACTIONS);
        for client in &all {
            assert_eq!(ask(client.connect(address).unwrap(), "").unwrap(), "here");
        }
        serving.join().unwrap();
    }
    assert_eq!(all[3].connect("127.0.0.1:9").unwrap_err().kind(), ErrorKind::ConnectionRefused);
    let withheld: u64 = all.iter().map(|fraction| fractions.counters(fraction).withheld).sum();
    assert_eq!(fractions.counters(&all[3]).asked, 3);
    assert!(withheld >= 14, "all but the last refusal: {withheld}");
    // A place that is free again is taken, with the ports that belong to it.
    let leaver = all.remove(7);
    let ports = leaver.read("/proc/sys/net/ipv4/ip_local_port_range");
    fractions.leave(leaver).await;
    let seventeenth = fractions.join(1).await;
    assert_eq!(seventeenth.place.number(), 7);
    assert_eq!(seventeenth.read("/proc/sys/net/ipv4/ip_local_port_range"), ports);
    let serving = serve(seventeenth.listen("127.0.0.1:80"), "seventeenth", 1);
    assert_eq!(ask(all[0].connect("127.0.0.1:80").unwrap(), "").unwrap(), "seventeenth");
    serving.join().unwrap();
}

#[tokio::test]
async fn a_daemon_that_starts_again_costs_no_packet() {
    let mut fractions = Fractions::new().await;
    let (one, two) = (fractions.join(1).await, fractions.join(1).await);
    let listener = two.listen("127.0.0.1:80");
    let mut stream = one.connect("127.0.0.1:80").unwrap();
    let sender = thread::spawn(move || {
        (0..4096).for_each(|_| stream.write_all(&[7; 65536]).unwrap());
    });
    let receiver = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        std::io::copy(&mut stream, &mut std::io::sink()).unwrap()
    });
    // Nothing sends a lost datagram again.
    let (client, server) = (one.udp("127.0.0.1:0"), two.udp("127.0.0.1:53"));
    client.connect(at("127.0.0.1:53")).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut heard = [0; 9];
            loop {
                let (count, from) = server.recv_from(&mut heard).unwrap();
                server.send_to(&heard[..count], from).unwrap();
                if count == 1 {
                    return;
                }
            }
        });
        scope.spawn(|| {
            let mut heard = [0; 9];
            for number in 0_u64.. {
                client.send(&number.to_be_bytes()).unwrap();
                assert_eq!(client.recv(&mut heard).unwrap(), 8);
                assert_eq!(heard[..8], number.to_be_bytes());
                if done.load(Ordering::Relaxed) {
                    break;
                }
            }
            client.send(b"!").unwrap();
        });
        for round in 0..10 {
            // Every other time with another program than the one that is attached, as after an upgrade.
            if round % 2 == 1 {
                fractions.forget_programs();
            }
            fractions.reopen();
            for fraction in [&one, &two] {
                let (group, place, link) = (fraction.group, fraction.place, &fraction.link);
                fractions.on_host(|loopback| loopback.join(group, place, link)).unwrap();
            }
            let observed = fractions.on_host(|loopback| loopback.observe()).unwrap();
            assert!(observed[0].members.iter().all(|member| member.attached), "{observed:?}");
        }
        done.store(true, Ordering::Relaxed);
    });
    sender.join().unwrap();
    assert_eq!(receiver.join().unwrap(), 4096 * 65536);
    let listener = two.listen("127.0.0.1:80");
    let again = one.connect("127.0.0.1:80").unwrap();
    thread::scope(|scope| {
        scope.spawn(|| greet(&listener, "again"));
        assert_eq!(ask(again, "").unwrap(), "again");
    });
}

#[tokio::test]
async fn a_daemon_without_tables_gives_a_group_its_members_back_at_once() {
    let mut fractions = Fractions::new().await;
    let (one, two) = (fractions.join(1).await, fractions.join(1).await);
    let (mut client, mut server) = connected(&one, &two, "127.0.0.1:80");
    fractions.forget_pins();
    fractions.reopen();
    let members = [&one, &two].map(|fraction| (fraction.group, fraction.place, fraction.link.clone()));
    fractions.on_host(|loopback| loopback.restore(members.clone())).unwrap();
    // Only one of them has the new filter, and must not be taken for the only one in its group.
    let (group, place, link) = &members[0];
    fractions.on_host(|loopback| loopback.join(*group, *place, link)).unwrap();
    client.write_all(b"?").unwrap();
    server.read_exact(&mut [0]).unwrap();
    let (group, place, link) = &members[1];
    fractions.on_host(|loopback| loopback.join(*group, *place, link)).unwrap();
    server.write_all(b"!").unwrap();
    client.read_exact(&mut [0]).unwrap();
    // What the tables know is not made anew.
    let flows = fractions.flows(one.group);
    fractions.on_host(|loopback| loopback.restore(members)).unwrap();
    assert_eq!(fractions.flows(one.group), flows);
    assert_eq!(one.connect("127.0.0.1:81").unwrap_err().kind(), ErrorKind::ConnectionRefused);
}
