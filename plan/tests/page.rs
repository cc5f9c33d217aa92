//! The page in a real browser: drawn, not taken over by names from the input, and its sliders move the figures.

mod fixture;
mod trial;

use nestless_plan::report::html;
use std::process::Command;

const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

fn browser() -> Option<&'static str> {
    let answers = |name: &&str| {
        Command::new(name).arg("--version").output().is_ok_and(|answer| answer.status.success())
    };
    BROWSERS.into_iter().find(answers)
}

/// The document after its scripts have run.
fn shown(page: &str, width: u32) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    std::fs::write(&file, page).unwrap();
    let output = Command::new(browser().expect("main runs no test without a browser"))
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--dump-dom",
        ])
        .arg(format!("--window-size={width},900"))
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .arg(format!("file://{}", file.display()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

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
