//! Names that come from outside, checked once at the door.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A name that does not fit its kind.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is not {} {kind}: expected {expected}", article(kind))]
pub struct NameError {
    /// What it was to be.
    pub kind: &'static str,
    /// What was given, cut at 80 characters.
    pub text: String,
    /// The rule it breaks.
    pub expected: &'static str,
}

fn article(kind: &str) -> &'static str {
    if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $expected:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// # Errors
            /// When the text is not one; the error says what is expected.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                let valid: fn(&str) -> bool = $valid;
                if valid(&text) {
                    Ok(Self(text))
                } else {
                    Err(NameError { kind: $kind, text: text.chars().take(80).collect(), expected: $expected })
                }
            }

            /// The name itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn is_token(text: &str, max: usize) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && text.len() <= max
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

// dev_valid_name() in net/core/dev.c, and no quotes or shell characters: the name is printed in commands.
fn is_link_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 15
        && text != "."
        && text != ".."
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

name!(
    /// A virtual machine, as the operator calls it.
    VmName, "VM name", "1 to 63 letters, digits, '.', '_' or '-', beginning with a letter or digit", |t| is_token(t, 63)
);
name!(
    /// A pod network, as the operator calls it.
    NetworkName, "network name", "1 to 63 letters, digits, '.', '_' or '-', beginning with a letter or digit", |t| is_token(t, 63)
);
name!(
    /// The fractions of one split pod, whose localhost is one.
    GroupName, "loopback group's name", "1 to 63 letters, digits, '.', '_' or '-', beginning with a letter or digit", |t| is_token(t, 63)
);
name!(
    /// One fraction of a split pod.
    FractionName, "fraction's name", "1 to 63 letters, digits, '.', '_' or '-', beginning with a letter or digit", |t| is_token(t, 63)
);
name!(
    /// Whose VMs may share loopback groups.
    TenantName, "tenant's name", "1 to 63 letters, digits, '.', '_' or '-', beginning with a letter or digit", |t| is_token(t, 63)
);
name!(
    /// The runtime's id of a sandbox (CNI SPEC 1.1.0: a letter or digit, then letters, digits, '_', '.', '-').
    ContainerId, "container id", "a letter or digit followed by letters, digits, '.', '_' or '-', at most 255", |t| is_token(t, 255)
);
name!(
    /// A link's name in a pod's sandbox.
    InterfaceName, "interface name", "1 to 15 letters, digits, '.', '_' or '-'", is_link_name
);
name!(
    /// A link's name on the host.
    LinkName, "link name", "1 to 15 letters, digits, '.', '_' or '-'", is_link_name
);
name!(
    /// Chosen by the caller, so that a repeated request is recognised.
    RequestId, "request id", "1 to 63 letters, digits, '.', '_' or '-', beginning with a letter or digit", |t| is_token(t, 63)
);
name!(
    /// One run of a guest kernel: /proc/sys/kernel/random/boot_id.
    BootId, "boot id", "1 to 63 letters, digits, '.', '_' or '-', beginning with a letter or digit", |t| is_token(t, 63)
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doors_hold() {
        assert!(InterfaceName::new("eth0").is_ok());
        for bad in ["", ".", "..", "a/b", "a b", "sixteen-letters-", "eth0:1"] {
            assert!(InterfaceName::new(bad).is_err(), "{bad}");
        }
        assert!(ContainerId::new("a".repeat(255)).is_ok());
        for bad in ["", "-a", "a/../b", "a\n"] {
            assert!(ContainerId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_error_says_what_is_expected() {
        let error = VmName::new("two words").unwrap_err().to_string();
        assert!(error.contains("\"two words\" is not a VM name: expected 1 to 63 letters"), "{error}");
    }
}
