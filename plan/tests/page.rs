//! The page in a real browser: drawn, not taken over by names from the input, and its sliders move the figures.

#[path = "../../page/tests/browser/mod.rs"]
mod browser;
mod fixture;
#[path = "../../page/tests/trial/mod.rs"]
mod trial;

use browser::{browser, shown};
use nestless_plan::report::html;

fn everything_is_drawn() {
    for width in [400, 1200] {
        let document = shown(&html(&fixture::report()).unwrap(), width);
        assert!(document.contains("data-ready=\"yes\""), "the script ran to its end");
        assert_eq!(document.matches("class=\"tile\"").count(), 8);
        assert_eq!(document.matches("<svg").count(), 3);
        for words in ["scheduler as it is", "proven lower bound", "line 11, field cpu", "made up"] {
            assert!(document.contains(words), "{words}");
        }
        assert!(document.contains("<title>Placement plan</title>"), "a client's name was run as a script");
        assert!(document.contains("&lt;/script&gt;"), "and it is shown");
    }
}

fn sliders_move_the_figures() {
    let page = html(&fixture::report()).unwrap();
    let hand = "<script>const slider = document.getElementById('discount'); slider.value = 50; \
                slider.dispatchEvent(new Event('input'));</script></body>";
    let moved = page.replacen("</body>", hand, 1);
    let month = |document: &str| {
        let from = document.find("id=\"what-if\"").unwrap();
        let figure = document[from..].split("<b>").nth(1).unwrap().split('<').next().unwrap().to_owned();
        figure.trim_start_matches('$').replace(',', "").parse::<f64>().unwrap()
    };
    let (before, after) = (month(&shown(&page, 1000)), month(&shown(&moved, 1000)));
    assert!((after * 2.0 - before).abs() <= 1.0, "half the price is half the bill: {before} {after}");
}

fn main() -> std::process::ExitCode {
    let why = "no browser: install chromium";
    let tests: &[(&'static str, fn())] = &[
        ("everything_is_drawn", everything_is_drawn),
        ("sliders_move_the_figures", sliders_move_the_figures),
    ];
    trial::run(browser().is_some(), why, 1, tests)
}
