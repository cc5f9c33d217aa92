//! Kubernetes quantities (`100m`, `1Gi`, `1e3`, `0.5`) as exact integers.
//!
//! Grammar and rounding are those of `k8s.io/apimachinery/pkg/api/resource`: a signed decimal number and a suffix that is
//! decimal (`n u m k M G T P E`), binary (`Ki Mi Gi Ti Pi Ei`) or an exponent (`e3`, `E-3`). What is finer than a
//! nano is rounded up; what is larger than 2^63 - 1 is refused here, where Kubernetes would cap it.

use super::shorten;
use std::fmt;
use std::str::FromStr;

const NANO: u32 = 9;
/// More digits than this say nothing that a nano or 2^63 could hold.
const MAX_DIGITS: usize = 36;

/// An amount in billionths of its unit (a vCPU, a byte).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity {
    nanos: i128,
}

/// A text that is no quantity.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum QuantityError {
    /// Neither a number nor a known suffix.
    #[error(
        "{text:?} is not a quantity: write a decimal number, then one of n u m k M G T P E Ki Mi Gi Ti Pi Ei, or e and an exponent"
    )]
    Malformed {
        /// What was read.
        text: String,
    },
    /// Over 2^63 - 1, or with over 36 digits.
    #[error("{text:?} is larger, or longer, than any quantity that Kubernetes can hold")]
    TooLarge {
        /// What was read.
        text: String,
    },
}

impl Quantity {
    /// Whole units of `value`.
    pub fn whole(value: u64) -> Self {
        Self { nanos: i128::from(value) * 10_i128.pow(NANO) }
    }

    /// Below zero?
    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// In whole units, rounded up; `None` for a negative amount.
    pub fn ceil(self) -> Option<u64> {
        self.times_ceil(1)
    }

    /// In thousandths, rounded up; `None` for a negative amount.
    pub fn milli_ceil(self) -> Option<u64> {
        self.times_ceil(1000)
    }

    /// In billionths, exact.
    pub fn nanos(self) -> i128 {
        self.nanos
    }

    /// This amount times `factor` in whole units, rounded up; `None` when negative or over 2^64 - 1.
    pub fn times_ceil(self, factor: u64) -> Option<u64> {
        let product = u128::try_from(self.nanos).ok()?.checked_mul(u128::from(factor))?;
        u64::try_from(product.div_ceil(10_u128.pow(NANO))).ok()
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let malformed = || QuantityError::Malformed { text: shorten(text) };
        let too_large = || QuantityError::TooLarge { text: shorten(text) };
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.len() + fraction.len() == 0 || fraction.contains('.') {
            return Err(malformed());
        }
        let (exponent, shift) = scale(suffix).ok_or_else(malformed)?;
        if whole.len() + fraction.len() > MAX_DIGITS {
            return Err(too_large());
        }
        let digits = whole.bytes().chain(fraction.bytes());
        let mantissa = digits.fold(0_u128, |sum, digit| sum * 10 + u128::from(digit - b'0'));
        let exponent = exponent - fraction.len() as i32 + NANO as i32;
        let nanos = scaled(mantissa, exponent, shift).ok_or_else(too_large)?;
        if nanos > i128::from(i64::MAX) * 10_i128.pow(NANO) {
            return Err(too_large());
        }
        Ok(Self { nanos: if negative { -nanos } else { nanos } })
    }
}

/// Power of ten and power of two that a suffix stands for.
fn scale(suffix: &str) -> Option<(i32, u32)> {
    let decimal = |exponent| Some((exponent, 0));
    let binary = |shift| Some((0, shift));
    match suffix {
        "" => decimal(0),
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => {
            let digits = suffix.strip_prefix(['e', 'E'])?;
            let exponent: i32 = digits.parse().ok()?;
            (-1000..=1000).contains(&exponent).then_some((exponent, 0))
        }
    }
}

/// `mantissa * 10^exponent * 2^shift`, rounded up; `None` on overflow.
fn scaled(mantissa: u128, exponent: i32, shift: u32) -> Option<i128> {
    if mantissa == 0 {
        return Some(0);
    }
    let value = if exponent >= 0 {
        mantissa.checked_mul(10_u128.checked_pow(exponent.unsigned_abs())?)?.checked_mul(1 << shift)?
    } else {
        let product = mantissa.checked_mul(1 << shift)?;
        10_u128.checked_pow(exponent.unsigned_abs()).map_or(1, |divisor| product.div_ceil(divisor))
    };
    i128::try_from(value).ok()
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = 10_u128.pow(NANO);
        let sign = if self.nanos < 0 { "-" } else { "" };
        let (whole, rest) = (self.nanos.unsigned_abs() / unit, self.nanos.unsigned_abs() % unit);
        if rest == 0 {
            write!(f, "{sign}{whole}")
        } else {
            let fraction = format!("{rest:09}");
            write!(f, "{sign}{whole}.{}", fraction.trim_end_matches('0'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nanos(text: &str) -> i128 {
        text.parse::<Quantity>().unwrap().nanos
    }

    #[test]
    fn every_suffix() {
        assert_eq!(nanos("100m"), 100_000_000);
        assert_eq!(nanos("1Gi"), 1_073_741_824_000_000_000);
        assert_eq!(nanos("1e3"), 1_000_000_000_000);
        assert_eq!(nanos("1E3"), nanos("1e3"));
        assert_eq!(nanos("1E"), 1_000_000_000_000_000_000_000_000_000);
        assert_eq!(nanos("0.5"), 500_000_000);
        assert_eq!(nanos(".5"), 500_000_000);
        assert_eq!(nanos("5."), 5_000_000_000);
        assert_eq!(nanos("+1k"), 1_000_000_000_000);
        assert_eq!(nanos("-1"), -1_000_000_000);
        assert_eq!(nanos("1.5Ki"), 1_536_000_000_000);
        assert_eq!(nanos("250u"), 250_000);
        assert_eq!(nanos("0e1000"), 0);
    }

    #[test]
    fn finer_than_a_nano_is_rounded_up() {
        assert_eq!(nanos("0.1n"), 1);
        assert_eq!(nanos("1e-900"), 1);
        assert_eq!("0.0001".parse::<Quantity>().unwrap().milli_ceil(), Some(1));
        assert_eq!("1.1".parse::<Quantity>().unwrap().ceil(), Some(2));
    }

    #[test]
    fn refusals() {
        for text in
            ["", "m", ".", "1.2.3", "1x", "1 Gi", "1gi", "0x10", "1e", "1e1.5", "--1", "e3", "NaN", "１"]
        {
            assert!(matches!(text.parse::<Quantity>(), Err(QuantityError::Malformed { .. })), "{text}");
        }
        for text in ["16Ei", "1e30", "9999999999999999999999999999999999999"] {
            assert!(matches!(text.parse::<Quantity>(), Err(QuantityError::TooLarge { .. })), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,60}") {
            let _ = text.parse::<Quantity>();
        }

        #[test]
        fn numbers_never_panic(text in "[-+]?[0-9.]{0,40}([numkMGTPE]|[KMGTPE]i|[eE][-+]?[0-9]{1,5})?") {
            let _ = text.parse::<Quantity>();
        }

        #[test]
        fn what_is_printed_reads_back(nanos in -1_000_000_000_000_000_000_i128..1_000_000_000_000_000_000) {
            let quantity = Quantity { nanos };
            prop_assert_eq!(quantity.to_string().parse::<Quantity>(), Ok(quantity));
        }
    }
}
