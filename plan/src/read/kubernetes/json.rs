//! `kubectl get ... -o json`, streamed: of a `List`, one item at a time is in memory.

use super::document::{Document, Text};
use crate::read::fault::{Fault, Problem};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, BufRead, Read};
use std::rc::Rc;
use std::sync::Arc;

/// Hands every item of a `List`, or the single object, to `each`.
///
/// # Errors
/// What `each` returns, or a fault in the JSON itself.
pub(super) fn objects(
    input: impl BufRead,
    file: &Arc<str>,
    each: &mut dyn FnMut(Document) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let line = Rc::new(Cell::new(1));
    let mut json = serde_json::Deserializer::from_reader(Counting { input, line: Rc::clone(&line) });
    let stopped = RefCell::new(None);
    let top = Top { file, line: &line, each, stopped: &stopped };
    let read = top.deserialize(&mut json).and_then(|()| json.end());
    if let Some(fault) = stopped.into_inner() {
        return Err(fault);
    }
    read.map_err(|error| {
        let (at, message) = (error.line() as u64, error.to_string());
        let problem = if error.is_io() || error.is_eof() {
            Problem::Unreadable(io::Error::from(error))
        } else {
            Problem::Shape { message }
        };
        Fault { file: Arc::clone(file), line: at, field: "(document)".into(), problem }
    })
}

/// Counts line feeds as the parser takes them, byte by byte.
struct Counting<R> {
    input: R,
    line: Rc<Cell<u64>>,
}

impl<R: BufRead> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        let feeds = buffer[..read].iter().filter(|&&byte| byte == b'\n').count();
        self.line.set(self.line.get() + feeds as u64);
        Ok(read)
    }
}

struct Top<'a> {
    file: &'a Arc<str>,
    line: &'a Cell<u64>,
    each: &'a mut dyn FnMut(Document) -> Result<(), Fault>,
    stopped: &'a RefCell<Option<Fault>>,
}

impl Top<'_> {
    fn hand_over(&mut self, text: String, line: u64) -> Result<(), &'static str> {
        let document = Document { text: Text::Json(text), line, file: Arc::clone(self.file) };
        (self.each)(document).map_err(|fault| {
            *self.stopped.borrow_mut() = Some(fault);
            "stopped at a fault"
        })
    }
}

impl<'de> DeserializeSeed<'de> for Top<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Kubernetes List or object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let first = self.line.get();
        let mut single = serde_json::Map::new();
        let mut is_list = false;
        while let Some(key) = map.next_key::<String>()? {
            if key == "items" {
                is_list = true;
                map.next_value_seed(Items(&mut self))?;
            } else {
                single.insert(key, map.next_value()?);
            }
        }
        if is_list {
            return Ok(());
        }
        // Written anew with the same lines would be impossible, so the object's first line stands for all of it.
        let text = serde_json::Value::Object(single).to_string();
        self.hand_over(text, first).map_err(A::Error::custom)
    }
}

struct Items<'t, 'a>(&'t mut Top<'a>);

impl<'de> DeserializeSeed<'de> for Items<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of Kubernetes objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element::<Box<RawValue>>()? {
            let text: Box<str> = item.into();
            let feeds = text.bytes().filter(|&byte| byte == b'\n').count() as u64;
            self.0.hand_over(text.into(), self.0.line.get() - feeds).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}
