//! A server in a pod that tells its callers whom it takes them for, and the callers.

use crate::PATIENCE;
use nestless_lab::{Exec, Exit, Lab, Piece};
use nestless_support::netns::Namespace;
use std::{
    io::{self, Read as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
};
use tokio::{sync::mpsc, task::JoinHandle};

/// The server.
pub struct Echo {
    stop: mpsc::Sender<Vec<u8>>,
    serving: JoinHandle<()>,
}

impl Echo {
    /// The name of the program, for [`nestless_lab::LabBuilder::own_program`].
    pub const PROGRAM: &str = "nestless-test-echo";

    /// Serves in a pod, by TCP at one port and UDP at the other, from when this returns.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn serve(lab: &Lab, vm: &str, pod: &str, tcp: u16, udp: u16) -> Self {
        let client = lab.vm(vm).expect("a VM of the lab").client().await.expect("the VM answers");
        let exec = Exec::new([Self::PROGRAM.to_owned(), tcp.to_string(), udp.to_string()]).in_pod(pod);
        let (stop, input) = mpsc::channel(1);
        let (lines, mut said) = mpsc::unbounded_channel();
        let serving = tokio::spawn(async move {
            let exit = client.exec_streaming(&exec, input, |piece| {
                let (Piece::Stdout(bytes) | Piece::Stderr(bytes)) = piece;
                // Nobody listens to us any more once it serves.
                let _ = lines.send(String::from_utf8_lossy(&bytes).into_owned());
            });
            assert_eq!(exit.await.expect("the server runs"), Exit::Code(0));
        });
        let first = tokio::time::timeout(PATIENCE, said.recv()).await.expect("the server says something");
        assert_eq!(first.as_deref(), Some("listening\n"));
        Self { stop, serving }
    }

    /// Ends it.
    ///
    /// # Panics
    /// When it does not end well.
    pub async fn end(self) {
        drop(self.stop);
        self.serving.await.expect("the server ends");
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

fn read(answer: &str) -> IpAddr {
    answer.parse().unwrap_or_else(|error| panic!("{answer:?}: {error}"))
}
