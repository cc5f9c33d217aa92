/*
 * What the reflector and the daemon both read and write. The daemon's Rust types are generated from the BTF of the
 * compiled object, so this header is their only source. Addresses and ports are in network byte order.
 */
#pragma once

#include <linux/types.h>

/* nestless_model::loopback::MAX_FRACTIONS; checked when a group is made. */
#define REFLECTOR_FRACTIONS 16

/* How a frame was judged; nestless_model::loopback::Outcome has the first ten, with their meaning. */
#define REFLECTOR_OUTCOMES(outcome)                                                                            \
	outcome(forwarded) outcome(asked) outcome(answered) outcome(withheld) outcome(refused) outcome(clash)  \
	outcome(alone) outcome(stray) outcome(fragment) outcome(heard) outcome(malformed) outcome(foreign)     \
	outcome(unsupported) outcome(closed)

/* Which group a link's frames belong to. */
struct reflector_endpoint {
	__u32 group;
	__u8 place;
	/* The place's life: else the row is of an endpoint that left. */
	__u8 life;
	__u16 reserved;
};

struct reflector_group {
	/* Bit n: place n is taken. */
	__u16 members;
	/* Counts joins; wraps. */
	__u8 epoch;
	__u8 reserved;
	/* Who does not answer by IPv4, and by IPv6: they are asked nothing. */
	__u16 silent[2];
	/* The epoch that each place's endpoint came with. */
	__u8 life[REFLECTOR_FRACTIONS];
	/* Interface indexes. */
	__u32 link[REFLECTOR_FRACTIONS];
};

/* A group has a table for each protocol: datagrams, whose flows have no end, push out no connection. */
struct reflector_flows_key {
	__u32 group;
	__u32 protocol;
};

struct reflector_flow_key {
	__u32 asker_address;
	__u32 asked_address;
	__u16 asker_port;
	__u16 asked_port;
	__u8 protocol;
	__u8 reserved[3];
};

#define REFLECTOR_OPENING 0
#define REFLECTOR_RESUMING 1
#define REFLECTOR_BOUND 2

/* Bits of a bound row: its FIN was seen, and has arrived. The answerer's stand above the asker's. */
#define REFLECTOR_ENDED 1
#define REFLECTOR_CLOSED 2

/* nestless_model::loopback::probe: what the daemon asks, from the first port to the second, to hear who answers. */
#define REFLECTOR_PROBE_ADDRESS 0x7ffffffe
#define REFLECTOR_PROBE_PORT 1
#define REFLECTOR_PROBED_PORT 7

/*
 * nestless_model::loopback::Flow. The first eight bytes change in one step. The nonce keeps a program that still
 * looks at a row, whose memory the kernel has given to another flow, from changing that one.
 */
struct reflector_flow {
	/* Whose refusals are missing; bit n: place n. */
	__u16 waiting;
	__u8 asker;
	__u8 asker_life;
	/* When bound. */
	__u8 answerer;
	/* Bound: the answerer's life. Before: the group's epoch. */
	__u8 since;
	__u8 kind;
	__u8 nonce;
	/* A SYN's sequence number, a segment's acknowledgement; 0 for UDP. */
	__u32 number;
	/* How far the asker's half and the answerer's have come, two bits each; what acknowledges their FINs. */
	__u32 halves;
	__u32 end[2];
	__u32 reserved;
};

struct reflector_fragment_key {
	__u32 source;
	__u32 destination;
	__u32 id;
	__u8 place;
	__u8 protocol;
	__u8 ipv6;
	__u8 reserved;
};

/* Where the fragments of a datagram go. */
struct reflector_course {
	__u16 to;
	__u8 epoch;
	__u8 reserved;
};

/* Counters of no group and no place: frames from links that are in none. Groups' numbers begin at 1. */
struct reflector_counters_key {
	__u32 group;
	__u32 place;
};

#define REFLECTOR_COUNTER(name) __u64 name;
struct reflector_counters {
	__u64 bytes;
	REFLECTOR_OUTCOMES(REFLECTOR_COUNTER)
};
#undef REFLECTOR_COUNTER
