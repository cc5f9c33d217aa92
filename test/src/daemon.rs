//! A nestlessd with a configuration of a test's own, on the host of a lab that was built without one.

use crate::{PATIENCE, Site, eventually};
use nestless_lab::{
    Exec, Readiness,
    image::{Program, Programs},
};
use std::{fs, path::PathBuf};

/// The running daemon. It is killed with this.
pub struct Daemon {
    child: tokio::process::Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts it, and returns when it says that it is ready: all its sockets are there then. Its files are in the lab's
    /// directory; `sections` are what the configuration says beyond that.
    ///
    /// # Panics
    /// When it does not get ready.
    pub async fn start(site: &Site, sections: &str) -> Self {
        let (dir, lab) = (site.dir(), site.name());
        for made in ["state", "run"] {
            fs::create_dir_all(dir.join(made)).expect("the lab's directory can be written");
        }
        let config = dir.join("nestlessd.toml");
        let text = format!(
            "state_dir = '{0}/state'\nrun_dir = '{0}/run'\npin_dir = '/sys/fs/bpf/nestless/lab-{lab}'\nhost_id = 7\n{sections}",
            dir.display()
        );
        fs::write(&config, text).expect("the lab's directory can be written");
        let log = site.daemon_log();
        let file = fs::File::create(&log).expect("the lab's directory can be written");
        let program = Programs::locate().find(Program::Nestlessd).unwrap_or_else(|error| panic!("{error}"));
        let exec = Exec::new([program, "--config".into(), config].map(|word| word.display().to_string()));
        let mut command = site.host_command(&exec);
        command.stdout(file.try_clone().expect("a descriptor")).stderr(file);
        let readiness = Readiness::listen(dir.join("notify.sock")).expect("a socket in the lab's directory");
        readiness.of(&mut command);
        let child = command.spawn().expect("nestlessd can be started");
        let mut daemon = Self { child, log };
        let ready = tokio::select! {
            told = readiness.told() => told.map_err(|error| error.to_string()),
            ended = daemon.child.wait() => Err(format!("it ended: {ended:?}")),
            () = tokio::time::sleep(PATIENCE) => Err("it never said so".to_owned()),
        };
        ready.unwrap_or_else(|error| panic!("nestlessd is not ready, {error}: {}", daemon.log()));
        daemon
    }

    /// What it has logged.
    ///
    /// # Panics
    /// When that cannot be read.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("the daemon's log")
    }

    /// Waits until it has logged this.
    ///
    /// # Panics
    /// When it does not.
    pub async fn logs(&self, words: &str) {
        eventually(words, || async {
            let log = self.log();
            if log.contains(words) { Ok(()) } else { Err(log) }
        })
        .await;
    }

    /// Ends it, which must have lived until now, and in good health.
    ///
    /// # Panics
    /// When it has not.
    pub async fn end(mut self) {
        let log = self.log();
        assert!(!log.contains("panicked"), "{log}");
        assert!(self.child.try_wait().expect("a child").is_none(), "{log}");
        self.child.kill().await.expect("a child can be killed");
    }
}
