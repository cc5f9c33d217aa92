//! What came of each way.

use nestless_page::Table;
use schemars::JsonSchema;
use serde::Serialize;

/// `nestless connectivity-test --json`
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    /// Whether every way that was tried works.
    ok: bool,
    ways: Vec<Way>,
}

/// One way.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Way {
    /// From where to where.
    pub(super) way: String,
    /// How: "echo", "tcp", "udp".
    pub(super) by: String,
    /// The address that was called; empty where none was.
    pub(super) to: String,
    pub(super) outcome: Outcome,
    /// Why it does not work, or was not tried.
    pub(super) why: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    /// An answer came back.
    Works,
    /// It did not.
    Failed,
    /// There was nothing to try.
    NotTried,
}

impl Way {
    pub(super) fn tried(
        way: impl Into<String>,
        by: &str,
        to: impl ToString,
        result: Result<(), impl Into<anyhow::Error>>,
    ) -> Self {
        let (outcome, why) = match result {
            Ok(()) => (Outcome::Works, String::new()),
            Err(error) => (Outcome::Failed, format!("{:#}", error.into())),
        };
        Self { way: way.into(), by: by.to_owned(), to: to.to_string(), outcome, why }
    }

    pub(super) fn not_tried(way: &str, by: &str, why: impl Into<String>) -> Self {
        let (way, by) = (way.to_owned(), by.to_owned());
        Self { way, by, to: String::new(), outcome: Outcome::NotTried, why: why.into() }
    }
}

impl Report {
    pub(super) fn new(ways: Vec<Way>) -> Self {
        // Where nothing worked nothing was shown.
        let ok = ways.iter().all(|way| way.outcome != Outcome::Failed)
            && ways.iter().any(|way| way.outcome == Outcome::Works);
        Self { ok, ways }
    }

    pub(super) fn is_ok(&self) -> bool {
        self.ok
    }

    pub(super) fn render(&self) -> String {
        let mut table = Table::new(["WAY", "BY", "TO", "OUTCOME"]);
        for way in &self.ways {
            let outcome = match way.outcome {
                Outcome::Works => "works".to_owned(),
                Outcome::Failed => format!("FAILED: {}", way.why),
                Outcome::NotTried => format!("not tried: {}", way.why),
            };
            table.add_row([way.way.clone(), way.by.clone(), nestless_page::or_dash(way.to.clone()), outcome]);
        }
        let failed = self.ways.iter().filter(|way| way.outcome == Outcome::Failed).count();
        let end = match (self.ok, failed) {
            (true, _) => "every way that was tried works".to_owned(),
            (false, 0) => "no way was tried".to_owned(),
            (false, failed) => format!("{failed} of {} ways do not work", self.ways.len()),
        };
        format!("{}{end}\n", table.terminal())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_way_that_fails_is_a_failure_and_so_is_nothing_at_all() {
        let works = || Way::tried("pod to pod", "tcp", "10.88.0.2", Ok::<(), anyhow::Error>(()));
        let fails = Way::tried("pod to gateway", "echo", "10.88.0.1", Err(anyhow::anyhow!("silence")));
        let untried = || Way::not_tried("pod to outside", "tcp", "name one");
        assert!(Report::new(vec![works(), untried()]).is_ok());
        assert!(!Report::new(vec![untried()]).is_ok() && !Report::new(Vec::new()).is_ok());
        let report = Report::new(vec![works(), fails, untried()]);
        assert!(!report.is_ok());
        let text = report.render();
        assert!(text.contains("FAILED: silence") && text.ends_with("1 of 3 ways do not work\n"), "{text}");
    }
}
