//! STATUS: could an ADD be served now? Running pods need neither agent nor host, so 51 is never right.

use super::Agent;
use nestless_model::{
    cni::{CniError, NetworkConf},
    refusal::Reason,
};
use nestless_support::telemetry::TraceParent;

impl Agent {
    pub(super) async fn status(&self, conf: NetworkConf, trace: TraceParent) -> Result<(), CniError> {
        let not_available = |message: String| CniError::new(Reason::NotAvailable, message);
        let capacity = self.host.capacity(conf.network.as_ref(), trace).await;
        let capacity = capacity.map_err(|error| not_available(CniError::from(error).message))?;
        match capacity.exhausted {
            None => Ok(()),
            Some(refusal) => Err(not_available(format!(
                "{} ({} of {} NICs in use, {} spare, {} addresses free)",
                refusal.message, capacity.in_use, capacity.limit, capacity.spare, capacity.free_addresses
            ))),
        }
    }
}
