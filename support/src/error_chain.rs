//! An error with its causes, for where one line of text is all that passes: a log, a message to another process.

/// The error, its cause, that one's cause and so on, in one line.
pub fn in_full(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[derive(Debug, thiserror::Error)]
    #[error("open the tunnel")]
    struct Outer(#[source] io::Error);

    #[test]
    fn every_cause_is_told_in_order() {
        assert_eq!(in_full(&Outer(io::Error::other("no such door"))), "open the tunnel: no such door");
        assert_eq!(in_full(&io::Error::other("alone")), "alone");
    }
}
