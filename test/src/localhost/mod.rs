//! What programs may count on from one localhost, tried from inside: a battery of services in one fraction of a pod, and
//! the questions that another fraction puts to them. Nothing here knows of Hostlo: on one machine all of it holds as well.

mod addresses;
mod battery;
mod connections;
mod datagrams;
pub mod names;
pub mod nobody;
pub mod transfer;
pub mod urgent;

use anyhow::Result;
use nestless_lab::image::Program;

/// For [`nestless_lab::LabBuilder::own_program`].
pub const PROGRAM: Program = Program::TestLocalhost;

/// What holds between a server and an asker.
#[derive(Clone, Copy, Debug)]
pub struct Behaviour {
    /// As the asker prints it.
    pub name: &'static str,
    /// Questions to ports that nobody listens at.
    pub refused: u64,
    /// The first of the ports that are its own.
    port: u16,
    serve: fn(u16) -> Result<()>,
    ask: fn(u16) -> Result<()>,
}

/// All of them.
pub const BEHAVIOURS: [Behaviour; 15] = [
    behaviour("tcp", 7101, connections::serve, connections::ask),
    behaviour("half-close", 7102, connections::serve_half_closed, connections::ask_half_closed),
    behaviour("urgent-data", 7103, urgent::serve, urgent::ask),
    behaviour("transfers", 7104, transfer::serve, transfer::ask),
    behaviour("short-connections", 7105, connections::serve_shortly, connections::ask_shortly),
    behaviour("shared-port", 7106, connections::serve_together, connections::ask_together),
    behaviour("udp", 7107, datagrams::serve, datagrams::ask),
    behaviour("connected-udp", 7108, datagrams::serve, datagrams::ask_connected),
    behaviour("datagram-sizes", 7109, datagrams::serve, datagrams::ask_sizes),
    behaviour("udp-segments", 7110, datagrams::serve, datagrams::ask_in_segments),
    behaviour("whole-127", 7111, addresses::serve_whole, addresses::ask_whole).refuses(2),
    behaviour("tcp-families", 7112, addresses::serve_tcp_families, addresses::ask_tcp_families).refuses(3),
    behaviour("udp-families", 7115, addresses::serve_udp_families, addresses::ask_udp_families).refuses(2),
    // Who serves the port by the other protocol is nobody.
    behaviour("nobody-by-tcp", 7118, datagrams::serve, nobody::ask_by_tcp).refuses(3),
    behaviour("nobody-by-udp", 7119, connections::serve, nobody::ask_by_udp).refuses(3),
];

const fn behaviour(
    name: &'static str,
    port: u16,
    serve: fn(u16) -> Result<()>,
    ask: fn(u16) -> Result<()>,
) -> Behaviour {
    Behaviour { name, refused: 0, port, serve, ask }
}

impl Behaviour {
    const fn refuses(self, refused: u64) -> Self {
        Self { refused, ..self }
    }

    /// Serves what [`Behaviour::ask`] asks for, from when this returns and as long as the process lives.
    ///
    /// # Errors
    /// When a port is taken.
    pub fn serve(&self) -> Result<()> {
        (self.serve)(self.port)
    }

    /// Tries whether it holds.
    ///
    /// # Errors
    /// When it does not: what came instead.
    pub fn ask(&self) -> Result<()> {
        (self.ask)(self.port)
    }
}
