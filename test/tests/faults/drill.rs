//! A lab whose daemon dies, again and again, and what must be true each time it is back.

use nestless_lab::{DaemonError, GuestClient, LabBuilder, LabError, Vmm};
use nestless_test::{
    Call, Failure, PATIENCE, Site, agree, cni,
    fault::Faults,
    operator::{self, confirmed, is_over},
};
use serde_json::Value;
use std::time::Duration;
use tokio::task::JoinHandle;

/// The pod that lives through everything.
pub(crate) const RESIDENT: &str = "resident";

/// A call is over long before.
const REACHED_WITHIN: Duration = Duration::from_secs(40);
/// Until a step is reached that a run before has reached.
const ATTEMPTS: usize = 5;

/// What pods are given, and how it shows that they have it. Those that come and go are in vm1.
pub(crate) trait Given: Sized {
    /// What of it must end with an attachment.
    type Tie;

    /// The lab that it takes.
    fn lab(what: &str, vmm: Vmm) -> LabBuilder;

    /// A runtime's call for it.
    fn call(command: &str, container: &str) -> Call;

    /// Makes what a resident needs, who is there.
    async fn begin(site: &Site) -> Self;

    /// The pod has it.
    async fn serves(&mut self, site: &Site, container: &str);

    /// Something between a resident and that pod, to be ended by the detach.
    async fn tied(&mut self, site: &Site, container: &str) -> Self::Tie;

    /// It has ended, and both know it who live.
    async fn is_untied(&mut self, tie: Self::Tie);

    /// The resident has noticed nothing, and nobody else is there.
    async fn lives_on(&mut self, site: &Site);

    /// Takes away what [`Given::begin`] has made.
    async fn end(self, site: &Site);
}

/// What the daemon is killed in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Operation {
    Attach,
    Detach,
}

pub(crate) struct Drill<G> {
    site: Site,
    faults: Faults,
    given: G,
    containers: u32,
}

impl<G: Given> Drill<G> {
    /// A lab with one pod that lives through everything.
    pub(crate) async fn begin(what: &str, vmm: Vmm, warm: u32) -> Self {
        let faults = Faults::new();
        let site = Site::up(faults.listened_to_by(G::lab(what, vmm).nics(warm, 8))).await;
        join::<G>(&site, "vm1", RESIDENT).await;
        let given = G::begin(&site).await;
        let drill = Self { site, faults, given, containers: 0 };
        if warm > 0 {
            // From now on the pool holds one more than its least, and an attach plugs nothing.
            drill.operate(Operation::Attach, "first").await.unwrap();
            drill.operate(Operation::Detach, "first").await.unwrap();
        }
        operator::settled(&drill.site).await;
        drill
    }

    fn next(&mut self) -> String {
        self.containers += 1;
        format!("c{}", self.containers)
    }

    /// What a runtime does. A sandbox is there before an ADD, and goes after a DEL.
    async fn operate(&self, operation: Operation, container: &str) -> Result<(), Failure> {
        match operation {
            Operation::Attach => {
                cni::sandbox(&self.site, "vm1", container).await.unwrap();
                G::call("ADD", container).run(&self.site, "vm1").await?;
                confirmed(&self.site, container).await;
            }
            Operation::Detach => {
                G::call("DEL", container).run(&self.site, "vm1").await?;
                cni::drop_sandbox(&self.site, "vm1", container).await.unwrap();
            }
        }
        Ok(())
    }

    /// The steps of a clean run.
    async fn learn(&mut self, operation: Operation) -> Vec<String> {
        let container = self.next();
        let mut tie = None;
        if operation == Operation::Detach {
            self.operate(Operation::Attach, &container).await.unwrap();
            tie = Some(self.given.tied(&self.site, &container).await);
            operator::settled(&self.site).await;
        }
        self.faults.begin();
        self.operate(operation, &container).await.unwrap();
        operator::settled(&self.site).await;
        let steps = self.faults.end();
        if let Some(tie) = tie {
            self.given.is_untied(tie).await;
        }
        if operation == Operation::Attach {
            self.operate(Operation::Detach, &container).await.unwrap();
        }
        assert!(steps.iter().any(|step| step.starts_with("ledger.commit")), "{steps:?}");
        without_looks(steps)
    }

    pub(crate) async fn every_step(&mut self, operation: Operation) {
        operator::settled(&self.site).await;
        let steps = self.learn(operation).await;
        eprintln!("{operation:?}: {} steps: {}", steps.len(), steps.join(" "));
        for step in steps {
            self.die_at(operation, &step).await;
        }
    }

    /// Has the daemon die at the step. None when it was not reached: what is committed together with what, and whether a look
    /// comes in between, is another time otherwise.
    async fn reach(
        &mut self,
        operation: Operation,
        step: &str,
    ) -> Option<(String, Option<G::Tie>, JoinHandle<Result<Value, Failure>>)> {
        let container = self.next();
        operator::settled(&self.site).await;
        let mut tie = None;
        match operation {
            Operation::Attach => cni::sandbox(&self.site, "vm1", &container).await.unwrap(),
            Operation::Detach => {
                self.operate(Operation::Attach, &container).await.unwrap();
                tie = Some(self.given.tied(&self.site, &container).await);
            }
        }
        operator::settled(&self.site).await;
        let command = if operation == Operation::Attach { "ADD" } else { "DEL" };
        let client = self.site.vm("vm1").unwrap().client().await.unwrap();
        self.faults.arm(step);
        let call = tokio::spawn(calling(client, G::call(command, &container)));
        if self.site.daemon_ended(REACHED_WITHIN).await.is_ok() {
            return Some((container, tie, call));
        }
        self.faults.end();
        call.await.unwrap().unwrap();
        if operation == Operation::Attach {
            self.operate(Operation::Detach, &container).await.unwrap();
        } else {
            if let Some(tie) = tie {
                self.given.is_untied(tie).await;
            }
            cni::drop_sandbox(&self.site, "vm1", &container).await.unwrap();
        }
        None
    }

