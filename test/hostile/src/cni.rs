//! A call of the CNI plugin.

use nestless_model::cni::{Environment, Request, parse_request};

/// Lines `NAME=VALUE` up to an empty one are the environment, the rest is standard input.
pub(crate) fn attack(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (head, stdin) = text.split_once("\n\n").unwrap_or((&text, ""));
    let variables = head.lines().filter_map(|line| line.split_once('='));
    let environment: Environment =
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    match parse_request(&environment, stdin) {
        Ok(request) => {
            // A runtime repeats a call with the same words, which must mean the same.
            assert_eq!(parse_request(&environment, stdin).as_ref(), Ok(&request));
            if let Request::Check(check) = &request {
                // What CHECK compares with is printed into its complaints.
                let _ = format!("{:?}", check.prev_result);
            }
        }
        // The runtime reads the message: there must be one, and it must not grow with the input.
        Err(error) => {
            let told = error.to_string();
            assert!(!told.is_empty() && told.len() <= 2048, "{} bytes: {told}", told.len());
        }
    }
}
