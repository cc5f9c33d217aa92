//! Makes a group's own tables, which aya has no call for: LRU hashes.
#![expect(
    unsafe_code,
    reason = "BPF_MAP_CREATE is a system call that aya makes only for its own kinds of tables"
)]

use std::{
    io,
    os::fd::{FromRawFd as _, OwnedFd},
};

/// `union bpf_attr` of `BPF_MAP_CREATE` (linux/bpf.h), as far as it is needed.
#[repr(C)]
struct Create {
    map_type: u32,
    key_bytes: u32,
    value_bytes: u32,
    max_entries: u32,
    map_flags: u32,
}

const BPF_MAP_CREATE: libc::c_int = 0;
const BPF_MAP_TYPE_LRU_HASH: u32 = 9;

pub(super) fn lru_hash<K, V>(max_entries: u32) -> io::Result<OwnedFd> {
    let create = Create {
        map_type: BPF_MAP_TYPE_LRU_HASH,
        key_bytes: size_of::<K>() as u32,
        value_bytes: size_of::<V>() as u32,
        max_entries,
        map_flags: 0,
    };
    // SAFETY: the kernel reads so many bytes of a live structure, and takes what is not there for zero.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_MAP_CREATE, &raw const create, size_of::<Create>()) };
    let descriptor = i32::try_from(result).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}
