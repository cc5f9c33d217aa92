//! The report as a page.

use super::Report;
use nestless_page::Page;

const PAGE: Page<'_> = Page {
    title: "Placement plan",
    body: include_str!("page.html"),
    style: include_str!("page.css"),
    script: include_str!("page.js"),
};

/// The page. The figures are the report's JSON without the plan itself, which may be large.
///
/// # Errors
/// When a figure is no number JSON can hold.
pub fn html(report: &Report) -> Result<String, serde_json::Error> {
    PAGE.with(&Report { plan: Vec::new(), ..report.clone() })
}
