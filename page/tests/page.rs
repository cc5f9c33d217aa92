//! A document in a real browser: every part is drawn, and no name in it is taken for anything but text.

mod browser;
mod trial;

use browser::{browser, shown};
use nestless_page::{Document, Interval, Part, Samples, Section, Table, left, right};

const HOSTILE: &str = "</script><script>document.title = 'taken'</script>";

fn document() -> Document {
    let mut table = Table::new([left("side"), right("p50")]);
    table.add_row(["hostlo", "1,234"]);
    table.add_row([HOSTILE, "0.5 of nic\n0.6 of nat"]);
    let interval = |name: &str, low, high| Interval {
        name: name.into(),
        low,
        middle: f64::midpoint(low, high),
        high,
        text: format!("{low} to {high}"),
    };
    let samples = |name: &str, samples: &[f64]| Samples {
        name: name.into(),
        samples: samples.to_vec(),
        middle: samples[0],
        text: "the first".into(),
    };
    let parts = vec![
        Part::Table(table),
        Part::Intervals {
            label: "ratios".into(),
            line: 1.0,
            rows: vec![interval("hostlo of nic", 0.6, 0.8), interval(HOSTILE, 0.9, 1.3)],
        },
        Part::Samples {
            label: "samples".into(),
            rows: vec![
                samples("hostlo", &[3.0, 4.5, 3.2]),
                samples("all alike", &[3.0]),
                samples("none", &[f64::NAN]),
            ],
        },
        Part::List(vec!["one fact".into(), HOSTILE.into()]),
    ];
    let section = |title: &str, parts| Section { title: title.into(), parts };
    let nothing = Part::Samples { label: "nothing".into(), rows: Vec::new() };
    Document {
        title: "A document".into(),
        lead: "What it is about.".into(),
        sections: vec![section("All parts", parts), section("Nothing", vec![nothing])],
    }
}

fn every_part_is_drawn() {
    let page = document().html().unwrap();
    for width in [400, 1200] {
        let shown = shown(&page, width);
        assert!(shown.contains("data-ready=\"yes\""), "the script ran to its end");
        assert_eq!(shown.matches("<svg").count(), 3);
        // Two middles of intervals, and four samples that are numbers.
        assert_eq!(shown.matches("<circle").count(), 6);
        for words in ["What it is about.", "All parts", "hostlo of nic", "0.6 to 0.8", "1,234", "one fact"] {
            assert!(shown.contains(words), "{words}");
        }
        assert!(shown.contains("<title>A document</title>"), "a name was run as a script");
        assert_eq!(shown.matches("&lt;script&gt;").count(), 3, "and it is shown");
    }
}

fn main() -> std::process::ExitCode {
    trial::run(
        browser().is_some(),
        "no browser: install chromium",
        1,
        &[("every_part_is_drawn", every_part_is_drawn)],
    )
}
