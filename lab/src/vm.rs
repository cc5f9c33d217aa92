//! One VM of a lab.

use crate::{
    daemon::tail,
    error::LabError,
    guest::{
        Door, Exec, Exit, GuestClient, GuestError, Output, Piece,
        proto::{DescribeResponse, agent_request, power_request},
    },
    log::Log,
    names::LabName,
    process::ProcessRecord,
    state::{VmRecord, Vmm},
};
use ipnet::IpNet;
use nestless_model::identity::VmName;
use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::sync::{Mutex, mpsc};

/// A guest without KVM, on a busy machine.
const READY_TIMEOUT: Duration = Duration::from_secs(180);
const RETRY_DELAY: Duration = Duration::from_millis(20);
/// Processes get a signal, and the kernel ends.
const POWER_OFF_TIMEOUT: Duration = Duration::from_secs(60);

/// A VM. All calls may run at the same time.
#[derive(Debug)]
pub struct Vm {
    vmm: Vmm,
    record: VmRecord,
    dir: PathBuf,
    client: Mutex<Option<GuestClient>>,
}

pub(crate) fn lab_socket(dir: &Path) -> PathBuf {
    dir.join("lab.sock")
}

impl Vm {
    pub(crate) fn new(lab: &LabName, vmm: Vmm, record: &VmRecord) -> Self {
        Self { vmm, record: record.clone(), dir: lab.vm_dir(&record.name), client: Mutex::default() }
    }

    /// Its name.
    pub fn name(&self) -> &VmName {
        &self.record.name
    }

    /// Of its own NIC.
    pub fn addresses(&self) -> &[IpNet] {
        &self.record.addresses
    }

    /// The IPv4 address of its own NIC.
    ///
    /// # Errors
    /// When it has none.
    pub fn ipv4(&self) -> Result<IpAddr, LabError> {
        let found = self.addresses().iter().map(|net| net.addr()).find(IpAddr::is_ipv4);
        found.ok_or_else(|| LabError::NoAddress { what: self.name().to_string() })
    }

    /// QEMU, or what keeps the namespaces.
    pub fn process(&self) -> Option<ProcessRecord> {
        self.record.process
    }

    /// What it has written on its console.
    pub fn console(&self) -> PathBuf {
        self.dir.join("console.log")
    }

    /// QEMU's monitor for whoever wants one beside the daemon's.
    pub fn qmp_socket(&self) -> PathBuf {
        self.dir.join("lab.qmp.sock")
    }

    /// The channel to its init; waits until that answers.
    ///
    /// # Errors
    /// When the VM is not running.
    pub async fn client(&self) -> Result<GuestClient, GuestError> {
        let mut client = self.client.lock().await;
        if let Some(client) = &*client {
            return Ok(client.clone());
        }
        let door = match self.vmm {
            Vmm::Qemu => Door::Ports(self.dir.clone()),
            Vmm::Namespace => Door::Socket(lab_socket(&self.dir)),
        };
        let made = GuestClient::connect(&self.record.name, &door).await?;
        Ok(client.insert(made).clone())
    }

    /// Runs a program to its end.
    ///
    /// # Errors
    /// When it cannot be started. A program that fails is no error: see [`Output::success`].
    pub async fn exec(&self, exec: &Exec) -> Result<Output, GuestError> {
        let outcome = self.client().await?.exec(exec).await;
        self.heed(outcome).await
    }

    /// Runs a program that must succeed, for the purpose that an error tells.
    pub(crate) async fn runs(&self, purpose: &str, exec: &Exec) -> Result<(), LabError> {
        self.exec(exec).await?.success(format!("{purpose} in {}", self.name()))?;
        Ok(())
    }

    /// Runs a program with its input and output streamed; see [`GuestClient::exec_streaming`].
    ///
    /// # Errors
    /// As [`Vm::exec`].
    pub async fn exec_streaming(
        &self,
        exec: &Exec,
        input: mpsc::Receiver<Vec<u8>>,
        sink: impl FnMut(Piece),
    ) -> Result<Exit, GuestError> {
        let outcome = self.client().await?.exec_streaming(exec, input, sink).await;
        self.heed(outcome).await
    }

    /// Writes a file, whole or not at all.
    ///
    /// # Errors
    /// When the VM cannot.
    pub async fn write_file(
        &self,
        path: &str,
        content: impl Into<Vec<u8>>,
        mode: u32,
    ) -> Result<(), GuestError> {
        let outcome = self.client().await?.write_file(path, content, mode).await;
        self.heed(outcome).await
    }

    /// Stops the agent; it stays stopped until [`Vm::start_agent`].
    ///
    /// # Errors
    /// When the VM does not answer.
    pub async fn stop_agent(&self) -> Result<(), GuestError> {
        self.agent(agent_request::Action::Stop).await
    }

