//! The lab's end of the channel to a VM's init.

use super::{
    PORTS,
    proto::{
        AgentRequest, AgentResponse, AwaitNicRequest, DescribeRequest, DescribeResponse, ExecExit, ExecInput,
        ExecOutput, ExecStart, ListNamespacesRequest, MeasureRequest, MeasuredProgram, MeasuredRun,
        NamespaceRequest, PowerRequest, StdinEnd, WriteFileRequest, agent_request, exec_exit, exec_input,
        exec_output, guest_client, power_request,
    },
};
use hyper_util::rt::TokioIo;
use nestless_model::identity::{Mac, VmName};
use nestless_support::serial_link::SerialLink;
use nix::fcntl::{Flock, FlockArg};
use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::UnixStream,
    sync::mpsc,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Status, Streaming,
    transport::{Channel, Endpoint},
};

/// What kept a VM from doing as it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuestError {
    /// No channel to its init.
    #[error("reach {vm} on {path}: is it running? (`nestless lab ls`)")]
    Connect {
        /// The VM.
        vm: VmName,
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The channel is there, and nobody speaks on it.
    #[error("open a session with {vm}")]
    Session {
        /// The VM.
        vm: VmName,
        /// Why.
        #[source]
        source: tonic::transport::Error,
    },
    /// Its init refused or failed.
    #[error("{operation} in {vm}: {}", status.message())]
    Refused {
        /// The VM.
        vm: VmName,
        /// What was asked.
        operation: String,
        /// The answer.
        status: Box<Status>,
    },
}

/// A program to run in a VM.
#[derive(Clone, Debug, Default)]
pub struct Exec {
    argv: Vec<String>,
    environment: BTreeMap<String, String>,
    stdin: Vec<u8>,
    pod: Option<String>,
}

