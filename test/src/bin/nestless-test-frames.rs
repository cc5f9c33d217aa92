//! Sends and receives raw Ethernet frames: `send LINK` reads one frame per line in hexadecimal, `listen LINK` writes
//! them so until its input ends. What a pod's root user can do, and no more.
#![expect(unsafe_code, reason = "a packet socket's address has no safe constructor")]
#![allow(clippy::print_stdout, reason = "output is what it is for")]

use anyhow::{Context as _, Result, bail};
use std::{
    io::{self, BufRead as _, Read as _, Write as _},
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["send", link] => send(link),
        ["listen", link] => listen(link),
        _ => bail!("usage: nestless-test-frames send|listen LINK"),
    }
}

fn send(link: &str) -> Result<()> {
    let socket = open(link)?;
    for line in io::stdin().lock().lines() {
        let frame = nestless_test::frame::unhex(line?.trim());
        // SAFETY: the buffer lives through the call and is as long as is said.
        let sent = unsafe { libc::send(socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        if sent < 0 {
            return Err(io::Error::last_os_error()).context("send a frame");
        }
    }
    Ok(())
}

fn listen(link: &str) -> Result<()> {
    let socket = open(link)?;
    println!("listening");
    io::stdout().flush()?;
    std::thread::spawn(|| {
        // The end of the input is the order to stop.
        let _ = io::stdin().read_to_end(&mut Vec::new());
        #[expect(
            clippy::disallowed_methods,
            reason = "the other thread is inside recv, and nothing is to be cleaned up"
        )]
        std::process::exit(0);
    });
    let mut buffer = [0_u8; 65_536];
    loop {
        // SAFETY: the buffer lives through the call and is as long as is said.
        let read = unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        let length = usize::try_from(read).map_err(|_| io::Error::last_os_error()).context("receive")?;
        println!("{}", nestless_test::frame::hex(&buffer[..length]));
        io::stdout().flush()?;
    }
}

/// A packet socket of one link (packet(7)).
fn open(link: &str) -> Result<OwnedFd> {
    let index = by_name(link)?;
    let protocol = (libc::ETH_P_ALL as u16).to_be();
    // SAFETY: takes three integers and gives a new descriptor, or -1.
    let raw = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol.into()) };
    if raw < 0 {
        return Err(io::Error::last_os_error()).context("open a packet socket");
    }
    // SAFETY: the kernel just made it for us.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    // SAFETY: all zeros is a value of this C struct.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol;
    address.sll_ifindex = index;
    let length = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the address lives through the call and is as long as is said.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    if bound < 0 {
        return Err(io::Error::last_os_error()).with_context(|| format!("bind to {link}"));
    }
    Ok(socket)
}

fn by_name(link: &str) -> Result<i32> {
    let name = std::ffi::CString::new(link)?;
    // SAFETY: the name ends with a zero and lives through the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index == 0 {
        return Err(io::Error::last_os_error()).with_context(|| format!("find {link}"));
    }
    Ok(i32::try_from(index)?)
}
