//! Ends a connection and keeps its socket, which the standard library has no call for.
#![expect(unsafe_code, reason = "no crate makes an address of no family")]

use std::{io, net::TcpStream, os::fd::AsRawFd as _};

/// connect(2) with `AF_UNSPEC`: the other end is reset, and the socket can be connected again.
///
/// # Panics
/// When the kernel refuses.
pub fn disconnect(stream: &TcpStream) {
    // SAFETY: an all-zero sockaddr is a valid value of that plain structure, and AF_UNSPEC is zero.
    let nowhere: libc::sockaddr = unsafe { std::mem::zeroed() };
    // SAFETY: the address is a live value of the size given.
    let done = unsafe { libc::connect(stream.as_raw_fd(), &raw const nowhere, size_of_val(&nowhere) as u32) };
    assert_eq!(done, 0, "disconnect: {}", io::Error::last_os_error());
}