    /// Starts the agent.
    ///
    /// # Errors
    /// When the VM does not answer.
    pub async fn start_agent(&self) -> Result<(), GuestError> {
        self.agent(agent_request::Action::Start).await
    }

    /// Kills the agent with SIGKILL; it is started again.
    ///
    /// # Errors
    /// When the VM does not answer.
    pub async fn kill_agent(&self) -> Result<(), GuestError> {
        self.agent(agent_request::Action::Kill).await
    }

    /// The agent's process id; `None` when it does not run.
    ///
    /// # Errors
    /// When the VM does not answer.
    pub async fn agent_pid(&self) -> Result<Option<u32>, GuestError> {
        let outcome = self.client().await?.agent(agent_request::Action::State).await;
        Ok(Some(self.heed(outcome).await?.pid).filter(|&pid| pid != 0))
    }

    async fn agent(&self, action: agent_request::Action) -> Result<(), GuestError> {
        let outcome = self.client().await?.agent(action).await;
        self.heed(outcome).await.map(drop)
    }

    /// Reboots it and waits until it is ready again. Its pods are gone then.
    ///
    /// # Errors
    /// When it does not come back.
    pub async fn reboot(&self) -> Result<(), LabError> {
        let before = self.describe().await?.boot_id;
        self.client().await?.power(power_request::Action::Reboot).await?;
        self.forget().await;
        self.wait(Some(&before)).await
    }

    /// Switches it off and waits for its end.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn power_off(&self) -> Result<(), LabError> {
        self.client().await?.power(power_request::Action::Off).await?;
        self.forget().await;
        let Some(process) = self.record.process else { return Ok(()) };
        let waited = tokio::task::spawn_blocking(move || process.wait(POWER_OFF_TIMEOUT));
        let ended = waited.await.map_err(|_| LabError::Panicked { task: "the wait for a VM's end" })?;
        ended.map_err(|_| self.timeout(POWER_OFF_TIMEOUT))
    }

    pub(crate) async fn wait_ready(&self) -> Result<(), LabError> {
        self.wait(None).await
    }

    /// Until it answers, and is not in the run called `before`.
    async fn wait(&self, before: Option<&str>) -> Result<(), LabError> {
        let answer = async {
            loop {
                match self.describe().await {
                    Ok(now) if before != Some(now.boot_id.as_str()) => return,
                    // The run that is ending has answered, or broke off: ask again, and wait for the next.
                    Ok(_) | Err(_) => self.forget().await,
                }
                // QEMU makes its sockets a moment after its start, and tells nobody.
                tokio::time::sleep(RETRY_DELAY).await;
            }
        };
        let process = self.record.process;
        let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
        let end = tokio::task::spawn_blocking(move || {
            // In slices, so that this thread ends soon after the VM is ready.
            while stopped.try_recv() == Err(tokio::sync::oneshot::error::TryRecvError::Empty) {
                if process.is_none_or(|p| p.wait(Duration::from_millis(250)).is_ok()) {
                    return;
                }
            }
        });
        let outcome = tokio::select! {
            () = answer => Ok(()),
            _ = end => Err(self.ended()),
            () = tokio::time::sleep(READY_TIMEOUT) => Err(self.timeout(READY_TIMEOUT)),
        };
        drop(stop);
        outcome
    }

    async fn describe(&self) -> Result<DescribeResponse, GuestError> {
        let outcome = self.client().await?.describe().await;
        self.heed(outcome).await
    }

    /// After a failure the channel may be dead: the next call makes a new one.
    async fn heed<T>(&self, outcome: Result<T, GuestError>) -> Result<T, GuestError> {
        if let Err(GuestError::Refused { status, .. }) = &outcome
            && matches!(
                status.code(),
                tonic::Code::Unavailable | tonic::Code::Unknown | tonic::Code::Cancelled
            )
        {
            self.forget().await;
        }
        outcome
    }

    async fn forget(&self) {
        self.client.lock().await.take();
    }

    pub(crate) fn ended(&self) -> LabError {
        let (log, tail) = self.last_words();
        LabError::Ended { vm: self.record.name.clone(), log, tail }
    }

    fn timeout(&self, waited: Duration) -> LabError {
        let (log, tail) = self.last_words();
        LabError::Timeout { vm: self.record.name.clone(), waited, log, tail }
    }

    /// A QEMU that does not start has no console: it complains in its own log.
    fn last_words(&self) -> (Log, String) {
        let console = self.console();
        let text = tail(&console);
        if !text.is_empty() {
            return (Log(Some(console)), text);
        }
        let log = self.dir.join("qemu.log");
        let text = tail(&log);
        (Log(Some(log)), text)
    }
}
