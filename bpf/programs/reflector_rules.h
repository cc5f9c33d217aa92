/* The rules: nestless_model::loopback says what they are and why, function by function. */
#pragma once

#include "reflector_rows.h"

/* A SYN may carry data, which its refusal acknowledges too. */
#define MAX_SYN_BYTES 0xffff

static __always_inline bool acknowledges(__u32 acknowledged, __u32 sequence)
{
	return acknowledged - sequence - 1 <= MAX_SYN_BYTES;
}

/* The packet's flow, its sender being the asker; and the other way about. */
struct ways {
	struct reflector_flow_key there, back;
};

static __always_inline void find_ways(const struct loopback_packet *packet, struct ways *ways)
{
	ways->there.asker_address = ways->back.asked_address = packet->source;
	ways->there.asked_address = ways->back.asker_address = packet->destination;
	ways->there.asker_port = ways->back.asked_port = packet->source_port;
	ways->there.asked_port = ways->back.asker_port = packet->destination_port;
	ways->there.protocol = ways->back.protocol = packet->protocol;
}

static __always_inline verdict judge_syn(struct reflection *r, void *flows, const struct ways *ways)
{
	struct reflector_flow flow;

	if (find_row(r, flows, &ways->there, &flow) && flow.kind == REFLECTOR_BOUND && flow.asker == r->place &&
	    flow.number == r->packet.sequence)
		return to_place(outcome_forwarded, flow.answerer);
	return ask(r, flows, &ways->there, REFLECTOR_OPENING, r->packet.sequence);
}

/* What neither opens nor ends a TCP flow, and every datagram. */
static __always_inline verdict judge_packet(struct reflection *r, void *flows, const struct ways *ways)
{
	bool udp = r->packet.protocol == PROTOCOL_UDP;
	__u8 kind = udp ? REFLECTOR_OPENING : REFLECTOR_RESUMING;
	__u32 number = udp ? 0 : r->packet.acknowledged;
	struct reflector_flow ahead, flow;
	bool known = find_row(r, flows, &ways->there, &ahead);
	bool own = known && ahead.asker == r->place;
	struct reflector_flow *row;
	__u16 to;

	if (own && ahead.kind == REFLECTOR_BOUND)
		return to_place(outcome_forwarded, ahead.answerer);
	row = find_row(r, flows, &ways->back, &flow);
	if (row && flow.asker == r->place)
		row = NULL;
	if (row && flow.kind == REFLECTOR_BOUND && flow.answerer == r->place)
		return to_place(outcome_forwarded, flow.asker);
	if (row && flow.kind != REFLECTOR_BOUND && (udp || flow.kind == REFLECTOR_RESUMING)) {
		if (own)
			bpf_map_delete_elem(flows, &ways->there);
		return bind(r, row, &flow);
	}
	if (own) {
		to = ahead.waiting & members_since(r, ahead.since);
		/* Of a SYN's question only the SYN is asked again. */
		if ((!udp && ahead.kind == REFLECTOR_OPENING) || (ahead.since == r->epoch && to))
			return to_set(outcome_forwarded, to);
		return ask(r, flows, &ways->there, kind, number);
	}
	if (row && flow.kind != REFLECTOR_BOUND)
		return to_place(outcome_forwarded, flow.asker);
	if (row)
		return udp ? outcome_clash : outcome_stray;
	if (known && !udp)
		return outcome_stray;
	return ask(r, flows, &ways->there, kind, number);
}

static __always_inline verdict judge_syn_ack(struct reflection *r, void *flows, const struct ways *ways)
{
	struct reflector_flow flow;
	struct reflector_flow *row = find_row(r, flows, &ways->back, &flow);

	if (!row || flow.asker == r->place) {
		if (find_row(r, flows, &ways->there, &flow) && flow.asker == r->place && flow.kind == REFLECTOR_BOUND)
			return to_place(outcome_forwarded, flow.answerer);
		return outcome_stray;
	}
	if (flow.kind == REFLECTOR_BOUND)
		return flow.answerer == r->place ? to_place(outcome_forwarded, flow.asker) : outcome_clash;
	if (flow.kind == REFLECTOR_RESUMING || !acknowledges(r->packet.acknowledged, flow.number))
		return to_place(outcome_forwarded, flow.asker);
	return bind(r, row, &flow);
}

static __always_inline verdict judge_reset(struct reflection *r, void *flows, const struct ways *ways)
{
	struct reflector_flow back, there;
	struct reflector_flow *row = find_row(r, flows, &ways->back, &back);

	if (row && back.kind != REFLECTOR_BOUND && back.asker != r->place &&
	    (back.kind == REFLECTOR_RESUMING ||
	     (r->packet.has_ack && acknowledges(r->packet.acknowledged, back.number))))
		return refuse(r, flows, &ways->back, row, &back);
	if (find_row(r, flows, &ways->there, &there) && there.asker == r->place) {
		if (there.kind == REFLECTOR_BOUND)
			return to_place(outcome_forwarded, there.answerer);
		return to_set(outcome_forwarded, there.waiting & members_since(r, there.since));
	}
	if (row && back.kind == REFLECTOR_BOUND && back.answerer == r->place)
		return to_place(outcome_forwarded, back.asker);
	return outcome_stray;
}

/* A bound flow's end complains about a packet from `other`. */
static __always_inline verdict judge_complaint(struct reflection *r, void *flows, const struct reflector_flow_key *key, __u8 other)
{
	if (r->packet.protocol != PROTOCOL_UDP || !r->packet.unreachable)
		return to_place(outcome_forwarded, other);
	bpf_map_delete_elem(flows, key);
	if (r->members & ~only(r->place) & ~only(other))
		return outcome_withheld;
	return to_place(outcome_refused, other);
}

static __always_inline verdict judge_error(struct reflection *r, void *flows, const struct ways *ways)
{
	struct reflector_flow flow;
	struct reflector_flow *row = find_row(r, flows, &ways->there, &flow);

	if (row && flow.asker != r->place) {
		if (flow.kind == REFLECTOR_BOUND)
			return flow.answerer == r->place ? judge_complaint(r, flows, &ways->there, flow.asker)
							 : outcome_stray;
		if (r->packet.unreachable && (r->packet.protocol == PROTOCOL_UDP ||
					      flow.kind == REFLECTOR_RESUMING || flow.number == r->packet.sequence))
			return refuse(r, flows, &ways->there, row, &flow);
		return outcome_stray;
	}
	row = find_row(r, flows, &ways->back, &flow);
	if (row && flow.kind == REFLECTOR_BOUND && flow.asker == r->place)
		return judge_complaint(r, flows, &ways->back, flow.answerer);
	return outcome_stray;
}

/* Not static: the verifier looks at it once, not once for each way to it. */
__noinline verdict judge_whole(struct reflection *r)
{
	struct ways ways = {};
	__u32 group;
	void *flows;

	if (!r)
		return outcome_malformed;
	group = r->group;
	flows = bpf_map_lookup_elem(&reflector_flows, &group);
	if (!flows)
		return outcome_closed;
	r->again = false;
	r->place &= 15;
	find_ways(&r->packet, &ways);
	switch (r->packet.kind) {
	case packet_syn:
		return judge_syn(r, flows, &ways);
	case packet_syn_ack:
		return judge_syn_ack(r, flows, &ways);
	case packet_reset:
		return judge_reset(r, flows, &ways);
	case packet_error:
		return judge_error(r, flows, &ways);
	default:
		return judge_packet(r, flows, &ways);
	}
}
