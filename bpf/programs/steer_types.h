/* What steer and the agent both read. The agent's Rust types are generated from the BTF of the compiled object. */
#pragma once

#include <linux/types.h>

/* Packets of one sandbox. */
struct steer_counters {
	/* Stayed on lo: the sandbox has a socket for them. */
	__u64 stayed;
	/* Went to the host. */
	__u64 sent;
	/* Came from the host. */
	__u64 received;
	/* Came from the host and were not from loopback to loopback. */
	__u64 dropped;
};

struct steer_fragment_key {
	__u32 source;
	__u32 destination;
	__u32 id;
	__u8 protocol;
	__u8 ipv6;
	__u8 reserved[2];
};
