//! What the runtime gives: variables, configuration, and the sandbox.

use nestless_model::{
    cni::{CniError, Environment, Request},
    refusal::Reason,
};
use nix::sys::statfs::{NSFS_MAGIC, fstatfs};
use std::{
    fs::{File, OpenOptions},
    io::Read as _,
    os::unix::fs::OpenOptionsExt as _,
};

/// The largest configuration read, in bytes: a network with a few thousand attachments to keep still fits.
const MAX_CONFIGURATION_BYTES: u64 = 1 << 20;

/// Variables that are no UTF-8 cannot be ones that CNI defines.
pub(crate) fn environment() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

pub(crate) fn configuration() -> Result<String, CniError> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(MAX_CONFIGURATION_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|e| {
        CniError::new(Reason::Io, format!("read the network configuration from standard input: {e}"))
    })?;
    if bytes.len() as u64 > MAX_CONFIGURATION_BYTES {
        let message = "the network configuration on standard input is larger than 1 MiB: expected less";
        return Err(CniError::new(Reason::Invalid, message));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let message =
            format!("the network configuration on standard input is not JSON: byte {at} is no UTF-8");
        CniError::new(Reason::Decode, message)
    })
}

/// Opens the sandbox of the call. For DEL one that is gone, or is none any more, is no error.
pub(crate) fn sandbox(request: &Request) -> Result<Option<File>, CniError> {
    match request {
        Request::Add(add) => open(&add.sandbox).map(Some),
        Request::Check(check) => open(&check.sandbox).map(Some),
        Request::Del(del) => Ok(del.sandbox.as_deref().and_then(|path| open(path).ok())),
        Request::Gc(_) | Request::Status(_) | Request::Version(_) => Ok(None),
    }
}

fn open(path: &str) -> Result<File, CniError> {
    let invalid = |why: String| {
        let message = format!("CNI_NETNS is {path:?}, {why}: expected the path of a network namespace");
        CniError::new(Reason::InvalidEnvironment, message)
    };
    // Without O_NONBLOCK, a FIFO at this path would hold the call for ever.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(|e| invalid(format!("which does not open ({e})")))?;
    // Which kind of namespace it is, the agent asks the kernel: it must not trust this process for that anyway.
    match fstatfs(&file) {
        Ok(fs) if fs.filesystem_type() == NSFS_MAGIC => Ok(file),
        Ok(_) => Err(invalid("which is no namespace".to_owned())),
        Err(e) => Err(invalid(format!("whose file system does not answer ({e})"))),
    }
}
