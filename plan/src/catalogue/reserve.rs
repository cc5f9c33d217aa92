//! What a VM keeps of itself: kubelet, system daemons, and the memory below which the kubelet evicts.

use nestless_placement::{Resources, VmSize};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const MB: u64 = 1_000_000;
/// The kubelet's default hard eviction threshold (Kubernetes, "Node-pressure eviction").
const EVICTION_BYTES: u64 = 100 * MIB;
/// Of a VM whose number of pods nobody limits, the kubelet's own default.
const DEFAULT_MAX_PODS: u32 = 110;

/// A rule for what a VM keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reserve {
    /// Nothing.
    #[default]
    None,
    /// As nodes of Amazon EKS do: 255 MiB and 11 MiB for each pod that the VM may hold.
    Eks,
    /// As nodes of Google GKE do: a share of the memory that falls with its size.
    Gke,
    /// As nodes of Azure AKS 1.29 and later do: by the number of vCPUs, and 20 MB for each pod that the VM may hold, but
    /// no more than a quarter of the memory.
    Aks,
    /// As much on every VM.
    Fixed(Resources),
}

impl Reserve {
    /// The rule of the provider with this name in a price list: "aws", "gcp", "azure". Amazon's for any other.
    pub fn of_provider(name: &str) -> Self {
        match name {
            "gcp" => Self::Gke,
            "azure" => Self::Aks,
            _ => Self::Eks,
        }
    }

    /// What a VM of this size keeps.
    pub fn of(self, size: &VmSize) -> Resources {
        let Resources { cpu_milli, memory_bytes } = size.capacity;
        let pods = u64::from(size.max_pods.unwrap_or(DEFAULT_MAX_PODS));
        match self {
            Self::None => Resources::ZERO,
            Self::Fixed(resources) => resources,
            Self::Eks => {
                Resources::new(kubelet_cpu_milli(cpu_milli), (255 + 11 * pods) * MIB + EVICTION_BYTES)
            }
            Self::Gke => {
                Resources::new(kubelet_cpu_milli(cpu_milli), gke_bytes(memory_bytes) + EVICTION_BYTES)
            }
            Self::Aks => {
                let kept = (20 * pods + 50) * MB;
                Resources::new(aks_cpu_milli(cpu_milli), kept.min(memory_bytes / 4) + EVICTION_BYTES)
            }
        }
    }
}

/// Microsoft's table ("Node resource reservations in AKS"); sizes between its lines are taken for the line above.
fn aks_cpu_milli(cpu_milli: u64) -> u64 {
    let lines = [(1, 60), (2, 100), (4, 140), (8, 180), (16, 260), (32, 420)];
    let line = lines.into_iter().find(|(vcpus, _)| cpu_milli <= vcpus * 1000);
    line.map_or(740, |(_, kept)| kept)
}

/// Amazon and Google: 6 % of the first vCPU, 1 % of the second, 0.5 % of the next two, 0.25 % of the rest.
fn kubelet_cpu_milli(cpu_milli: u64) -> u64 {
    shares(cpu_milli, &[(1000, 600), (1000, 100), (2000, 50), (u64::MAX, 25)])
}

/// 25 % of the first 4 GiB, 20 % of the next 4, 10 % of the next 8, 6 % of the next 112, 2 % of the rest.
fn gke_bytes(memory_bytes: u64) -> u64 {
    shares(
        memory_bytes,
        &[(4 * GIB, 2500), (4 * GIB, 2000), (8 * GIB, 1000), (112 * GIB, 600), (u64::MAX, 200)],
    )
}

/// Sums shares, in ten-thousandths, of successive steps; rounded up.
fn shares(mut amount: u64, steps: &[(u64, u64)]) -> u64 {
    let mut sum: u128 = 0;
    for &(width, share) in steps {
        let part = amount.min(width);
        sum += u128::from(part) * u128::from(share);
        amount -= part;
    }
    u64::try_from(sum.div_ceil(10_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nestless_placement::Price;

    #[test]
    fn as_the_providers_document_it() {
        let mut size = VmSize::of("m5.large", Price(96_000), Resources::new(2000, 8 * GIB));
        size.max_pods = Some(29);
        assert_eq!(Reserve::Eks.of(&size), Resources::new(70, (255 + 319 + 100) * MIB));
        assert_eq!(Reserve::Gke.of(&size).memory_bytes, 4 * GIB * 45 / 100 + 1 + 100 * MIB);
        assert_eq!(Reserve::Aks.of(&size), Resources::new(100, 630 * MB + 100 * MIB));
        size.max_pods = Some(250);
        assert_eq!(Reserve::Aks.of(&size), Resources::new(100, 2 * GIB + 100 * MIB));
        assert_eq!(Reserve::Gke.of(&VmSize::of("16", Price(1), Resources::new(16_000, GIB))).cpu_milli, 110);
    }
}
