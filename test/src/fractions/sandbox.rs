//! A sandbox, and sockets in it. A socket belongs to the namespace that it was made in, and may be used from any thread.

use crate::socket;
use nestless_support::netns::Namespace;
use socket2::{SockAddr, Socket, Type};
use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
};

/// An address and a port, as "127.0.0.1:80".
///
/// # Panics
/// When it is none.
pub fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address and a port")
}

/// A pod's network namespace, in which `lo` is up.
pub struct Sandbox {
    /// The namespace.
    pub namespace: Namespace,
}

impl Sandbox {
    /// A new one.
    ///
    /// # Panics
    /// Without the rights of root.
    #[expect(clippy::new_without_default, reason = "nobody expects a default to need root")]
    pub fn new() -> Self {
        let sandbox = Self { namespace: Namespace::anonymous().expect("a new namespace") };
        sandbox.ip("link set lo up");
        sandbox
    }

    /// Runs `work` on a thread in it.
    ///
    /// # Panics
    /// When the work panics.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.namespace.run_blocking(work).expect("the work inside a sandbox")
    }

    /// Calls iproute2 in it.
    ///
    /// # Panics
    /// When that fails.
    pub fn ip(&self, arguments: &str) {
        let status =
            self.inside(|| std::process::Command::new("ip").args(arguments.split_whitespace()).status());
        assert!(status.is_ok_and(|status| status.success()), "ip {arguments}");
    }

    /// Reads a file below /proc/thread-self/net, or a setting below /proc/sys/net.
    ///
    /// # Panics
    /// When there is none.
    pub fn read(&self, path: &str) -> String {
        self.inside(|| std::fs::read_to_string(path)).expect("a file of the kernel's")
    }

    /// Writes a setting.
    ///
    /// # Panics
    /// When there is none.
    pub fn write(&self, path: &str, value: &str) {
        self.inside(|| std::fs::write(path, value)).expect("a setting of the kernel's");
    }

    /// A socket whose calls give up in the end.
    ///
    /// # Panics
    /// When the kernel has none to give.
    pub fn socket(&self, address: SocketAddr, kind: Type) -> Socket {
        let made = self.inside(|| socket::open(address, kind)).expect("a new socket");
        socket::patient(&made);
        made
    }

    /// A listener, which another one of the same address may join.
    ///
    /// # Panics
    /// When the address is taken.
    pub fn listen(&self, address: &str) -> TcpListener {
        self.try_listen(address).unwrap_or_else(|error| panic!("listen at {address}: {error}"))
    }

    /// A listener.
    ///
    /// # Errors
    /// When the address is taken.
    pub fn try_listen(&self, address: &str) -> io::Result<TcpListener> {
        socket::listen(self.socket(at(address), Type::STREAM), at(address))
    }

    /// A connection.
    ///
    /// # Errors
    /// As connect(2).
    pub fn connect(&self, address: &str) -> io::Result<TcpStream> {
        let socket = self.socket(at(address), Type::STREAM);
        socket.connect(&SockAddr::from(at(address)))?;
        Ok(socket.into())
    }

    /// A connection from one address to another.
    ///
    /// # Errors
    /// As bind(2) and connect(2).
    pub fn connect_from(&self, source: &str, address: &str) -> io::Result<TcpStream> {
        let socket = self.socket(at(address), Type::STREAM);
        socket.set_reuse_address(true)?;
        socket.bind(&at(source).into())?;
        socket.connect(&SockAddr::from(at(address)))?;
        Ok(socket.into())
    }

    /// A UDP socket with room for the largest datagrams.
    ///
    /// # Panics
    /// When the address is taken.
    pub fn udp(&self, address: &str) -> UdpSocket {
        let bound = socket::bind(self.socket(at(address), Type::DGRAM), at(address));
        bound.unwrap_or_else(|error| panic!("UDP at {address}: {error}"))
    }
}
