//! How figures are written.

/// `$1,669.73`
pub(super) fn dollars(amount: f64) -> String {
    let cents = (amount * 100.0).round() as u64;
    let (whole, rest) = (cents / 100, cents % 100);
    format!("${}.{rest:02}", thousands(whole))
}

/// `144,339`
pub(super) fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// "1 pod", "2 pods".
pub(super) fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {what}{plural}", thousands(count as u64))
}

/// `part` in percent of `whole`; nothing of nothing is nothing.
pub(super) fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole * 100.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures() {
        assert_eq!(dollars(1_669.728), "$1,669.73");
        assert_eq!(dollars(0.0), "$0.00");
        assert_eq!(thousands(144_339), "144,339");
        assert_eq!((counted(1, "pod"), counted(1000, "pod")), ("1 pod".into(), "1,000 pods".into()));
        assert_eq!((percent(1.0, 4.0), percent(0.0, 0.0)), (25.0, 0.0));
    }
}
