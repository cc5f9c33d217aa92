//! Keeps the agent running, unless a test wants it stopped.

use crate::children::{Children, pid};
use nestless_lab::{guest::Channel, image::Program};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::{
    process::{Command, Stdio},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// An agent that dies at once, over and over, must not eat the VM's only CPU.
const RESPAWN_DELAY: Duration = Duration::from_millis(300);

/// What the agent's keeper can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    State,
    Stop,
    Start,
    Kill,
}

/// The agent as it is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) pid: Option<u32>,
    pub(crate) starts: u32,
}

type Request = (Action, oneshot::Sender<State>);

/// Asks the keeper.
#[derive(Clone)]
pub(crate) struct Agent {
    requests: mpsc::Sender<Request>,
}

impl Agent {
    /// Starts the keeper; without a channel there is no agent, and it stays stopped.
    pub(crate) fn keep(channel: Option<Channel>, children: Children) -> Self {
        let (requests, receiver) = mpsc::channel(8);
        tokio::spawn(run(channel, children, receiver));
        Self { requests }
    }

    /// `None` when the keeper is gone, which is only at the VM's end.
    pub(crate) async fn ask(&self, action: Action) -> Option<State> {
        let (answer, receiver) = oneshot::channel();
        self.requests.send((action, answer)).await.ok()?;
        receiver.await.ok()
    }
}

async fn run(channel: Option<Channel>, children: Children, mut requests: mpsc::Receiver<Request>) {
    let mut wanted = channel.is_some();
    let mut state = State::default();
    loop {
        let mut ended = None;
        if wanted && let Some(channel) = &channel {
            match children.spawn(&mut command(channel)) {
                Ok((child, end)) => {
                    state = State { pid: Some(child.id()), starts: state.starts + 1 };
                    ended = Some((pid(&child), end));
                }
                Err(error) => eprintln!("nestless-lab-init: start nestless-agent: {error}"),
            }
        }
        wanted = match ended {
            Some((pid, end)) => watch(pid, end, &mut state, &mut requests).await,
            None => wait(wanted, state, &mut requests).await,
        };
        if requests.is_closed() {
            return;
        }
    }
}

/// Until the agent ends; whether it is to be started again.
async fn watch(
    pid: Pid,
    mut end: oneshot::Receiver<crate::children::Ended>,
    state: &mut State,
    requests: &mut mpsc::Receiver<Request>,
) -> bool {
    let mut wanted = true;
    let mut waiting = Vec::new();
    loop {
        tokio::select! {
            how = &mut end => {
                state.pid = None;
                eprintln!("nestless-lab-init: nestless-agent ended: {how:?}");
                for answer in waiting {
                    let _: Result<(), State> = oneshot::Sender::send(answer, *state);
                }
                if wanted {
                    tokio::time::sleep(RESPAWN_DELAY).await;
                }
                return wanted;
            }
            request = requests.recv() => match request {
                None => return false,
                Some((Action::State | Action::Start, answer)) => {
                    let _ = answer.send(*state);
                }
                Some((action @ (Action::Stop | Action::Kill), answer)) => {
                    wanted &= action == Action::Kill;
                    let signal = if action == Action::Stop { Signal::SIGTERM } else { Signal::SIGKILL };
                    // It may have ended in this moment, which is what was wanted.
                    let _ = kill(pid, signal);
                    waiting.push(answer);
                }
            },
        }
    }
}

/// While no agent runs; whether one is to be started.
async fn wait(wanted: bool, state: State, requests: &mut mpsc::Receiver<Request>) -> bool {
    let retry =
        async { if wanted { tokio::time::sleep(RESPAWN_DELAY).await } else { std::future::pending().await } };
    tokio::select! {
        () = retry => true,
        request = requests.recv() => match request {
            None => false,
            Some((action, answer)) => {
                // Whoever asked may be gone.
                let _ = answer.send(state);
                match action {
                    Action::Start => true,
                    Action::Stop => false,
                    Action::State | Action::Kill => wanted,
                }
            }
        },
    }
}

fn command(channel: &Channel) -> Command {
    let mut command = Command::new(Program::Agent.name());
    command.arg("--channel").arg(match channel {
        Channel::Serial => "serial".to_owned(),
        Channel::Unix(path) => format!("unix:{}", path.display()),
    });
    command.args(["--run-dir", "/run/nestless"]).stdin(Stdio::null());
    command
}
