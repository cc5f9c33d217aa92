//! TCP as on one machine.

use nestless_test::{
    fractions::{Fraction, Fractions, Sandbox, ask, at, disconnect, serve},
    localhost::{transfer, urgent},
};
use socket2::SockRef;
use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
};

#[tokio::test]
async fn each_fraction_reaches_each_in_both_families() {
    let mut fractions = Fractions::new().await;
    let all = [fractions.join(1).await, fractions.join(1).await, fractions.join(1).await];
    for (number, server) in all.iter().enumerate() {
        for address in ["127.0.0.1:80", "[::1]:80"] {
            let serving = serve(server.listen(address), "here", all.len());
            for client in &all {
                assert_eq!(
                    ask(client.connect(address).unwrap(), "hello").unwrap(),
                    "here",
                    "{number} {address}"
                );
            }
            assert_eq!(serving.join().unwrap(), ["hello"; 3]);
        }
    }
}

#[tokio::test]
async fn nobody_listens_is_refused_by_the_first_packet() {
    let mut fractions = Fractions::new().await;
    let all = [fractions.join(1).await, fractions.join(1).await, fractions.join(1).await];
    for address in ["127.0.0.1:9", "127.3.2.1:9", "[::1]:9"] {
        let error = all[1].connect(address).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{address}");
    }
    // One SYN each: had one been lost, or refused late, there would be more.
    assert_eq!(fractions.counters(&all[1]).asked, 3);
    let [first, third] = [0, 2].map(|other| fractions.counters(&all[other]));
    assert_eq!((first.refused + third.refused, first.withheld + third.withheld), (3, 3));
    assert!(fractions.flows(all[0].group).is_empty());
}

#[tokio::test]
async fn a_lonely_fraction_refuses_itself() {
    let mut fractions = Fractions::new().await;
    let one = fractions.join(1).await;
    assert_eq!(one.connect("127.0.0.1:9").unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(one.connect("[::1]:9").unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(fractions.counters(&one).alone, 2);
}

#[tokio::test]
async fn a_half_closed_connection_still_carries_the_other_half() {
    let mut fractions = Fractions::new().await;
    let (one, two) = (fractions.join(1).await, fractions.join(1).await);
    let listener = two.listen("127.0.0.1:80");
    let mut client = one.connect("127.0.0.1:80").unwrap();
    let (mut server, _) = listener.accept().unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(server.read(&mut [0; 9]).unwrap(), 0);
    for round in 0..1000_u32 {
        server.write_all(&round.to_be_bytes()).unwrap();
        let mut heard = [0; 4];
        client.read_exact(&mut heard).unwrap();
        assert_eq!(u32::from_be_bytes(heard), round);
    }
    server.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut [0; 9]).unwrap(), 0);
}

#[tokio::test]
async fn urgent_data_stays_urgent() {
    let mut fractions = Fractions::new().await;
    let (one, two) = (fractions.join(1).await, fractions.join(1).await);
    let listener = two.listen("[::1]:80");
    let client = one.connect("[::1]:80").unwrap();
    let (server, _) = listener.accept().unwrap();
    urgent::say(&client).unwrap();
    urgent::hear(&server).unwrap();
}

#[tokio::test]
async fn big_transfers_both_ways_at_once_arrive_whole() {
    const BYTES: usize = 64 << 20;
    let mut fractions = Fractions::new().await;
    let (one, two) = (fractions.join(1).await, fractions.join(1).await);
    for address in ["127.0.0.1:80", "[::1]:80"] {
        let listener = two.listen(address);
        let client = one.connect(address).unwrap();
        let (server, _) = listener.accept().unwrap();
        thread::scope(|scope| {
            let serving = scope.spawn(|| transfer::both_ways(&server, BYTES, 2));
            transfer::both_ways(&client, BYTES, 1).unwrap();
            serving.join().unwrap().unwrap();
        });
    }
}

/// One connection after another; who closes first keeps the port for a while (TIME_WAIT).
fn short_connections(client: &Sandbox, count: usize, client_first: bool) {
    client.inside(|| {
        for number in 0..count {
            let mut stream = TcpStream::connect("127.0.0.1:80")
                .unwrap_or_else(|error| panic!("connection {number}: {error}"));
            let mut heard = [0; 5];
            stream.read_exact(&mut heard).unwrap();
            assert_eq!(&heard, b"hello");
            if !client_first {
                assert_eq!(stream.read(&mut heard).unwrap(), 0, "the server closes");
            }
        }
    });
}

