//! How much one VM may ask for. A guest is never trusted to be reasonable.

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use nestless_model::identity::VmName;
use std::num::NonZeroU32;

/// A burst of two hundred pods, each with an attach, a confirm, a report and a detach, fits; a flood does not.
const BURST: NonZeroU32 = NonZeroU32::new(2_000).expect("not zero");
const PER_SECOND: NonZeroU32 = NonZeroU32::new(500).expect("not zero");

/// Requests per VM.
pub(super) struct Quotas(DefaultKeyedRateLimiter<VmName>);

impl Quotas {
    pub(super) fn new() -> Self {
        Self(RateLimiter::keyed(Quota::per_second(PER_SECOND).allow_burst(BURST)))
    }

    /// Whether the VM may make one more request now.
    pub(super) fn allows(&self, vm: &VmName) -> bool {
        self.0.check_key(vm).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_vm_s_flood_does_not_stop_another() {
        let quotas = Quotas::new();
        let (loud, quiet) = (VmName::new("loud").unwrap(), VmName::new("quiet").unwrap());
        let refused = (0..BURST.get() * 4).filter(|_| !quotas.allows(&loud)).count();
        assert!(refused > 0);
        assert!(quotas.allows(&quiet));
    }
}
