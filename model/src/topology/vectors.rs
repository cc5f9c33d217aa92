//! Interrupt vectors: fewer for each NIC as the VM fills.

use serde::Serialize;

/// Vectors of one x86 Linux guest CPU that devices can have. Measured: 65 NICs with three each, 97 with two, on one
/// vCPU; 197 with two on two vCPUs.
pub const VECTORS_PER_VCPU: u32 = 194;

/// Left to the VM's other devices: disks, consoles, the channel. They tend to ask for a queue per vCPU.
const RESERVED: u32 = 16;
const RESERVED_PER_VCPU: u32 = 4;

/// One for configuration changes, one shared by all queues: what `virtio_net` falls back to.
const SHARED: u32 = 2;

/// How many NICs get how many vectors (`vectors=` of QEMU's `virtio-net-pci`).
///
/// NICs that are plugged first get a vector for each queue, the following ones two, and the last ones none: they
/// interrupt by INTx, which is slower and shared, but works. The number depends only on how many NICs are plugged at
/// that moment, so nobody has to remember who got what: unplugging in any order never exceeds the guest's vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct VectorPlan {
    /// Vectors of a NIC that has one for each queue: 3 for one pair of queues.
    pub full: u32,
    /// How many NICs could have [`VectorPlan::full`] if none had fewer.
    pub room_for_full: u32,
    /// The first so many NICs get [`VectorPlan::full`].
    pub with_full: u32,
    /// The next so many get two.
    pub with_shared: u32,
    /// The rest get none.
    pub with_none: u32,
}

impl VectorPlan {
    /// The plan that lets `nics` NICs work in a guest with `vcpus` CPUs; `queues` is in pairs.
    pub fn new(nics: u32, vcpus: u32, queues: u16) -> Self {
        let full = 1 + 2 * u32::from(queues);
        let budget = budget(vcpus);
        let room_for_full = budget / full;
        if room_for_full >= nics {
            return Self { full, room_for_full, with_full: nics, with_shared: 0, with_none: 0 };
        }
        let with_any = nics.min(budget / SHARED);
        let with_full = (budget - SHARED * with_any) / (full - SHARED);
        let with_full = with_full.min(with_any);
        Self { full, room_for_full, with_full, with_shared: with_any - with_full, with_none: nics - with_any }
    }

    /// Vectors for the next NIC when `plugged` are plugged already.
    pub fn next(&self, plugged: u32) -> u32 {
        if plugged < self.with_full {
            self.full
        } else if plugged < self.with_full + self.with_shared {
            SHARED
        } else {
            0
        }
    }
}

/// Vectors that NICs may take together.
fn budget(vcpus: u32) -> u32 {
    vcpus.saturating_mul(VECTORS_PER_VCPU - RESERVED_PER_VCPU) - RESERVED
}

/// [`VectorPlan::next`] for a VM that is to take `nics` NICs with one pair of queues each.
pub fn vectors_for(plugged: u32, nics: u32, vcpus: u32) -> u32 {
    VectorPlan::new(nics, vcpus.max(1), 1).next(plugged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn few_nics_get_all_they_want() {
        assert_eq!(
            VectorPlan::new(32, 1, 1),
            VectorPlan { full: 3, room_for_full: 58, with_full: 32, with_shared: 0, with_none: 0 }
        );
        assert_eq!(vectors_for(0, 8, 1), 3);
    }

    #[test]
    fn a_full_vm_falls_back_to_intx() {
        let plan = VectorPlan::new(124, 1, 1);
        assert_eq!(
            plan,
            VectorPlan { full: 3, room_for_full: 58, with_full: 0, with_shared: 87, with_none: 37 }
        );
        assert_eq!((plan.next(0), plan.next(86), plan.next(87), plan.next(200)), (2, 2, 0, 0));
    }

    proptest! {
        /// Whatever is plugged and unplugged, in whatever order.
        #[test]
        fn never_more_than_the_guest_has(
            nics in 1u32..=270, vcpus in 1u32..16, queues in 1u16..9,
            steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..600),
        ) {
            let plan = VectorPlan::new(nics, vcpus, queues);
            prop_assert_eq!(plan.with_full + plan.with_shared + plan.with_none, nics);
            let mut plugged: Vec<u32> = Vec::new();
            for (unplug, which) in steps {
                if unplug && !plugged.is_empty() {
                    plugged.remove(which.index(plugged.len()));
                } else if plugged.len() < nics as usize {
                    plugged.push(plan.next(plugged.len() as u32));
                }
                prop_assert!(plugged.iter().sum::<u32>() <= budget(vcpus));
            }
        }
    }
}
