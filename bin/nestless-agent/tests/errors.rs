//! `docs/errors.md` is made from the table of reasons.

use nestless_model::refusal::Reason;
use std::{env, fs};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors.md");
const HEAD: &str = "\
# Errors

What a runtime is told when a call of the plugin fails, from `model/src/refusal.rs`. 1 to 99 are the CNI specification's codes, those
from 100 are ours. A reason in capitals is the host's, by its name in `guest.proto`; the others are found out in the VM. The last
column is what the error's `details` say.

| CNI code | reason | what it means | what to do |
|---:|---|---|---|
";

fn page() -> String {
    let row = |reason: Reason| {
        let name = reason.wire().map_or_else(String::new, |wire| format!("`{}`", wire.name));
        format!("| {} | {name} | {} | {} |\n", reason.cni_code(), reason.meaning(), reason.advice())
    };
    HEAD.to_owned() + &Reason::all().map(row).collect::<String>()
}

/// `NESTLESS_WRITE_DOCS=1 cargo test -p nestless-agent errors_in_docs` writes it anew.
#[test]
fn errors_in_docs_are_those_of_the_code() {
    if env::var_os("NESTLESS_WRITE_DOCS").is_some() {
        fs::write(PATH, page()).unwrap();
    }
    assert_eq!(fs::read_to_string(PATH).unwrap_or_default(), page(), "{PATH} is out of date");
}
