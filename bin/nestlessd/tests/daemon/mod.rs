//! The real daemon in a network namespace of the test's own, with namespaces for VMs.

pub(crate) mod authority;
pub(crate) mod client;
pub(crate) mod http2;

use nestless_support::netns::Namespace;
use std::{
    io::Read as _,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

/// Long enough that only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `test` in a network namespace of its own, whose loopback is up.
pub(crate) fn inside<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send) {
    let work = || {
        assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test());
    };
    Namespace::anonymous().unwrap().run_blocking(work).unwrap();
}

/// A host: its files, its VMs, and the daemon while it runs. All is gone when it is dropped.
pub(crate) struct Site {
    dir: tempfile::TempDir,
    pins: PathBuf,
    vms: Vec<PathBuf>,
    daemon: Option<Child>,
    notify: Option<UnixDatagram>,
}

impl Site {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let unique = dir.path().file_name().unwrap().to_string_lossy().replace('.', "");
        let pins = Path::new("/sys/fs/bpf/nestless").join(format!("test-{unique}"));
        Self { dir, pins, vms: Vec::new(), daemon: None, notify: None }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes a VM; `channel` as in the configuration. Returns its section of the configuration.
    pub(crate) fn vm(&mut self, name: &str, channel: &str) -> String {
        let path = self.path(&format!("{name}.netns"));
        Namespace::create(&path).unwrap();
        let section = format!(
            "[[vm]]\nname = \"{name}\"\nhypervisor = {{ namespace = {{ path = \"{}\" }} }}\nchannel = {{ {channel} }}\nwarm_pool = 1\nnic_limit = 4\n",
            path.display()
        );
        self.vms.push(path);
        section
    }

    pub(crate) fn command(&self, sections: &str) -> Command {
        let config = format!(
            "state_dir = \"{0}/state\"\nrun_dir = \"{0}/run\"\npin_dir = \"{1}\"\nhost_id = 7\n{sections}\n\
             [[network]]\nname = \"pods\"\nbridge = \"nlbr0\"\nuplink = \"none\"\nsubnets = [{{ prefix = \"10.78.0.0/16\" }}]\n",
            self.dir.path().display(),
            self.pins.display(),
        );
        std::fs::write(self.path("nestlessd.toml"), config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_nestlessd"));
        command.arg("--config").arg(self.path("nestlessd.toml"));
        command
    }

    /// Starts the daemon, and returns when it says that it is ready.
    pub(crate) fn start(&mut self, sections: &str) {
        let socket = self.path("notify.sock");
        let _ = std::fs::remove_file(&socket);
        let notify = UnixDatagram::bind(&socket).unwrap();
        notify.set_read_timeout(Some(PATIENCE)).unwrap();
        let log = std::fs::File::create(self.path("log")).unwrap();
        let daemon = self.command(sections).env("NOTIFY_SOCKET", &socket).stderr(log).spawn().unwrap();
        self.daemon = Some(daemon);
        self.notify = Some(notify);
        assert!(self.told().starts_with("READY=1"));
    }

    /// Has the daemon read another configuration, and returns when it serves again, by whichever.
    pub(crate) fn reload(&mut self, sections: &str) {
        drop(self.command(sections));
        let daemon = self.daemon.as_ref().expect("it was started").id();
        let pid = nix::unistd::Pid::from_raw(i32::try_from(daemon).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGHUP).unwrap();
        assert!(self.told().starts_with("RELOADING=1"));
        assert!(self.told().starts_with("READY=1"));
    }

    fn told(&self) -> String {
        let mut state = [0; 256];
        let length = self.notify.as_ref().unwrap().recv(&mut state).expect("the daemon says how it is");
        String::from_utf8(state[..length].to_vec()).unwrap()
    }

    /// What the daemon has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }

    /// Starts a daemon that must give up; what it says.
    pub(crate) fn start_in_vain(&self, sections: &str) -> (ExitStatus, String) {
        let mut command = self.command(sections);
        // What a person sees has no place in it for a debugger's words.
        let mut child = command.env("RUST_BACKTRACE", "1").stderr(Stdio::piped()).spawn().unwrap();
        let mut text = String::new();
        child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        (child.wait().unwrap(), text)
    }

    /// The running daemon's.
    pub(crate) fn pid(&self) -> u32 {
        self.daemon.as_ref().expect("it was started").id()
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().unwrap();
            daemon.wait().unwrap();
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.kill();
        for vm in &self.vms {
            let _ = Namespace::delete(vm);
        }
        let _ = std::fs::remove_dir_all(&self.pins);
    }
}
