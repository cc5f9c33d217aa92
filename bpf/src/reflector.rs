//! The reflector's program and maps: `programs/reflector.bpf.c` says what it does, `programs/reflector_types.h` what its
//! maps hold.

/// The object. Its program is [`REFLECT`].
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/reflector.bpf.o"));

/// Classifier at ingress of an endpoint's host end.
pub const REFLECT: &str = "reflector_reflect";

/// Hash: interface index -> [`Endpoint`].
pub const ENDPOINTS: &str = "reflector_endpoints";
/// Hash: group -> [`Group`].
pub const GROUPS: &str = "reflector_groups";
/// Hash: [`FlowsKey`] -> LRU hash of [`FLOWS_PER_GROUP`] places: [`FlowKey`] -> [`Flow`].
pub const FLOWS: &str = "reflector_flows";
/// Hash: group -> LRU hash of [`FRAGMENTED_PER_GROUP`] places: [`FragmentKey`] -> [`Course`].
pub const FRAGMENTS: &str = "reflector_fragments";
/// Hash: group -> the places that have answered the last probe, IPv6's 16 bits above IPv4's.
pub const HEARD: &str = "reflector_heard";
/// Hash per CPU: [`CountersKey`] -> [`Counters`].
pub const COUNTERS: &str = "reflector_counters";

/// The most rows of [`GROUPS`], as the program declares it.
pub const MAX_GROUPS: u32 = 4096;
/// The most rows of [`ENDPOINTS`], as the program declares it.
pub const MAX_ENDPOINTS: u32 = 16384;
/// The kernel takes no inner map of another size than the program declares.
pub const FLOWS_PER_GROUP: u32 = 16384;
/// As [`FLOWS_PER_GROUP`].
pub const FRAGMENTED_PER_GROUP: u32 = 1024;

include!(concat!(env!("OUT_DIR"), "/reflector_types.rs"));

impl Counters {
    /// The counters by their names.
    pub fn by_name(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let values = [
            self.bytes,
            self.forwarded,
            self.asked,
            self.answered,
            self.withheld,
            self.refused,
            self.clash,
            self.alone,
            self.stray,
            self.fragment,
            self.heard,
            self.malformed,
            self.foreign,
            self.unsupported,
            self.closed,
        ];
        Self::FIELDS.into_iter().zip(values)
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.forwarded += other.forwarded;
        self.asked += other.asked;
        self.answered += other.answered;
        self.withheld += other.withheld;
        self.refused += other.refused;
        self.clash += other.clash;
        self.alone += other.alone;
        self.stray += other.stray;
        self.fragment += other.fragment;
        self.heard += other.heard;
        self.malformed += other.malformed;
        self.foreign += other.foreign;
        self.unsupported += other.unsupported;
        self.closed += other.closed;
    }
}