    async fn die_at(&mut self, operation: Operation, step: &str) {
        let mut reached = None;
        for _ in 0..ATTEMPTS {
            reached = self.reach(operation, step).await;
            if reached.is_some() {
                break;
            }
        }
        let Some((container, tie, call)) = reached else {
            panic!("{operation:?}: {step} was not reached again in {ATTEMPTS} attempts")
        };
        self.faults.end();
        self.site.start_daemon(&[]).await.unwrap();
        let first = call.await.unwrap();
        eprintln!(
            "{operation:?} {step}: {}",
            first.as_ref().map_or_else(ToString::to_string, |_| "done".into())
        );
        match operation {
            Operation::Attach => self.finish_attach(&container, step, first).await,
            Operation::Detach => {
                // DEL succeeds whatever the host is doing.
                first.unwrap_or_else(|failure| panic!("{step}: {failure}"));
                is_over(&self.site, &container).await;
                if let Some(tie) = tie {
                    self.given.is_untied(tie).await;
                }
                cni::drop_sandbox(&self.site, "vm1", &container).await.unwrap();
            }
        }
        self.given.lives_on(&self.site).await;
        let status = agree(&self.site).await;
        assert_eq!(status.vms[0].in_use, 1, "{step}: {status:?}");
    }

    async fn finish_attach(&mut self, container: &str, step: &str, first: Result<Value, Failure>) {
        if let Err(failure) = first {
            // The agent repeats its request under the same id until the daemon is back, which serves it once. Only a daemon
            // that does not come back in time is no longer waited for.
            assert_eq!(failure.code, cni::TRY_AGAIN, "{step}: {failure}");
            // As a kubelet does: the sandbox is torn down and the call made once more.
            G::call("DEL", container).insist(&self.site, "vm1").await.unwrap();
            G::call("ADD", container).insist(&self.site, "vm1").await.unwrap();
        }
        confirmed(&self.site, container).await;
        self.given.serves(&self.site, container).await;
        let status = agree(&self.site).await;
        assert_eq!(status.vms[0].in_use, 2, "{step}: {status:?}");
        self.operate(Operation::Detach, container).await.unwrap();
        is_over(&self.site, container).await;
    }

    pub(crate) async fn every_step_of_a_first_start(&mut self) {
        self.forget_pins().await;
        self.faults.begin();
        self.site.start_daemon(&[]).await.unwrap();
        operator::settled(&self.site).await;
        let steps = without_looks(self.faults.end());
        eprintln!("first start: {} steps: {}", steps.len(), steps.join(" "));
        assert!(steps.iter().any(|step| step.starts_with("reflector.load")), "{steps:?}");
        for step in steps {
            self.die_starting_at(&step).await;
        }
    }

    async fn die_starting_at(&mut self, step: &str) {
        self.forget_pins().await;
        self.faults.arm(step);
        match self.site.start_daemon(&[]).await {
            Err(LabError::Daemon(DaemonError::Ended { .. })) => {}
            // Some steps come after the first look.
            Ok(()) => self.site.daemon_ended(PATIENCE).await.unwrap_or_else(|e| panic!("{step}: {e}")),
            Err(error) => panic!("{step}: {error}"),
        }
        self.faults.end();
        eprintln!("first start {step}: died");
        self.site.start_daemon(&[]).await.unwrap();
        self.given.lives_on(&self.site).await;
        let status = agree(&self.site).await;
        assert_eq!(status.vms[0].in_use, 1, "{step}: {status:?}");
    }

    /// As on a host that has no programs of ours.
    async fn forget_pins(&mut self) {
        self.site.kill_daemon().await.unwrap();
        std::fs::remove_dir_all(format!("/sys/fs/bpf/nestless/lab-{}", self.site.name())).unwrap();
    }

    pub(crate) async fn end(self) {
        let Self { site, given, .. } = self;
        given.end(&site).await;
        G::call("DEL", RESIDENT).run(&site, "vm1").await.unwrap();
        cni::drop_sandbox(&site, "vm1", RESIDENT).await.unwrap();
        agree(&site).await;
        site.down().await;
    }
}

/// Looks happen whenever it is time for one, and change nothing.
fn without_looks(steps: Vec<String>) -> Vec<String> {
    steps.into_iter().filter(|step| !step.contains("query") && !step.contains("qom")).collect()
}

/// Makes a sandbox, and gives it what its pod is to have.
pub(crate) async fn join<G: Given>(site: &Site, vm: &str, container: &str) {
    cni::sandbox(site, vm, container).await.unwrap();
    G::call("ADD", container).insist(site, vm).await.unwrap();
    confirmed(site, container).await;
}

pub(crate) async fn calling(client: GuestClient, call: Call) -> Result<Value, Failure> {
    cni::answer(&client.exec(&call.exec()).await.expect("the plugin can be run"))
}
