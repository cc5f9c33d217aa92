//! What can go wrong with pins.

use std::{error::Error, io, path::PathBuf};

type Cause = Box<dyn Error + Send + Sync>;

/// Programs or tables could not be loaded, taken up, or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    /// The kernel refuses eBPF to this process.
    #[error(
        "no permission to load eBPF programs: run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN (the last mounts /sys/fs/bpf)"
    )]
    NotPermitted {
        /// The kernel's refusal.
        #[source]
        source: Cause,
    },
    /// There is no file system to pin in.
    #[error(
        "no eBPF file system for {path}: mount one (mount -t bpf bpf /sys/fs/bpf); the kernel needs CONFIG_BPF_SYSCALL"
    )]
    FileSystem {
        /// Where pins should go.
        path: PathBuf,
        /// The failed call.
        #[source]
        source: io::Error,
    },
    /// A pin's file or directory could not be made, read or removed.
    #[error("pin at {path}")]
    Pin {
        /// The pin.
        path: PathBuf,
        /// Why.
        #[source]
        source: Cause,
    },
    /// The kernel did not take the programs.
    #[error("load the programs of the {object} (Linux 6.1 or later is needed)")]
    Load {
        /// "guard" or "reflector".
        object: &'static str,
        /// Why.
        #[source]
        source: Cause,
    },
}

impl PinError {
    /// Loading's failure; a refusal for want of rights anywhere in its causes says so.
    pub(crate) fn load(object: &'static str, source: impl Error + Send + Sync + 'static) -> Self {
        let mut cause: Option<&(dyn Error + 'static)> = Some(&source);
        while let Some(error) = cause {
            let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
            if kind == Some(io::ErrorKind::PermissionDenied) {
                return Self::NotPermitted { source: Box::new(source) };
            }
            cause = error.source();
        }
        Self::Load { object, source: Box::new(source) }
    }
}
