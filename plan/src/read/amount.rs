//! From quantities to what the planner counts, with the limits of what is believed.

use super::fault::Problem;
use super::quantity::Quantity;
use super::shorten;

/// A million vCPUs: over a thousand times the largest machine there is.
const MAX_CPU_MILLI: u64 = 1_000_000_000;
/// One PiB.
const MAX_MEMORY_BYTES: u64 = 1 << 50;

/// `text` as CPU in thousandths of a vCPU, rounded up.
///
/// # Errors
/// When it is no quantity, negative, or more than a million vCPUs.
pub(crate) fn cpu_milli(text: &str) -> Result<u64, Problem> {
    checked(text, Quantity::milli_ceil, MAX_CPU_MILLI, "a million vCPUs")
}

/// `text` as memory in bytes, rounded up.
///
/// # Errors
/// When it is no quantity, negative, or more than a PiB.
pub(crate) fn memory_bytes(text: &str) -> Result<u64, Problem> {
    checked(text, Quantity::ceil, MAX_MEMORY_BYTES, "1 PiB")
}

/// A quantity of whatever unit, as Kubernetes would take it for a request.
///
/// # Errors
/// When it is no quantity, or negative.
pub(crate) fn nonnegative(text: &str) -> Result<Quantity, Problem> {
    let quantity: Quantity = text.parse()?;
    if quantity.is_negative() { Err(Problem::Negative { text: shorten(text) }) } else { Ok(quantity) }
}

fn checked(
    text: &str,
    convert: fn(Quantity) -> Option<u64>,
    most: u64,
    limit: &'static str,
) -> Result<u64, Problem> {
    convert(nonnegative(text)?)
        .filter(|&value| value <= most)
        .ok_or_else(|| Problem::Absurd { text: shorten(text), limit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        assert_eq!(cpu_milli("100m").unwrap(), 100);
        assert_eq!(cpu_milli("0.0001").unwrap(), 1);
        assert_eq!(memory_bytes("1e3").unwrap(), 1000);
        assert!(matches!(cpu_milli("-1"), Err(Problem::Negative { .. })));
        assert!(matches!(cpu_milli("1e7"), Err(Problem::Absurd { .. })));
        assert!(matches!(memory_bytes("2Pi"), Err(Problem::Absurd { .. })));
        assert!(matches!(memory_bytes("x"), Err(Problem::Quantity(_))));
    }
}
