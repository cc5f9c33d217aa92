//! A VM made of network namespaces, a host that plugs veths into it, and the real agent and plugin between them.

mod fake_host;

pub(crate) use fake_host::FakeHost;

use nestless_support::{
    netlink::{Link, Netlink},
    netns::Namespace,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};
use tokio::runtime::Runtime;

/// Long enough that only a hang reaches it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct World {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) vm: Namespace,
    pub(crate) host: FakeHost,
    pub(crate) runtime: Runtime,
    nic_deadline_ms: u32,
    agent: Option<Child>,
    sandboxes: Vec<PathBuf>,
}

impl World {
    pub(crate) fn new() -> Self {
        // The agent's own.
        Self::with_nic_deadline_ms(20_000)
    }

    /// For tests in which a NIC does not come.
    pub(crate) fn with_nic_deadline_ms(nic_deadline_ms: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let vm = Namespace::anonymous().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let host = FakeHost::new(directory.path().join("channel.sock"), vm.clone());
        let mut world =
            Self { directory, vm, host, runtime, nic_deadline_ms, agent: None, sandboxes: vec![] };
        world.host.start();
        world.start_agent();
        world
    }

    pub(crate) fn run_dir(&self) -> PathBuf {
        self.directory.path().join("run")
    }

    /// Starts the agent, and returns when it serves, and has found the host if there is one.
    pub(crate) fn start_agent(&mut self) {
        let hellos = self.host.state().hellos;
        let channel = format!("unix:{}", self.directory.path().join("channel.sock").display());
        let (run_dir, nic_deadline_ms) = (self.run_dir(), self.nic_deadline_ms.to_string());
        let mut child = self
            .vm
            .run_blocking(|| {
                Command::new(env!("CARGO_BIN_EXE_nestless-agent"))
                    .args([
                        "--channel",
                        &channel,
                        "--nic-deadline-ms",
                        &nic_deadline_ms,
                        "--host-wait-ms",
                        "5000",
                        "--run-dir",
                    ])
                    .arg(&run_dir)
                    .env("NESTLESS_LOG", "debug")
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let (serving, ready) = mpsc::channel();
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                if line.contains("serving CNI calls") {
                    let _ = serving.send(());
                }
                eprintln!("agent: {line}");
            }
        });
        self.agent = Some(child);
        ready.recv_timeout(PATIENCE).expect("the agent does not serve");
        if self.host.is_up() {
            self.host.until("the agent says Hello", |state| state.hellos > hellos);
        }
    }

    pub(crate) fn agent_pid(&self) -> u32 {
        self.agent.as_ref().unwrap().id()
    }

    pub(crate) fn kill_agent(&mut self) {
        let mut agent = self.agent.take().unwrap();
        agent.kill().unwrap();
        agent.wait().unwrap();
    }

    /// SIGTERM, which must end in success.
    pub(crate) fn stop_agent(&mut self) {
        let mut agent = self.agent.take().unwrap();
        kill(Pid::from_raw(agent.id().cast_signed()), Signal::SIGTERM).unwrap();
        assert!(agent.wait().unwrap().success());
    }

    pub(crate) fn sandbox(&mut self, name: &str) -> PathBuf {
        let path = self.directory.path().join("netns").join(name);
        Namespace::create(&path).unwrap();
        self.sandboxes.push(path.clone());
        path
    }

    pub(crate) fn links(&self, namespace: &Namespace) -> Vec<Link> {
        let links =
            self.runtime.block_on(async { Netlink::inside(namespace).await.unwrap().links().await.unwrap() });
        links.into_iter().filter(|link| !link.loopback).collect()
    }

    pub(crate) fn links_at(&self, path: &Path) -> Vec<Link> {
        self.links(&Namespace::open(path).unwrap())
    }

    pub(crate) fn caller(&self) -> Caller {
        Caller { agent_socket: self.run_dir().join("agent.sock") }
    }

    pub(crate) fn cni(&self, command: &str, container: &str, netns: Option<&Path>, extra: Value) -> Outcome {
        self.caller().cni(command, container, netns, extra)
    }

    /// Whatever the test was about: nothing is left over.
    pub(crate) fn finish(mut self) {
        if self.agent.is_none() {
            self.start_agent();
        }
        self.host.until("every attachment is gone", |state| state.attachments.is_empty());
        self.until_no_records();
        self.stop_agent();
        assert_eq!(self.links(&self.vm), [], "links left in the VM");
        assert_eq!(self.links_at(&self.run_dir().join("parking")), [], "NICs left in the parking namespace");
        assert_eq!(self.links(&self.host.namespace), [], "links left on the host");
        for path in std::mem::take(&mut self.sandboxes) {
            if let Ok(sandbox) = Namespace::open(&path) {
                assert_eq!(self.links(&sandbox), [], "links left in {}", path.display());
                Namespace::delete(&path).unwrap();
            }
        }
        Namespace::delete(self.run_dir().join("parking")).unwrap();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(self.directory.path().to_str().unwrap()), "mounts left: {mounts}");
    }

    /// The agent forgets an attachment a moment after the host has.
    fn until_no_records(&self) {
        let begun = std::time::Instant::now();
        let directory = self.run_dir().join("attachments");
        while std::fs::read_dir(&directory).unwrap().count() > 0 {
            assert!(begun.elapsed() < PATIENCE, "records left in {}", directory.display());
            std::thread::yield_now();
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(agent) = &mut self.agent {
            let _ = agent.kill();
            let _ = agent.wait();
        }
        for path in &self.sandboxes {
            let _ = Namespace::delete(path);
        }
        let _ = Namespace::delete(self.run_dir().join("parking"));
    }
}

