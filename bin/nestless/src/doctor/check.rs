//! What was looked at, and the verdict on it.

use schemars::JsonSchema;
use serde::Serialize;
use std::borrow::Cow;

/// `nestless doctor --json`
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    /// "host" or "guest"
    role: String,
    /// Whether everything needed is there.
    ok: bool,
    checks: Vec<Check>,
}

/// One thing looked at.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Check {
    /// Short and stable: "tun", "kvm", ...
    pub(super) name: Cow<'static, str>,
    pub(super) verdict: Verdict,
    /// What was found.
    pub(super) found: String,
    /// What to do about it; empty when there is nothing to do.
    pub(super) mend: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// Works without, but slower or with less.
    Optional,
    /// Nestless cannot work so.
    Missing,
}

impl Check {
    pub(super) fn ok(name: impl Into<Cow<'static, str>>, found: impl Into<String>) -> Self {
        Self { name: name.into(), verdict: Verdict::Ok, found: found.into(), mend: String::new() }
    }

    pub(super) fn missing(
        name: impl Into<Cow<'static, str>>,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { name: name.into(), verdict: Verdict::Missing, found: found.into(), mend: mend.into() }
    }

    pub(super) fn optional(
        name: impl Into<Cow<'static, str>>,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { name: name.into(), verdict: Verdict::Optional, found: found.into(), mend: mend.into() }
    }
}

impl Report {
    pub(super) fn new(role: &str, checks: Vec<Check>) -> Self {
        let ok = checks.iter().all(|check| check.verdict != Verdict::Missing);
        Self { role: role.to_owned(), ok, checks }
    }

    /// Whether everything needed is there.
    pub(super) fn is_ok(&self) -> bool {
        self.ok
    }

    pub(super) fn render(&self) -> String {
        let line = |check: &Check| {
            let word = match check.verdict {
                Verdict::Ok => "ok     ",
                Verdict::Optional => "without",
                Verdict::Missing => "MISSING",
            };
            let mend =
                if check.mend.is_empty() { String::new() } else { format!("        -> {}\n", check.mend) };
            format!("{word} {}: {}\n{mend}", check.name, check.found)
        };
        let missing = self.checks.iter().filter(|check| check.verdict == Verdict::Missing).count();
        let end = match missing {
            0 => format!("this {} has what it needs\n", self.role),
            n => format!("this {} lacks {n} of the things it needs\n", self.role),
        };
        self.checks.iter().map(line).chain([end]).collect()
    }
}

/// A device file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Device {
    /// Can be opened.
    Open,
    /// Is there, and this user may not open it.
    NoPermission,
    /// Is there, and its driver does not open it.
    Dead,
    #[default]
    Missing,
}

impl Device {
    pub(super) fn is_open(self) -> bool {
        self == Self::Open
    }

    /// What is amiss with it, and what to do: what `mend` says, where it is missing.
    pub(super) fn amiss(self, path: &str, mend: &str) -> Option<(String, String)> {
        match self {
            Self::Open => None,
            Self::NoPermission => Some((format!("no permission for {path}"), "repeat as root".to_owned())),
            Self::Dead => Some((format!("{path} is there and does not open"), mend.to_owned())),
            Self::Missing => Some((format!("no {path}"), mend.to_owned())),
        }
    }
}

/// A kernel release's major and minor number.
pub(super) fn kernel_at_least(release: &str, wanted: (u32, u32)) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_releases() {
        assert!(kernel_at_least("6.1.0-37-cloud-amd64", (6, 1)));
        assert!(kernel_at_least("6.18.44", (6, 6)));
        assert!(!kernel_at_least("5.15.0", (6, 1)));
        assert!(!kernel_at_least("", (6, 1)));
    }

    #[test]
    fn a_report_ends_with_its_verdict() {
        let report =
            Report::new("host", vec![Check::ok("tun", "there"), Check::missing("nft", "no", "install it")]);
        assert!(!report.ok);
        assert_eq!(
            report.render(),
            "ok      tun: there\nMISSING nft: no\n        -> install it\n\
             this host lacks 1 of the things it needs\n"
        );
        assert!(Report::new("host", vec![Check::optional("kvm", "no", "use TCG")]).ok);
    }
}
