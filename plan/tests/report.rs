//! What is printed for a small fleet, word for word.

mod fixture;

use nestless_plan::report::{html, markdown, terminal};

#[test]
fn terminal_text() {
    insta::assert_snapshot!(terminal(&fixture::report()));
}

#[test]
fn markdown_text() {
    insta::assert_snapshot!(markdown(&fixture::report()));
}

#[test]
fn the_plan_as_json() {
    let report = fixture::report();
    insta::assert_snapshot!(serde_json::to_string_pretty(&report.plan).unwrap());
}

#[test]
fn the_page_asks_nobody_for_anything() {
    let page = html(&fixture::report()).unwrap();
    for outside in ["http:", "https:", "src=", "@import", "url(", "<link rel=\"stylesheet"] {
        let allowed = if outside == "http:" { 1 } else { 0 };
        assert_eq!(
            page.matches(outside).count(),
            allowed,
            "{outside}: only the name of SVG's namespace is an address"
        );
    }
    assert_eq!(page.matches("</script>").count(), 2, "a client's name cannot end the script");
}
