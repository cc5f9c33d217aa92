//! Logs, and the one trace id that leads from a CNI call to the hypervisor.
//!
//! Levels: ERROR, a person must act; WARN, it healed itself but someone should know; INFO, one line per attach or
//! detach; DEBUG, steps; TRACE, packets and frames.

use crate::visible::Lines;
use std::{
    fmt,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    str::FromStr,
};
use tracing_subscriber::EnvFilter;

/// The environment variable that holds the filter, in the syntax of `tracing_subscriber::EnvFilter`.
pub const FILTER_VARIABLE: &str = "NESTLESS_LOG";
/// The environment variable that holds the form: `text` (default) or `json`.
pub const FORMAT_VARIABLE: &str = "NESTLESS_LOG_FORMAT";

/// Sends this process's events to standard error. `default_filter` holds where [`FILTER_VARIABLE`] is unset.
///
/// # Errors
/// When a variable cannot be read, or logging was begun before.
pub fn init(default_filter: &str) -> Result<(), TelemetryError> {
    let text = std::env::var(FILTER_VARIABLE).unwrap_or_else(|_| default_filter.to_owned());
    let filter = EnvFilter::try_new(&text).map_err(|source| TelemetryError::Filter { text, source })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter);
    let to = |json| move || Lines { to: std::io::stderr(), json };
    let begun = match std::env::var(FORMAT_VARIABLE).as_deref() {
        Err(_) | Ok("" | "text") => builder.with_writer(to(false)).with_ansi(false).try_init(),
        Ok("json") => builder.with_writer(to(true)).json().flatten_event(true).try_init(),
        Ok(other) => return Err(TelemetryError::Format { text: other.to_owned() }),
    };
    begun.map_err(|source| TelemetryError::Begin { source })
}

/// Logging could not begin.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error(
        "{FILTER_VARIABLE}={text:?} is not a log filter: write a level such as \"info\", or \"nestless_guest=debug,warn\""
    )]
    Filter {
        /// What was given.
        text: String,
        /// Why not.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Neither of the two forms.
    #[error("{FORMAT_VARIABLE}={text:?} is not a log format: write \"text\" or \"json\"")]
    Format {
        /// What was given.
        text: String,
    },
    /// Some other part of the process was first.
    #[error("begin logging")]
    Begin {
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// One position in a trace: the `traceparent` of W3C Trace Context, version 00.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace: u128,
    parent: u64,
    flags: u8,
}

impl TraceParent {
    /// The name of the gRPC metadata key and HTTP header.
    pub const HEADER: &str = "traceparent";

    /// A new trace, sampled.
    pub fn root() -> Self {
        let trace = u128::from(random()) << 64 | u128::from(random());
        Self { trace, parent: random(), flags: 1 }
    }

    /// A new step of the same trace.
    #[must_use]
    pub fn child(self) -> Self {
        Self { parent: random(), ..self }
    }

    /// The step that follows `header`, or a new trace where there is none or it does not parse (W3C Trace Context,
    /// section 3.2.2.3: a broken header starts a new trace; it never fails the request).
    pub fn following(header: Option<&str>) -> Self {
        header.and_then(|text| text.parse().ok()).map_or_else(Self::root, Self::child)
    }

    /// What log lines carry: 32 hexadecimal digits.
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace)
    }
}

/// Unique, not secret: the standard library's hasher is keyed by the kernel's random numbers. Never zero, which
/// the format reserves.
fn random() -> u64 {
    RandomState::new().build_hasher().finish().max(1)
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.parent, self.flags)
    }
}

impl FromStr for TraceParent {
    type Err = TraceParentError;

    fn from_str(text: &str) -> Result<Self, TraceParentError> {
        parse(text).ok_or_else(|| TraceParentError { text: text.chars().take(80).collect() })
    }
}

fn parse(text: &str) -> Option<TraceParent> {
    let mut parts = text.split('-');
    let version = hex(parts.next()?, 2)?;
    let trace = hex(parts.next()?, 32)?;
    let parent = u64::try_from(hex(parts.next()?, 16)?).ok()?;
    let flags = u8::try_from(hex(parts.next()?, 2)?).ok()?;
    // Later versions may append fields; version 00 may not, and ff is no version.
    let well_formed = version != 0xff && (version != 0 || parts.next().is_none());
    (well_formed && trace != 0 && parent != 0).then_some(TraceParent { trace, parent, flags })
}

/// Exactly `digits` lower-case digits: the format allows no other spelling.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let lower = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    (text.len() == digits && text.bytes().all(lower)).then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

/// Not a `traceparent`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{text:?} is not a traceparent: expected 00-<32 digits>-<16 digits>-<2 digits>, lower-case hexadecimal"
)]
pub struct TraceParentError {
    /// What was given, cut at 80 characters.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn reads_what_it_writes() {
        let read: TraceParent = EXAMPLE.parse().unwrap();
        assert_eq!(read.to_string(), EXAMPLE);
        assert_eq!(read.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        let root = TraceParent::root();
        assert_eq!(root.to_string().parse(), Ok(root));
    }

    #[test]
    fn a_child_stays_in_its_trace() {
        let read: TraceParent = EXAMPLE.parse().unwrap();
        assert_eq!(read.child().trace_id(), read.trace_id());
        assert_ne!(read.child(), read);
        assert_eq!(TraceParent::following(Some(EXAMPLE)).trace_id(), read.trace_id());
        assert_ne!(
            TraceParent::following(Some("nonsense")).trace_id(),
            TraceParent::following(None).trace_id()
        );
    }

    #[test]
    fn refuses_other_spellings() {
        for bad in [
            "",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert!(bad.parse::<TraceParent>().is_err(), "{bad}");
        }
        assert!(
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more".parse::<TraceParent>().is_ok()
        );
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC*") {
            let _ = text.parse::<TraceParent>();
        }
    }
}
