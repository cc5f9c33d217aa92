//! Runs programs against the VM's clock. Nothing of ours runs meanwhile: what they read lies ready, and what they write
//! goes to memory.

use crate::{
    children::Children,
    exec::{command, how_of},
};
use nestless_lab::guest::proto::{ExecExit, MeasuredProgram, MeasuredRun};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::{
    fs::File,
    io::{self, Read as _, Seek as _, Write as _},
    process::Stdio,
    time::Instant,
};
use tonic::Status;

/// Starts all of them, one right after the other, and waits for all.
pub(crate) async fn run(
    children: &Children,
    programs: &[MeasuredProgram],
) -> Result<Vec<MeasuredRun>, Status> {
    let ready = programs.iter().map(Ready::new).collect::<Result<Vec<_>, _>>()?;
    let origin = Instant::now();
    let since = |moment: Instant| u64::try_from((moment - origin).as_nanos()).unwrap_or(u64::MAX);
    let mut running = Vec::with_capacity(ready.len());
    for mut program in ready {
        let began = Instant::now();
        let (_, end) = children.spawn(&mut program.command).map_err(|error| {
            Status::not_found(format!("start {:?}: {error}", program.command.get_program()))
        })?;
        running.push(async move {
            let how = end.await.map_err(|_| Status::unavailable("the VM is going down"))?;
            Ok::<_, Status>((program, began, Instant::now(), how))
        });
    }
    let mut runs = Vec::with_capacity(running.len());
    for outcome in futures_util::future::join_all(running).await {
        let (program, began, ended, how) = outcome?;
        runs.push(MeasuredRun {
            began_ns: since(began),
            ended_ns: since(ended),
            exit: Some(ExecExit { how: Some(how_of(how)) }),
            stdout: read(program.stdout)?,
            stderr: read(program.stderr)?,
        });
    }
    Ok(runs)
}

/// A program that only has to be started.
struct Ready {
    command: std::process::Command,
    stdout: File,
    stderr: File,
}

impl Ready {
    fn new(program: &MeasuredProgram) -> Result<Self, Status> {
        let start =
            program.start.as_ref().ok_or_else(|| Status::invalid_argument("a program without start"))?;
        let mut command = command(start)?;
        let mut stdin = memory()?;
        stdin.write_all(&program.stdin).and_then(|()| stdin.rewind()).map_err(failed)?;
        let (stdout, stderr) = (memory()?, memory()?);
        command
            .stdin(Stdio::from(stdin))
            .stdout(Stdio::from(stdout.try_clone().map_err(failed)?))
            .stderr(Stdio::from(stderr.try_clone().map_err(failed)?));
        Ok(Self { command, stdout, stderr })
    }
}

fn memory() -> Result<File, Status> {
    memfd_create("measure", MFdFlags::MFD_CLOEXEC).map(File::from).map_err(|errno| failed(errno.into()))
}

fn read(mut file: File) -> Result<Vec<u8>, Status> {
    let mut content = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut content)).map_err(failed)?;
    Ok(content)
}

fn failed(error: io::Error) -> Status {
    Status::internal(format!("memory for a program's input and output: {error}"))
}
