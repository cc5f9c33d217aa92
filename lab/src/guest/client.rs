//! The lab's end of the channel to a VM's init.

use super::{
    door::{Door, Held},
    error::GuestError,
    exec::{Exec, Exit, Measured, Output, Piece},
    proto::{
        AgentRequest, AgentResponse, AwaitNicRequest, DescribeRequest, DescribeResponse, ExecExit, ExecInput,
        ExecOutput, ListNamespacesRequest, MeasureRequest, MeasuredProgram, NamespaceRequest, PowerRequest,
        StdinEnd, WriteFileRequest, agent_request, exec_input, exec_output, guest_client, power_request,
    },
};
use nestless_model::identity::{Mac, VmName};
use std::{fmt, sync::Arc};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming, transport::Channel};

const PIECE_BYTES: usize = 32 << 10;

/// A channel to one VM's init, for any number of requests at once.
#[derive(Clone)]
pub struct GuestClient {
    vm: VmName,
    client: guest_client::GuestClient<Channel>,
    _held: Arc<Held>,
}

impl GuestClient {
    /// Waits until the VM's init is ready, for as long as its channel is there.
    pub(crate) async fn connect(vm: &VmName, door: &Door) -> Result<Self, GuestError> {
        let (channel, held) = door.open(vm).await?;
        Ok(Self { vm: vm.clone(), client: guest_client::GuestClient::new(channel), _held: Arc::new(held) })
    }

    /// The VM's own words about itself.
    ///
    /// # Errors
    /// When its init does not answer.
    pub async fn describe(&self) -> Result<DescribeResponse, GuestError> {
        let answer = self.client.clone().describe(DescribeRequest {}).await;
        Ok(answer.map_err(|status| self.refused("describe", status))?.into_inner())
    }

