//! What can go wrong with a lab.

use crate::{
    cache::CacheError,
    daemon::DaemonError,
    guest::{ExecError, GuestError},
    image::ImageError,
    log::Log,
    names::{LabName, LabNameError},
    removal::RemovalError,
    state::StateError,
};
use nestless_model::{identity::VmName, topology::TopologyError};
use nestless_support::{error_chain::in_full, netlink::NetlinkError, netns::NamespaceError, tap::TapError};
use std::{io, path::PathBuf, time::Duration};

/// A lab's failure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// A bad name.
    #[error(transparent)]
    Name(#[from] LabNameError),
    /// Too many VMs, none, or two of one name.
    #[error("{count} VMs, or two of one name: a lab has 1 to {max}, each with a name of its own")]
    Vms {
        /// How many were asked for.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// No VM takes so many NICs.
    #[error("plan the VMs' slots for NICs")]
    Topology(#[from] TopologyError),
    /// Not root.
    #[error("a lab makes network namespaces and TAPs, and so needs root: run it with sudo")]
    NotRoot,
    /// No QEMU.
    #[error(
        "there is no {program} in PATH: apt-get install qemu-system-x86 (or use the namespace back end: --vmm namespace)"
    )]
    NoQemu {
        /// What was looked for.
        program: &'static str,
    },
    /// No TAPs.
    #[error(
        "there is no /dev/net/tun, which a QEMU VM's NIC needs: modprobe tun, or give this container the device"
    )]
    NoTun,
    /// Another lab has the name.
    #[error("lab {lab} exists: `nestless lab down --name {lab}` removes it")]
    Exists {
        /// The name.
        lab: LabName,
    },
    /// No such lab.
    #[error("there is no lab {lab}: `nestless lab ls` lists them")]
    NoLab {
        /// The name.
        lab: LabName,
    },
    /// No such VM.
    #[error("lab {lab} has no VM {vm}; it has {known}")]
    NoVm {
        /// The lab.
        lab: LabName,
        /// What was asked for.
        vm: String,
        /// What there is.
        known: String,
    },
    /// Another pod has the name.
    #[error(
        "pod {pod} is in {vm} already, and was left as it is: `nestless lab pod del --name {lab} {vm} {pod}` removes it"
    )]
    PodExists {
        /// The lab.
        lab: LabName,
        /// The VM.
        vm: VmName,
        /// The name.
        pod: String,
    },
    /// No such pod.
    #[error("there is no pod {pod} in {vm}: `nestless lab pod ls --name {lab}` lists them")]
    NoPod {
        /// The lab.
        lab: LabName,
        /// The VM.
        vm: VmName,
        /// What was asked for.
        pod: String,
    },
    /// A file or directory of the lab's.
    #[error("{operation} {path}")]
    Files {
        /// "make", "lock".
        operation: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its state.
    #[error("keep the lab's state")]
    State(#[from] StateError),
    /// The cache.
    #[error("use the cache")]
    Cache(#[from] CacheError),
    /// The guests' image.
    #[error("make the guests' image")]
    Image(#[from] ImageError),
    /// A namespace.
    #[error("make the lab's namespaces")]
    Namespace(#[from] NamespaceError),
    /// A link.
    #[error("set up the lab's network")]
    Network(#[from] NetlinkError),
    /// A TAP.
    #[error("make the NIC of {vm}")]
    Tap {
        /// The VM.
        vm: VmName,
        /// Why.
        #[source]
        source: TapError,
    },
    /// nestlessd.
    #[error("start the host daemon")]
    Daemon(#[from] DaemonError),
    /// A VM could not be started.
    #[error("start {vm}")]
    Start {
        /// The VM.
        vm: VmName,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A VM ended before it was ready.
    #[error("{vm} ended before it was ready; its last words{log}:\n{tail}")]
    Ended {
        /// The VM.
        vm: VmName,
        /// Its console, or QEMU's own words.
        log: Log,
        /// The last lines.
        tail: String,
    },
    /// A VM did not get ready.
    #[error("{vm} was not ready after {waited:?}; its last words{log}:\n{tail}")]
    Timeout {
        /// The VM.
        vm: VmName,
        /// How long was waited.
        waited: Duration,
        /// Its console, or QEMU's own words.
        log: Log,
        /// The last lines.
        tail: String,
    },
    /// A VM did not do as it was asked.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// A program failed.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// A program on the lab's host could not be run.
    #[error("run `{command}` on the lab's host")]
    HostExec {
        /// What was to run.
        command: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// CNI refused.
    #[error("CNI {command} of pod {pod} in {vm}: {message}{}", code.map(|code| format!(" (code {code})")).unwrap_or_default())]
    Cni {
        /// ADD or DEL.
        command: &'static str,
        /// The VM.
        vm: VmName,
        /// The pod.
        pod: String,
        /// The plugin's answer.
        message: String,
        /// CNI's error code, if the plugin gave one.
        code: Option<u64>,
    },
    /// It has no IPv4 address.
    #[error("{what} has no IPv4 address")]
    NoAddress {
        /// A VM, or a pod.
        what: String,
    },
    /// Part of it could not be removed.
    #[error("remove the lab: {}", list(.0))]
    Removal(Vec<RemovalError>),
    /// A task of ours died.
    #[error("{task} panicked")]
    Panicked {
        /// Which.
        task: &'static str,
    },
}

/// Several causes cannot all be one `source`, so each is told whole.
fn list(errors: &[RemovalError]) -> String {
    errors.iter().map(|error| in_full(error)).collect::<Vec<_>>().join("; ")
}
