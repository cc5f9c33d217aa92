//! What serves pods in this VM, asked now.

use super::check::Check;

/// The agent, and through it the host, as [`super::ask`] found them.
#[derive(Debug, Default)]
pub(super) struct Running {
    pub(super) answer: Answer,
    /// Of some pods that are there: each with a gateway of its, and why that does not answer.
    pub(super) gateways: Vec<(String, Result<(), String>)>,
}

/// What came of CNI's STATUS, by the plugin.
#[derive(Debug, Default)]
pub(super) enum Answer {
    /// Pods can be served.
    Ready,
    /// The agent answers, and cannot serve pods.
    Unready { why: String },
    /// It does not answer.
    #[default]
    Silent,
    /// There is no plugin to ask by.
    NotAsked,
}

/// Whether pods are served now.
pub(super) fn judge(running: &Running) -> Vec<Check> {
    let mut checks = vec![match &running.answer {
        Answer::Ready => Check::ok("agent", "it answers, its host answers, and there is room for a pod"),
        Answer::Unready { why } => Check::missing(
            "agent",
            format!("it answers, and cannot serve a pod: {why}"),
            "journalctl -u nestless-agent, and `nestless vm ls` on the host",
        ),
        Answer::Silent => Check::missing(
            "agent",
            "nobody answers on /run/nestless/agent.sock",
            "systemctl enable --now nestless-agent; journalctl -u nestless-agent says why it does not run",
        ),
        Answer::NotAsked => Check::optional(
            "agent",
            "something listens on /run/nestless/agent.sock; what it would answer can be asked by nestless-cni only",
            "install -D nestless-cni /opt/cni/bin/nestless-cni",
        ),
    }];
    if running.gateways.is_empty() {
        checks.push(Check::optional(
            "gateway",
            "there is no pod here whose gateway could be tried",
            "`nestless connectivity-test` makes two pods, tries every way, and removes them",
        ));
    }
    checks.extend(running.gateways.iter().map(|(who, outcome)| match outcome {
        Ok(()) => Check::ok("gateway", format!("{who} answers")),
        Err(why) => Check::missing(
            "gateway",
            format!("{who}: {why}"),
            "`nestless trace POD` on the host shows where its packets end",
        ),
    }));
    checks
}

#[cfg(test)]
mod tests {
    use super::{super::check::Verdict, *};

    fn verdicts(answer: Answer, gateways: &[Result<(), String>]) -> Vec<Verdict> {
        let gateways = gateways.iter().map(|outcome| ("10.88.0.1 of pod a".to_owned(), outcome.clone()));
        let running = Running { answer, gateways: gateways.collect() };
        judge(&running).into_iter().map(|check| check.verdict).collect()
    }

    #[test]
    fn nothing_is_ok_that_does_not_answer() {
        let silence = Err("silence".to_owned());
        assert_eq!(verdicts(Answer::Ready, &[Ok(())]), [Verdict::Ok, Verdict::Ok]);
        assert_eq!(verdicts(Answer::Ready, &[]), [Verdict::Ok, Verdict::Optional]);
        assert_eq!(verdicts(Answer::Silent, &[Ok(())])[0], Verdict::Missing);
        assert_eq!(verdicts(Answer::NotAsked, &[Ok(())])[0], Verdict::Optional);
        assert_eq!(verdicts(Answer::Unready { why: "no host".into() }, &[Ok(())])[0], Verdict::Missing);
        assert_eq!(verdicts(Answer::Ready, &[Ok(()), silence])[2], Verdict::Missing);
    }
}
