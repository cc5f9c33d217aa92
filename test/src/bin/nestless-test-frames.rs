//! Sends and receives raw Ethernet frames: `send LINK` reads one frame per line in hexadecimal, `listen LINK` writes
//! them so until its input ends. `block LINK` leaves an XDP program on the link that drops whatever comes. What a pod's root
//! user can do, and no more.
#![expect(unsafe_code, reason = "a packet socket's address has no safe constructor, nor has bpf(2)")]
#![allow(clippy::print_stdout, reason = "output is what it is for")]

use anyhow::{Context as _, Result, bail};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, socket};
use std::{
    io::{self, BufRead as _, Read as _, Write as _},
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["send", link] => send(link),
        ["listen", link] => listen(link),
        ["block", link] => block(link),
        _ => bail!("usage: nestless-test-frames send|listen|block LINK"),
    }
}

/// The program stays when this one ends: the link holds it.
fn block(link: &str) -> Result<()> {
    let index = by_name(link)?;
    let program = drop_everything()?;
    let kernel =
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)
            .context("open a netlink socket")?;
    nix::sys::socket::send(kernel.as_raw_fd(), &set_xdp(index, program.as_raw_fd()), MsgFlags::empty())
        .context("ask the kernel")?;
    let mut answer = vec![0; 4096];
    let length = nix::sys::socket::recv(kernel.as_raw_fd(), &mut answer, MsgFlags::empty())
        .context("hear the kernel's answer")?;
    answer.truncate(length);
    // A header of 16 bytes, and in an error message the number, 0 for none.
    let error = answer.get(16..20).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
    match error {
        Some(0) => Ok(()),
        Some(error) => Err(io::Error::from_raw_os_error(-error)).context("put the program on the link"),
        None => bail!("the kernel's answer has {} bytes", answer.len()),
    }
}

/// What bpf(2) reads to load a program: the first fields of `union bpf_attr` (include/uapi/linux/bpf.h).
#[repr(C)]
struct Load {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    zeros: [u64; 12],
}

fn drop_everything() -> Result<OwnedFd> {
    const BPF_PROG_LOAD: libc::c_int = 5;
    const BPF_PROG_TYPE_XDP: u32 = 6;
    // r0 = XDP_DROP; exit
    let instructions: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 1, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
    let license = c"GPL";
    let load = Load {
        program_type: BPF_PROG_TYPE_XDP,
        instruction_count: 2,
        instructions: instructions.as_ptr().addr() as u64,
        license: license.as_ptr().addr() as u64,
        zeros: [0; 12],
    };
    // SAFETY: the structure and what it points to live through the call, and its length is said.
    let raw = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const load, size_of::<Load>()) };
    if raw < 0 {
        return Err(io::Error::last_os_error()).context("load an XDP program");
    }
    // SAFETY: the kernel just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(raw)?) })
}

/// RTM_SETLINK with a program for the driver-independent hook (include/uapi/linux/if_link.h).
fn set_xdp(index: i32, program: i32) -> Vec<u8> {
    const RTM_SETLINK: u16 = 19;
    const NLM_F_REQUEST_AND_ACK: u16 = 5;
    const IFLA_XDP_NESTED: u16 = 43 | 0x8000;
    const IFLA_XDP_FD: u16 = 1;
    const IFLA_XDP_FLAGS: u16 = 3;
    const XDP_FLAGS_SKB_MODE: u32 = 2;
    let attribute = |kind: u16, content: &[u8]| {
        let length = u16::try_from(content.len() + 4).expect("a few bytes");
        [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), content].concat()
    };
    let program = attribute(IFLA_XDP_FD, &program.to_ne_bytes());
    let flags = attribute(IFLA_XDP_FLAGS, &XDP_FLAGS_SKB_MODE.to_ne_bytes());
    let link = [[0; 4], index.to_ne_bytes(), [0; 4], [0; 4]].concat();
    let body = [link, attribute(IFLA_XDP_NESTED, &[program, flags].concat())].concat();
    let length = u32::try_from(body.len() + 16).expect("a few bytes");
    let (kind, flags) = (RTM_SETLINK.to_ne_bytes(), NLM_F_REQUEST_AND_ACK.to_ne_bytes());
    [&length.to_ne_bytes()[..], &kind, &flags, &1_u32.to_ne_bytes(), &[0; 4], &body].concat()
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
