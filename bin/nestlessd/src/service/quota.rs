//! How much one VM may ask for. A guest is never trusted to be reasonable.

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use nestless_model::identity::VmName;
use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
};
use tracing::warn;

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

/// Two hundred pods that come and go are told, each of them; who goes on for ever fills no disk.
const LINES_BURST: NonZeroU32 = NonZeroU32::new(1_000).expect("not zero");
const LINES_PER_SECOND: NonZeroU32 = NonZeroU32::new(5).expect("not zero");

/// Lines of the log per VM.
pub(super) struct Lines {
    allowed: DefaultKeyedRateLimiter<VmName>,
    left_out: Mutex<BTreeMap<VmName, u64>>,
}

impl Lines {
    pub(super) fn new() -> Self {
        let quota = Quota::per_second(LINES_PER_SECOND).allow_burst(LINES_BURST);
        Self { allowed: RateLimiter::keyed(quota), left_out: Mutex::default() }
    }

    /// Whether one more line may be written of what the VM asks. How many were left out before is told with it.
    pub(super) fn allow(&self, vm: &VmName) -> bool {
        let allowed = self.allowed.check_key(vm).is_ok();
        let mut left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        if !allowed {
            *left_out.entry(vm.clone()).or_default() += 1;
        } else if let Some(lines) = left_out.remove(vm) {
            warn!(%vm, lines, "the VM asks for so much that lines of it were left out of this log");
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_does_not_fill_the_log() {
        let lines = Lines::new();
        let (loud, quiet) = (VmName::new("loud").unwrap(), VmName::new("quiet").unwrap());
        let written = (0..LINES_BURST.get() * 4).filter(|_| lines.allow(&loud)).count();
        assert!(written < LINES_BURST.get() as usize * 2, "{written}");
        assert!(lines.allow(&quiet));
        assert_eq!(lines.left_out.lock().unwrap().keys().collect::<Vec<_>>(), [&loud]);
    }

    #[test]
    fn one_vm_s_flood_does_not_stop_another() {
        let quotas = Quotas::new();
        let (loud, quiet) = (VmName::new("loud").unwrap(), VmName::new("quiet").unwrap());
        let refused = (0..BURST.get() * 4).filter(|_| !quotas.allows(&loud)).count();
        assert!(refused > 0);
        assert!(quotas.allows(&quiet));
    }
}
