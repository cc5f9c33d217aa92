//! What may be asked of a network's addresses.

use crate::identity::Mac;
use std::{fmt, net::IpAddr};

/// What a pod asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressRequest {
    /// Static addresses; a family that is not named gets any free one.
    pub addresses: Vec<IpAddr>,
    /// The pod's own MAC address, if it is not to be the NIC's.
    pub mac: Option<Mac>,
    /// The one family that its guest can use; `None`: both.
    pub only: Option<Family>,
}

/// The one address to reserve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReservationWish {
    /// This one.
    This(IpAddr),
    /// Any free one.
    Any(Family),
}

impl ReservationWish {
    /// Of which family.
    pub fn family(self) -> Family {
        match self {
            Self::This(address) => Family::of(address),
            Self::Any(family) => family,
        }
    }
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words say it")]
pub enum Family {
    V4,
    V6,
}

impl Family {
    /// That of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}
