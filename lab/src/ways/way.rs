//! What the ways are called, and what each of them leads from and to.

use std::{fmt, net::IpAddr, str::FromStr};

/// A way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// One namespace.
    Lo,
    /// One namespace that is a fraction. The lab is to have a daemon.
    LoSteered,
    /// Two fractions. The lab is to have a daemon.
    Hostlo,
    /// Plain NICs. The lab is to have [second ones](crate::LabBuilder::second_nic).
    Nic,
    /// Pods' NICs. The lab is to have a daemon.
    Brfusion,
    /// A published port.
    Nat,
    /// VXLAN.
    Overlay,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Lo, Self::LoSteered, Self::Hostlo, Self::Nic, Self::Brfusion, Self::Nat, Self::Overlay];
    /// What a QEMU guest needs for any of them: see [`LabBuilder::programs`](crate::LabBuilder::programs).
    pub const PROGRAMS: [&str; 2] = ["ip", "nft"];

    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lo => "lo",
            Self::LoSteered => "lo-steered",
            Self::Hostlo => "hostlo",
            Self::Nic => "nic",
            Self::Brfusion => "brfusion",
            Self::Nat => "nat",
            Self::Overlay => "overlay",
        }
    }
}

/// No way has that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no way {0:?}: the ways are {known}", known = Way::ALL.map(Way::name).join(", "))]
pub struct UnknownWay(String);

impl FromStr for Way {
    type Err = UnknownWay;
    fn from_str(name: &str) -> Result<Self, UnknownWay> {
        Self::ALL.into_iter().find(|way| way.name() == name).ok_or_else(|| UnknownWay(name.to_owned()))
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One end of a way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its VM.
    pub vm: String,
    /// Its pod: a network namespace.
    pub pod: String,
}

/// A way that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WayEnds {
    /// Who asks.
    pub asker: Container,
    /// Who listens.
    pub server: Container,
    /// By which the asker reaches the server.
    pub address: IpAddr,
}
