//! A fraction that says nothing does not have the others wait for ever, and is not taken for one that takes its time.

use nestless_host::loopback::Heard;
use nestless_model::loopback::Family;
use nestless_test::{
    eventually,
    fractions::{Fraction, Fractions, ask, at, serve},
};
use std::{
    io::{self, ErrorKind},
    net::{TcpListener, TcpStream},
    thread::{self, JoinHandle},
};

/// One pass of the daemon's. Where nobody changed, those that answer, by so many families, have answered when it returns.
async fn pass(fractions: &Fractions, answering: &[(&Fraction, u64)]) -> Vec<Heard> {
    let before: Vec<_> = answering.iter().map(|(fraction, _)| fractions.counters(fraction).heard).collect();
    let changes = fractions.on_host(|loopback| loopback.listen()).unwrap();
    if !changes.is_empty() {
        return changes;
    }
    eventually("answers to the probes", || async {
        let all = answering.iter().zip(&before);
        let missing =
            all.filter(|((fraction, by), before)| fractions.counters(fraction).heard < *before + by);
        let missing = missing.count();
        if missing == 0 { Ok(()) } else { Err(format!("{missing} have not answered")) }
    })
    .await;
    changes
}

/// Passes until somebody's state changes.
async fn until_a_change(fractions: &Fractions, answering: &[(&Fraction, u64)]) -> Vec<(u8, Family, bool)> {
    for _ in 0..15 {
        let changes = pass(fractions, answering).await;
        if !changes.is_empty() {
            return changes.iter().map(|heard| (heard.place.number(), heard.family, heard.silent)).collect();
        }
    }
    panic!("nobody fell silent, nor came back");
}

fn connecting(from: &Fraction, address: &'static str) -> JoinHandle<io::Result<TcpStream>> {
    let sandbox = from.namespace.clone();
    thread::spawn(move || sandbox.run_blocking(|| TcpStream::connect(address)).unwrap())
}