impl Exec {
    /// A program, looked for in PATH, and its arguments.
    pub fn new<A: Into<String>>(argv: impl IntoIterator<Item = A>) -> Self {
        Self { argv: argv.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// A line for the VM's shell.
    pub fn shell(line: impl Into<String>) -> Self {
        Self::new(["sh".to_owned(), "-c".to_owned(), line.into()])
    }

    /// Inside the pod's network namespace instead of the VM's own.
    #[must_use]
    pub fn in_pod(mut self, pod: impl Into<String>) -> Self {
        self.pod = Some(pod.into());
        self
    }

    /// With a variable set.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// With this to read.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// The command line, for messages.
    pub fn line(&self) -> String {
        self.argv.join(" ")
    }

    fn start(&self) -> ExecStart {
        ExecStart {
            argv: self.argv.clone(),
            environment: self.environment.clone().into_iter().collect(),
            namespace: self.pod.clone().unwrap_or_default(),
        }
    }

    pub(crate) fn argv(&self) -> &[String] {
        &self.argv
    }

    pub(crate) fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    pub(crate) fn input(&self) -> &[u8] {
        &self.stdin
    }
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// Code 0.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// All that a program wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub exit: Exit,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Standard output as text, without the last line's end.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }

    /// This output, if the program succeeded.
    ///
    /// # Errors
    /// When it did not; the error holds what it wrote.
    pub fn success(self, command: impl Into<String>) -> Result<Self, ExecError> {
        if self.exit.is_success() {
            Ok(self)
        } else {
            Err(ExecError { command: command.into(), output: Box::new(self) })
        }
    }
}

/// A program that did not succeed.
#[derive(Debug, thiserror::Error)]
#[error("`{command}` ended with {}: {}", output.exit, complaint(output))]
pub struct ExecError {
    /// What ran.
    pub command: String,
    /// What it wrote.
    pub output: Box<Output>,
}

fn complaint(output: &Output) -> String {
    let text = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
    String::from_utf8_lossy(text).trim_end().to_owned()
}

/// Where a VM's init listens.
#[derive(Clone, Debug)]
pub(crate) enum Door {
    /// One virtio-serial socket per caller: the first that nobody holds.
    Ports(PathBuf),
    /// One socket for all callers.
    Socket(PathBuf),
}

/// A channel to one VM's init, for any number of requests at once.
#[derive(Clone)]
pub struct GuestClient {
    vm: VmName,
    client: guest_client::GuestClient<Channel>,
    _held: Arc<Held>,
}

/// What a session needs to stay alive.
#[derive(Default)]
struct Held {
    link: Option<SerialLink>,
    port: Option<Flock<File>>,
}

/// The socket of one of a QEMU guest's ports.
pub(crate) fn port_socket(dir: &Path, number: usize) -> PathBuf {
    dir.join(format!("lab.{number}.sock"))
}

impl GuestClient {
    /// Waits until the VM's init is ready, for as long as its channel is there.
    pub(crate) async fn connect(vm: &VmName, door: &Door) -> Result<Self, GuestError> {
        let (path, held, stream): (PathBuf, Held, Box<dyn Io>) = match door {
            Door::Socket(path) => {
                let failed = |source| GuestError::Connect { vm: vm.clone(), path: path.clone(), source };
                let stream = UnixStream::connect(path).await.map_err(failed)?;
                (path.clone(), Held::default(), Box::new(stream))
            }
            Door::Ports(dir) => {
                let failed = |source| GuestError::Connect { vm: vm.clone(), path: dir.clone(), source };
                let (number, lock) = free_port(dir.clone()).await.map_err(failed)?;
                let path = port_socket(dir, number);
                let stream = UnixStream::connect(&path).await.map_err(failed)?;
                let mut link = SerialLink::new(stream);
                let session = link.connect().await.map_err(|closed| failed(closed.kind.into()))?;
                (path, Held { link: Some(link), port: Some(lock) }, Box::new(session))
            }
        };
        let channel = speak(stream).await.map_err(|source| GuestError::Session { vm: vm.clone(), source })?;
        tracing::debug!(%vm, path = %path.display(), "session open");
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
        let (_keep, input) = mpsc::channel(1);
        let sink = |piece: Piece| match piece {
            Piece::Stdout(bytes) => stdout.extend(bytes),
            Piece::Stderr(bytes) => stderr.extend(bytes),
        };
        drop(_keep);
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
        let first = exec.stdin.clone();
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
            .map(|exec| MeasuredProgram { start: Some(exec.start()), stdin: exec.stdin.clone() })
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

    /// Makes a pod's network namespace, with lo up.
    ///
    /// # Errors
    /// When the VM cannot.
    pub async fn add_namespace(&self, name: &str) -> Result<(), GuestError> {
        let request = NamespaceRequest { name: name.to_owned() };
        self.client.clone().add_namespace(request).await.map_err(|s| self.refused("make a namespace", s))?;
        Ok(())
    }

    /// Takes it away. Succeeds when there is none.
    ///
    /// # Errors
    /// When the VM cannot.
    pub async fn remove_namespace(&self, name: &str) -> Result<(), GuestError> {
        let request = NamespaceRequest { name: name.to_owned() };
        self.client
            .clone()
            .remove_namespace(request)
            .await
            .map_err(|s| self.refused("remove a namespace", s))?;
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

/// A program that was run against the VM's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Since the first program of the same request was about to be started.
    pub began: Duration,
    /// By the same clock.
    pub ended: Duration,
    /// All that it wrote.
    pub output: Output,
}

impl From<MeasuredRun> for Measured {
    fn from(run: MeasuredRun) -> Self {
        let exit = match run.exit.and_then(|exit| exit.how) {
            Some(exec_exit::How::Code(code)) => Exit::Code(code),
            Some(exec_exit::How::Signal(signal)) => Exit::Signal(signal),
            None => Exit::Signal(0),
        };
        Self {
            began: Duration::from_nanos(run.began_ns),
            ended: Duration::from_nanos(run.ended_ns),
            output: Output { exit, stdout: run.stdout, stderr: run.stderr },
        }
    }
}

/// Part of a program's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// To standard output.
    Stdout(Vec<u8>),
    /// To standard error.
    Stderr(Vec<u8>),
}

const PIECE_BYTES: usize = 32 << 10;

fn wrap(input: exec_input::Input) -> ExecInput {
    ExecInput { input: Some(input) }
}

async fn receive(output: &mut Streaming<ExecOutput>, sink: &mut impl FnMut(Piece)) -> Result<Exit, Status> {
    while let Some(message) = output.message().await? {
        match message.output {
            Some(exec_output::Output::Stdout(bytes)) => sink(Piece::Stdout(bytes)),
            Some(exec_output::Output::Stderr(bytes)) => sink(Piece::Stderr(bytes)),
            Some(exec_output::Output::Exit(ExecExit { how: Some(exec_exit::How::Code(code)) })) => {
                return Ok(Exit::Code(code));
            }
            Some(exec_output::Output::Exit(ExecExit { how: Some(exec_exit::How::Signal(n)) })) => {
                return Ok(Exit::Signal(n));
            }
            Some(exec_output::Output::Exit(ExecExit { how: None })) | None => {}
        }
    }
    Err(Status::unavailable("the VM went away before the program ended"))
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// HTTP/2 on this one stream: a session that breaks is not tried again, for its port may be another caller's by then.
async fn speak(stream: Box<dyn Io>) -> Result<Channel, tonic::transport::Error> {
    let stream = Mutex::new(Some(stream));
    let connector = tower::service_fn(move |_: http::Uri| {
        let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move { stream.map(TokioIo::new).ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
    });
    Endpoint::from_static("http://lab").connect_with_connector(connector).await
}

/// A port that no other caller on this host holds; waits for one when all are held.
async fn free_port(dir: PathBuf) -> io::Result<(usize, Flock<File>)> {
    let locking = tokio::task::spawn_blocking(move || {
        let open = |number: usize| File::create(dir.join(format!("lab.{number}.lock")));
        for number in 0..PORTS {
            if let Ok(lock) = Flock::lock(open(number)?, FlockArg::LockExclusiveNonblock) {
                return Ok((number, lock));
            }
        }
        let last = PORTS - 1;
        Flock::lock(open(last)?, FlockArg::LockExclusive)
            .map(|lock| (last, lock))
            .map_err(|(_, errno)| errno.into())
    });
    locking.await.map_err(io::Error::other)?
}

impl fmt::Debug for GuestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GuestClient({})", self.vm)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // The link first: the port is free for others only when nobody writes on it any more.
        self.link.take();
        self.port.take();
    }
}
