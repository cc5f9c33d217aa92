//! The manual pages are written by hand; here they are compared with what they are about.

use crate::Config;
use std::{collections::BTreeSet, path::Path};

const PAGE: &str = include_str!("../../../docs/man/nestlessd.toml.5");
const REFERENCE: &str = include_str!("../../../docs/host.md");
const SAMPLE: &str = include_str!("../../../deploy/host/nestlessd.toml");

const NETWORK: &str =
    "[[network]]\nname = \"pods\"\nbridge = \"nestless0\"\nsubnets = [{ prefix = \"10.7.0.0/16\" }]\n";
const VM: &str =
    "[[vm]]\nname = \"a\"\nhypervisor = { qemu = { qmp = \"/q\" } }\nchannel = { serial = \"/s\" }\n";

/// The keys of each kind of section, by what the parser says against one that it does not know.
fn keys() -> BTreeSet<String> {
    let unknown = "no_such_key = 1\n";
    [
        format!("{unknown}{NETWORK}"),
        format!("{NETWORK}{unknown}"),
        NETWORK.replace("{ prefix", "{ no_such_key = 1, prefix"),
        format!("{NETWORK}{VM}{unknown}"),
        format!("{NETWORK}{}", VM.replace("qmp = ", "no_such_key = 1, qmp = ")),
        format!("{NETWORK}[tls]\n{unknown}"),
        format!("{NETWORK}{}", VM.replace("serial", "no_such_key")),
        format!("{NETWORK}{}", VM.replace("qemu", "no_such_key")),
    ]
    .iter()
    .flat_map(|text| {
        let error = Config::parse(Path::new("test"), text).unwrap_err();
        let error = format!("{:#}", anyhow::Error::new(error));
        let expected = error.split_once("expected").unwrap_or_else(|| panic!("{error}")).1;
        let keys: Vec<String> = expected.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect();
        assert!(keys.len() > 1, "{error}");
        keys
    })
    .collect()
}

fn words(text: &str) -> BTreeSet<String> {
    let plain = text.replace("\\-", "-");
    let is_of_a_key = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    plain.split(|letter| !is_of_a_key(letter)).map(ToOwned::to_owned).collect()
}

#[test]
fn every_key_is_in_page_and_reference() {
    for (name, text) in [("nestlessd.toml.5", PAGE), ("host.md", REFERENCE)] {
        let words = words(text);
        let missing: Vec<String> = keys().into_iter().filter(|key| !words.contains(key)).collect();
        assert!(missing.is_empty(), "docs: {name} has nothing of {missing:?}");
    }
}

#[test]
fn the_page_has_no_other_keys() {
    let keys = keys();
    let entries = PAGE.split(".TP\n").skip(1).map(|entry| entry.lines().next().unwrap_or_default());
    for entry in entries {
        let heads = words(entry.trim_start_matches(".BR ").trim_start_matches(".B "));
        let stray: Vec<_> = heads.iter().filter(|word| !word.is_empty() && !keys.contains(*word)).collect();
        assert!(stray.is_empty(), "nestlessd.toml.5: no key is called {stray:?}");
    }
}

#[test]
fn examples_are_configurations() {
    let example = PAGE.split(".nf\n").nth(1).unwrap().split(".fi").next().unwrap().replace("\\-", "-");
    let reference = REFERENCE.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    // As an operator does with the sample.
    let uncommented = SAMPLE.replace("\n#[[vm]]", "\n[[vm]]").replace("\n#name", "\nname");
    let uncommented = uncommented.replace("\n#hypervisor", "\nhypervisor").replace("\n#channel", "\nchannel");
    for (text, vms) in [(example.as_str(), 1), (reference, 1), (SAMPLE, 0), (&uncommented, 1)] {
        let config =
            Config::parse(Path::new("example"), text).unwrap_or_else(|error| panic!("{error:?}: {text}"));
        assert_eq!(config.vms.len(), vms, "{text}");
    }
}
