//! nestlessd's configuration file. It is the operator's, not an attacker's; but a slip of the pen must give a message.

use nestlessd::Config;
use std::path::Path;

pub(crate) fn attack(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Err(error) = Config::parse(Path::new("nestlessd.toml"), &text) {
        let error = error.to_string();
        let (_, what) = error.split_once("nestlessd.toml").unwrap_or_else(|| panic!("which file? {error}"));
        assert!(what.len() > ": ".len(), "nothing says what is wrong");
    }
}
