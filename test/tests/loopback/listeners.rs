//! Who serves a port: several sockets, several addresses, several fractions, one that moves.

use nestless_test::fractions::{Fractions, ask, at, serve};
use socket2::Type;
use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpListener,
};

/// How many connections wait to be accepted.
fn waiting(listener: &TcpListener) -> usize {
    listener.set_nonblocking(true).unwrap();
    std::iter::from_fn(|| listener.accept().ok()).count()
}

#[tokio::test]
async fn listeners_that_share_a_port_share_the_connections() {
    let mut fractions = Fractions::new().await;
    let (one, two) = (fractions.join(1).await, fractions.join(1).await);
    let listeners = [two.listen("127.0.0.1:80"), two.listen("127.0.0.1:80")];
    let clients: Vec<_> = (0..200).map(|_| one.connect("127.0.0.1:80").unwrap()).collect();
    let shares = listeners.each_ref().map(waiting);
    assert_eq!(shares.iter().sum::<usize>(), clients.len());
    assert!(!shares.contains(&0), "{shares:?}");
}

#[tokio::test]
async fn the_whole_of_127_is_shared() {
    let mut fractions = Fractions::new().await;
    let all = [fractions.join(1).await, fractions.join(1).await, fractions.join(1).await];
    let ends = ["127.0.0.2", "127.1.2.3", "127.128.0.1", "127.255.255.254"];
    for (address, server) in ends.iter().zip(all.iter().cycle()) {
        let serving = serve(server.listen(&format!("{address}:80")), "here", all.len() * 2);
        for client in &all {
            let to = format!("{address}:80");
            assert_eq!(ask(client.connect(&to).unwrap(), "x").unwrap(), "here", "{to}");
            let from = client.connect_from("127.44.44.44:0", &to).unwrap();
            assert_eq!(ask(from, "x").unwrap(), "here", "{to}");
        }
        serving.join().unwrap();
        // Another address of the same port is another listener's, or nobody's.
        assert_eq!(all[0].connect("127.77.0.1:80").unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
}

#[tokio::test]
async fn one_listener_of_both_families_serves_both() {
    let mut fractions = Fractions::new().await;
    let (one, two) = (fractions.join(1).await, fractions.join(1).await);
    for (any, only) in [("[::]:80", false), ("[::]:81", true), ("0.0.0.0:82", false)] {
        let socket = two.socket(at(any), Type::STREAM);
        if any.starts_with('[') {
            socket.set_only_v6(only).unwrap();
        }
        socket.bind(&at(any).into()).unwrap();
        socket.listen(9).unwrap();
        let listener = TcpListener::from(socket);
        let port = at(any).port();
        for (address, served) in [
            (format!("127.0.0.1:{port}"), !only),
            (format!("127.5.5.5:{port}"), !only),
            (format!("[::1]:{port}"), any.starts_with('[')),
        ] {
            match one.connect(&address) {
                Ok(mut client) => {
                    client.write_all(b"x").unwrap();
                    let (mut server, _) = listener.accept().unwrap();
                    server.read_exact(&mut [0]).unwrap();
                    assert!(served, "{any} serves {address}");
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{address}");
                    assert!(!served, "{any} serves {address}");
                }
            }
        }
    }
    // The same for datagrams.
    let socket = two.socket(at("[::]:53"), Type::DGRAM);
    socket.set_only_v6(false).unwrap();
    socket.bind(&at("[::]:53").into()).unwrap();
    for (from, to) in [("127.0.0.1:0", "127.0.0.1:53"), ("[::1]:0", "[::1]:53")] {
        let client = one.udp(from);
        client.send_to(b"x", at(to)).unwrap();
        let server = std::net::UdpSocket::from(socket.try_clone().unwrap());
        let (_, asker) = server.recv_from(&mut [0; 9]).unwrap();
        server.send_to(b"y", asker).unwrap();
        assert_eq!(client.recv_from(&mut [0; 9]).unwrap(), (1, at(to)));
    }
}

#[tokio::test]
async fn a_listener_that_moves_is_found_at_once_and_its_old_connections_live_on() {
    let mut fractions = Fractions::new().await;
    let all = [fractions.join(1).await, fractions.join(1).await, fractions.join(1).await];
    let mut old = Vec::new();
    for round in 0..6 {
        let (server, client) = (&all[round % 3], &all[(round + 1) % 3]);
        let listener = server.listen("127.0.0.1:80");
        let stream = client.connect("127.0.0.1:80").unwrap();
        old.push((stream, listener.accept().unwrap().0));
        drop(listener);
        let refused = client.connect("127.0.0.1:80").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "round {round}");
    }
    // A listener here must not swallow the packets of a connection that was made there.
    let _listeners: Vec<_> = all.iter().map(|fraction| fraction.listen("127.0.0.1:80")).collect();
    for (client, server) in &mut old {
        client.write_all(b"still").unwrap();
        let mut heard = [0; 5];
        server.read_exact(&mut heard).unwrap();
        server.write_all(&heard).unwrap();
        client.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"still");
    }
}

#[tokio::test]
async fn two_listeners_of_one_port_serve_their_own_and_a_third_meets_one_at_a_time() {
    const CONNECTIONS: usize = 100;
    let mut fractions = Fractions::new().await;
    let all = [fractions.join(1).await, fractions.join(1).await, fractions.join(1).await];
    let names = ["first", "second"];
    let serving = [0, 1].map(|fraction| {
        let listener = all[fraction].listen("127.0.0.1:80");
        std::thread::spawn(move || answer_until_told(&listener, names[fraction]))
    });
    for (own, name) in all.iter().zip(names) {
        for number in 0..9 {
            let answer = ask(own.connect("127.0.0.1:80").unwrap(), &number.to_string()).unwrap();
            assert_eq!(answer, format!("{name} {number}"));
        }
    }
    for number in 0..CONNECTIONS {
        let answer = ask(all[2].connect("127.0.0.1:80").unwrap(), &number.to_string()).unwrap();
        let name = answer.strip_suffix(&format!(" {number}")).expect("an answer to this very question");
        assert!(names.contains(&name), "{answer}");
    }
    for own in &all[..2] {
        assert_eq!(ask(own.connect("127.0.0.1:80").unwrap(), "stop").unwrap(), "");
    }
    serving.into_iter().for_each(|serving| serving.join().unwrap());
    nestless_test::eventually("the clashes", || async {
        let counters = all[..2].iter().map(|fraction| fractions.counters(fraction));
        // A connection that is over by then is forgotten.
        let clashes: u64 = counters.map(|counters| counters.clash + counters.stray).sum();
        // One for each connection, and more when a half-open one is tried again.
        if clashes >= CONNECTIONS as u64 { Ok(()) } else { Err(format!("{clashes} clashes")) }
    })
    .await;
}

/// Connections of a lost race stay half open: the kernel never hands them out.
fn answer_until_told(listener: &TcpListener, name: &str) {
    loop {
        let (mut stream, _) = listener.accept().unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        if said == "stop" {
            return;
        }
        stream.write_all(format!("{name} {said}").as_bytes()).unwrap();
    }
}
