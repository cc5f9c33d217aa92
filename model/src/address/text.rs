//! Addresses as people and programs write them. What another program reads as another address is not read at all: a number with a
//! leading zero is octal to some, and an IPv4 address that is written as an IPv6 one is one family to some and the other to
//! others.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr};

/// How much of a text an error repeats.
const MAX_SHOWN_CHARS: usize = 64;

/// A text that is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressTextError {
    /// It cannot be read.
    #[error("{shown:?} is no IP address{}", zeros(*leading_zero))]
    Address {
        /// What was given, cut.
        shown: String,
        /// That is what is wrong with it.
        leading_zero: bool,
    },
    /// It is no address, '/' and number.
    #[error("{shown:?} is no IP address with a prefix length behind a '/'{}", zeros(*leading_zero))]
    Prefix {
        /// What was given, cut.
        shown: String,
        /// That is what is wrong with it.
        leading_zero: bool,
    },
    /// One family in the other's clothes.
    #[error("{shown:?} is an IPv4 address written as an IPv6 one: write {instead}")]
    Mapped {
        /// What was given, cut.
        shown: String,
        /// The same, as it should be.
        instead: String,
    },
}

fn zeros(leading: bool) -> &'static str {
    if leading { ": numbers have no leading zeros" } else { "" }
}

/// Reads an address.
///
/// # Errors
/// When it is none, or could be taken for another.
pub fn parse_address(text: &str) -> Result<IpAddr, AddressTextError> {
    let address = text.parse::<IpAddr>().map_err(|_| AddressTextError::Address {
        shown: shown(text),
        leading_zero: has_leading_zero(text),
    })?;
    match mapped(address) {
        Some(v4) => Err(AddressTextError::Mapped { shown: shown(text), instead: v4.to_string() }),
        None => Ok(address),
    }
}

/// Reads an address with a prefix length. Bits behind the prefix may be set.
///
/// # Errors
/// When it is none, or could be taken for another.
pub fn parse_prefix(text: &str) -> Result<IpNet, AddressTextError> {
    let wrong = || AddressTextError::Prefix { shown: shown(text), leading_zero: has_leading_zero(text) };
    let (address, length) = text.split_once('/').ok_or_else(wrong)?;
    let address = address.parse::<IpAddr>().map_err(|_| wrong())?;
    // The standard library would take "+8" and "08".
    let plain =
        length.bytes().all(|digit| digit.is_ascii_digit()) && (length == "0" || !length.starts_with('0'));
    let length = length.parse::<u8>().ok().filter(|_| plain).ok_or_else(wrong)?;
    let net = IpNet::new(address, length).map_err(|_| wrong())?;
    match mapped(address) {
        Some(v4) => {
            let instead = format!("{v4}/{}", length.saturating_sub(96));
            Err(AddressTextError::Mapped { shown: shown(text), instead })
        }
        None => Ok(net),
    }
}

fn mapped(address: IpAddr) -> Option<std::net::Ipv4Addr> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => Ipv6Addr::to_ipv4_mapped(&v6),
    }
}

/// An IPv6 address may have them.
fn has_leading_zero(text: &str) -> bool {
    let mut numbers = text.split(['.', '/']);
    !text.contains(':') && numbers.any(|number| number.len() > 1 && number.starts_with('0'))
}

fn shown(text: &str) -> String {
    text.chars().take(MAX_SHOWN_CHARS).collect()
}

/// For serde's `deserialize_with`, in configurations.
pub mod read {
    use super::{parse_address, parse_prefix};
    use ipnet::IpNet;
    use serde::{Deserialize as _, Deserializer, de::Error as _};
    use std::net::IpAddr;

    /// One prefix.
    ///
    /// # Errors
    /// As [`parse_prefix`].
    pub fn prefix<'de, D: Deserializer<'de>>(from: D) -> Result<IpNet, D::Error> {
        parse_prefix(&String::deserialize(from)?).map_err(D::Error::custom)
    }

    /// A list of prefixes.
    ///
    /// # Errors
    /// As [`parse_prefix`].
    pub fn prefixes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpNet>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        texts.iter().map(|text| parse_prefix(text)).collect::<Result<_, _>>().map_err(D::Error::custom)
    }

    /// One address.
    ///
    /// # Errors
    /// As [`parse_address`].
    pub fn address_if_any<'de, D: Deserializer<'de>>(from: D) -> Result<Option<IpAddr>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| parse_address(&text)).transpose().map_err(D::Error::custom)
    }

    /// A list of addresses.
    ///
    /// # Errors
    /// As [`parse_address`].
    pub fn addresses<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpAddr>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        texts.iter().map(|text| parse_address(text)).collect::<Result<_, _>>().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_one_meaning_is_read() {
        for text in ["10.78.0.7", "0.0.0.0", "fd00:78::7", "::", "::1", "fd00:0078::07", "64:ff9b::10.0.0.1"]
        {
            assert_eq!(parse_address(text).unwrap(), text.parse::<IpAddr>().unwrap(), "{text}");
        }
        for text in ["10.78.0.0/16", "0.0.0.0/0", "::/0", "fd00:78::/64", "10.78.0.7/16", "10.0.0.1/32"] {
            assert_eq!(parse_prefix(text).unwrap(), text.parse::<IpNet>().unwrap(), "{text}");
        }
    }

    #[test]
    fn what_has_two_meanings_is_not() {
        for (text, words) in [
            ("010.88.0.0/16", "numbers have no leading zeros"),
            ("10.088.0.0/16", "numbers have no leading zeros"),
            ("10.78.0.0/016", "numbers have no leading zeros"),
            ("10.78.0.0/+16", "no IP address with a prefix length"),
            ("10.78.0.0/", "no IP address with a prefix length"),
            ("10.78.0.0", "no IP address with a prefix length"),
            ("10.78.0/16", "no IP address with a prefix length"),
            ("10.78.0.0/33", "no IP address with a prefix length"),
            ("0x0a.88.0.0/16", "no IP address with a prefix length"),
            (" 10.78.0.0/16", "no IP address with a prefix length"),
            ("::ffff:10.0.0.0/104", "write 10.0.0.0/8"),
            ("::ffff:0a00:0/96", "write 10.0.0.0/0"),
        ] {
            let error = parse_prefix(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
        for (text, words) in [
            ("010.88.0.1", "numbers have no leading zeros"),
            ("10.78.0.01", "numbers have no leading zeros"),
            ("::ffff:10.0.0.1", "write 10.0.0.1"),
            ("fe80::1%eth0", "no IP address"),
            ("10.1", "no IP address"),
            ("", "no IP address"),
        ] {
            let error = parse_address(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
