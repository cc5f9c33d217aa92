//! A client has the number of a server that is in another fraction: on one machine it could not.

use nestless_test::fractions::{Fraction, Fractions, ask, at, serve};
use socket2::{SockRef, Socket, Type};
use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{TcpStream, UdpSocket},
    thread,
};

const PORTS: &str = "/proc/sys/net/ipv4/ip_local_port_range";

#[tokio::test]
async fn a_client_with_the_servers_number_meets_the_server() {
    let mut fractions = Fractions::new().await;
    let all = [fractions.join(1).await, fractions.join(1).await, fractions.join(1).await];
    for address in ["127.0.0.1:50000", "127.9.8.7:50000", "[::1]:50000"] {
        let serving = serve(all[0].listen(address), "the server", 2);
        for client in &all[1..] {
            let stream = client.connect_from(address, address).unwrap();
            assert_eq!(stream.local_addr().unwrap(), stream.peer_addr().unwrap());
            assert_eq!(ask(stream, "my own words").unwrap(), "the server", "{address}");
        }
        assert_eq!(serving.join().unwrap(), ["my own words"; 2]);
        // Without a server, it is refused, though it would be there itself.
        let refused = all[1].connect_from(address, address).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{address}");
    }
}

/// The kernel's own choice: of two numbers, one is the server's.
#[tokio::test]
async fn no_connection_is_with_itself() {
    const COUNT: usize = 200;
    let mut fractions = Fractions::new().await;
    let (one, two) = (fractions.join(1).await, fractions.join(1).await);
    two.write(PORTS, "50000 50002");
    let listener = one.listen("127.0.0.1:50000");
    // The server closes first, so that no number of the client's is taken.
    let serving = thread::spawn(move || {
        for _ in 0..COUNT {
            listener.accept().unwrap().0.write_all(b"the server").unwrap();
        }
    });
    let mut namesakes = 0;
    for _ in 0..COUNT {
        let (mut stream, mut heard) = (two.connect("127.0.0.1:50000").unwrap(), String::new());
        namesakes += usize::from(stream.local_addr().unwrap().port() == 50000);
        stream.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "the server");
    }
    serving.join().unwrap();
    assert!(namesakes > 0, "the kernel chose the server's number");
}

#[tokio::test]
async fn who_is_alone_connects_to_itself_as_on_one_machine() {
    let mut fractions = Fractions::new().await;
    let one = fractions.join(1).await;
    for address in ["127.0.0.1:50000", "[::1]:50000"] {
        let mut stream = one.connect_from(address, address).unwrap();
        stream.write_all(b"hello").unwrap();
        let mut heard = [0; 5];
        stream.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"hello");
    }
}

/// Binds, and lets its SYN go without waiting for an answer.
fn begins(fraction: &Fraction, own: &str, other: &str) -> Socket {
    let socket = fraction.socket(at(own), Type::STREAM);
    socket.set_reuse_address(true).unwrap();
    socket.bind(&at(own).into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.connect(&at(other).into()).unwrap_err();
    socket.set_nonblocking(false).unwrap();
    socket
}

#[tokio::test]
async fn two_that_connect_to_each_other_at_once_meet() {
    let mut fractions = Fractions::new().await;
    let (one, two) = (fractions.join(1).await, fractions.join(1).await);
    for (first, second) in [("127.0.0.1:50000", "127.0.0.1:50001"), ("[::1]:50000", "[::1]:50000")] {
        // The first SYN is lost.
        two.ip("link set hostlo0 down");
        let early = TcpStream::from(begins(&one, first, second));
        two.ip("link set hostlo0 up");
        let mut late = two.connect_from(second, first).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut heard = [0; 4];
                (&early).read_exact(&mut heard).unwrap();
                assert_eq!(&heard, b"late");
                (&early).write_all(b"early").unwrap();
            });
            late.write_all(b"late").unwrap();
            let mut heard = [0; 5];
            late.read_exact(&mut heard).unwrap();
            assert_eq!(&heard, b"early", "{first} and {second}");
        });
    }
}

fn is_silent(socket: &UdpSocket) {
    socket.set_nonblocking(true).unwrap();
    assert_eq!(socket.recv(&mut [0; 9]).unwrap_err().kind(), ErrorKind::WouldBlock);
    SockRef::from(socket).set_nonblocking(false).unwrap();
}

/// A question and its answer, at most eight bytes.
fn exchange(client: &UdpSocket, server: &UdpSocket, words: &[u8]) {
    let mut heard = [0; 8];
    client.send_to(words, server.local_addr().unwrap()).unwrap();
    let (count, from) = server.recv_from(&mut heard).unwrap();
    assert_eq!(&heard[..count], words);
    server.send_to(&heard[..count], from).unwrap();
    let count = client.recv(&mut heard).unwrap();
    assert_eq!(&heard[..count], words, "the answer goes to who asked");
}

#[tokio::test]
async fn an_answer_goes_to_who_asked_though_the_server_has_a_socket_of_that_number() {
    let mut fractions = Fractions::new().await;
    let (one, two) = (fractions.join(1).await, fractions.join(1).await);
    for (number, asked) in [("127.0.0.1:50000", "127.0.0.1:53"), ("[::1]:50000", "[::1]:53")] {
        let server = one.udp(asked);
        let (client, namesake) = (two.udp(number), one.udp(number));
        for _ in 0..3 {
            exchange(&client, &server, b"remote");
            is_silent(&namesake);
            // The one here has its own answer, too.
            exchange(&namesake, &server, b"local");
            is_silent(&client);
        }
    }
    // The server has the client's number itself.
    let (client, server) = (two.udp("127.0.0.1:50000"), one.udp("127.0.0.1:50001"));
    exchange(&client, &server, b"twice");
}
