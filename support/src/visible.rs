//! Text that somebody else wrote, for a terminal, a log or a JSON document that people may look at. What cannot be seen, or
//! changes how the rest is seen, is written as an escape: it must neither steer a terminal nor make one name look like another.

use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, Write},
};

/// Whether a reader would not see the character, or see others elsewhere for it.
pub fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            // Soft hyphen, grapheme joiner, fillers, separators of vowels.
            '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{3164}' | '\u{ffa0}'
            // Marks, embeddings, overrides and isolates of direction; of zero width; separators of lines and paragraphs.
            | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            // Variation selectors, annotations, tags.
            | '\u{fe00}'..='\u{fe0f}' | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// For a terminal. Line feeds and tabs stay: lines are whoever's who puts them together.
pub fn in_text(text: &str) -> Cow<'_, str> {
    let stays = |character: char| matches!(character, '\n' | '\t');
    escaped(text, stays, spelt_out)
}

/// For one line of a log: what is in it makes no other.
fn in_line(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false, spelt_out)
}

fn spelt_out(out: &mut String, character: char) {
    out.extend(character.escape_unicode());
}

/// A whole JSON document, which means the same afterwards: all but ASCII stands in strings.
pub fn in_json(document: &str) -> Cow<'_, str> {
    let stays = |character: char| character.is_ascii();
    escaped(document, stays, |out, character| {
        for unit in character.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}");
        }
    })
}

fn escaped(text: &str, stays: impl Fn(char) -> bool, escape: impl Fn(&mut String, char)) -> Cow<'_, str> {
    let hidden = |character: char| is_hidden(character) && !stays(character);
    if !text.contains(hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if hidden(character) { escape(&mut out, character) } else { out.push(character) }
    }
    Cow::Owned(out)
}

/// Where log lines go, each by one call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lines<W> {
    pub(crate) to: W,
    pub(crate) json: bool,
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        if self.json {
            self.to.write_all(in_json(&text).as_bytes())?;
        } else {
            let (line, end) = text.strip_suffix('\n').map_or((&*text, ""), |line| (line, "\n"));
            self.to.write_all(in_line(line).as_bytes())?;
            self.to.write_all(end.as_bytes())?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_spelt_out() {
        for (text, shown) in [
            ("web", "web"),
            ("Straße 東京 🚀", "Straße 東京 🚀"),
            ("a\tb\n", "a\tb\n"),
            ("web\u{202e}bd", "web\\u{202e}bd"),
            ("a\u{2028}b\u{2029}c", "a\\u{2028}b\\u{2029}c"),
            ("we\u{200b}b\u{feff}", "we\\u{200b}b\\u{feff}"),
            ("\u{2066}x\u{2069}\u{61c}", "\\u{2066}x\\u{2069}\\u{61c}"),
            ("\u{1b}[2J\u{9b}m\r\u{7f}", "\\u{1b}[2J\\u{9b}m\\u{d}\\u{7f}"),
            ("a\u{e0041}\u{fe0f}\u{3164}", "a\\u{e0041}\\u{fe0f}\\u{3164}"),
        ] {
            assert_eq!(in_text(text), shown, "{text:?}");
        }
    }

    #[test]
    fn a_json_document_means_the_same_and_hides_nothing() {
        let value = serde_json::json!({ "na\u{200b}me": "web\u{202e}\u{2028}\u{e0041}\n東京" });
        let document = serde_json::to_string_pretty(&value).unwrap();
        let shown = in_json(&document);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
        assert!(shown.contains("\\u202e\\u2028\\udb40\\udc41\\n東京"), "{shown}");
        assert!(!shown.chars().any(|character| is_hidden(character) && character != '\n'), "{shown}");
    }

    #[test]
    fn nobody_begins_a_line_of_a_log_but_the_log() {
        let mut written = Vec::new();
        let mut lines = Lines { to: &mut written, json: false };
        lines.write_all("pod \u{202e}a\nERROR forged\n".as_bytes()).unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), "pod \\u{202e}a\\u{a}ERROR forged\n");
    }
}
