/*
 * The reflector: which endpoints of a loopback group get the frame that one of them sent. Attached to the
 * ingress of every endpoint's host end. One program serves all groups: who is in which stands in the tables alone.
 *
 * Frames are passed on untouched, so that segmentation and checksum offload stay.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include "reflector_rules.h"

/* How often a packet is judged anew because another CPU changed its row in between. */
#define MAX_ATTEMPTS 4

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_ENDPOINTS);
	__type(key, __u32);
	__type(value, struct reflector_endpoint);
} reflector_endpoints SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_GROUPS);
	__type(key, __u32);
	__type(value, struct reflector_group);
} reflector_groups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, MAX_GROUPS);
	__type(key, __u32);
	__array(values, struct reflector_fragment_table);
} reflector_fragments SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_COUNTERS);
	__type(key, struct reflector_counters_key);
	__type(value, struct reflector_counters);
} reflector_counters SEC(".maps");

static __always_inline verdict judge_attempts(struct reflection *r)
{
	verdict verdict = outcome_stray;

	for (int i = 0; i < MAX_ATTEMPTS; i++) {
		verdict = judge_whole(r);
		if (!r->again)
			return verdict;
	}
	return outcome_stray;
}

/* No inlining: its signature tells the loader and the daemon what the inner table holds. */
static __noinline void set_course(void *table, const struct reflector_fragment_key *key,
				  const struct reflector_course *course)
{
	if (course->to)
		bpf_map_update_elem(table, key, course, BPF_ANY);
	else
		bpf_map_delete_elem(table, key);
}

static __always_inline verdict judge_fragment(struct reflection *r)
{
	struct reflector_fragment_key key = {
		.source = r->packet.source,
		.destination = r->packet.destination,
		.id = r->packet.fragment_id,
		.place = r->place,
		.protocol = r->packet.protocol,
		.ipv6 = r->packet.ipv6,
	};
	__u32 group = r->group;
	void *table = bpf_map_lookup_elem(&reflector_fragments, &group);
	struct reflector_course course = { .epoch = r->epoch };
	struct reflector_course *known;
	verdict verdict;

	if (!table)
		return outcome_fragment;
	if (r->packet.kind == packet_later_fragment) {
		known = bpf_map_lookup_elem(table, &key);
		if (!known)
			return outcome_fragment;
		return to_set(outcome_forwarded, known->to & members_since(r, known->epoch));
	}
	verdict = judge_attempts(r);
	course.to = verdict >> 16;
	set_course(table, &key, &course);
	return verdict;
}

/* Steer's frames: from lo's address, to everybody. */
static __always_inline bool is_steered(const struct ethernet_header *ethernet)
{
	return (ethernet->destination[0] & ethernet->destination[1] & ethernet->destination[2]) == 0xffff &&
	       !(ethernet->source[0] | ethernet->source[1] | ethernet->source[2]);
}

static __always_inline verdict judge(struct __sk_buff *skb, struct reflection *r)
{
	struct ethernet_header ethernet;

	if (!read(skb, 0, skb->len, &ethernet, sizeof(ethernet)))
		return outcome_malformed;
	if (skb->vlan_present || !is_steered(&ethernet))
		return outcome_foreign;
	switch (parse(skb, ethernet.type, &r->packet)) {
	case parsed_foreign:
		return outcome_foreign;
	case parsed_unsupported:
		return outcome_unsupported;
	case parsed_malformed:
		return outcome_malformed;
	case parsed_whole:
		break;
	}
	if (r->packet.first_fragment || r->packet.kind == packet_later_fragment)
		return judge_fragment(r);
	return judge_attempts(r);
}

static __always_inline int send(struct __sk_buff *skb, const struct reflector_group *group, __u32 to)
{
	for (int i = 0; i < REFLECTOR_FRACTIONS; i++) {
		if (!(to & 1 << i))
			continue;
		to &= ~(1 << i);
		if (!to)
			return bpf_redirect(group->link[i], 0);
		bpf_clone_redirect(skb, group->link[i], 0);
	}
	return TC_ACT_SHOT;
}

/* Takes the group over into `r`; false when the row is of an endpoint that left. */
static __always_inline bool is_member(struct reflection *r, const struct reflector_group *group,
				      const struct reflector_endpoint *endpoint, __u32 link)
{
	r->place = endpoint->place & 15;
	r->members = group->members;
	r->epoch = group->epoch;
	__builtin_memcpy(r->life, group->life, sizeof(r->life));
	__builtin_memcpy(r->silent, group->silent, sizeof(r->silent));
	return lives(r, r->place, endpoint->life) && group->link[r->place] == link;
}

SEC("classifier")
int reflector_reflect(struct __sk_buff *skb)
{
	__u32 link = skb->ifindex;
	struct reflector_endpoint *endpoint = bpf_map_lookup_elem(&reflector_endpoints, &link);
	struct reflector_counters_key counted = {};
	struct reflector_counters *counters;
	struct reflector_group *group = NULL;
	struct reflection r = {};
	verdict verdict = outcome_closed;
	__u32 outcome;

	if (endpoint) {
		r.group = endpoint->group;
		group = bpf_map_lookup_elem(&reflector_groups, &r.group);
	}
	if (endpoint && group && is_member(&r, group, endpoint, link)) {
		counted.group = r.group;
		counted.place = r.place;
		verdict = judge(skb, &r);
	}
	counters = bpf_map_lookup_elem(&reflector_counters, &counted);
	outcome = verdict & 0xffff;
	if (counters && outcome < outcome_count) {
		counters->bytes += skb->len;
		(&counters->forwarded)[outcome]++;
	}
	if (!group || !(verdict >> 16))
		return TC_ACT_SHOT;
	return send(skb, group, verdict >> 16);
}

char _license[] SEC("license") = "Dual MIT/GPL";
