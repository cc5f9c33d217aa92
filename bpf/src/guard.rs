//! The guard's programs and maps: `programs/guard.bpf.c` says what they do, `programs/guard_types.h` what their maps
//! hold.

/// The object. Its programs are [`SENT`] and [`RECEIVED`]; its maps are [`ENTRIES`], [`BUCKETS`] and
/// [`COUNTERS`].
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/guard.bpf.o"));

/// Classifier at ingress: what the pod sends.
pub const SENT: &str = "guard_sent";
/// Classifier at egress: what the pod receives.
pub const RECEIVED: &str = "guard_received";

/// Hash: interface index -> [`Entry`].
pub const ENTRIES: &str = "guard_entries";
/// Hash: interface index -> [`Buckets`].
pub const BUCKETS: &str = "guard_buckets";
/// Hash per CPU: interface index -> [`Counters`].
pub const COUNTERS: &str = "guard_counters";

include!(concat!(env!("OUT_DIR"), "/guard_types.rs"));

impl Dropped {
    /// The counters by the reason's name, in the words of the operator API.
    pub fn by_reason(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let values = [
            self.source_mac,
            self.source_ipv4,
            self.source_ipv6,
            self.arp,
            self.neighbour,
            self.dhcp_server,
            self.router,
            self.ether_type,
            self.malformed,
            self.egress_rate,
            self.ingress_rate,
            self.closed,
        ];
        Self::FIELDS.into_iter().zip(values)
    }

    /// Adds another CPU's share.
    pub fn add(&mut self, other: &Self) {
        self.source_mac += other.source_mac;
        self.source_ipv4 += other.source_ipv4;
        self.source_ipv6 += other.source_ipv6;
        self.arp += other.arp;
        self.neighbour += other.neighbour;
        self.dhcp_server += other.dhcp_server;
        self.router += other.router;
        self.ether_type += other.ether_type;
        self.malformed += other.malformed;
        self.egress_rate += other.egress_rate;
        self.ingress_rate += other.ingress_rate;
        self.closed += other.closed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reasons_are_those_of_the_operator_api() {
        let dropped = Dropped { source_mac: 1, arp: 2, closed: 3, ..Dropped::default() };
        let counted: Vec<_> = dropped.by_reason().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [("source_mac", 1), ("arp", 2), ("closed", 3)]);
        let api = include_str!("../../proto/nestless/v1/operator.proto");
        for name in Dropped::FIELDS {
            assert!(api.contains(&format!("\"{name}\"")), "{name} is not a reason of the operator API");
        }
    }
}
