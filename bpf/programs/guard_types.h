/*
 * What the guard's programs and the daemon both read and write. The daemon's Rust types are generated from the
 * BTF of the compiled object, so this header is their only source. Addresses are in network byte order.
 */
#pragma once

#include <linux/types.h>

/* nestless_model::guard::MAX_ADDRESSES_PER_FAMILY; checked when the guard is built. */
#define GUARD_ADDRESSES 8
/* The link-local address takes one more place. */
#define GUARD_IPV6_PLACES (GUARD_ADDRESSES + 1)

/* Why a frame is dropped, in the words of the operator API (message GuardCounters). */
#define GUARD_REASONS(reason)                                                                                  \
	reason(source_mac) reason(source_ipv4) reason(source_ipv6) reason(arp) reason(neighbour)               \
	reason(dhcp_server) reason(router) reason(ether_type) reason(malformed) reason(egress_rate)            \
	reason(ingress_rate) reason(closed)

/* A token bucket as a virtual clock: a byte costs `cost_mult >> cost_shift` nanoseconds. */
struct guard_rate {
	__u64 burst_ns;
	__u64 cost_mult;
	__u32 cost_shift;
	/* 0: no limit. */
	__u32 limited;
};

struct guard_ipv6 {
	__u64 half[2];
};

/* What one NIC may send. */
struct guard_entry {
	/* The index of the link that it is for, which is its key as well. */
	__u32 link;
	__u8 ipv4_count;
	__u8 ipv6_count;
	__u8 dhcp_server;
	__u8 router;
	__u8 mac[6];
	__u8 reserved[2];
	__u32 ipv4[GUARD_ADDRESSES];
	struct guard_ipv6 ipv6[GUARD_IPV6_PLACES];
	struct guard_rate egress;
	struct guard_rate ingress;
};

/* When each bucket will be full again, in nanoseconds of the monotonic clock. */
struct guard_buckets {
	__u64 egress_due_ns;
	__u64 ingress_due_ns;
};

#define GUARD_COUNTER(name) __u64 name;
struct guard_dropped {
	GUARD_REASONS(GUARD_COUNTER)
};
#undef GUARD_COUNTER

/* Frames as the NIC hands them over: a segmentation-offloaded one counts once, its bytes as on the wire. */
struct guard_counters {
	__u64 passed;
	__u64 passed_bytes;
	struct guard_dropped dropped;
};
