//! How many fractions a group is made for.

use super::flow::{MAX_FRACTIONS, Place};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The most fractions that a group will have, from 1 to [`MAX_FRACTIONS`]: they divide the ephemeral ports among them, so that
/// all have to know it, and those of a small group get more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct GroupSize(u8);

/// Not a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to {MAX_FRACTIONS}, the most fractions that the group will have")]
pub struct GroupSizeError;

impl GroupSize {
    /// As many as the reflector has places for.
    pub const MAX: Self = Self(MAX_FRACTIONS as u8);

    /// Its number.
    pub fn get(self) -> u8 {
        self.0
    }

    /// Whether such a group has that place.
    pub fn has(self, place: Place) -> bool {
        place.number() < self.0
    }
}

/// Nobody has said that there will be fewer.
impl Default for GroupSize {
    fn default() -> Self {
        Self::MAX
    }
}

impl TryFrom<u32> for GroupSize {
    type Error = GroupSizeError;
    fn try_from(number: u32) -> Result<Self, GroupSizeError> {
        u8::try_from(number)
            .ok()
            .filter(|size| (1..=Self::MAX.0).contains(size))
            .map(Self)
            .ok_or(GroupSizeError)
    }
}

impl From<GroupSize> for u32 {
    fn from(size: GroupSize) -> u32 {
        size.0.into()
    }
}

impl FromStr for GroupSize {
    type Err = GroupSizeError;
    fn from_str(text: &str) -> Result<Self, GroupSizeError> {
        text.parse::<u32>().map_err(|_| GroupSizeError)?.try_into()
    }
}

impl fmt::Display for GroupSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_made_for_one_to_sixteen() {
        for (text, size) in
            [("1", Some(1)), ("16", Some(16)), ("0", None), ("17", None), ("3.5", None), ("", None)]
        {
            assert_eq!(text.parse::<GroupSize>().ok().map(GroupSize::get), size, "{text:?}");
        }
        assert_eq!(serde_json::from_str::<GroupSize>("3").unwrap().to_string(), "3");
        assert!(serde_json::from_str::<GroupSize>("300").is_err());
    }
}
