//! A server in a pod that tells its callers whom it takes them for, and the callers.

use crate::{PATIENCE, Serving};
use nestless_lab::{Exec, Lab, Output, image::Program};
use nestless_support::netns::Namespace;
use std::{
    io::{self, Read as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
};

const LOCALHOST: [&str; 2] = ["127.0.0.1", "::1"];

/// The server.
pub struct Echo;

impl Echo {
    /// For [`nestless_lab::LabBuilder::own_program`].
    pub const PROGRAM: Program = Program::TestEcho;

    /// Serves in a pod, by TCP at one port and UDP at the other, from when this returns.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn serve(lab: &Lab, vm: &str, pod: &str, tcp: u16, udp: u16) -> Serving {
        let exec = Exec::new([Self::PROGRAM.to_string(), tcp.to_string(), udp.to_string()]).in_pod(pod);
        Serving::start(lab, vm, exec).await
    }
}

/// Whom the server behind `to` takes a caller in `from` for, by TCP.
///
/// # Errors
/// When it does not answer.
///
/// # Panics
/// When its answer is no address.
pub async fn by_tcp(from: &Namespace, to: SocketAddr) -> io::Result<IpAddr> {
    let ask = move || {
        let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    from.run(ask).await.expect("the caller's namespace is there").map(|answer| read(&answer))
}

/// The same by UDP.
///
/// # Errors
/// When it does not answer.
///
/// # Panics
/// When its answer is no address.
pub async fn by_udp(from: &Namespace, to: SocketAddr) -> io::Result<IpAddr> {
    let ask = move || {
        let any: IpAddr =
            if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(to)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.send(b"who am I?")?;
        let mut answer = [0; 64];
        let length = socket.recv(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
    };
    from.run(ask).await.expect("the caller's namespace is there").map(|answer| read(&answer))
}

/// The pod asks at a port of its localhost, by both families, and the server takes it for localhost.
///
/// # Panics
/// When there is another answer, or none.
pub async fn answers_at_home(lab: &Lab, vm: &str, pod: &str, port: u16) {
    for address in LOCALHOST {
        let output = at_home(lab, vm, pod, address, port).await;
        let said = output.success(format!("{pod} of {vm} asks {address} at {port}"));
        assert_eq!(said.unwrap_or_else(|error| panic!("{error}")).text(), address, "in {pod} of {vm}");
    }
}

/// The pod asks there, and is refused.
///
/// # Panics
/// When it is not.
pub async fn refuses_at_home(lab: &Lab, vm: &str, pod: &str, port: u16) {
    for address in LOCALHOST {
        let output = at_home(lab, vm, pod, address, port).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("Connection refused"), "{pod} of {vm}, {address}: {} {said}", output.exit);
    }
}

async fn at_home(lab: &Lab, vm: &str, pod: &str, address: &str, port: u16) -> Output {
    let line = format!("busybox nc -w 20 {address} {port} </dev/null");
    lab.pod_exec(vm, pod, Exec::shell(line)).await.expect("a shell runs")
}

fn read(answer: &str) -> IpAddr {
    answer.parse().unwrap_or_else(|error| panic!("{answer:?}: {error}"))
}