    /// Runs a program to its end.
    ///
    /// # Errors
    /// When it cannot be started, or the VM goes away meanwhile. A program that fails is no error here.
    pub async fn exec(&self, exec: &Exec) -> Result<Output, GuestError> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        // There is nothing to read but what `exec` brings.
        let (_, input) = mpsc::channel(1);
        let sink = |piece: Piece| match piece {
            Piece::Stdout(bytes) => stdout.extend(bytes),
            Piece::Stderr(bytes) => stderr.extend(bytes),
        };
        let exit = self.exec_streaming(exec, input, sink).await?;
        Ok(Output { exit, stdout, stderr })
    }

    /// Runs a program; `input` is what it reads after [`Exec::stdin`], until the sender is dropped; `sink` gets its
    /// output as it comes. Dropping the future kills the program.
    ///
    /// # Errors
    /// As [`GuestClient::exec`].
    pub async fn exec_streaming(
        &self,
        exec: &Exec,
        mut input: mpsc::Receiver<Vec<u8>>,
        mut sink: impl FnMut(Piece),
    ) -> Result<Exit, GuestError> {
        let refused = |status| self.refused(&format!("run `{}`", exec.line()), status);
        let (messages, stream) = mpsc::channel(4);
        let start = exec.start();
        let first = exec.input().to_vec();
        let feeder = tokio::spawn(async move {
            // A receiver that is gone means that the program is: nothing is left to feed.
            let _ = messages.send(wrap(exec_input::Input::Start(start))).await;
            for piece in first.chunks(PIECE_BYTES) {
                let _ = messages.send(wrap(exec_input::Input::Stdin(piece.to_vec()))).await;
            }
            while let Some(piece) = input.recv().await {
                if messages.send(wrap(exec_input::Input::Stdin(piece))).await.is_err() {
                    return;
                }
            }
            let _ = messages.send(wrap(exec_input::Input::StdinEnd(StdinEnd {}))).await;
            messages.closed().await;
        });
        let feeder = tokio_util::task::AbortOnDropHandle::new(feeder);
        let mut output =
            self.client.clone().exec(ReceiverStream::new(stream)).await.map_err(refused)?.into_inner();
        let exit = receive(&mut output, &mut sink).await.map_err(refused)?;
        drop(feeder);
        Ok(exit)
    }

    /// Runs programs, all at once, to their end, each against the VM's clock. The answers are in their order.
    ///
    /// # Errors
    /// When one cannot be started, or the VM goes away meanwhile. A program that fails is no error here.
    pub async fn measure(&self, programs: &[Exec]) -> Result<Vec<Measured>, GuestError> {
        let programs = programs
            .iter()
            .map(|exec| MeasuredProgram { start: Some(exec.start()), stdin: exec.input().to_vec() })
            .collect();
        let answer = self.client.clone().measure(MeasureRequest { programs }).await;
        let runs = answer.map_err(|status| self.refused("measure programs", status))?.into_inner().runs;
        Ok(runs.into_iter().map(Measured::from).collect())
    }

    /// Waits until the VM's own network namespace has a NIC with this address.
    ///
    /// # Errors
    /// When the VM goes away.
    pub async fn await_nic(&self, mac: Mac) -> Result<(), GuestError> {
        let answer = self.client.clone().await_nic(AwaitNicRequest { mac: mac.to_string() }).await;
        answer.map_err(|status| self.refused(&format!("wait for NIC {mac}"), status))?;
        Ok(())
    }

    /// Writes a file, whole or not at all; directories above it are made.
    ///
    /// # Errors
    /// When the VM cannot.
    pub async fn write_file(
        &self,
        path: &str,
        content: impl Into<Vec<u8>>,
        mode: u32,
    ) -> Result<(), GuestError> {
        let request = WriteFileRequest { path: path.to_owned(), content: content.into(), mode };
        self.client
            .clone()
            .write_file(request)
            .await
            .map_err(|s| self.refused(&format!("write {path}"), s))?;
        Ok(())
    }

    /// Makes a pod's network namespace, with lo up. False when there is one already, which is left as it is.
    ///
    /// # Errors
    /// When the VM cannot.
    pub async fn add_namespace(&self, name: &str) -> Result<bool, GuestError> {
        let request = NamespaceRequest { name: name.to_owned() };
        let answer = self.client.clone().add_namespace(request).await;
        Ok(!answer.map_err(|s| self.refused("make a namespace", s))?.into_inner().existed)
    }

    /// Takes it away. Succeeds when there is none.
    ///
    /// # Errors
    /// When the VM cannot.
    pub async fn remove_namespace(&self, name: &str) -> Result<(), GuestError> {
        let request = NamespaceRequest { name: name.to_owned() };
        let answer = self.client.clone().remove_namespace(request).await;
        answer.map_err(|s| self.refused("remove a namespace", s))?;
        Ok(())
    }

    /// The VM's pods' network namespaces, by name.
    ///
    /// # Errors
    /// When its init does not answer.
    pub async fn namespaces(&self) -> Result<Vec<String>, GuestError> {
        let answer = self.client.clone().list_namespaces(ListNamespacesRequest {}).await;
        Ok(answer.map_err(|s| self.refused("list namespaces", s))?.into_inner().names)
    }

    /// Asks about the VM's agent, stops, starts or kills it; the answer tells what came of it.
    ///
    /// # Errors
    /// When its init does not answer.
    pub async fn agent(&self, action: agent_request::Action) -> Result<AgentResponse, GuestError> {
        let request = AgentRequest { action: action.into() };
        let answer = self.client.clone().agent(request).await;
        Ok(answer.map_err(|s| self.refused("control the agent", s))?.into_inner())
    }

    /// Switches the VM off or reboots it. The channel may break before the answer has come: that is as good.
    pub(crate) async fn power(&self, action: power_request::Action) -> Result<(), GuestError> {
        match self.client.clone().power(PowerRequest { action: action.into() }).await {
            Err(status)
                if !matches!(
                    status.code(),
                    Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal
                ) =>
            {
                Err(self.refused("power", status))
            }
            _ => Ok(()),
        }
    }

    fn refused(&self, operation: &str, status: Status) -> GuestError {
        GuestError::Refused { vm: self.vm.clone(), operation: operation.to_owned(), status: Box::new(status) }
    }
}

fn wrap(input: exec_input::Input) -> ExecInput {
    ExecInput { input: Some(input) }
}

async fn receive(output: &mut Streaming<ExecOutput>, sink: &mut impl FnMut(Piece)) -> Result<Exit, Status> {
    while let Some(message) = output.message().await? {
        match message.output {
            Some(exec_output::Output::Stdout(bytes)) => sink(Piece::Stdout(bytes)),
            Some(exec_output::Output::Stderr(bytes)) => sink(Piece::Stderr(bytes)),
            Some(exec_output::Output::Exit(ExecExit { how: Some(how) })) => return Ok(how.into()),
            Some(exec_output::Output::Exit(ExecExit { how: None })) | None => {}
        }
    }
    Err(Status::unavailable("the VM went away before the program ended"))
}

impl fmt::Debug for GuestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GuestClient({})", self.vm)
    }
}
