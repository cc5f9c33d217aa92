//! One call of the plugin: read, carried out by the core, answered.

use super::{add, check::differences};
use crate::core::{Agent, DetachRequest, Record};
use nestless_model::{
    cni::{
        Answer, Check, CniError, Del, Gc, Invocation, Mode, Request, Version, answer_version, parse_request,
    },
    refusal::Reason,
};
use nestless_support::{error_chain::in_full, netns::Namespace, telemetry::TraceParent};
use std::{collections::BTreeSet, os::fd::OwnedFd, sync::Arc};
use tracing::Instrument as _;

/// A failure is an answer too.
pub(super) async fn answer(agent: &Arc<Agent>, invocation: Invocation, sandbox: Option<OwnedFd>) -> Answer {
    let Invocation { environment, configuration } = invocation;
    let trace = TraceParent::following(environment.trace().parent.as_deref());
    let (version, outcome) = match parse_request(&environment, &configuration) {
        Ok(request) => {
            let span =
                tracing::info_span!("cni", command = environment.command(), trace_id = trace.trace_id());
            (request.version(), carry_out(agent, request, sandbox, trace).instrument(span).await)
        }
        Err(error) => (answer_version(&configuration), Err(error)),
    };
    outcome.unwrap_or_else(|error| {
        tracing::warn!(command = environment.command(), trace_id = trace.trace_id(), %error, "a CNI call failed");
        Answer::failure(&error, version)
    })
}

async fn carry_out(
    agent: &Arc<Agent>,
    request: Request,
    sandbox: Option<OwnedFd>,
    trace: TraceParent,
) -> Result<Answer, CniError> {
    match request {
        Request::Add(add) => {
            let sandbox = usable(agent, sandbox, &add.sandbox)?;
            let version = add.conf.version;
            let result = add::add(agent, *add, sandbox, trace).await?;
            return Ok(Answer::success(Some(result.to_json(version))));
        }
        Request::Version(asked) => return Ok(Answer::success(Some(Version::supported(&asked)))),
        Request::Del(del) => {
            let Del { attachment, sandbox: sandbox_path, .. } = *del;
            let sandbox = sandbox_path.as_deref().and_then(|path| usable(agent, sandbox, path).ok());
            agent.detach(DetachRequest { attachment, sandbox, sandbox_path }, trace).await?;
        }
        Request::Check(check) => {
            let sandbox = usable(agent, sandbox, &check.sandbox)?;
            let Check { attachment, prev_result, .. } = *check;
            let compare = |observed: &_| differences(&attachment, &prev_result, observed);
            agent.check(&attachment, &sandbox, compare, trace).await?;
        }
        Request::Gc(gc) => agent.detach_stale(stale(*gc), trace).await?,
        Request::Status(conf) => agent.ready(conf.network.as_ref(), trace).await?,
    }
    Ok(Answer::success(None))
}

/// The namespace that came with the call, if it is one that a pod may be in.
fn usable(agent: &Agent, descriptor: Option<OwnedFd>, path: &str) -> Result<Namespace, CniError> {
    let invalid =
        |why: String| CniError::new(Reason::InvalidEnvironment, format!("CNI_NETNS is {path:?}, {why}"));
    let descriptor =
        descriptor.ok_or_else(|| invalid("and no descriptor of it came with the call".to_owned()))?;
    let sandbox = Namespace::from_descriptor(descriptor, path).map_err(|e| invalid(in_full(&e)))?;
    if agent.is_own(&sandbox).map_err(|e| invalid(in_full(&e)))? {
        return Err(invalid("the VM's own network namespace: expected one of the pod's".to_owned()));
    }
    Ok(sandbox)
}

/// What the runtime no longer lists. Those of other networks are in other lists, and so are those of the plugin's other
/// mode. Of whose network nothing is known, nobody says that it is dead.
fn stale(gc: Gc) -> impl Fn(&Record) -> bool {
    let valid: BTreeSet<_> = gc.valid.into_iter().collect();
    move |record| {
        record.conf.as_ref() == Some(&gc.conf.name)
            && record.attachment.is_endpoint() == (gc.conf.mode == Mode::Loopback)
            && !valid.contains(&record.attachment)
    }
}
