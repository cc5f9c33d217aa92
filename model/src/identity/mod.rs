//! Typed names. A bare string or number never crosses a module boundary where one of these would do.

mod mac;
mod mac_prefix;
mod name;

pub use mac::{Mac, MacError, NIC_MAC_PREFIX};
pub use mac_prefix::{MacPrefix, MacPrefixError};
pub use name::{
    BootId, ContainerId, FractionName, GroupName, InterfaceName, LinkName, NameError, NetworkName, RequestId,
    TenantName, VmName,
};

use serde::{Deserialize, Serialize};
use std::fmt;

/// One pod interface, as CNI identifies it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttachmentId {
    /// The runtime's id of the sandbox.
    pub container: ContainerId,
    /// The interface's name inside the sandbox.
    pub interface: InterfaceName,
}

/// The name that every loopback endpoint has in its sandbox, which no pod's interface may have.
pub const ENDPOINT_INTERFACE: &str = "hostlo0";

impl AttachmentId {
    /// That of the container's loopback endpoint.
    pub fn of_endpoint(container: ContainerId) -> Self {
        Self { container, interface: Self::endpoint_interface() }
    }

    /// [`ENDPOINT_INTERFACE`]
    pub fn endpoint_interface() -> InterfaceName {
        InterfaceName::new(ENDPOINT_INTERFACE).expect("seven letters and digits are a name")
    }

    /// Whether it is a loopback endpoint's.
    pub fn is_endpoint(&self) -> bool {
        self.interface.as_str() == ENDPOINT_INTERFACE
    }

    /// A short name where its own is too long: nftables chains, file names. FNV-1a, 64 bits: the same in every version of
    /// ours, since a later one must be able to clean up after an earlier one.
    pub fn digest(&self) -> u64 {
        self.to_string().bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }
}

impl fmt::Display for AttachmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.container, self.interface)
    }
}

/// A NIC for the whole of its life on one host daemon. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NicId(pub u32);

impl NicId {
    /// The name of the host's end of the NIC (TAP or veth): at most 15 bytes, as the kernel demands.
    pub fn link_name(self) -> LinkName {
        LinkName::new(format!("nl{:x}", self.0))
            .expect("two letters and at most eight digits make a link name")
    }

    /// Reads the id back from [`NicId::link_name`]; `None` for a link that is not ours.
    pub fn from_link_name(name: &str) -> Option<Self> {
        let digits = name.strip_prefix("nl")?;
        parse_hex(digits).map(NicId)
    }

    /// The name of the link in which what the NIC sends waits, where its rate is limited.
    pub fn queue_name(self) -> LinkName {
        LinkName::new(format!("nq{:x}", self.0))
            .expect("two letters and at most eight digits make a link name")
    }

    /// Reads the id back from [`NicId::queue_name`]; `None` for a link that is not ours.
    pub fn from_queue_name(name: &str) -> Option<Self> {
        parse_hex(name.strip_prefix("nq")?).map(NicId)
    }

    /// The hypervisor's name of the device, and the stem of its back end's name.
    pub fn device_name(self) -> String {
        format!("nestless-{:x}", self.0)
    }

    /// Reads the id back from [`NicId::device_name`]; `None` for a device that is not ours.
    pub fn from_device_name(name: &str) -> Option<Self> {
        parse_hex(name.strip_prefix("nestless-")?).map(NicId)
    }
}

/// Only what `{:x}` writes: two spellings of one id would be two names for one NIC.
fn parse_hex(digits: &str) -> Option<u32> {
    let value = u32::from_str_radix(digits, 16).ok()?;
    (format!("{value:x}") == digits).then_some(value)
}

impl fmt::Display for NicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nic {:x}", self.0)
    }
}

/// Largest packet, in bytes, without the Ethernet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Mtu(u32);

impl Mtu {
    /// The smallest that IPv6 allows (RFC 8200, section 5).
    pub const MIN: Self = Self(1280);
    /// The largest a virtio-net device can be told (virtio 1.2, section 5.1.4: a 16-bit field).
    pub const MAX: Self = Self(65535);
    /// Of a loopback endpoint, and so of its sandbox's `lo`: the most that a TAP takes (65535 less an Ethernet header;
    /// drivers/net/tun.c). With a network's usual 1500, traffic that never leaves `lo` would pay for the split.
    pub const OF_ENDPOINTS: Self = Self(65521);

    /// # Errors
    /// When `bytes` lies outside [`Mtu::MIN`] and [`Mtu::MAX`].
    pub fn new(bytes: u32) -> Result<Self, MtuError> {
        let mtu = Self(bytes);
        if (Self::MIN..=Self::MAX).contains(&mtu) { Ok(mtu) } else { Err(MtuError { bytes }) }
    }

    /// In bytes.
    pub fn bytes(self) -> u32 {
        self.0
    }
}

impl Default for Mtu {
    fn default() -> Self {
        Self(1500)
    }
}

impl TryFrom<u32> for Mtu {
    type Error = MtuError;
    fn try_from(bytes: u32) -> Result<Self, MtuError> {
        Self::new(bytes)
    }
}

impl From<Mtu> for u32 {
    fn from(mtu: Mtu) -> u32 {
        mtu.0
    }
}

/// An MTU outside what IPv6 and virtio allow.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an MTU of {bytes} bytes is not between 1280 (IPv6) and 65535 (virtio-net)")]
pub struct MtuError {
    /// What was asked for.
    pub bytes: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nic_names_read_back() {
        for id in [0x1, 0xff, u32::MAX] {
            let nic = NicId(id);
            assert_eq!(NicId::from_link_name(nic.link_name().as_str()), Some(nic));
            assert_eq!(NicId::from_queue_name(nic.queue_name().as_str()), Some(nic));
            assert_eq!(NicId::from_device_name(&nic.device_name()), Some(nic));
        }
        assert_eq!(NicId::from_link_name("nlbridge"), None);
        assert_eq!(NicId::from_link_name("nl01"), None);
        assert_eq!(NicId::from_link_name("eth0"), None);
    }

    #[test]
    fn a_digest_is_the_same_in_every_version() {
        let id = AttachmentId::of_endpoint(ContainerId::new("a").unwrap());
        assert_eq!(format!("{:016x}", id.digest()), "6982ad9089826cc2");
    }

    #[test]
    fn mtu_bounds() {
        assert_eq!(Mtu::new(1279), Err(MtuError { bytes: 1279 }));
        assert_eq!(Mtu::new(65535).map(Mtu::bytes), Ok(65535));
    }
}
