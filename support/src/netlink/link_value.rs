//! What a link is given: values that requests and their errors name too.

use std::fmt;

/// Six bytes of Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HardwareAddress(pub [u8; 6]);

impl fmt::Display for HardwareAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.map(|byte| format!("{byte:02x}")).join(":"))
    }
}

impl fmt::Debug for HardwareAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How a link makes its IPv6 link-local address (net.ipv6.conf.LINK.addr_gen_mode).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressGeneration {
    /// From the MAC address: the kernel's default.
    Eui64,
    /// Not at all: the link stays without any, and sends no router solicitation.
    None,
    /// In a way that hides the MAC address.
    Private,
}

impl fmt::Display for AddressGeneration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eui64 => "eui64",
            Self::None => "none",
            Self::Private => "stable-privacy",
        })
    }
}
