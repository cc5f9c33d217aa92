//! Manifests: YAML documents between `---` lines, one at a time in memory.

use super::document::{Document, Text};
use super::object::Head;
use crate::read::fault::{Fault, Problem};
use crate::read::input::Lines;
use serde::Deserialize;
use std::io::BufRead;
use std::sync::Arc;

/// A document is an object, or a `List` of them; larger lists are for JSON, which is streamed.
const MAX_DOCUMENT_BYTES: usize = 64 * 1024 * 1024;

/// Hands every object to `each`, those inside a `List` too.
///
/// # Errors
/// What `each` returns, or a fault in the bytes.
pub(super) fn objects(
    input: impl BufRead,
    file: &Arc<str>,
    each: &mut dyn FnMut(Result<Document, Fault>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut lines = Lines::new(input, file);
    let mut text = String::new();
    let mut first = 1;
    loop {
        let next = lines.next()?;
        // A document marker cannot stand inside a scalar (YAML 1.2.2, section 9.1.2, c-forbidden).
        let marker = next.is_some_and(|(_, line)| is_marker(line));
        let Some((number, line)) = next.filter(|_| !marker) else {
            let end = next.is_none();
            let number = next.map_or(0, |(number, _)| number);
            let document =
                Document { text: Text::Yaml(std::mem::take(&mut text)), line: first, file: Arc::clone(file) };
            hand_over(document, each)?;
            if end {
                return Ok(());
            }
            first = number + 1;
            continue;
        };
        let fault = |problem| Fault { file: Arc::clone(file), line: number, field: "(line)".into(), problem };
        let line = std::str::from_utf8(line)
            .map_err(|_| fault(Problem::NotA { text: "the line".into(), wanted: "UTF-8 text" }))?;
        if text.len() + line.len() > MAX_DOCUMENT_BYTES {
            return Err(fault(Problem::TooLong { limit: MAX_DOCUMENT_BYTES }));
        }
        text.push_str(line);
        text.push('\n');
    }
}

/// `---` or `...`, alone or before a blank.
fn is_marker(line: &[u8]) -> bool {
    let rest = line.strip_prefix(b"---").or_else(|| line.strip_prefix(b"..."));
    rest.is_some_and(|rest| rest.first().is_none_or(u8::is_ascii_whitespace))
}

#[derive(Deserialize)]
struct List {
    items: Vec<serde_json::Value>,
}

fn hand_over(
    document: Document,
    each: &mut dyn FnMut(Result<Document, Fault>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let Text::Yaml(text) = &document.text else { return Ok(()) };
    if text.lines().all(|line| line.trim_start().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(());
    }
    match document.parse::<Head>() {
        Err(fault) => each(Err(fault)),
        Ok(head) if head.kind == "List" => match document.parse::<List>() {
            Err(fault) => each(Err(fault)),
            Ok(list) => list.items.into_iter().try_for_each(|item| {
                each(Ok(Document {
                    text: Text::Item(item),
                    line: document.line,
                    file: Arc::clone(&document.file),
                }))
            }),
        },
        Ok(_) => each(Ok(document)),
    }
}
