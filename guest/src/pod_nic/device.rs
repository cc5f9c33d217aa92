//! Where a NIC sits: its PCI address and driver, from the driver itself (ETHTOOL_GDRVINFO), since the VM's `/sys/class/net`
//! does not show links of other namespaces.
#![expect(unsafe_code, reason = "SIOCETHTOOL is an ioctl that nix does not wrap")]

use nestless_model::identity::InterfaceName;
use nestless_support::netns::Namespace;
use std::{ffi::CStr, net::UdpSocket, os::fd::AsRawFd as _};

/// A NIC's device. Empty where the driver does not tell: a veth has no bus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// "0000:00:05.0"
    pub pci_address: String,
    /// "virtio_net"
    pub driver: String,
}

/// Asks the driver of `interface`. What cannot be found out is left empty: nothing depends on it.
pub async fn device(sandbox: &Namespace, interface: &InterfaceName) -> Device {
    let name = interface.clone();
    sandbox.run(move || ask(&name)).await.ok().flatten().unwrap_or_default()
}

/// `struct ethtool_drvinfo` of include/uapi/linux/ethtool.h.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    version: [u8; 32],
    firmware_version: [u8; 32],
    bus_info: [u8; 32],
    erom_version: [u8; 32],
    reserved: [u8; 12],
    counts: [u32; 5],
}

const ETHTOOL_GDRVINFO: u32 = 3;
const SIOCETHTOOL: libc::c_ulong = 0x8946;

fn ask(interface: &InterfaceName) -> Option<Device> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    let mut info = DriverInfo {
        command: ETHTOOL_GDRVINFO,
        driver: [0; 32],
        version: [0; 32],
        firmware_version: [0; 32],
        bus_info: [0; 32],
        erom_version: [0; 32],
        reserved: [0; 12],
        counts: [0; 5],
    };
    // SAFETY: all bytes zero are a valid `ifreq`, which is plain data.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // At most 15 bytes of the 16 are written: the last stays zero.
    for (letter, byte) in request.ifr_name.iter_mut().zip(interface.as_str().bytes()) {
        *letter = byte.cast_signed() as libc::c_char;
    }
    request.ifr_ifru.ifru_data = (&raw mut info).cast();
    // SAFETY: the request and the information it points to live until the call returns, and both have the kernel's layout.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
    let pci = text(&info.bus_info);
    (answer == 0).then(|| Device {
        pci_address: if pci.contains(':') { pci } else { String::new() },
        driver: text(&info.driver),
    })
}

fn text(bytes: &[u8]) -> String {
    CStr::from_bytes_until_nul(bytes).map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
}
