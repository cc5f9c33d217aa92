//! A page in sections, drawn as it is told: words, tables and charts from data.

use crate::{html::Page, table::Table};
use serde::Serialize;

const BODY: &str = "<header><h1 id=\"title\"></h1><p id=\"lead\"></p></header>\n<div id=\"sections\"></div>";
const SCRIPT: &str = include_str!("document.js");

/// A page.
#[derive(Clone, Debug, Serialize)]
pub struct Document {
    /// At its head.
    pub title: String,
    /// What it is about, below the title.
    pub lead: String,
    /// From the top down.
    pub sections: Vec<Section>,
}

/// A part of the page with a heading.
#[derive(Clone, Debug, Serialize)]
pub struct Section {
    /// Its heading.
    pub title: String,
    /// From the top down.
    pub parts: Vec<Part>,
}

/// Something in a section.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The first column stands to the left, the others to the right.
    Table(Table),
    /// Values that are certain within bounds, on one axis, beside the one that they are to be compared with.
    Intervals {
        /// For who cannot see it.
        label: String,
        /// The value that they are compared with.
        line: f64,
        /// One below the other.
        rows: Vec<Interval>,
    },
    /// Single measurements, on one axis: each row's from the top down, as they were taken.
    Samples {
        /// For who cannot see it.
        label: String,
        /// One below the other.
        rows: Vec<Samples>,
    },
    /// A line each.
    List(Vec<String>),
}

/// A value, and between which ones it certainly is.
#[derive(Clone, Debug, Serialize)]
pub struct Interval {
    /// Beside it.
    pub name: String,
    /// Least.
    pub low: f64,
    /// As it was measured.
    pub middle: f64,
    /// Most.
    pub high: f64,
    /// The figures in words.
    pub text: String,
}

/// A row of measurements.
#[derive(Clone, Debug, Serialize)]
pub struct Samples {
    /// Beside it.
    pub name: String,
    /// In the order in which they were taken.
    pub samples: Vec<f64>,
    /// Which of them is marked.
    pub middle: f64,
    /// That one in words.
    pub text: String,
}

impl Document {
    /// The page's text.
    ///
    /// # Errors
    /// When a figure is no number that JSON can hold.
    pub fn html(&self) -> Result<String, serde_json::Error> {
        Page { title: &self.title, body: BODY, style: "", script: SCRIPT }.with(self)
    }
}
