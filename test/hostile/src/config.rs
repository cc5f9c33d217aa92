//! nestlessd's configuration file. It is the operator's, not an attacker's; but a slip of the pen must give a message.

use nestlessd::Config;
use std::path::Path;

pub(crate) fn attack(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Err(error) = Config::parse(Path::new("nestlessd.toml"), &text) {
        assert!(error.to_string().contains("nestlessd.toml"), "{error}");
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(!cause.is_empty(), "nothing says what is wrong");
    }
}