fn greet_many(listener: &TcpListener, count: usize, client_first: bool) {
    for _ in 0..count {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"hello").unwrap();
        if client_first {
            assert_eq!(stream.read(&mut [0]).unwrap(), 0, "the client closes");
        }
    }
}

#[tokio::test]
async fn ten_thousand_short_connections_meet_no_wrong_refusal() {
    const EACH: usize = 5_000;
    let mut fractions = Fractions::new().await;
    let all = [fractions.join(1).await, fractions.join(1).await, fractions.join(1).await];
    let listener = all[0].listen("127.0.0.1:80");
    thread::scope(|scope| {
        scope.spawn(|| greet_many(&listener, 2 * EACH, false));
        scope.spawn(|| short_connections(&all[1], EACH, false));
        short_connections(&all[2], EACH, false);
    });
    for client in &all[1..] {
        assert_eq!(fractions.counters(client).asked as usize, EACH, "each SYN was sent once");
    }
    is_forgotten(&fractions, &all[0]).await;
}

/// Connections that are over leave no rows, but for the last of a lost acknowledgement.
async fn is_forgotten(fractions: &Fractions, of: &Fraction) {
    nestless_test::eventually("an empty table", || async {
        let rows = fractions.flows(of.group);
        if rows.len() < 10 { Ok(()) } else { Err(format!("{} rows, as {:?}", rows.len(), rows[0])) }
    })
    .await;
}

#[tokio::test]
async fn a_group_of_two_has_ports_for_ten_thousand_connections_that_linger() {
    const COUNT: usize = 10_000;
    let mut fractions = Fractions::new().await.at_most(2);
    let (server, client) = (fractions.join(1).await, fractions.join(1).await);
    let listener = server.listen("127.0.0.1:80");
    thread::scope(|scope| {
        scope.spawn(|| greet_many(&listener, COUNT, true));
        short_connections(&client, COUNT, true);
    });
    assert_eq!(fractions.counters(&client).asked as usize, COUNT, "each SYN was sent once");
    is_forgotten(&fractions, &client).await;
}

#[tokio::test]
async fn a_connection_that_is_reset_is_forgotten() {
    let mut fractions = Fractions::new().await;
    let (one, two) = (fractions.join(1).await, fractions.join(1).await);
    let listener = two.listen("127.0.0.1:80");
    for server_resets in [true, false] {
        let client = one.connect("127.0.0.1:80").unwrap();
        let (server, _) = listener.accept().unwrap();
        assert_eq!(fractions.flows(one.group).len(), 1);
        let (resets, mut other) = if server_resets { (server, client) } else { (client, server) };
        SockRef::from(&resets).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(resets);
        assert_eq!(other.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(fractions.flows(one.group), []);
    }
}

/// Enough for steer to keep where the connection goes.
fn talk(mut client: &TcpStream, server: &TcpListener) {
    let (mut server, _) = server.accept().unwrap();
    for _ in 0..100 {
        client.write_all(b"ping").unwrap();
        server.read_exact(&mut [0; 4]).unwrap();
        server.write_all(b"pong").unwrap();
        client.read_exact(&mut [0; 4]).unwrap();
    }
}

#[tokio::test]
async fn a_socket_that_connects_again_is_asked_for_again() {
    let mut fractions = Fractions::new().await;
    let (one, two) = (fractions.join(1).await, fractions.join(1).await);
    let listener = one.listen("127.0.0.1:80");
    let client = one.connect_from("127.0.0.1:4000", "127.0.0.1:80").unwrap();
    talk(&client, &listener);
    drop(listener);
    assert_eq!(fractions.counters(&one).bytes, 0, "it stayed");
    for stays in [false, true, false] {
        disconnect(&client);
        let before = fractions.counters(&one).bytes;
        let listener = if stays { &one } else { &two }.listen("127.0.0.1:80");
        SockRef::from(&client).connect(&at("127.0.0.1:80").into()).unwrap();
        talk(&client, &listener);
        let grown = fractions.counters(&one).bytes - before;
        assert_eq!(grown == 0, stays, "{grown} bytes went to the host");
    }
}
