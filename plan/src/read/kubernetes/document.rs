//! One object's text, and how it is parsed: the error knows the file's line and the field's path.

use crate::read::fault::{Fault, Problem};
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// The text of one object.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) text: Text,
    /// Of its first character in the file, from 1.
    pub(super) line: u64,
    pub(super) file: Arc<str>,
}

#[derive(Clone, Debug)]
pub(super) enum Text {
    Json(String),
    Yaml(String),
    /// An item of a YAML `List`, whose own line is not known.
    Item(serde_json::Value),
}

impl Document {
    /// # Errors
    /// When the text is malformed, or its shape is not that of `T`.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        match &self.text {
            Text::Json(text) => {
                let mut input = serde_json::Deserializer::from_str(text);
                serde_path_to_error::deserialize(&mut input).map_err(|error| {
                    let line = self.line + (error.inner().line() as u64).saturating_sub(1);
                    self.fault(line, &error.path().to_string(), words(error.inner()))
                })
            }
            Text::Yaml(text) => self.parse_yaml(text),
            Text::Item(value) => serde_path_to_error::deserialize(value)
                .map_err(|error| self.fault(self.line, &error.path().to_string(), words(error.inner()))),
        }
    }

    fn parse_yaml<T: DeserializeOwned>(&self, text: &str) -> Result<T, Fault> {
        let mut path = None;
        let parsed = serde_saphyr::with_deserializer_from_str(text, |input| {
            serde_path_to_error::deserialize(input).map_err(|error| {
                path = Some(error.path().to_string());
                error.into_inner()
            })
        });
        parsed.map_err(|error| {
            let inside = error.location().map_or(0, |location| location.line().saturating_sub(1));
            let message = error.without_snippet().to_string();
            let message = message.lines().next().unwrap_or_default();
            let message = message.rfind(" at line ").map_or(message, |end| &message[..end]).to_owned();
            self.fault(self.line + inside, path.as_deref().unwrap_or("."), message)
        })
    }

    /// What is wrong with `field` of this object, at the line where the object begins.
    pub(super) fn bad(&self, field: impl Into<String>, problem: Problem) -> Fault {
        Fault { file: Arc::clone(&self.file), line: self.line, field: field.into(), problem }
    }

    /// As [`bad`](Self::bad), in words.
    pub(super) fn unsupported(&self, field: impl Into<String>, message: impl Into<String>) -> Fault {
        self.fault(self.line, &field.into(), message.into())
    }

    fn fault(&self, line: u64, path: &str, message: String) -> Fault {
        let field = if path == "." { "(document)" } else { path }.to_owned();
        Fault { file: Arc::clone(&self.file), line, field, problem: Problem::Shape { message } }
    }
}

/// The parser's message without the position, which counts from the object's own first line.
fn words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rfind(" at line ").map_or(text.clone(), |end| text[..end].to_owned())
}
