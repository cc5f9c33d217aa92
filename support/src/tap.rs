//! TAP devices: links whose other end is a descriptor. Ours are not persistent: a TAP lives as long as somebody holds one
//! of its descriptors (Documentation/networking/tuntap.rst, Linux 6.1).
#![expect(unsafe_code, reason = "the tun driver is configured by ioctl with a structure")]

use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::fs::OpenOptionsExt as _,
    },
    path::Path,
};

const TUN: &str = "/dev/net/tun";
const VHOST_NET: &str = "/dev/vhost-net";

/// A TAP could not be made, or vhost-net not be opened.
#[derive(Debug, thiserror::Error)]
pub enum TapError {
    /// The kernel has no tun driver, or the device node is missing.
    #[error(
        "there is no /dev/net/tun: load the module with `modprobe tun`, or give the container the device"
    )]
    NoTun(#[source] io::Error),
    /// Not allowed to use the device node, or to make links.
    #[error(
        "create TAP {name}: not permitted: it needs CAP_NET_ADMIN in the network namespace, and access to /dev/net/tun"
    )]
    NotPermitted {
        /// The TAP.
        name: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Another link has the name, or a process still holds the TAP.
    #[error("create TAP {name}: a link of that name exists")]
    NameTaken {
        /// The TAP.
        name: String,
    },
    /// Empty, longer than 15 bytes, or refused by the kernel.
    #[error("{name:?} is no name for a link: 1 to 15 bytes are allowed")]
    Name {
        /// What was asked for.
        name: String,
    },
    /// Anything else.
    #[error("create queue {queue} of TAP {name}")]
    Queue {
        /// The TAP.
        name: String,
        /// Counted from 0.
        queue: u16,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// vhost-net is there and does not open.
    #[error("open /dev/vhost-net")]
    Vhost(#[source] io::Error),
}

/// Makes the TAP `name` in the network namespace of the calling thread, down, with a descriptor for each of its queues
/// (0 counts as 1). Frames carry a virtio-net header, as every virtio device wants them.
///
/// # Errors
/// When the device node is missing, permission is, or the name is taken. Nothing is left then.
pub fn create(name: &str, queues: u16) -> Result<Vec<OwnedFd>, TapError> {
    let queues = queues.max(1);
    let mut flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    if queues > 1 {
        flags |= libc::IFF_MULTI_QUEUE;
    }
    // Without IFF_TUN_EXCL the first queue would join a TAP of that name that has several queues.
    (0..queues)
        .map(|queue| attach(name, queue, if queue == 0 { flags | libc::IFF_TUN_EXCL } else { flags }))
        .collect()
}

fn attach(name: &str, queue: u16, flags: libc::c_int) -> Result<OwnedFd, TapError> {
    let mut request = interface_request(name)?;
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    let failed = |source: io::Error| match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => TapError::NotPermitted { name: name.to_owned(), source },
        Some(libc::EBUSY | libc::EEXIST) if queue == 0 => TapError::NameTaken { name: name.to_owned() },
        Some(libc::EINVAL) if queue == 0 && exists(name) => TapError::NameTaken { name: name.to_owned() },
        _ => TapError::Queue { name: name.to_owned(), queue, source },
    };
    let tun = open(TUN).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => TapError::NoTun(source),
        _ if source.raw_os_error() == Some(libc::ENODEV) => TapError::NoTun(source),
        _ => failed(source),
    })?;
    // SAFETY: the descriptor is open, and TUNSETIFF reads and writes one `ifreq`, which `request` is.
    if unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF as libc::Ioctl, &raw mut request) } < 0 {
        return Err(failed(io::Error::last_os_error()));
    }
    Ok(tun.into())
}

fn interface_request(name: &str) -> Result<libc::ifreq, TapError> {
    // A '%' would make the kernel choose a number.
    if name.is_empty() || name.len() >= libc::IFNAMSIZ || name.contains(['%', '\0', '/']) {
        return Err(TapError::Name { name: name.to_owned() });
    }
    // SAFETY: `ifreq` is made of integers and pointers, for all of which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(request)
}

/// Whether a link of that name exists in the network namespace of the calling thread.
pub fn exists(name: &str) -> bool {
    nix::net::if_::if_nametoindex(name).is_ok()
}

/// Opens vhost-net once for each queue; `None` where the kernel has none, which is no error: QEMU then copies the frames.
///
/// # Errors
/// When it is there and does not open.
pub fn open_vhost(queues: u16) -> Result<Option<Vec<OwnedFd>>, TapError> {
    if !Path::new(VHOST_NET).exists() {
        return Ok(None);
    }
    (0..queues.max(1))
        .map(|_| open(VHOST_NET).map(OwnedFd::from))
        .collect::<Result<_, _>>()
        .map(Some)
        .map_err(TapError::Vhost)
}

fn open(path: &str) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netns::Namespace;

    /// Runs in a namespace of the test's own, which vanishes with it.
    fn inside(work: impl FnOnce() + Send) {
        Namespace::anonymous().unwrap().run_blocking(work).unwrap();
    }

    #[test]
    fn a_tap_lives_as_long_as_its_last_descriptor() {
        inside(|| {
            for queues in [1, 4] {
                let mut descriptors = create("nl1", queues).unwrap();
                assert_eq!(descriptors.len(), usize::from(queues));
                let last = descriptors.pop();
                drop(descriptors);
                assert!(exists("nl1"));
                drop(last);
                assert!(!exists("nl1"));
            }
        });
    }

    #[test]
    fn a_name_is_given_once() {
        inside(|| {
            for (first, second) in [(1, 1), (4, 4), (1, 4), (4, 1)] {
                let _held = create("nl1", first).unwrap();
                let error = create("nl1", second).unwrap_err();
                assert!(matches!(error, TapError::NameTaken { .. }), "{first} then {second}: {error}");
            }
            let error = create("lo", 1).unwrap_err();
            assert!(matches!(error, TapError::NameTaken { .. }), "{error}");
        });
    }

    #[test]
    fn bad_names_are_refused() {
        for bad in ["", "sixteen-letters-", "nl%d", "a/b", "a\0b"] {
            assert!(matches!(create(bad, 1), Err(TapError::Name { .. })), "{bad:?}");
        }
    }

    #[test]
    fn the_missing_capability_is_named() {
        inside(|| {
            let user = nix::unistd::Uid::from_raw(65534);
            // SAFETY: the bare system call changes the user of this thread only, which ends with the closure.
            let changed =
                unsafe { libc::syscall(libc::SYS_setresuid, user.as_raw(), user.as_raw(), user.as_raw()) };
            assert_eq!(changed, 0);
            let error = create("nl1", 1).unwrap_err();
            assert!(matches!(error, TapError::NotPermitted { .. }), "{error}");
            assert!(error.to_string().contains("CAP_NET_ADMIN"));
        });
    }
}
