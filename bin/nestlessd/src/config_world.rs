//! What a configuration names and this host must have before the daemon starts.

use crate::{
    channel,
    config::Config,
    config_fault::{ConfigError, Fault},
};
use nestless_model::network::Uplink;
use std::path::Path;

impl Config {
    /// Looks for what it names: certificates, and uplinks. VMs may come later.
    ///
    /// # Errors
    /// With everything that is missing.
    pub fn look(&self, path: &Path) -> Result<(), ConfigError> {
        let tls = self.tls.iter().flat_map(channel::tls_faults).map(|why| Fault::Tls { why });
        let uplinks = self.networks.iter().filter_map(|network| match &network.uplink {
            Uplink::Interface(interface) if nix::net::if_::if_nametoindex(interface.as_str()).is_err() => {
                Some(Fault::NoUplink { network: network.name.clone(), interface: interface.clone() })
            }
            _ => None,
        });
        let faults: Vec<_> = tls.chain(uplinks).collect();
        if faults.is_empty() { Ok(()) } else { Err(ConfigError::Faults { path: path.to_owned(), faults }) }
    }
}
