//! How agents reach the daemon. Whatever the transport, what comes out is a byte stream with the VM it belongs to: that
//! is the caller's whole identity, and no message can change it.

mod entrance;
mod serial;
mod stream;
mod tcp;
mod unix;
mod vsock;

pub(crate) use stream::{ChannelStream, Greeted, Peer};
pub(crate) use unix::listen as listen_unix;

use crate::{
    config::{Channel, Config},
    daemon::Host,
};
use entrance::Entrance;
use std::{collections::BTreeMap, sync::Arc};
use tokio::{sync::mpsc, task::JoinSet};

/// Opens every configured channel. Streams arrive on the receiver as agents call.
///
/// # Errors
/// When a socket cannot be bound or a certificate cannot be read.
pub(crate) fn open(
    config: &Config,
    host: &Arc<Host>,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<mpsc::Receiver<ChannelStream>> {
    let (entrance, streams) = Entrance::new(host);
    let (mut cids, mut names) = (BTreeMap::new(), BTreeMap::new());
    for vm in &config.vms {
        let name = vm.name.clone();
        match &vm.channel {
            Channel::Serial(path) => drop(tasks.spawn(serial::serve(path.clone(), name, entrance.clone()))),
            Channel::Unix(path) => {
                let listener = unix::listen(path)?;
                tasks.spawn(unix::serve(listener, name, entrance.clone()));
            }
            Channel::VsockCid(cid) => drop(cids.insert(*cid, name)),
            Channel::Certificate(dns) => drop(names.insert(dns.clone(), name)),
        }
    }
    if !cids.is_empty() {
        let listener = vsock::listen()?;
        tasks.spawn(vsock::serve(listener, cids, entrance.clone()));
    }
    if let Some(tls) = &config.tls {
        let listener = tcp::Listener::bind(tls)?;
        tasks.spawn(listener.serve(names, entrance));
    }
    Ok(streams)
}
