//! Tells when a sandbox dies, whatever path it was reached by and whoever ends it.
//!
//! The kernel gives a namespace an id within another one, and tells in RTNLGRP_NSID when a namespace that has an id goes
//! (`rtnl_net_notifyid` in net/core/net_namespace.c). It goes with its last process, mount and descriptor: whoever watches
//! one must not keep it open.

use futures_util::StreamExt as _;
use nestless_support::netns::Namespace;
use rtnetlink::{
    Handle, MulticastGroup,
    packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
    packet_route::{
        RouteNetlinkMessage,
        nsid::{NsidAttribute, NsidMessage},
    },
};
use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _},
};
use tokio::sync::mpsc;

/// A sandbox, as the namespace of the [`SandboxWatch`] counts them. The number may be given again once it was told dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SandboxNumber(i32);

/// Numbers sandboxes.
#[derive(Clone)]
pub struct SandboxWatch {
    handle: Handle,
}

impl SandboxWatch {
    /// Watches from the calling thread's namespace. The receiver tells every numbered namespace that died, and ends with
    /// the watch's socket.
    ///
    /// # Errors
    /// When no socket can be had.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start() -> Result<(Self, mpsc::UnboundedReceiver<SandboxNumber>), SandboxWatchError> {
        let (connection, handle, mut notifications) =
            rtnetlink::new_multicast_connection(&[MulticastGroup::Nsid])
                .map_err(|source| SandboxWatchError::Open { source })?;
        tokio::spawn(connection);
        // Bounded by the number of sandboxes that were numbered and are not yet dead.
        let (dead, receiver) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some((message, _)) = notifications.next().await {
                if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelNsId(message)) = message.payload
                    && let Some(number) = number(&message)
                    && dead.send(number).is_err()
                {
                    return;
                }
            }
        });
        Ok((Self { handle }, receiver))
    }

    /// The sandbox's number; it is given one if it has none. From now on its death is told.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn number(&self, sandbox: &Namespace) -> Result<SandboxNumber, SandboxWatchError> {
        let failed =
            |source| SandboxWatchError::Number { sandbox: sandbox.origin().display().to_string(), source };
        let descriptor = NsidAttribute::Fd(sandbox.as_fd().as_raw_fd().unsigned_abs());
        let new = message(vec![descriptor.clone(), NsidAttribute::Id(-1)]);
        match self.ask(RouteNetlinkMessage::NewNsId(new)).await {
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
            Err(error) => return Err(failed(error)),
        }
        let found =
            self.ask(RouteNetlinkMessage::GetNsId(message(vec![descriptor]))).await.map_err(failed)?;
        found.as_ref().and_then(number).ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
    }

    async fn ask(&self, message: RouteNetlinkMessage) -> io::Result<Option<NsidMessage>> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK;
        let mut answers = self.handle.clone().request(request).map_err(io::Error::other)?;
        let mut found = None;
        while let Some(answer) = answers.next().await {
            match answer.payload {
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNsId(message)) => found = Some(message),
                NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
                _ => {}
            }
        }
        Ok(found)
    }
}

fn message(attributes: Vec<NsidAttribute>) -> NsidMessage {
    let mut message = NsidMessage::default();
    message.attributes = attributes;
    message
}

fn number(message: &NsidMessage) -> Option<SandboxNumber> {
    message.attributes.iter().find_map(|attribute| match attribute {
        NsidAttribute::Id(number) if *number >= 0 => Some(SandboxNumber(*number)),
        _ => None,
    })
}

/// A sandbox cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum SandboxWatchError {
    /// No socket.
    #[error("open a netlink socket for namespace events")]
    Open {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No number.
    #[error("number the sandbox {sandbox}")]
    Number {
        /// Which.
        sandbox: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}
