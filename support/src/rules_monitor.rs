//! Tells when somebody changes nftables' rules, of whichever table, in one network namespace.

use netlink_sys::{
    AsyncSocket as _, AsyncSocketExt as _, Socket, SocketAddr, TokioSocket, protocols::NETLINK_NETFILTER,
};
use std::io;

/// `NFNLGRP_NFTABLES` (linux/netfilter/nfnetlink.h).
const GROUP: u32 = 7;

/// An open ear.
pub struct RulesMonitor(TokioSocket);

impl RulesMonitor {
    /// Listens in the namespace of the calling thread.
    ///
    /// # Errors
    /// When the kernel has no nftables.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn here() -> io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_NETFILTER)?;
        let inner: &mut Socket = socket.socket_mut();
        inner.bind(&SocketAddr::new(0, 0))?;
        inner.add_membership(GROUP)?;
        Ok(Self(socket))
    }

    /// Returns when something has changed since the last call, or may have. May be cancelled.
    ///
    /// # Errors
    /// When the socket is broken.
    pub async fn changed(&mut self) -> io::Result<()> {
        match self.0.recv_from_full().await {
            // More has happened than there was room to tell.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(()),
            told => told.map(drop),
        }
    }
}

impl std::fmt::Debug for RulesMonitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RulesMonitor")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netns::Namespace;
    use std::{process::Command, time::Duration};

    #[tokio::test]
    async fn a_change_is_told_and_silence_is_not() {
        let namespace = Namespace::anonymous().unwrap();
        let mut monitor = namespace.run(RulesMonitor::here).await.unwrap().unwrap();
        let nft = async |line: &'static str| {
            let run = move || Command::new("nft").args(line.split(' ')).status().unwrap();
            assert!(namespace.run(run).await.unwrap().success(), "{line}");
        };
        for line in ["add table inet t", "flush ruleset"] {
            nft(line).await;
            // Only a broken test waits so long.
            tokio::time::timeout(Duration::from_secs(20), monitor.changed()).await.expect(line).unwrap();
        }
        // What was told is told once, however many messages it took.
        while tokio::time::timeout(Duration::from_millis(50), monitor.changed()).await.is_ok() {}
        nft("list ruleset").await;
        assert!(tokio::time::timeout(Duration::from_millis(50), monitor.changed()).await.is_err());
    }
}
