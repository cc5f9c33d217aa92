//! What the agent does: CNI calls, and what happens without a call.

mod add;
mod check;
mod del;
mod events;
mod gc;
mod reconcile;
mod release;
mod status;

use crate::{
    attachments::{Attachments, Locks, Record},
    config::{Config, Deadlines},
    host::Host,
};
use anyhow::Context as _;
use nestless_guest::{
    parking::Parking,
    sandbox_watch::{SandboxNumber, SandboxWatch},
};
use nestless_model::{
    cni::{Answer, CniError, Invocation, Request, Version, answer_version, parse_request},
    refusal::Reason,
};
use nestless_support::{
    netns::{Namespace, NamespaceId},
    telemetry::TraceParent,
};
use std::{os::fd::OwnedFd, sync::Arc};
use tokio::sync::{Notify, mpsc};
use tracing::Instrument as _;

/// The agent. One for the life of the process; every call and event gets a handle.
pub(crate) struct Agent {
    host: Host,
    parking: Parking,
    attachments: Attachments,
    locks: Locks,
    sandboxes: SandboxWatch,
    /// Namespaces that no pod may be set up in: the VM's own, and the parking one.
    own_namespaces: [NamespaceId; 2],
    boot_id: String,
    deadlines: Deadlines,
    /// A record became `Detaching`.
    detaching: Notify,
}

/// Sandboxes that died, for [`Agent::watch`].
pub(crate) type DeadSandboxes = mpsc::UnboundedReceiver<SandboxNumber>;

impl Agent {
    pub(crate) async fn new(
        config: &Config,
        host: Host,
        boot_id: String,
    ) -> anyhow::Result<(Arc<Self>, DeadSandboxes)> {
        let path = config.run_dir.join("parking");
        let parking =
            Parking::open(&path).await.with_context(|| format!("park NICs in {}", path.display()))?;
        let (sandboxes, dead) = SandboxWatch::start().context("watch sandboxes")?;
        let own =
            Namespace::current().and_then(|own| own.id()).context("look at the VM's network namespace")?;
        let parked = parking.namespace().id().context("look at the parking namespace")?;
        let agent = Self {
            host,
            parking,
            attachments: Attachments::load(&config.run_dir)?,
            locks: Locks::default(),
            sandboxes,
            own_namespaces: [own, parked],
            boot_id,
            deadlines: config.deadlines(),
            detaching: Notify::new(),
        };
        Ok((Arc::new(agent), dead))
    }

    /// Serves one call of the plugin.
    pub(crate) async fn serve(self: Arc<Self>, invocation: Invocation, sandbox: Option<OwnedFd>) -> Answer {
        let Invocation { environment, configuration } = invocation;
        let trace = TraceParent::following(environment.trace().parent.as_deref());
        let (version, outcome) = match parse_request(&environment, &configuration) {
            Ok(request) => {
                let span =
                    tracing::info_span!("cni", command = environment.command(), trace_id = trace.trace_id());
                (request.version(), self.carry_out(request, sandbox, trace).instrument(span).await)
            }
            Err(error) => (answer_version(&configuration), Err(error)),
        };
        outcome.unwrap_or_else(|error| {
            tracing::warn!(command = environment.command(), trace_id = trace.trace_id(), %error, "a CNI call failed");
            Answer::failure(&error, version)
        })
    }

    async fn carry_out(
        self: &Arc<Self>,
        request: Request,
        sandbox: Option<OwnedFd>,
        trace: TraceParent,
    ) -> Result<Answer, CniError> {
        match request {
            Request::Add(add) => {
                let sandbox = self.sandbox(sandbox, &add.sandbox)?;
                let version = add.conf.version;
                let result = self.add(*add, sandbox, trace).await?;
                Ok(Answer::success(Some(result.to_json(version))))
            }
            Request::Del(del) => {
                let sandbox = del.sandbox.as_deref().and_then(|path| self.sandbox(sandbox, path).ok());
                self.del(*del, sandbox, trace).await?;
                Ok(Answer::success(None))
            }
            Request::Check(check) => {
                let sandbox = self.sandbox(sandbox, &check.sandbox)?;
                self.check(*check, sandbox, trace).await?;
                Ok(Answer::success(None))
            }
            Request::Gc(gc) => self.gc(*gc, trace).await.map(|()| Answer::success(None)),
            Request::Status(conf) => self.status(*conf, trace).await.map(|()| Answer::success(None)),
            Request::Version(_) => Ok(Answer::success(Some(Version::supported()))),
        }
    }

    /// The namespace that came with the call, if it is one that a pod may be in.
    fn sandbox(&self, descriptor: Option<OwnedFd>, path: &str) -> Result<Namespace, CniError> {
        let invalid =
            |why: String| CniError::new(Reason::InvalidEnvironment, format!("CNI_NETNS is {path:?}, {why}"));
        let descriptor =
            descriptor.ok_or_else(|| invalid("and no descriptor of it came with the call".to_owned()))?;
        let sandbox = Namespace::from_descriptor(descriptor, path).map_err(|e| invalid(chain(&e)))?;
        let id = sandbox.id().map_err(|e| invalid(chain(&e)))?;
        if self.own_namespaces.contains(&id) {
            return Err(invalid("the VM's own network namespace: expected one of the pod's".to_owned()));
        }
        Ok(sandbox)
    }

    /// Keeps a record. Without it a restart would not know the attachment, so a disk that fails fails the call.
    fn keep(&self, record: &Record) -> Result<(), CniError> {
        self.attachments.put(record.clone()).map_err(|e| {
            CniError::new(
                Reason::Io,
                format!("keep the record of {} in the run directory: {e}", record.attachment),
            )
        })
    }
}

/// An error and its causes in one line, as a runtime's log shows it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
