//! Steer's programs and maps: `programs/steer.bpf.c` says what they do.

/// The object; loaded once for each sandbox.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/steer.bpf.o"));

/// Classifier at egress of `lo`.
pub const OUT: &str = "steer_out";
/// Classifier for clsact ingress of the endpoint.
pub const IN: &str = "steer_in";
/// Constant to be set at load: the endpoint's interface index, `u32`.
pub const ENDPOINT_IFINDEX: &str = "endpoint_ifindex";
