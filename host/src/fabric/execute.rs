//! Carries steps out, one by one, choosing nothing.

use super::{error::FabricError, nft, step::FabricStep};
use nestless_model::identity::LinkName;
use nestless_support::{
    crash_point,
    former_settings::FormerSettings,
    netlink::{BridgeSettings, HardwareAddress, Link, Netlink, NetlinkError, NewAddress},
    sysctl,
};

/// What carries steps out, in the namespace that `netlink` was opened in and the calling thread is in.
pub(super) struct Executor<'a> {
    pub(super) netlink: &'a Netlink,
    /// What people see at bridges that we make.
    pub(super) alias: &'a str,
    /// Where it is noted what kernel settings were before.
    pub(super) former: Option<&'a FormerSettings>,
}

const FORWARD_AT_ONCE: BridgeSettings =
    BridgeSettings { stp: false, forward_delay_cs: 0, multicast_snooping: false };

impl Executor<'_> {
    /// Does one step. Done twice, it succeeds twice.
    pub(super) async fn execute(&self, step: &FabricStep) -> Result<(), FabricError> {
        let kind = step.kind();
        crash_point::reached(&format!("fabric.{kind}.before"));
        tracing::debug!(%step, "fabric");
        self.perform(step).await?;
        crash_point::reached(&format!("fabric.{kind}.after"));
        Ok(())
    }

    async fn perform(&self, step: &FabricStep) -> Result<(), FabricError> {
        match step {
            FabricStep::SetRules { table, rules } => nft::replace(table, rules).await,
            FabricStep::DeleteRules { table } => nft::delete(table).await,
            FabricStep::SetSysctl { key, value } => {
                if let Some(former) = self.former {
                    former.note(key).map_err(|source| failed(step, source))?;
                }
                sysctl::write(key, value).map_err(|source| failed(step, source))
            }
            _ => self.change_link(step).await.map_err(|source| failed(step, source)),
        }
    }

    async fn change_link(&self, step: &FabricStep) -> Result<(), NetlinkError> {
        let netlink = self.netlink;
        match step {
            FabricStep::CreateBridge { bridge, mac } => self.create_bridge(bridge, *mac).await,
            FabricStep::ForwardAtOnce { bridge } => {
                netlink.set_bridge(&self.link(bridge).await?, FORWARD_AT_ONCE).await
            }
            FabricStep::SetMtu { link, mtu } => netlink.set_mtu(&self.link(link).await?, mtu.bytes()).await,
            FabricStep::SetUp { link } => netlink.set_up(&self.link(link).await?).await,
            FabricStep::RemoveAddress { bridge, address } => {
                or_missing(netlink.delete_address(&self.link(bridge).await?, *address).await)
            }
            FabricStep::AddAddress { bridge, address } => {
                // Nobody else gives out addresses here, and a bridge without ports has no one to ask.
                let new = NewAddress { address: *address, no_duplicate_detection: true };
                or_existing(netlink.add_address(&self.link(bridge).await?, new).await)
            }
            FabricStep::Enslave { link, bridge } => {
                let (port, bridge) = (self.link(link).await?, self.link(bridge).await?);
                netlink.set_master(&port, &bridge).await
            }
            FabricStep::DeleteBridge { bridge } => netlink.delete_if_any(bridge.as_str()).await,
            // No links: `perform` has done them.
            FabricStep::SetRules { .. } | FabricStep::DeleteRules { .. } | FabricStep::SetSysctl { .. } => {
                Ok(())
            }
        }
    }

    async fn link(&self, name: &LinkName) -> Result<Link, NetlinkError> {
        self.netlink.link(name.as_str()).await
    }

    async fn create_bridge(&self, bridge: &LinkName, mac: [u8; 6]) -> Result<(), NetlinkError> {
        let mac = Some(HardwareAddress(mac));
        let made = self.netlink.create_bridge(bridge.as_str(), mac, FORWARD_AT_ONCE).await?;
        self.netlink.set_alias(&made, self.alias).await
    }
}

fn failed(step: &FabricStep, source: impl std::error::Error + Send + Sync + 'static) -> FabricError {
    FabricError::Step { step: step.to_string(), source: Box::new(source) }
}

fn or_missing(outcome: Result<(), NetlinkError>) -> Result<(), NetlinkError> {
    match outcome {
        Err(error) if error.is_missing() => Ok(()),
        other => other,
    }
}

fn or_existing(outcome: Result<(), NetlinkError>) -> Result<(), NetlinkError> {
    match outcome {
        Err(error) if error.is_existing() => Ok(()),
        other => other,
    }
}
