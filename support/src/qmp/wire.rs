//! Lines of QMP (QEMU, docs/interop/qmp-spec.rst): one JSON object each, ended by a line feed.

use serde::Deserialize;
use serde_json::{Map, Value};

/// Longest line taken, in bytes. `query-pci` of 300 devices has about 200 KiB.
pub const MAX_LINE: usize = 1024 * 1024;

/// What QEMU says.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// First line of a connection.
    Greeting {
        /// Major, minor and micro number of QEMU.
        version: (u64, u64, u64),
    },
    /// A command was carried out.
    Return {
        /// The number given with the command; `None` for an id that is none of ours.
        id: Option<u64>,
        /// Its result.
        value: Value,
    },
    /// A command was refused.
    Error {
        /// As in [`Message::Return`]; missing as well when QEMU could not read the command.
        id: Option<u64>,
        /// QEMU's error class, such as `GenericError` or `DeviceNotFound`.
        class: String,
        /// In QEMU's words.
        desc: String,
    },
    /// Something happened.
    Event(Event),
}

/// What QEMU tells without being asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Such as `DEVICE_DELETED`.
    pub name: String,
    /// Empty for events that carry nothing.
    pub data: Map<String, Value>,
}

/// Not a line of QMP.
#[derive(Debug, thiserror::Error)]
pub enum MalformedLine {
    /// Not JSON, or not an object.
    #[error("a QMP line is not a JSON object: {excerpt:?}")]
    Json {
        /// How it begins.
        excerpt: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// An object that is no greeting, answer or event.
    #[error("a JSON object is no QMP greeting, answer or event: {excerpt:?}")]
    Kind {
        /// How it begins.
        excerpt: String,
    },
    /// Longer than [`MAX_LINE`].
    #[error("a QMP line is longer than {MAX_LINE} bytes")]
    Oversize,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "QMP")]
    greeting: Option<Greeting>,
    #[serde(rename = "return", default, deserialize_with = "present")]
    value: Option<Value>,
    error: Option<ErrorObject>,
    event: Option<String>,
    #[serde(default)]
    data: Map<String, Value>,
    #[serde(default)]
    id: Value,
}

#[derive(Deserialize)]
struct Greeting {
    version: Version,
}

#[derive(Deserialize)]
struct Version {
    qemu: Numbers,
}

#[derive(Deserialize)]
struct Numbers {
    major: u64,
    minor: u64,
    micro: u64,
}

#[derive(Deserialize)]
struct ErrorObject {
    class: String,
    desc: String,
}

/// A `null` result is a result.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Reads one line, with or without its end. Never panics, whatever the bytes are.
///
/// # Errors
/// When it is no QMP.
pub fn parse_line(line: &[u8]) -> Result<Message, MalformedLine> {
    if line.len() > MAX_LINE {
        return Err(MalformedLine::Oversize);
    }
    let excerpt = || String::from_utf8_lossy(&line[..line.len().min(120)]).into_owned();
    let parsed: Line =
        serde_json::from_slice(line).map_err(|source| MalformedLine::Json { excerpt: excerpt(), source })?;
    let id = parsed.id.as_u64();
    match parsed {
        Line { greeting: Some(Greeting { version: Version { qemu } }), .. } => {
            Ok(Message::Greeting { version: (qemu.major, qemu.minor, qemu.micro) })
        }
        Line { error: Some(ErrorObject { class, desc }), .. } => Ok(Message::Error { id, class, desc }),
        Line { event: Some(name), data, .. } => Ok(Message::Event(Event { name, data })),
        Line { value: Some(value), .. } => Ok(Message::Return { id, value }),
        _ => Err(MalformedLine::Kind { excerpt: excerpt() }),
    }
}

/// Cuts a byte sequence into lines. Holds at most one line.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Takes bytes in; returns the messages they complete, up to the first malformed line.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<Result<Message, MalformedLine>> {
        let mut messages = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.partial.len() + piece.len() > MAX_LINE {
                messages.push(Err(MalformedLine::Oversize));
                return messages;
            }
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.partial);
                if !line.trim_ascii().is_empty() {
                    messages.push(parse_line(&line));
                }
            }
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn every_kind_of_line_is_read() {
        let greeting = br#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}, "package": ""}, "capabilities": ["oob"]}}"#;
        assert_eq!(parse_line(greeting).unwrap(), Message::Greeting { version: (10, 0, 2) });
        assert_eq!(
            parse_line(b"{\"return\": null, \"id\": 3}\r\n").unwrap(),
            Message::Return { id: Some(3), value: Value::Null }
        );
        assert_eq!(
            parse_line(br#"{"id": "theirs", "error": {"class": "GenericError", "desc": "no"}}"#).unwrap(),
            Message::Error { id: None, class: "GenericError".into(), desc: "no".into() }
        );
        let event = br#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "DEVICE_DELETED", "data": {"device": "d"}}"#;
        let Message::Event(event) = parse_line(event).unwrap() else { panic!("not an event") };
        assert_eq!((event.name.as_str(), &event.data["device"]), ("DEVICE_DELETED", &json!("d")));
    }

    #[test]
    fn what_is_no_qmp_is_refused_with_an_excerpt() {
        for bad in ["", "QEMU 10.0.2 monitor", "[]", "7", "{\"return\"", "{\"event\": 1}", "\u{fffd}"] {
            let error = parse_line(bad.as_bytes()).unwrap_err();
            assert!(matches!(error, MalformedLine::Json { .. }), "{bad}: {error}");
        }
        for bad in ["{}", "{\"id\": 1}"] {
            assert!(matches!(parse_line(bad.as_bytes()), Err(MalformedLine::Kind { .. })), "{bad}");
        }
        assert!(matches!(parse_line(&vec![b' '; MAX_LINE + 1]), Err(MalformedLine::Oversize)));
    }

    #[test]
    fn a_line_that_never_ends_is_cut_off() {
        let mut lines = Lines::default();
        assert!(lines.push(&vec![b'x'; MAX_LINE]).is_empty());
        assert!(matches!(lines.push(b"x").as_slice(), [Err(MalformedLine::Oversize)]));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse_line(&bytes);
        }

        #[test]
        fn lines_survive_any_chunking(ids in proptest::collection::vec(any::<u64>(), 0..20), chunk in 1_usize..60) {
            let text: String = ids.iter().map(|id| format!("{{\"return\": {{}}, \"id\": {id}}}\r\n")).collect();
            let mut lines = Lines::default();
            let found: Vec<u64> = text
                .as_bytes()
                .chunks(chunk)
                .flat_map(|piece| lines.push(piece))
                .map(|message| match message.unwrap() {
                    Message::Return { id: Some(id), .. } => id,
                    other => panic!("{other:?}"),
                })
                .collect();
            prop_assert_eq!(found, ids);
        }
    }
}
