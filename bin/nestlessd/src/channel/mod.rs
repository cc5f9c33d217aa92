//! How agents reach the daemon. Whatever the transport, what comes out is a byte stream with the VM it belongs to: that
//! is the caller's whole identity, and no message can change it.

mod entrance;
mod names;
mod serial;
mod stream;
mod tcp;
mod unix;
mod vsock;

pub(crate) use stream::{ChannelStream, Greeted, Peer};
pub(crate) use tcp::faults as tls_faults;
pub(crate) use unix::listen as listen_unix;

use crate::{
    config::{Channel, Config, Vm},
    daemon::Host,
};
use anyhow::Context as _;
use entrance::Entrance;
use names::Names;
use nestless_model::identity::VmName;
use std::{collections::BTreeMap, sync::Arc};
use tokio::{net::UnixListener, sync::mpsc};
use tokio_util::task::AbortOnDropHandle;

/// The channels of all VMs.
pub(crate) struct Channels {
    entrance: Entrance,
    cids: Names<u32>,
    names: Names<String>,
    open: BTreeMap<VmName, Open>,
    /// For all VMs with a context id; bound for the first of them.
    vsock: Option<AbortOnDropHandle<()>>,
    /// For all VMs with a certificate.
    _tcp: Option<AbortOnDropHandle<()>>,
}

/// One VM's.
struct Open {
    channel: Channel,
    /// What waits for the VM where it has a door of its own.
    _task: Option<AbortOnDropHandle<()>>,
}

/// What could fail of the opening of a channel is done.
pub(crate) struct Prepared {
    vm: VmName,
    channel: Channel,
    listener: Option<UnixListener>,
}

impl Channels {
    /// Opens every configured channel. Streams arrive on the receiver as agents call.
    ///
    /// # Errors
    /// When a socket cannot be bound or a certificate cannot be read.
    pub(crate) fn open(
        config: &Config,
        host: &Arc<Host>,
    ) -> anyhow::Result<(Self, mpsc::Receiver<ChannelStream>)> {
        let (entrance, streams) = Entrance::new(host);
        let names = Names::default();
        let tcp = match &config.tls {
            Some(tls) => {
                let listener = tcp::Listener::bind(tls)?;
                Some(background(listener.serve(names.clone(), entrance.clone())))
            }
            None => None,
        };
        let mut channels =
            Self { entrance, cids: Names::default(), names, open: BTreeMap::new(), vsock: None, _tcp: tcp };
        let prepared = channels.prepare(&config.vms.iter().collect::<Vec<_>>())?;
        channels.begin(prepared);
        Ok((channels, streams))
    }

    /// Does for some VMs what can fail, and nothing that they would notice.
    ///
    /// # Errors
    /// When a socket cannot be bound; none is then.
    pub(crate) fn prepare(&mut self, vms: &[&Vm]) -> anyhow::Result<Vec<Prepared>> {
        let mut prepared = Vec::new();
        for vm in vms {
            let listener = match &vm.channel {
                Channel::Unix(path) => {
                    Some(unix::listen(path).with_context(|| format!("open the channel of VM {}", vm.name))?)
                }
                Channel::VsockCid(_) => {
                    self.listen_on_vsock()?;
                    None
                }
                Channel::Serial(_) | Channel::Certificate(_) => None,
            };
            prepared.push(Prepared { vm: vm.name.clone(), channel: vm.channel.clone(), listener });
        }
        Ok(prepared)
    }

    /// Lets VMs in.
    pub(crate) fn begin(&mut self, prepared: Vec<Prepared>) {
        for Prepared { vm, channel, listener } in prepared {
            self.entrance.open(&vm);
            let entrance = self.entrance.clone();
            let task = match (&channel, listener) {
                (Channel::Serial(path), _) => {
                    Some(background(serial::serve(path.clone(), vm.clone(), entrance)))
                }
                (_, Some(listener)) => Some(background(unix::serve(listener, vm.clone(), entrance))),
                (Channel::VsockCid(cid), _) => {
                    self.cids.insert(*cid, vm.clone());
                    None
                }
                (Channel::Certificate(dns), _) => {
                    self.names.insert(dns.clone(), vm.clone());
                    None
                }
                (Channel::Unix(_), None) => None,
            };
            self.open.insert(vm, Open { channel, _task: task });
        }
    }

    /// Ends a VM's channels, and lets it in no more.
    pub(crate) fn close(&mut self, vm: &VmName) {
        let Some(Open { channel, .. }) = self.open.remove(vm) else { return };
        match channel {
            Channel::VsockCid(cid) => self.cids.remove(&cid),
            Channel::Certificate(dns) => self.names.remove(&dns),
            Channel::Serial(_) | Channel::Unix(_) => {}
        }
        self.entrance.close(vm);
    }

    fn listen_on_vsock(&mut self) -> anyhow::Result<()> {
        if self.vsock.is_none() {
            let listener = vsock::listen()?;
            self.vsock = Some(background(vsock::serve(listener, self.cids.clone(), self.entrance.clone())));
        }
        Ok(())
    }
}

fn background(task: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(task))
}
