//! Programs to run in a VM, and what comes of them.

use super::proto::{ExecStart, MeasuredRun, exec_exit};
use std::{collections::BTreeMap, fmt, os::unix::process::ExitStatusExt as _, time::Duration};

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

    pub(super) fn start(&self) -> ExecStart {
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

impl From<exec_exit::How> for Exit {
    fn from(how: exec_exit::How) -> Self {
        match how {
            exec_exit::How::Code(code) => Self::Code(code),
            exec_exit::How::Signal(signal) => Self::Signal(signal),
        }
    }
}

impl From<std::process::ExitStatus> for Exit {
    fn from(status: std::process::ExitStatus) -> Self {
        status.code().map_or_else(|| Self::Signal(status.signal().unwrap_or_default()), Self::Code)
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

/// Part of a program's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// To standard output.
    Stdout(Vec<u8>),
    /// To standard error.
    Stderr(Vec<u8>),
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
        let exit = run.exit.and_then(|exit| exit.how).map_or(Exit::Signal(0), Exit::from);
        Self {
            began: Duration::from_nanos(run.began_ns),
            ended: Duration::from_nanos(run.ended_ns),
            output: Output { exit, stdout: run.stdout, stderr: run.stderr },
        }
    }
}