/// What a container runtime does.
#[derive(Clone)]
pub(crate) struct Caller {
    agent_socket: PathBuf,
}

#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) success: bool,
    pub(crate) output: Value,
}

impl Outcome {
    pub(crate) fn ok(self) -> Value {
        assert!(self.success, "{}", self.output);
        self.output
    }

    pub(crate) fn code(self) -> u64 {
        assert!(!self.success, "a failure was expected");
        self.output["code"].as_u64().unwrap()
    }
}

impl Caller {
    pub(crate) fn cni(&self, command: &str, container: &str, netns: Option<&Path>, extra: Value) -> Outcome {
        self.cni_of("eth0", command, container, netns, extra)
    }

    /// For an interface of any name.
    pub(crate) fn cni_of(
        &self,
        interface: &str,
        command: &str,
        container: &str,
        netns: Option<&Path>,
        extra: Value,
    ) -> Outcome {
        let mut conf = json!({
            "cniVersion": "1.1.0", "name": "pods", "type": "nestless-cni", "agentSocket": self.agent_socket,
        });
        conf.as_object_mut().unwrap().extend(extra.as_object().cloned().unwrap_or_default());
        Self::raw(interface, command, container, netns, conf.to_string().as_bytes())
    }

    /// With whatever on standard input.
    pub(crate) fn raw(
        interface: &str,
        command: &str,
        container: &str,
        netns: Option<&Path>,
        stdin: &[u8],
    ) -> Outcome {
        let mut child = Command::new(plugin())
            .env_clear()
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", container)
            .env("CNI_IFNAME", interface)
            .env("CNI_NETNS", netns.unwrap_or(Path::new("")))
            .env("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0")
            .env("TRACEPARENT", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(stdin).unwrap();
        let finished = child.wait_with_output().unwrap();
        let output = if finished.stdout.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&finished.stdout).unwrap()
        };
        Outcome { success: finished.status.success(), output }
    }
}

/// The plugin beside the agent; cargo builds the binaries of other packages only when told to.
fn plugin() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_nestless-agent")).with_file_name("nestless-cni");
    assert!(path.exists(), "{} is missing: run `cargo build -p nestless-cni` first", path.display());
    path
}
