//! A page in one file: style, script and figures inside, nothing from outside.

use serde::Serialize;

const FRAME: &str = include_str!("frame.html");
const STYLE: &str = include_str!("page.css");
const SCRIPTS: [&str; 2] = [include_str!("elements.js"), include_str!("charts.js")];
/// For whoever waits until all is drawn.
const READY: &str = "document.documentElement.dataset.ready = \"yes\";\n";

/// What a page has beside what all have. Its script finds the figures as `figures`, and the functions of `elements.js`
/// and `charts.js`.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// In the browser's title.
    pub title: &'a str,
    /// What `main` holds before the script runs, in HTML.
    pub body: &'a str,
    /// More rules of style, in CSS.
    pub style: &'a str,
    /// What draws, in JavaScript.
    pub script: &'a str,
}

impl Page<'_> {
    /// The page's text.
    ///
    /// # Errors
    /// When a figure is no number that JSON can hold.
    pub fn with(&self, figures: &impl Serialize) -> Result<String, serde_json::Error> {
        // Inside a script element only `<` could end it, or begin a comment (HTML, "Restrictions for contents of script
        // elements"). Names come from elsewhere.
        let figures = serde_json::to_string(figures)?.replace('<', "\\u003c");
        let title = self.title.replace('&', "&amp;").replace('<', "&lt;");
        let style = [STYLE, self.style].concat();
        let script = [SCRIPTS[0], SCRIPTS[1], self.script, READY].concat();
        let mut page = String::new();
        let mut rest = FRAME;
        for (mark, text) in [
            ("/*TITLE*/", title.as_str()),
            ("/*STYLE*/", style.as_str()),
            ("/*BODY*/", self.body),
            ("/*FIGURES*/", figures.as_str()),
            ("/*SCRIPT*/", script.as_str()),
        ] {
            let (before, after) =
                rest.split_once(mark).expect("the frame is part of the program and has its marks");
            page.extend([before, text]);
            rest = after;
        }
        Ok(page + rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_figure_ends_the_script_and_nothing_is_asked_for() {
        let page =
            Page { title: "A <b> & c", body: "<p>words</p>", style: "p { margin: 0; }", script: "words();" };
        let page = page.with(&["</script><script>steal()</script>"]).unwrap();
        assert_eq!(page.matches("</script>").count(), 2);
        assert!(page.contains("<title>A &lt;b> &amp; c</title>"), "{page}");
        for outside in ["https:", "src=", "@import", "url(", "<link rel=\"stylesheet"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert_eq!(page.matches("http:").count(), 1, "the name of SVG's namespace");
    }
}
