//! Real servers in pods: from Debian's packages, with the configuration that these bring, on their pod's localhost.
//!
//! Pods of one VM share its file system, so each server can run once in a VM.

mod recipe;

use crate::{
    builder::LabBuilder,
    error::LabError,
    guest::{Exec, GuestError, Output, Piece},
    lab::Lab,
    vm::Vm,
};
use nestless_model::identity::VmName;
use recipe::Recipe;
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::task::AbortOnDropHandle;

/// By which the scripts become another user.
const PROGRAMS: [&str; 1] = ["setpriv"];
/// The image is in the guest's memory, and at boot twice.
const MEMORY_MIB: u32 = 1024;
/// PostgreSQL makes its database first, in a guest that may have no KVM.
const ANSWER_DEADLINE: Duration = Duration::from_secs(180);
const ASK_EVERY: Duration = Duration::from_millis(200);
/// Kept of what a server says, for an error.
const SAID_BYTES: usize = 4 << 10;

/// A server. [`LabBuilder::servers`](crate::LabBuilder::servers) brings it into QEMU guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// A web server, on port 80; on port 8080 it is in front of [`Server::Gunicorn`], and tells the name of its VM in
    /// the header X-Web-Server.
    Nginx,
    /// A key-value store, on port 6379.
    Redis,
    /// A cache, on port 11211.
    Memcached,
    /// A database, on port 5432; its user "postgres" needs no password.
    Postgres,
    /// A WSGI application in Python, on port 8000: `/` tells the name of its VM, `/visits` counts in PostgreSQL and
    /// tells the name of the database's VM too, as JSON.
    Gunicorn,
}

impl Server {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Nginx, Self::Redis, Self::Memcached, Self::Postgres, Self::Gunicorn];

    fn recipe(self) -> &'static Recipe {
        match self {
            Self::Nginx => &recipe::NGINX,
            Self::Redis => &recipe::REDIS,
            Self::Memcached => &recipe::MEMCACHED,
            Self::Postgres => &recipe::POSTGRES,
            Self::Gunicorn => &recipe::GUNICORN,
        }
    }

    /// The Debian packages that it and its clients need, as dpkg-query's patterns.
    pub fn packages(self) -> &'static [&'static str] {
        self.recipe().packages
    }

    /// Where it listens, on 127.0.0.1 at least.
    pub fn port(self) -> u16 {
        self.recipe().port
    }

    /// A client that asks it once, on 127.0.0.1, and fails when the answer is not what it should be.
    pub fn ask(self) -> Exec {
        Exec::shell(self.recipe().ask)
    }

    /// Its own project's test or load program, against 127.0.0.1: fails at the first wrong or missing answer.
    pub fn load(self) -> Exec {
        Exec::shell(self.recipe().load)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.recipe().name)
    }
}

/// What kept a server from serving.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The lab has no such VM.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// The VM did not do as it was asked.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// It ended, or does not answer.
    #[error("{server} in pod {pod} of {vm} does not answer on its localhost: {said}")]
    Silent {
        /// Which.
        server: Server,
        /// The pod.
        pod: String,
        /// The pod's VM.
        vm: VmName,
        /// The last that it said, and what its client did.
        said: String,
    },
}

/// A server that runs; dropping this kills it.
#[derive(Debug)]
pub struct Serving {
    server: Server,
    said: Arc<Mutex<Vec<u8>>>,
    task: AbortOnDropHandle<Result<(), GuestError>>,
}

impl Serving {
    /// Which.
    pub fn server(&self) -> Server {
        self.server
    }

    /// The last that it has written to its output.
    pub fn said(&self) -> String {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&said).trim().to_owned()
    }
}

impl LabBuilder {
    /// What it takes to [serve](Lab::serve) these. The guests get memory for all of them together.
    #[must_use]
    pub fn servers(self, servers: &[Server]) -> Self {
        let (cpus, memory_mib) = (self.cpus, self.memory_mib.max(MEMORY_MIB));
        let packages = servers.iter().flat_map(|server| server.packages()).copied();
        self.packages(packages).programs(PROGRAMS).size(cpus, memory_mib)
    }
}

impl Lab {
    /// Starts a server in a pod, and waits until it answers there on 127.0.0.1.
    ///
    /// # Errors
    /// When it ends, or does not answer within three minutes; what it said is in the error.
    pub async fn serve(&self, vm: &str, pod: &str, server: Server) -> Result<Serving, ServeError> {
        let vm = self.vm(vm)?;
        write_files(vm, server).await?;
        let serving = start(vm, pod, server).await?;
        match until_it_answers(vm, pod, server, || serving.task.is_finished()).await? {
            None => Ok(serving),
            Some(last) => Err(silent(vm, pod, server, [serving.said(), complaint(&last)])),
        }
    }

    /// [`Lab::serve`], but the server stays when this process ends, as long as the lab does.
    ///
    /// # Errors
    /// As [`Lab::serve`].
    pub async fn serve_on(&self, vm: &str, pod: &str, server: Server) -> Result<(), ServeError> {
        let vm = self.vm(vm)?;
        write_files(vm, server).await?;
        let log = format!("/run/{server}.log");
        let apart = format!("setsid sh -c \"$0\" </dev/null >{log} 2>&1 &");
        vm.exec(&Exec::new(["sh", "-c", &apart, server.recipe().start]).in_pod(pod)).await?;
        let Some(last) = until_it_answers(vm, pod, server, || false).await? else { return Ok(()) };
        let said = vm.exec(&Exec::new(["cat", &log])).await?.text();
        Err(silent(vm, pod, server, [said, complaint(&last)]))
    }
}

async fn write_files(vm: &Vm, server: Server) -> Result<(), GuestError> {
    for (path, content) in server.recipe().files {
        vm.write_file(path, *content, 0o644).await?;
    }
    Ok(())
}

/// What its client did last, if the server has ended or taken too long.
async fn until_it_answers(
    vm: &Vm,
    pod: &str,
    server: Server,
    has_ended: impl Fn() -> bool,
) -> Result<Option<Output>, GuestError> {
    let deadline = Instant::now() + ANSWER_DEADLINE;
    loop {
        let output = vm.exec(&server.ask().in_pod(pod)).await?;
        if output.exit.is_success() {
            return Ok(None);
        }
        if has_ended() || Instant::now() >= deadline {
            return Ok(Some(output));
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

fn complaint(last: &Output) -> String {
    String::from_utf8_lossy(&last.stderr).trim().to_owned()
}

fn silent(vm: &Vm, pod: &str, server: Server, said: [String; 2]) -> ServeError {
    ServeError::Silent { server, pod: pod.to_owned(), vm: vm.name().clone(), said: said.join("\n") }
}

async fn start(vm: &Vm, pod: &str, server: Server) -> Result<Serving, GuestError> {
    let client = vm.client().await?;
    let exec = Exec::shell(server.recipe().start).in_pod(pod);
    let said = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&said);
    let task = tokio::spawn(async move {
        let (_open, input) = mpsc::channel(1);
        let keep = move |piece| {
            let (Piece::Stdout(bytes) | Piece::Stderr(bytes)) = piece;
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.extend(bytes);
            let surplus = kept.len().saturating_sub(SAID_BYTES);
            kept.drain(..surplus);
        };
        client.exec_streaming(&exec, input, keep).await.map(|_| ())
    });
    Ok(Serving { server, said, task: AbortOnDropHandle::new(task) })
}
