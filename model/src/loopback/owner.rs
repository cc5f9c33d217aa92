//! Whose a loopback group is.

use crate::identity::{NameError, TenantName, VmName};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Whose a loopback group is. Everybody names groups for themselves: two owners' groups of one name have nothing to do
/// with one another, and neither hears of the other's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Owner {
    /// Of VMs that have a tenant.
    Tenant(TenantName),
    /// Of a VM that has none, and shares groups with no other.
    Vm(VmName),
}

/// What comes before a tenant's, or a VM's, name. No name has a colon.
const TENANT: &str = "tenant:";
const VM: &str = "vm:";

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant(name) => write!(f, "{TENANT}{name}"),
            Self::Vm(name) => write!(f, "{VM}{name}"),
        }
    }
}

/// Text that names no owner.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "each message says it")]
pub enum OwnerError {
    #[error("{text:?} is nobody's name: expected {TENANT}NAME or {VM}NAME")]
    Kind { text: String },
    #[error(transparent)]
    Name(#[from] NameError),
}

impl FromStr for Owner {
    type Err = OwnerError;

    fn from_str(text: &str) -> Result<Self, OwnerError> {
        if let Some(name) = text.strip_prefix(TENANT) {
            return Ok(Self::Tenant(name.parse()?));
        }
        match text.strip_prefix(VM) {
            Some(name) => Ok(Self::Vm(name.parse()?)),
            None => Err(OwnerError::Kind { text: text.chars().take(80).collect() }),
        }
    }
}

impl TryFrom<String> for Owner {
    type Error = OwnerError;
    fn try_from(text: String) -> Result<Self, OwnerError> {
        text.parse()
    }
}

impl From<Owner> for String {
    fn from(owner: Owner) -> Self {
        owner.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_and_a_vm_of_one_name_are_two_owners() {
        let owners = [Owner::Tenant("a".parse().unwrap()), Owner::Vm("a".parse().unwrap())];
        let texts = owners.clone().map(|owner| owner.to_string());
        assert_eq!(texts, ["tenant:a", "vm:a"]);
        assert_eq!(texts.map(|text| text.parse::<Owner>().unwrap()), owners);
        for text in ["a", "tenant:", "vm:a b", "host:a"] {
            assert!(text.parse::<Owner>().is_err(), "{text}");
        }
    }
}
