/* A group's rows: reading, and the changes that must happen in one step. */
#pragma once

#include <bpf/bpf_helpers.h>

#include "loopback_packet.h"
#include "reflector_types.h"

#define MAX_GROUPS 4096
#define MAX_ENDPOINTS 16384
/* Each place of each group, those that left, and frames of no group. */
#define MAX_COUNTERS (MAX_GROUPS * (REFLECTOR_FRACTIONS + 1) + 1)
#define FLOWS_PER_GROUP 16384
#define FRAGMENTED_PER_GROUP 1024

/* The daemon makes the inner tables: one for each group, so that no group's flood pushes out the rows of another. */
struct reflector_flow_table {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FLOWS_PER_GROUP);
	__uint(key_size, sizeof(struct reflector_flow_key));
	__uint(value_size, sizeof(struct reflector_flow));
};

struct reflector_fragment_table {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FRAGMENTED_PER_GROUP);
	__uint(key_size, sizeof(struct reflector_fragment_key));
	__uint(value_size, sizeof(struct reflector_course));
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, MAX_GROUPS * 2);
	__type(key, struct reflector_flows_key);
	__array(values, struct reflector_flow_table);
} reflector_flows SEC(".maps");

/* Who has answered the last probe: bit n: place n, by IPv4; 16 bits above, by IPv6. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_GROUPS);
	__type(key, __u32);
	__type(value, __u32);
} reflector_heard SEC(".maps");

#define REFLECTOR_OUTCOME(name) outcome_##name,
enum outcome { REFLECTOR_OUTCOMES(REFLECTOR_OUTCOME) outcome_count };
#undef REFLECTOR_OUTCOME

_Static_assert(sizeof(struct reflector_counters) == (outcome_count + 1) * sizeof(__u64), "one counter each");
_Static_assert(REFLECTOR_FRACTIONS == 16, "sets of places have sixteen bits");

/*
 * The packet being judged, and what is known of its group: copied, so that the verifier can judge the rules by
 * themselves.
 */
struct reflection {
	__u32 group;
	__u16 members;
	__u8 epoch;
	__u8 place;
	__u8 life[REFLECTOR_FRACTIONS];
	__u16 silent[2];
	struct loopback_packet packet;
	/* A row changed under our hands: judge again. */
	bool again;
};

/* An outcome, and above it the set of those who get a copy. */
typedef __u32 verdict;

static __always_inline verdict to_set(enum outcome outcome, __u16 places)
{
	return outcome | (__u32)places << 16;
}

static __always_inline __u16 only(__u8 place)
{
	return 1 << (place & 15);
}

static __always_inline verdict to_place(enum outcome outcome, __u8 place)
{
	return to_set(outcome, only(place));
}

/* Members that were there at that epoch already. */
static __always_inline __u16 members_since(const struct reflection *r, __u8 epoch)
{
	__u32 later = 0;

	/* Without branches, whose combinations the verifier would follow one by one. */
	for (int i = 0; i < REFLECTOR_FRACTIONS; i++)
		later |= (__u32)((__u8)(epoch - r->life[i]) >> 7) << i;
	return ~later & r->members;
}

static __always_inline __u16 answering(const struct reflection *r)
{
	return ~(r->packet.ipv6 ? r->silent[1] : r->silent[0]);
}

/* Members that were there at that epoch already, and answer. */
static __always_inline __u16 asked_at(const struct reflection *r, __u8 epoch)
{
	return members_since(r, epoch) & answering(r);
}

/* Whom the sender can ask. */
static __always_inline __u16 others(const struct reflection *r)
{
	return r->members & ~only(r->place) & answering(r);
}

static __always_inline bool lives(const struct reflection *r, __u8 place, __u8 life)
{
	return r->members & only(place) && r->life[place & 15] == life;
}

static __always_inline __u64 state_of(const struct reflector_flow *flow)
{
	__u64 state;

	__builtin_memcpy(&state, flow, sizeof(state));
	return state;
}

/* The row under `key`, copied to `flow`; NULL when there is none, or one of its ends is no longer there. */
static __noinline struct reflector_flow *find_row(const struct reflection *r, void *flows,
						 const struct reflector_flow_key *key,
						 struct reflector_flow *flow)
{
	struct reflector_flow *row = bpf_map_lookup_elem(flows, key);
	__u64 state;

	if (!row)
		return NULL;
	state = *(volatile __u64 *)row;
	__builtin_memcpy(flow, &state, sizeof(state));
	flow->number = row->number;
	if (!lives(r, flow->asker, flow->asker_life))
		return NULL;
	if (flow->kind == REFLECTOR_BOUND && !lives(r, flow->answerer, flow->since))
		return NULL;
	return row;
}

static __always_inline bool change_row(struct reflector_flow *row, const struct reflector_flow *from,
				       const struct reflector_flow *to)
{
	__u64 old = state_of(from);

	return __sync_val_compare_and_swap((__u64 *)row, old, state_of(to)) == old;
}

static __always_inline verdict ask(struct reflection *r, void *flows, const struct reflector_flow_key *key,
				   __u8 kind, __u32 number)
{
	struct reflector_flow flow = {
		.waiting = others(r),
		.asker = r->place,
		.asker_life = r->life[r->place & 15],
		.since = r->epoch,
		.kind = kind,
		.nonce = bpf_get_prandom_u32(),
		.number = number,
	};

	if (!flow.waiting) {
		bpf_map_delete_elem(flows, key);
		return to_place(outcome_alone, r->place);
	}
	bpf_map_update_elem(flows, key, &flow, BPF_ANY);
	return to_set(outcome_asked, flow.waiting);
}

static __always_inline verdict bind(struct reflection *r, struct reflector_flow *row, const struct reflector_flow *flow)
{
	struct reflector_flow bound = *flow;

	bound.waiting = 0;
	bound.kind = REFLECTOR_BOUND;
	bound.answerer = r->place;
	bound.since = r->life[r->place & 15];
	r->again = !change_row(row, flow, &bound);
	return to_place(outcome_answered, flow->asker);
}

static __always_inline verdict refuse(struct reflection *r, void *flows, const struct reflector_flow_key *key,
				      struct reflector_flow *row, const struct reflector_flow *flow)
{
	struct reflector_flow after = *flow;
	__u16 asked = asked_at(r, flow->since);

	if (!(flow->waiting & asked & only(r->place)))
		return outcome_stray;
	after.waiting &= ~only(r->place);
	r->again = !change_row(row, flow, &after);
	if (r->again || after.waiting & asked)
		return outcome_withheld;
	bpf_map_delete_elem(flows, key);
	return to_place(outcome_refused, flow->asker);
}
