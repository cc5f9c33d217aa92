//! The report as one page: style, script and figures inside, nothing from outside.

use super::Report;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page. The figures are the report's JSON without the plan itself, which may be large.
///
/// # Errors
/// When a figure is no number JSON can hold.
pub fn html(report: &Report) -> Result<String, serde_json::Error> {
    let shown = Report { plan: Vec::new(), ..report.clone() };
    // Inside a script element only `<` could end it, or begin a comment (HTML, "Restrictions for contents of script
    // elements"). Names come from the input.
    let figures = serde_json::to_string(&shown)?.replace('<', "\\u003c");
    let [before_style, after_style] = halves(PAGE, "/*STYLE*/");
    let [before_figures, after_figures] = halves(after_style, "/*FIGURES*/");
    let [before_script, after_script] = halves(after_figures, "/*SCRIPT*/");
    Ok([before_style, STYLE, before_figures, &figures, before_script, SCRIPT, after_script].concat())
}

fn halves<'a>(text: &'a str, mark: &str) -> [&'a str; 2] {
    let (before, after) = text.split_once(mark).expect("the page is part of the program and has its marks");
    [before, after]
}
