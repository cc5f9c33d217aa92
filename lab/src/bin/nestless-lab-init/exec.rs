//! Runs a program for a caller outside, with its input and output streamed.

use crate::children::{Children, Ended, pid};
use nestless_lab::guest::proto::{
    ExecExit, ExecInput, ExecOutput, ExecStart, exec_exit, exec_input, exec_output,
};
use nestless_support::netns::Namespace;
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
    sys::signal::{Signal, killpg},
};
use std::{
    io,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Stdio},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::{ChildStderr, ChildStdin, ChildStdout},
    sync::mpsc,
};
use tokio_stream::StreamExt as _;
use tonic::{Status, Streaming};

/// Where iproute2 and CNI runtimes keep named namespaces.
pub(crate) const NAMESPACES: &str = "/run/netns";
const CHUNK_BYTES: usize = 32 << 10;

type Output = mpsc::Sender<Result<ExecOutput, Status>>;

/// Starts what `start` says and streams until it has ended and all output is out.
pub(crate) fn run(
    children: &Children,
    start: ExecStart,
    input: Streaming<ExecInput>,
    output: Output,
) -> Result<(), Status> {
    let mut command = command(&start)?;
    let (mut child, ended) = children
        .spawn(&mut command)
        .map_err(|error| Status::not_found(format!("start {:?}: {error}", start.argv[0])))?;
    let group = pid(&child);
    let internal = |error: io::Error| Status::internal(format!("stream of {:?}: {error}", start.argv[0]));
    let stdin = child.stdin.take().map(ChildStdin::from_std).transpose().map_err(internal)?;
    let stdout = child.stdout.take().map(ChildStdout::from_std).transpose().map_err(internal)?;
    let stderr = child.stderr.take().map(ChildStderr::from_std).transpose().map_err(internal)?;
    tokio::spawn(async move {
        let feeder = tokio::spawn(feed(input, stdin));
        let finished = async {
            // A daemon that the program leaves behind may hold the pipes open: its end is the program's, not theirs.
            let pumps = async {
                tokio::join!(
                    pump(stdout, &output, exec_output::Output::Stdout),
                    pump(stderr, &output, exec_output::Output::Stderr),
                );
            };
            tokio::pin!(pumps);
            tokio::pin!(ended);
            let how = tokio::select! {
                how = &mut ended => {
                    drain(&mut pumps).await;
                    how
                }
                () = &mut pumps => ended.await,
            };
            let exit = ExecExit { how: how.ok().map(how_of) };
            // The caller may be gone already; then nobody misses it.
            let _ = output.send(Ok(ExecOutput { output: Some(exec_output::Output::Exit(exit)) })).await;
        };
        tokio::select! {
            () = finished => {}
            () = output.closed() => {
                // Nobody listens any more. The group may be gone by now, which is as good.
                let _ = killpg(group, Signal::SIGKILL);
            }
        }
        feeder.abort();
    });
    Ok(())
}

/// What was written before the end is still in the pipes; what a left-behind child writes later is not waited for.
async fn drain(pumps: &mut (impl Future<Output = ()> + Unpin)) {
    let _ = tokio::time::timeout(std::time::Duration::from_millis(100), pumps).await;
}

pub(crate) fn how_of(ended: Ended) -> exec_exit::How {
    match ended {
        Ended::Exited(code) => exec_exit::How::Code(code),
        Ended::Killed(signal) => exec_exit::How::Signal(signal),
    }
}

/// What `start` says, with pipes.
pub(crate) fn command(start: &ExecStart) -> Result<Command, Status> {
    let [program, arguments @ ..] = start.argv.as_slice() else {
        return Err(Status::invalid_argument("argv is empty: name a program"));
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .envs(&start.environment)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    if !start.namespace.is_empty() {
        let namespace = Namespace::open(Path::new(NAMESPACES).join(&start.namespace)).map_err(|error| {
            let pod = &start.namespace;
            Status::not_found(format!(
                "pod {pod}: {error}: `nestless lab pod ls` lists the pods that are there"
            ))
        })?;
        enter(&mut command, namespace);
    }
    Ok(command)
}

/// The program sees the namespace's own /sys, as under `ip netns exec`.
#[expect(unsafe_code, reason = "only the child may enter the namespace")]
fn enter(command: &mut Command, namespace: Namespace) {
    let step = move || -> io::Result<()> {
        setns(&namespace, CloneFlags::CLONE_NEWNET)?;
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>)?;
        mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), None::<&str>)?;
        Ok(())
    };
    // SAFETY: between fork and exec it makes system calls only; nix copies short paths to the stack.
    unsafe { command.pre_exec(step) };
}

async fn feed(mut input: Streaming<ExecInput>, stdin: Option<ChildStdin>) {
    let Some(mut stdin) = stdin else { return };
    while let Some(Ok(message)) = input.next().await {
        match message.input {
            // A program that reads no more is free to do so.
            Some(exec_input::Input::Stdin(bytes)) if stdin.write_all(&bytes).await.is_ok() => {}
            _ => return,
        }
    }
}

async fn pump(
    pipe: Option<impl AsyncRead + Unpin>,
    output: &Output,
    wrap: fn(Vec<u8>) -> exec_output::Output,
) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = vec![0; CHUNK_BYTES];
    while let Ok(length @ 1..) = pipe.read(&mut buffer).await {
        let message = ExecOutput { output: Some(wrap(buffer[..length].to_vec())) };
        if output.send(Ok(message)).await.is_err() {
            return;
        }
    }
}
