//! Versions of the specification, and what each of them can say.

use serde_json::{Value, json};
use std::fmt;

/// A version this plugin speaks. The order is the versions' own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 0.3.1
    V0_3_1,
    /// 0.4.0: brings CHECK and `prevResult`.
    V0_4_0,
    /// 1.0.0: addresses lose their `version` field.
    V1_0_0,
    /// 1.1.0: brings GC, STATUS, and MTU, socket and PCI address of interfaces.
    V1_1_0,
}

impl Version {
    /// Every one of them, oldest first.
    pub const ALL: [Self; 4] = [Self::V0_3_1, Self::V0_4_0, Self::V1_0_0, Self::V1_1_0];
    /// Answers are given in it when the request does not tell one.
    pub const LATEST: Self = Self::V1_1_0;

    /// As it is written in configurations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }

    /// # Errors
    /// For any other.
    pub fn parse(text: &str) -> Result<Self, VersionError> {
        let known = Self::ALL.into_iter().find(|version| version.as_str() == text);
        known.ok_or_else(|| VersionError { shown: text.chars().take(40).collect() })
    }

    /// The answer to VERSION, which begins with the version that was asked in, whichever it is.
    pub fn supported(asked: &str) -> Value {
        json!({
            "cniVersion": asked,
            "supportedVersions": Self::ALL.map(Self::as_str),
        })
    }
}

/// A version that is not spoken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cniVersion {shown:?} is not spoken here: write one of 0.3.1, 0.4.0, 1.0.0, 1.1.0")]
pub struct VersionError {
    shown: String,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
