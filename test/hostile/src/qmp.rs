//! A line from QEMU's monitor. A guest that has taken over its QEMU writes these.

use nestless_support::qmp::parse_line;

pub(crate) fn attack(input: &[u8]) {
    match parse_line(input) {
        Ok(message) => drop(format!("{message:?}")),
        Err(error) => {
            let told = error.to_string();
            assert!(!told.is_empty() && told.len() <= 1024, "{} bytes: {told}", told.len());
        }
    }
}
