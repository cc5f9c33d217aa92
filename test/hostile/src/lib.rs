//! Everything that reads outside input, one function for each reader. libFuzzer runs them (`scripts/fuzz`), and so does an
//! ordinary test over the corpus (`tests/corpus.rs`): both call what is here, so they cannot drift apart.
//!
//! Each function holds the reader to two promises: it never panics, and what it accepts means the same when it is written
//! and read again.

mod cni;
mod config;
mod guest_api;
mod http2;
mod planner;
mod qmp;
mod serial_link;

/// A reader under attack.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Also the name of its folder in the corpus and of the fuzzer's program.
    pub name: &'static str,
    /// Panics when a promise is broken. Accepts any bytes.
    pub attack: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 7] = [
    Target { name: "cni", attack: cni::attack },
    Target { name: "config", attack: config::attack },
    Target { name: "guest_api", attack: guest_api::attack },
    Target { name: "http2", attack: http2::attack },
    Target { name: "planner", attack: planner::attack },
    Target { name: "qmp", attack: qmp::attack },
    Target { name: "serial_link", attack: serial_link::attack },
];

/// Runs the target called `name`, for programs that are for one target only.
///
/// # Panics
/// When there is none of that name, or a promise is broken.
pub fn attack(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("a program for a target that is in the list").attack)(input);
}
