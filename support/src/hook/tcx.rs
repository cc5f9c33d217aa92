//! TCX: programs of a link in an order, without a qdisc (Linux 6.6, kernel/bpf/tcx.c). They are attached without a `bpf_link`,
//! so that the network device keeps them, and not a pin that somebody could remove.
#![expect(
    unsafe_code,
    reason = "BPF_PROG_ATTACH to a network device is a system call that aya makes only for links"
)]

use crate::clsact::Hook;
use aya::programs::{ProgramError, ProgramInfo, SchedClassifier, tc::TcError};
use aya::sys::SyscallError;
use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd},
};

// linux/bpf.h
const BPF_PROG_ATTACH: libc::c_int = 8;
const BPF_PROG_DETACH: libc::c_int = 9;
const BPF_TCX_INGRESS: u32 = 46;
const BPF_TCX_EGRESS: u32 = 47;
const BPF_F_REPLACE: u32 = 1 << 2;
/// Without a program to be before: before all.
const BPF_F_BEFORE: u32 = 1 << 3;

/// `union bpf_attr` of these two calls (linux/bpf.h).
#[repr(C)]
#[derive(Default)]
struct Attach {
    target_ifindex: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
    relative_fd: u32,
    expected_revision: u64,
}

/// A program in its place.
pub(super) struct Seat {
    pub(super) id: u32,
    pub(super) name: String,
    program: ProgramInfo,
}

/// Whether this kernel has it.
pub(super) fn is_known() -> Result<bool, ProgramError> {
    // Every namespace has this link.
    match SchedClassifier::query_tcx("lo", Hook::Ingress.attach_type()) {
        Ok(_) => Ok(true),
        Err(ProgramError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::EINVAL) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// In the order in which they are asked.
pub(super) fn list(link: &str, hook: Hook) -> Result<Vec<Seat>, ProgramError> {
    loop {
        match SchedClassifier::query_tcx(link, hook.attach_type()) {
            Ok((_, programs)) => return Ok(programs.into_iter().map(seat).collect()),
            // One went between being listed and being looked at.
            Err(ProgramError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => {
            }
            // The link is gone.
            Err(ProgramError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENODEV) => {
                return Ok(Vec::new());
            }
            Err(ProgramError::TcError(TcError::IoError(error)))
                if error.raw_os_error() == Some(libc::ENODEV) =>
            {
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        }
    }
}

fn seat(program: ProgramInfo) -> Seat {
    Seat { id: program.id(), name: program.name_as_str().unwrap_or_default().to_owned(), program }
}

pub(super) fn put_first(program: &SchedClassifier, ifindex: u32, hook: Hook) -> Result<(), ProgramError> {
    let own = program.fd()?;
    let attach = Attach { attach_flags: BPF_F_BEFORE, ..about(own.as_fd(), ifindex, hook) };
    call(BPF_PROG_ATTACH, "BPF_PROG_ATTACH", &attach)
}

/// In one step; the place stays the same.
pub(super) fn exchange(
    program: &SchedClassifier,
    old: &Seat,
    ifindex: u32,
    hook: Hook,
) -> Result<(), ProgramError> {
    let (own, old) = (program.fd()?, old.program.fd()?);
    let replace_bpf_fd = number(old.as_fd());
    let attach = Attach { attach_flags: BPF_F_REPLACE, replace_bpf_fd, ..about(own.as_fd(), ifindex, hook) };
    call(BPF_PROG_ATTACH, "BPF_PROG_ATTACH", &attach)
}

pub(super) fn take_off(seat: &Seat, ifindex: u32, hook: Hook) -> Result<(), ProgramError> {
    let program = seat.program.fd()?;
    call(BPF_PROG_DETACH, "BPF_PROG_DETACH", &about(program.as_fd(), ifindex, hook))
}

fn about(program: BorrowedFd<'_>, target_ifindex: u32, hook: Hook) -> Attach {
    let attach_type = match hook {
        Hook::Ingress => BPF_TCX_INGRESS,
        Hook::Egress => BPF_TCX_EGRESS,
    };
    Attach { target_ifindex, attach_bpf_fd: number(program), attach_type, ..Attach::default() }
}

fn number(descriptor: BorrowedFd<'_>) -> u32 {
    descriptor.as_raw_fd().unsigned_abs()
}

fn call(command: libc::c_int, name: &'static str, attach: &Attach) -> Result<(), ProgramError> {
    // SAFETY: the kernel reads so many bytes of a live structure, and takes what is not there for zero.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const *attach, size_of::<Attach>()) };
    if result == 0 {
        return Ok(());
    }
    Err(SyscallError { call: name, io_error: io::Error::last_os_error() }.into())
}
