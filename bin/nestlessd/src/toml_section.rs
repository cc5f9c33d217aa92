//! Reads a TOML file in sections, so that one fault hides no other.

use serde::de::DeserializeOwned;
use std::ops::Range;
use toml::{
    Spanned,
    de::{DeTable, DeValue, Error, ValueDeserializer},
};

/// A file in parts, and all that is wrong with them so far.
pub(crate) struct Document<'text> {
    text: &'text str,
    span: Range<usize>,
    rest: DeTable<'text>,
    faults: Vec<Error>,
    /// It is no TOML.
    broken: bool,
}

impl<'text> Document<'text> {
    /// Takes the text apart. Where its syntax is wrong nothing is read of it, so that no fault is told that follows from
    /// another.
    pub(crate) fn of(text: &'text str) -> Self {
        let (table, mut faults) = DeTable::parse_recoverable(text);
        faults.iter_mut().for_each(|fault| fault.set_input(Some(text)));
        let (span, broken) = (table.span(), !faults.is_empty());
        let rest = if broken { DeTable::default() } else { table.into_inner() };
        Self { text, span, rest, faults, broken }
    }

    /// The tables called `[[key]]`, without those that are wrong.
    pub(crate) fn tables<T: DeserializeOwned>(&mut self, key: &str) -> Vec<T> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let span = value.span();
        let items: Vec<_> = match value.into_inner() {
            DeValue::Array(items) => items.into_iter().collect(),
            // Not a list: the type itself says so.
            other => vec![Spanned::new(span, other)],
        };
        items.into_iter().filter_map(|item| self.read(item)).collect()
    }

    /// The table called `[key]`, if there is one and it is right.
    pub(crate) fn table<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        let value = self.take(key)?;
        self.read(value)
    }

    /// What no section was taken for.
    pub(crate) fn rest<T: DeserializeOwned>(&mut self) -> Option<T> {
        if self.broken {
            return None;
        }
        let rest = std::mem::take(&mut self.rest);
        self.read(Spanned::new(self.span.clone(), DeValue::Table(rest)))
    }

    /// All that was wrong, in the order of the file.
    pub(crate) fn faults(mut self) -> Vec<Error> {
        self.faults.sort_by_key(|fault| fault.span().map_or(0, |span| span.start));
        self.faults
    }

    fn take(&mut self, key: &str) -> Option<Spanned<DeValue<'text>>> {
        let key = self.rest.keys().find(|known| known.get_ref() == key)?.clone();
        self.rest.remove(&key)
    }

    /// Reads a value; of a table, without each key that is at fault, until all faults are told.
    fn read<T: DeserializeOwned>(&mut self, value: Spanned<DeValue<'text>>) -> Option<T> {
        let span = value.span();
        let mut value = value.into_inner();
        let mut removed: Vec<String> = Vec::new();
        loop {
            let whole = Spanned::new(span.clone(), value.clone());
            let mut fault = match T::deserialize(ValueDeserializer::from(whole)) {
                Ok(read) => return removed.is_empty().then_some(read),
                Err(fault) => fault,
            };
            // The key is missing because it was taken out here.
            if removed.iter().any(|key| fault.message() == format!("missing field `{key}`")) {
                return None;
            }
            let culprit = culprit(&value, fault.span());
            fault.set_input(Some(self.text));
            self.faults.push(fault);
            let (DeValue::Table(table), Some(culprit)) = (&mut value, culprit) else { return None };
            removed.push(culprit.get_ref().to_string());
            table.remove(&culprit);
        }
    }
}

/// The key of a table that a fault is about.
fn culprit<'text>(
    value: &DeValue<'text>,
    at: Option<Range<usize>>,
) -> Option<Spanned<toml::de::DeString<'text>>> {
    let (table, at) = (value.as_table()?, at?);
    let holds = |span: Range<usize>| span.start <= at.start && at.end <= span.end;
    table.iter().find(|(key, value)| holds(key.span()) || holds(value.span())).map(|(key, _)| key.clone())
}
