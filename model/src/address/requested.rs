//! Addresses that a pod asks for, as its runtime or its guest writes them, and how many there may be.

use super::text::{AddressTextError, parse_address, parse_prefix};
use ipnet::IpNet;
use std::{fmt, net::IpAddr, str::FromStr};

/// A network has one subnet of each family at most, and an interface has one address of each subnet.
const MAX_REQUESTED: usize = 2;

/// More addresses are asked for than any network has subnets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an interface gets one address of each subnet, and a network has one subnet of each family at most: ask for {MAX_REQUESTED} addresses at most"
)]
pub struct TooManyAddresses;

/// Whether an interface may ask for so many.
///
/// # Errors
/// When it may not. Whether the network has a subnet for each of them is another question ([`super::Claims::take`]).
pub fn check_requested(count: usize) -> Result<(), TooManyAddresses> {
    if count > MAX_REQUESTED { Err(TooManyAddresses) } else { Ok(()) }
}

/// An address with or without its prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestedAddress {
    /// "10.78.0.7"
    Host(IpAddr),
    /// "10.78.0.7/16"
    WithPrefix(IpNet),
}

impl fmt::Display for RequestedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(address) => address.fmt(f),
            Self::WithPrefix(net) => net.fmt(f),
        }
    }
}

impl FromStr for RequestedAddress {
    type Err = AddressTextError;
    fn from_str(text: &str) -> Result<Self, AddressTextError> {
        if text.contains('/') {
            parse_prefix(text).map(Self::WithPrefix)
        } else {
            parse_address(text).map(Self::Host)
        }
    }
}

impl RequestedAddress {
    /// Without its prefix length.
    pub fn address(self) -> IpAddr {
        match self {
            Self::Host(address) => address,
            Self::WithPrefix(net) => net.addr(),
        }
    }
}
