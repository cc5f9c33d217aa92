//! A failure as CNI tells it.

use super::{Version, version::VersionError};
use crate::refusal::Reason;
use serde_json::{Value, json};
use std::fmt;

/// A CNI error object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CniError {
    /// Why, from which the code and the advice follow.
    pub reason: Reason,
    /// What is wrong, and where.
    pub message: String,
    /// What somebody else said about it, for the details; empty: nobody said anything.
    pub evidence: String,
}

impl CniError {
    /// An error whose details are the reason's advice.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), evidence: String::new() }
    }

    /// Its number in the JSON.
    pub fn code(&self) -> u32 {
        self.reason.cni_code()
    }

    /// The same error, with another program's words.
    #[must_use]
    pub fn because(mut self, words: impl Into<String>) -> Self {
        self.evidence = words.into();
        self
    }

    fn details(&self) -> String {
        match self.evidence.as_str() {
            "" => self.reason.advice().to_owned(),
            evidence => format!("{evidence}; {}", self.reason.advice()),
        }
    }

    /// The object for standard output.
    pub fn to_json(&self, version: Version) -> Value {
        json!({
            "cniVersion": version.as_str(),
            "code": self.code(),
            "msg": self.message,
            "details": self.details(),
        })
    }
}

impl fmt::Display for CniError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (CNI code {})", self.message, self.code())?;
        if self.evidence.is_empty() { Ok(()) } else { write!(f, ": {}", self.evidence) }
    }
}

impl std::error::Error for CniError {}

impl From<VersionError> for CniError {
    fn from(error: VersionError) -> Self {
        Self::new(Reason::IncompatibleVersion, error.to_string())
    }
}
