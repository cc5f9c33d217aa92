//! `nestless lab exec`

use super::which::Which;
use crate::complete;
use anyhow::Context as _;
use clap_complete::ArgValueCandidates;
use nestless_lab::{Exec, Exit, HOST, Lab, Piece};
use std::{
    io::{Read as _, Write as _},
    process::{ExitCode, Stdio},
};
use tokio::sync::mpsc;

const PIECE_BYTES: usize = 32 << 10;

/// Run a program in a VM, in a pod, or on the lab's host (VM "host"). Its exit code becomes this command's.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
    /// The VM, or "host".
    #[arg(add = ArgValueCandidates::new(complete::vms))]
    vm: String,
    /// In this pod of the VM's.
    #[arg(long, add = ArgValueCandidates::new(complete::containers))]
    pod: Option<String>,
    /// The program and its arguments. Default: a shell.
    #[arg(last = true, value_name = "CMD")]
    command: Vec<String>,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let lab = Lab::open(&self.which.name)?;
        let argv = if self.command.is_empty() { vec!["sh".to_owned()] } else { self.command };
        let mut exec = Exec::new(argv);
        if self.vm == HOST {
            anyhow::ensure!(self.pod.is_none(), "the lab's host has no pods: name the pod's VM");
            return on_host(&lab, &exec).await;
        }
        if let Some(pod) = self.pod {
            exec = exec.in_pod(pod);
        }
        let exit = lab.vm(&self.vm)?.exec_streaming(&exec, standard_input()?, forward).await?;
        Ok(code(exit))
    }
}

async fn on_host(lab: &Lab, exec: &Exec) -> anyhow::Result<ExitCode> {
    let mut command = lab.host_command(exec);
    command.stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
    let status =
        command.status().await.with_context(|| format!("run `{}` on the lab's host", exec.line()))?;
    Ok(code(status.into()))
}

/// As a shell reports it: 128 and the signal's number.
fn code(exit: Exit) -> ExitCode {
    let number = match exit {
        Exit::Code(code) => code,
        Exit::Signal(signal) => 128 + signal,
    };
    ExitCode::from(u8::try_from(number & 0xff).expect("masked to eight bits"))
}

/// A reader that is gone (`| head -1`) is found out by the program itself, which nobody stops here.
fn forward(piece: Piece) {
    let _ = match piece {
        Piece::Stdout(bytes) => std::io::stdout().write_all(&bytes).and_then(|()| std::io::stdout().flush()),
        Piece::Stderr(bytes) => std::io::stderr().write_all(&bytes),
    };
}

/// What this command reads. On a plain thread: a runtime would wait for its last read, which may never come.
fn standard_input() -> anyhow::Result<mpsc::Receiver<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel(4);
    std::thread::Builder::new()
        .name("stdin".into())
        .spawn(move || {
            let mut buffer = vec![0; PIECE_BYTES];
            while let Ok(length @ 1..) = std::io::stdin().lock().read(&mut buffer) {
                if sender.blocking_send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        })
        .context("start a thread that reads the standard input")?;
    Ok(receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_a_shells() {
        assert_eq!(code(Exit::Code(7)), ExitCode::from(7));
        assert_eq!(code(Exit::Signal(9)), ExitCode::from(137));
    }
}
