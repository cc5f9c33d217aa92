//! Settings below `/proc/sys/net`, which are those of the calling thread's network namespace.

use crate::netns::{Namespace, NamespaceError};
use std::{fs, io, path::PathBuf};

/// Reads a setting in the calling thread's namespace, without the newline. `key` is the path below `/proc/sys`, with
/// slashes, since a link's name may have dots: `net/ipv4/conf/eth0.5/forwarding`.
///
/// # Errors
/// When there is no such setting.
pub fn read(key: &str) -> Result<String, SysctlError> {
    fs::read_to_string(path(key))
        .map(|text| text.trim_end().to_owned())
        .map_err(|source| SysctlError::Read { key: key.to_owned(), source })
}

/// Writes a setting in the calling thread's namespace. `key` as for [`read`].
///
/// # Errors
/// When there is no such setting, or `/proc/sys` is mounted read-only, as in most containers.
pub fn write(key: &str, value: &str) -> Result<(), SysctlError> {
    fs::write(path(key), value).map_err(|source| SysctlError::Write {
        key: key.to_owned(),
        value: value.to_owned(),
        source,
    })
}

/// [`write`], inside another namespace.
///
/// # Errors
/// As [`write`], and when the namespace cannot be entered.
pub async fn write_inside(namespace: &Namespace, key: &str, value: &str) -> Result<(), SysctlError> {
    let (key, value) = (key.to_owned(), value.to_owned());
    namespace.run(move || write(&key, &value)).await.map_err(|source| SysctlError::Inside { source })?
}

/// [`read`], inside another namespace.
///
/// # Errors
/// As [`read`], and when the namespace cannot be entered.
pub async fn read_inside(namespace: &Namespace, key: &str) -> Result<String, SysctlError> {
    let key = key.to_owned();
    namespace.run(move || read(&key)).await.map_err(|source| SysctlError::Inside { source })?
}

// `/proc/sys/net` resolves to the namespace of the thread that opens it (net/sysctl_net.c, net_ctl_header_lookup).
fn path(key: &str) -> PathBuf {
    PathBuf::from("/proc/sys").join(key)
}

/// A setting that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SysctlError {
    /// It cannot be read.
    #[error("read /proc/sys/{key}")]
    Read {
        /// Which.
        key: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It cannot be written.
    #[error("write {value:?} to /proc/sys/{key}")]
    Write {
        /// Which.
        key: String,
        /// What was to be written.
        value: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The namespace that has it cannot be entered.
    #[error("reach /proc/sys of another network namespace")]
    Inside {
        /// Why.
        #[source]
        source: NamespaceError,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_namespace_has_its_own() {
        let namespace = Namespace::anonymous().unwrap();
        let other = Namespace::anonymous().unwrap();
        let key = "net/ipv6/conf/lo/accept_ra";
        let before = read_inside(&other, key).await.unwrap();
        let value = if before == "0" { "1" } else { "0" };
        write_inside(&namespace, key, value).await.unwrap();
        assert_eq!(read_inside(&namespace, key).await.unwrap(), value);
        assert_eq!(read_inside(&other, key).await.unwrap(), before);
    }

    #[tokio::test]
    async fn the_error_names_key_and_value() {
        let namespace = Namespace::anonymous().unwrap();
        let error = write_inside(&namespace, "net/ipv4/no_such", "1").await.unwrap_err();
        assert_eq!(error.to_string(), "write \"1\" to /proc/sys/net/ipv4/no_such");
    }
}