fn is_refused(connecting: JoinHandle<io::Result<TcpStream>>) {
    assert_eq!(connecting.join().unwrap().unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

fn serves(server: &Fraction, client: &Fraction, address: &str) {
    let serving = serve(server.listen(address), "here", 1);
    assert_eq!(ask(client.connect(address).unwrap(), "").unwrap(), "here", "{address}");
    serving.join().unwrap();
}

#[tokio::test]
async fn a_fraction_without_ipv6_keeps_nobody_waiting() {
    let mut fractions = Fractions::new().await;
    let all = [fractions.join(1).await, fractions.join(1).await, fractions.join(1).await];
    let without = &all[2];
    without.write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
    let answering = [(&all[0], 2), (&all[1], 2), (without, 1)];
    let waiting = connecting(&all[0], "[::1]:9");
    let datagram = all[1].udp("[::1]:0");
    datagram.connect(at("[::1]:9")).unwrap();
    datagram.send(b"?").unwrap();
    let place = without.place.number();
    assert_eq!(until_a_change(&fractions, &answering).await, [(place, Family::V6, true)]);
    is_refused(waiting);
    assert_eq!(datagram.recv(&mut [0; 9]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    // From here on it is not waited for, and all else is as it was.
    assert_eq!(all[0].connect("[::1]:9").unwrap_err().kind(), ErrorKind::ConnectionRefused);
    serves(&all[1], &all[0], "[::1]:80");
    serves(without, &all[0], "127.0.0.1:81");
    assert_eq!(all[0].connect("127.0.0.1:9").unwrap_err().kind(), ErrorKind::ConnectionRefused);
    for _ in 0..5 {
        assert_eq!(pass(&fractions, &answering).await, [], "it stays silent");
    }

    without.write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "0");
    let answering = [(&all[0], 2), (&all[1], 2), (without, 2)];
    assert_eq!(until_a_change(&fractions, &answering).await, [(place, Family::V6, false)]);
    serves(without, &all[0], "[::1]:82");
    assert_eq!(all[0].connect("[::1]:9").unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_stopped_fraction_keeps_nobody_waiting_and_has_its_connections_when_it_goes_on() {
    let mut fractions = Fractions::new().await;
    let all = [fractions.join(1).await, fractions.join(1).await, fractions.join(1).await];
    let stopped = &all[2];
    let listener = stopped.listen("127.0.0.1:80");
    let kept = all[0].connect("127.0.0.1:80").unwrap();
    pass(&fractions, &[(&all[0], 2), (&all[1], 2), (stopped, 2)]).await;
    // As a guest does that does not run: it takes nothing up, and says nothing.
    stopped.ip("link set hostlo0 down");
    let answering = [(&all[0], 2), (&all[1], 2)];
    let waiting = [connecting(&all[0], "127.0.0.1:9"), connecting(&all[1], "[::1]:9")];
    let place = stopped.place.number();
    let fell = until_a_change(&fractions, &answering).await;
    assert_eq!(fell, [(place, Family::V4, true), (place, Family::V6, true)]);
    waiting.into_iter().for_each(is_refused);
    assert_eq!(all[0].connect("127.0.0.1:80").unwrap_err().kind(), ErrorKind::ConnectionRefused);
    serves(&all[1], &all[0], "127.0.0.1:81");
    // The daemon's successor knows, too.
    fractions.reopen();
    assert_eq!(all[0].connect("127.0.0.1:9").unwrap_err().kind(), ErrorKind::ConnectionRefused);

    stopped.ip("link set hostlo0 up");
    let answering = [(&all[0], 2), (&all[1], 2), (stopped, 2)];
    let back = until_a_change(&fractions, &answering).await;
    assert_eq!(back, [(place, Family::V4, false), (place, Family::V6, false)]);
    let serving = serve(listener, "kept", 1);
    assert_eq!(ask(kept, "").unwrap(), "kept");
    serving.join().unwrap();
    serves(stopped, &all[0], "127.0.0.1:82");
}

#[tokio::test]
async fn two_of_whom_one_is_stopped_are_one() {
    let mut fractions = Fractions::new().await;
    let (one, stopped) = (fractions.join(1).await, fractions.join(1).await);
    // Nobody is probed where nothing is asked.
    is_refused(connecting(&one, "127.0.0.1:9"));
    pass(&fractions, &[(&one, 2), (&stopped, 2)]).await;
    stopped.ip("link set hostlo0 down");
    let waiting = connecting(&one, "127.0.0.1:9");
    until_a_change(&fractions, &[(&one, 2)]).await;
    is_refused(waiting);
    assert_eq!(one.connect("[::1]:9").unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

/// A listener whose queue is full says nothing to a SYN: on one machine its client waits, too.
#[tokio::test]
async fn a_listener_that_takes_its_time_is_waited_for() {
    let mut fractions = Fractions::new().await;
    let all = [fractions.join(1).await, fractions.join(1).await, fractions.join(1).await];
    let socket = all[1].socket(at("127.0.0.1:80"), socket2::Type::STREAM);
    socket.bind(&at("127.0.0.1:80").into()).unwrap();
    socket.listen(0).unwrap();
    let listener = TcpListener::from(socket);
    let first = all[0].connect("127.0.0.1:80").unwrap();
    let waiting = connecting(&all[0], "127.0.0.1:80");
    let answering = [(&all[0], 2), (&all[1], 2), (&all[2], 2)];
    for _ in 0..12 {
        assert_eq!(pass(&fractions, &answering).await, []);
        let refused = connecting(&all[2], "127.0.0.1:9");
        is_refused(refused);
    }
    assert!(!waiting.is_finished(), "neither refused nor served");
    let (accepted, _) = listener.accept().unwrap();
    drop((first, accepted));
    waiting.join().unwrap().unwrap();
}

#[tokio::test]
async fn a_group_that_asks_nothing_is_left_in_peace() {
    let mut fractions = Fractions::new().await;
    let (one, two) = (fractions.join(1).await, fractions.join(1).await);
    for _ in 0..2 {
        pass(&fractions, &[]).await;
    }
    eventually("the answers to the first probe", || async {
        let heard = fractions.counters(&one).heard + fractions.counters(&two).heard;
        if heard == 4 { Ok(()) } else { Err(format!("{heard} answers")) }
    })
    .await;
    let bytes = [&one, &two].map(|fraction| fractions.counters(fraction).bytes);
    for _ in 0..5 {
        pass(&fractions, &[]).await;
    }
    assert_eq!([&one, &two].map(|fraction| fractions.counters(fraction).bytes), bytes);
}
