//! Flags, each with its variable.

use crate::channel::ChannelSpec;
use clap::Parser;
use std::{path::PathBuf, time::Duration};

/// Gives the pods of this VM their NICs.
#[derive(Debug, Clone, Parser)]
#[command(name = "nestless-agent", version)]
pub(crate) struct Config {
    /// How to reach the host: auto, serial, serial:PATH, unix:PATH, vsock, or tls:HOST:PORT
    #[arg(long, env = "NESTLESS_CHANNEL", default_value = "auto")]
    pub(crate) channel: ChannelSpec,
    /// Where the CNI socket, the parking namespace and the records of attachments are
    #[arg(long, env = "NESTLESS_RUN_DIR", default_value = "/run/nestless")]
    pub(crate) run_dir: PathBuf,
    /// For a tls channel: certificates that the host's is checked against, PEM
    #[arg(long, env = "NESTLESS_TLS_CA", requires_all = ["tls_certificate", "tls_key"])]
    pub(crate) tls_ca: Option<PathBuf>,
    /// For a tls channel: this VM's certificate, PEM
    #[arg(long, env = "NESTLESS_TLS_CERTIFICATE")]
    pub(crate) tls_certificate: Option<PathBuf>,
    /// For a tls channel: the certificate's key, PEM
    #[arg(long, env = "NESTLESS_TLS_KEY")]
    pub(crate) tls_key: Option<PathBuf>,
    /// How long a call waits for a host that is away, in milliseconds
    #[arg(long, env = "NESTLESS_HOST_WAIT_MS", default_value_t = 3000)]
    host_wait_ms: u64,
    /// How long the host may take to answer a call, in milliseconds
    #[arg(long, env = "NESTLESS_HOST_DEADLINE_MS", default_value_t = 40_000)]
    host_deadline_ms: u64,
    /// How long a plugged NIC may take to appear, in milliseconds
    #[arg(long, env = "NESTLESS_NIC_DEADLINE_MS", default_value_t = 20_000)]
    nic_deadline_ms: u64,
}

impl Config {
    pub(crate) fn deadlines(&self) -> Deadlines {
        Deadlines {
            host_wait: Duration::from_millis(self.host_wait_ms),
            host_answer: Duration::from_millis(self.host_deadline_ms),
            nic: Duration::from_millis(self.nic_deadline_ms),
        }
    }
}

/// How long each kind of waiting may last. Together they stay below the plugin's own deadline.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadlines {
    /// For a connection to the host.
    pub(crate) host_wait: Duration,
    /// For its answer.
    pub(crate) host_answer: Duration,
    /// For a NIC to appear.
    pub(crate) nic: Duration,
}
