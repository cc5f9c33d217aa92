//! Frames of our own, out of endpoints' host ends.
#![expect(unsafe_code, reason = "nix has no way to make a packet socket's address")]

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
};

/// A packet socket that receives nothing. Closing one takes the kernel milliseconds (`synchronize_net` in
/// `packet_release`, net/packet/af_packet.c), so that one serves for all frames of an occasion.
pub(super) struct Injector(OwnedFd);

impl Injector {
    /// Of the calling thread's network namespace.
    pub(super) fn open() -> io::Result<Self> {
        // Protocol 0: it receives nothing.
        Ok(Self(socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?))
    }

    pub(super) fn send(&self, ifindex: u32, frame: &[u8]) -> io::Result<()> {
        // SAFETY: an all-zero sockaddr_ll is a valid value of that plain structure.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_ifindex = i32::try_from(ifindex).map_err(io::Error::other)?;
        // SAFETY: both pointers lead to live values of the sizes given.
        let sent = unsafe {
            libc::sendto(
                self.0.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                0,
                (&raw const address).cast(),
                size_of_val(&address) as u32,
            )
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}
