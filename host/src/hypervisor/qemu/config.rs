//! What the operator writes of a QEMU.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A QEMU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QemuConfig {
    /// Its QMP socket (`-qmp unix:PATH,server=on,wait=off`), which must be ours alone.
    pub qmp: PathBuf,
    /// How the guest's interrupt vectors are shared out.
    #[serde(default)]
    pub vectors: VectorLimits,
}

/// How many NICs get how many MSI-X vectors. The guest's vectors run out long before the slots do: one CPU has about 195
/// for all NICs together (measured with Linux 6.1: 65 NICs of 3 vectors, or 97 of 2), and a NIC that gets none never
/// appears. One that asks for none works with a shared interrupt line, only slower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VectorLimits {
    /// So many queue pairs get vectors of their own: 32 pairs take 96 of 195.
    pub full: u32,
    /// From there up to so many NICs, each gets two vectors; later ones get none: the 40 after the first 32 take 80, and
    /// 19 are left for other devices.
    pub two: u32,
}

impl Default for VectorLimits {
    fn default() -> Self {
        Self { full: 32, two: 72 }
    }
}
