//! Reading JSON so that every error names the key, what was found there and what was expected.

use super::CniError;
use crate::{
    address::{parse_address, parse_prefix},
    refusal::Reason,
};
use ipnet::IpNet;
use serde_json::Value;
use std::{fmt, net::IpAddr, str::FromStr};

/// A value and the path to it.
#[derive(Clone)]
pub(super) struct Node<'a> {
    path: String,
    value: &'a Value,
}

impl<'a> Node<'a> {
    pub(super) fn root(value: &'a Value) -> Self {
        Self { path: String::new(), value }
    }

    /// The member `key`; absent and `null` are the same. Where no member is spelled like it, one that differs in case
    /// alone will do: Go's JSON decoder, which all other plugins use, takes it, and containerd 1.6 writes "HostPort".
    pub(super) fn get(&self, key: &str) -> Result<Option<Node<'a>>, CniError> {
        let object = self.value.as_object().ok_or_else(|| self.wrong("an object"))?;
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        let in_any_case = || object.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, v)| v);
        let found = object.get(key).or_else(in_any_case);
        Ok(found.filter(|value| !value.is_null()).map(|value| Node { path, value }))
    }

    pub(super) fn need(&self, key: &str, expected: &str) -> Result<Node<'a>, CniError> {
        self.get(key)?.ok_or_else(|| {
            let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
            CniError::new(Reason::Invalid, format!("{path} is missing: expected {expected}"))
        })
    }

    pub(super) fn text(&self, expected: &str) -> Result<&'a str, CniError> {
        self.value.as_str().ok_or_else(|| self.wrong(expected))
    }

    pub(super) fn number(&self, expected: &str) -> Result<u64, CniError> {
        self.value.as_u64().ok_or_else(|| self.wrong(expected))
    }

    /// A number that fits `T`.
    pub(super) fn integer<T: TryFrom<u64>>(&self, expected: &str) -> Result<T, CniError> {
        T::try_from(self.number(expected)?).map_err(|_| self.wrong(expected))
    }

    /// A text that parses as `T`.
    pub(super) fn parse<T: FromStr>(&self, expected: &str) -> Result<T, CniError> {
        self.text(expected)?.parse().map_err(|_| self.wrong(expected))
    }

    /// The same, and the error says why the text is none.
    pub(super) fn parse_or_why<T: FromStr<Err: fmt::Display>>(&self, expected: &str) -> Result<T, CniError> {
        self.text(expected)?.parse().map_err(|why| self.wrong(&format!("{expected} ({why})")))
    }

    /// A text that is an IP address.
    pub(super) fn address(&self, expected: &str) -> Result<IpAddr, CniError> {
        let parsed = parse_address(self.text(expected)?);
        parsed.map_err(|why| self.wrong(&format!("{expected} ({why})")))
    }

    /// A text that is an address with a prefix length.
    pub(super) fn prefix(&self, expected: &str) -> Result<IpNet, CniError> {
        let parsed = parse_prefix(self.text(expected)?);
        parsed.map_err(|why| self.wrong(&format!("{expected} ({why})")))
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The members' names.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.value.as_object().into_iter().flatten().map(|(key, _)| key.as_str())
    }

    pub(super) fn items(&self, expected: &str) -> Result<Vec<Node<'a>>, CniError> {
        let items = self.value.as_array().ok_or_else(|| self.wrong(expected))?;
        Ok(items
            .iter()
            .enumerate()
            .map(|(i, value)| Node { path: format!("{}[{i}]", self.path), value })
            .collect())
    }

    pub(super) fn texts(&self, expected: &str) -> Result<Vec<String>, CniError> {
        self.items(expected)?.iter().map(|item| item.text("a string").map(str::to_owned)).collect()
    }

    pub(super) fn value(&self) -> &'a Value {
        self.value
    }

    /// The error for this place.
    pub(super) fn wrong(&self, expected: &str) -> CniError {
        let path = if self.path.is_empty() { "the network configuration" } else { &self.path };
        CniError::new(Reason::Invalid, format!("{path} is {}: expected {expected}", self.shown()))
    }

    /// The error for a value that is well-formed and cannot be honoured. The specification wants key and value in it.
    pub(super) fn unsupported(&self, why: &str) -> CniError {
        CniError::new(Reason::UnsupportedField, format!("{} is {}: {why}", self.path, self.shown()))
    }

    /// The error for a member that nobody would read.
    pub(super) fn unknown_key(&self, key: &str, known: &[&str]) -> CniError {
        let key: String = key.chars().take(60).collect();
        let path = if self.path.is_empty() { key } else { format!("{}.{key}", self.path) };
        let message = format!("{path} is no key that this plugin knows: it has {}", known.join(", "));
        CniError::new(Reason::UnsupportedField, message)
    }

    fn shown(&self) -> String {
        let text = self.value.to_string();
        if text.chars().count() <= 60 { text } else { text.chars().take(57).chain("...".chars()).collect() }
    }
}
