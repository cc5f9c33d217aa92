//! Tells whoever asks whom it takes them for: `nestless-test-echo TCP-PORT UDP-PORT`, on every address of both families.
//! Says "listening" when it is, and stops when its input ends.
#![allow(clippy::print_stdout, reason = "output is what it is for")]

use anyhow::{Context as _, Result, bail};
use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv6Addr, TcpListener, UdpSocket},
};

fn main() -> Result<()> {
    let ports: Vec<u16> =
        std::env::args().skip(1).map(|port| port.parse()).collect::<Result<_, _>>().context("read a port")?;
    let [tcp, udp] = ports[..] else { bail!("usage: nestless-test-echo TCP-PORT UDP-PORT") };
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, tcp)).context("listen by TCP")?;
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, udp)).context("listen by UDP")?;
    std::thread::spawn(move || serve_tcp(&listener));
    std::thread::spawn(move || serve_udp(&socket));
    println!("listening");
    io::stdout().flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn serve_tcp(listener: &TcpListener) {
    while let Ok((mut stream, caller)) = listener.accept() {
        // A caller that has hung up is its own affair.
        let _ = write!(stream, "{}", caller.ip().to_canonical());
    }
}

fn serve_udp(socket: &UdpSocket) {
    let mut question = [0; 64];
    while let Ok((_, caller)) = socket.recv_from(&mut question) {
        let _ = socket.send_to(caller.ip().to_canonical().to_string().as_bytes(), caller);
    }
}
