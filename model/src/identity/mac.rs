//! Ethernet addresses, and which of them are ours.

use super::NicId;
use serde::{Deserialize, Serialize};
use std::{fmt, net::Ipv6Addr, str::FromStr};

/// The first two bytes of every NIC's address: "NL", which has the locally administered bit set and the
/// group bit clear. The guest's drop-ins (udev, systemd-networkd, NetworkManager) match on it.
pub const NIC_MAC_PREFIX: [u8; 2] = [0x4e, 0x4c];

/// A unicast Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac([u8; 6]);

impl Mac {
    /// # Errors
    /// When the address is a group address or all zeros, which no NIC may have.
    pub fn new(bytes: [u8; 6]) -> Result<Self, MacError> {
        if bytes[0] & 1 != 0 || bytes == [0; 6] {
            return Err(MacError::NotUnicast { text: render(bytes) });
        }
        Ok(Self(bytes))
    }

    /// The address a NIC is plugged with. `host` keeps hosts on one flat network apart; the low 16 bits of the
    /// id keep NICs of one host apart (the owner of the ids skips those still in use).
    pub fn of_nic(host: u16, nic: NicId) -> Self {
        let [h1, h0] = host.to_be_bytes();
        let [_, _, n1, n0] = nic.0.to_be_bytes();
        Self([NIC_MAC_PREFIX[0], NIC_MAC_PREFIX[1], h1, h0, n1, n0])
    }

    /// Whether a NIC of ours was plugged with this address.
    pub fn is_nic(self) -> bool {
        self.0[..2] == NIC_MAC_PREFIX
    }

    /// In transmission order.
    pub fn bytes(self) -> [u8; 6] {
        self.0
    }

    /// The IPv6 link-local address the kernel derives from it (RFC 4291, appendix A: modified EUI-64).
    pub fn link_local(self) -> Ipv6Addr {
        let m = self.0;
        Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]])
    }
}

fn render(bytes: [u8; 6]) -> String {
    bytes.map(|b| format!("{b:02x}")).join(":")
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&render(self.0))
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&render(self.0))
    }
}

impl FromStr for Mac {
    type Err = MacError;

    fn from_str(text: &str) -> Result<Self, MacError> {
        let syntax = || MacError::Syntax { text: text.chars().take(40).collect() };
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts
                .next()
                .filter(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()))
                .ok_or_else(syntax)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| syntax())?;
        }
        if parts.next().is_some() {
            return Err(syntax());
        }
        Self::new(bytes)
    }
}

impl TryFrom<String> for Mac {
    type Error = MacError;
    fn try_from(text: String) -> Result<Self, MacError> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> String {
        mac.to_string()
    }
}

/// Not an address a NIC can have.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MacError {
    /// Not six pairs of hexadecimal digits.
    #[error(
        "{text:?} is not a MAC address: expected six pairs of hexadecimal digits, such as 02:00:5e:10:00:01"
    )]
    Syntax {
        /// What was given.
        text: String,
    },
    /// A group address, or all zeros.
    #[error(
        "MAC address {text} is not unicast: the lowest bit of its first byte must be 0, and it may not be all zeros"
    )]
    NotUnicast {
        /// What was given.
        text: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let mac: Mac = "02:00:5E:10:00:ff".parse().unwrap();
        assert_eq!(mac.to_string(), "02:00:5e:10:00:ff");
        assert_eq!(mac.link_local().to_string(), "fe80::5eff:fe10:ff");
    }

    #[test]
    fn refuses_what_no_nic_may_have() {
        for bad in [
            "",
            "02:00:5e:10:00",
            "02:00:5e:10:00:01:02",
            "02:00:5e:10:00:+1",
            "2:0:5e:10:0:1",
            "zz:00:00:00:00:00",
        ] {
            assert!(matches!(bad.parse::<Mac>(), Err(MacError::Syntax { .. })), "{bad}");
        }
        for bad in ["ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "00:00:00:00:00:00"] {
            assert!(matches!(bad.parse::<Mac>(), Err(MacError::NotUnicast { .. })), "{bad}");
        }
    }

    #[test]
    fn nic_addresses_are_ours_and_distinct() {
        let a = Mac::of_nic(7, NicId(1));
        assert!(a.is_nic());
        assert_ne!(a, Mac::of_nic(8, NicId(1)));
        assert_ne!(a, Mac::of_nic(7, NicId(2)));
    }
}
