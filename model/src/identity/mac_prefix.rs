//! Which MAC addresses an operator allows pods to ask for.

use super::{Mac, NIC_MAC_PREFIX};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// All addresses that begin so; with six bytes, the one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacPrefix(Vec<u8>);

impl MacPrefix {
    /// Whether an address begins so.
    pub fn contains(&self, mac: Mac) -> bool {
        mac.bytes().starts_with(&self.0)
    }
}

impl fmt::Display for MacPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: Vec<String> = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        f.write_str(&bytes.join(":"))
    }
}

impl FromStr for MacPrefix {
    type Err = MacPrefixError;

    fn from_str(text: &str) -> Result<Self, MacPrefixError> {
        let shown = || text.chars().take(40).collect();
        let byte = |part: &str| {
            let is_pair = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
            u8::from_str_radix(part, 16).ok().filter(|_| is_pair)
        };
        let bytes: Option<Vec<u8>> = text.split(':').map(byte).collect();
        let bytes =
            bytes.filter(|bytes| bytes.len() <= 6).ok_or_else(|| MacPrefixError::Syntax { text: shown() })?;
        if bytes[0] & 1 != 0 {
            return Err(MacPrefixError::Group { text: shown() });
        }
        if bytes.starts_with(&NIC_MAC_PREFIX) || NIC_MAC_PREFIX.starts_with(&bytes) {
            return Err(MacPrefixError::OfNics { text: shown() });
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for MacPrefix {
    type Error = MacPrefixError;
    fn try_from(text: String) -> Result<Self, MacPrefixError> {
        text.parse()
    }
}

impl From<MacPrefix> for String {
    fn from(prefix: MacPrefix) -> String {
        prefix.to_string()
    }
}

/// No addresses of pods begin so.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the field is what was given")]
pub enum MacPrefixError {
    /// Not one to six pairs of hexadecimal digits.
    #[error(
        "{text:?} is not the beginning of MAC addresses: expected one to six pairs of hexadecimal digits, such as 02:00:5e:10"
    )]
    Syntax { text: String },
    /// Of groups.
    #[error("{text} is the beginning of group addresses, which no pod can have: choose an even first byte")]
    Group { text: String },
    /// NICs are found by theirs.
    #[error("{text} has room for the NICs' own addresses, which begin with 4e:4c: choose another beginning")]
    OfNics { text: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_begins_so() {
        let range: MacPrefix = "02:00:5E".parse().unwrap();
        assert_eq!(range.to_string(), "02:00:5e");
        assert!(range.contains("02:00:5e:10:00:01".parse().unwrap()));
        assert!(!range.contains("02:00:5f:10:00:01".parse().unwrap()));
        let one: MacPrefix = "02:00:5e:10:00:01".parse().unwrap();
        assert!(one.contains("02:00:5e:10:00:01".parse().unwrap()));
        assert!(!one.contains("02:00:5e:10:00:02".parse().unwrap()));
    }

    #[test]
    fn refuses_what_no_pod_may_have() {
        for bad in ["", "02:", "2", "02:00:5e:10:00:01:07", "02-00", "zz", "02:0"] {
            assert!(matches!(bad.parse::<MacPrefix>(), Err(MacPrefixError::Syntax { .. })), "{bad}");
        }
        assert!(matches!("01:00:5e".parse::<MacPrefix>(), Err(MacPrefixError::Group { .. })));
        for bad in ["4e", "4e:4c", "4e:4c:00:01"] {
            assert!(matches!(bad.parse::<MacPrefix>(), Err(MacPrefixError::OfNics { .. })), "{bad}");
        }
    }
}
