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

/* A connection was reset; simultaneous open has made two rows of it. */
static __always_inline void forget(void *flows, const struct ways *ways)
{
	bpf_map_delete_elem(flows, &ways->there);
	bpf_map_delete_elem(flows, &ways->back);
}

#define ASKER 0
#define ANSWERER 1

/*
 * Follows a connection to its end. One whose halves have both arrived is forgotten, so that only those that live fill the
 * table. A row whose memory was given to another flow meanwhile may be forgotten wrongly, which costs a question.
 */
static __always_inline void follow(const struct reflection *r, void *flows, const struct reflector_flow_key *key,
				   struct reflector_flow *row, int speaker)
{
	const __u32 both = REFLECTOR_CLOSED | REFLECTOR_CLOSED << 2;
	const __u32 own = REFLECTOR_ENDED << 2 * speaker, other = REFLECTOR_ENDED << 2 * (1 - speaker);
	__u32 halves = row->halves;

	if (!r->packet.fin && !halves)
		return;
	if (r->packet.fin && !(halves & own)) {
		row->end[speaker] = r->packet.end;
		halves = __sync_fetch_and_or(&row->halves, own) | own;
	}
	if (halves & other && row->end[1 - speaker] == r->packet.acknowledged)
		halves = __sync_fetch_and_or(&row->halves, other << 1) | other << 1;
	if ((halves & both) == both)
		bpf_map_delete_elem(flows, key);
}

/* What neither opens nor ends a TCP flow, and every datagram. */
static __always_inline verdict judge_packet(struct reflection *r, void *flows, const struct ways *ways)
{
	bool udp = r->packet.protocol == PROTOCOL_UDP;
	__u8 kind = udp ? REFLECTOR_OPENING : REFLECTOR_RESUMING;
	__u32 number = udp ? 0 : r->packet.acknowledged;
	struct reflector_flow ahead, flow;
	struct reflector_flow *row = find_row(r, flows, &ways->there, &ahead);
	bool known = row;
	bool own = known && ahead.asker == r->place;
	__u16 to;

	if (row && own && ahead.kind == REFLECTOR_BOUND) {
		follow(r, flows, &ways->there, row, ASKER);
		return to_place(outcome_forwarded, ahead.answerer);
	}
	row = find_row(r, flows, &ways->back, &flow);
	if (row && flow.asker == r->place)
		row = NULL;
	if (row && flow.kind == REFLECTOR_BOUND && flow.answerer == r->place) {
		follow(r, flows, &ways->back, row, ANSWERER);
		return to_place(outcome_forwarded, flow.asker);
	}
	if (row && flow.kind != REFLECTOR_BOUND && (udp || flow.kind == REFLECTOR_RESUMING)) {
		if (own)
			bpf_map_delete_elem(flows, &ways->there);
		return bind(r, row, &flow);
	}
	if (own) {
		to = ahead.waiting & asked_at(r, ahead.since);
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
		/* It answers its own SYN. */
		return others(r) ? outcome_stray : to_place(outcome_alone, r->place);
	}
	if (flow.kind == REFLECTOR_BOUND)
		return flow.answerer == r->place ? to_place(outcome_forwarded, flow.asker) : outcome_clash;
	if (flow.kind == REFLECTOR_RESUMING || !acknowledges(r->packet.acknowledged, flow.number))
		return to_place(outcome_forwarded, flow.asker);
	return bind(r, row, &flow);
}

static __always_inline bool answers_probe(const struct loopback_packet *packet)
{
	return packet->source_port == bpf_htons(REFLECTOR_PROBED_PORT) &&
	       packet->destination_port == bpf_htons(REFLECTOR_PROBE_PORT) &&
	       packet->source == packet->destination &&
	       (packet->ipv6 || packet->source == bpf_htonl(REFLECTOR_PROBE_ADDRESS));
}

static __always_inline verdict hear(const struct reflection *r)
{
	__u32 group = r->group;
	__u32 *heard = bpf_map_lookup_elem(&reflector_heard, &group);

	if (heard)
		__sync_fetch_and_or(heard, (__u32)only(r->place) << (r->packet.ipv6 ? 16 : 0));
	return outcome_heard;
}

static __always_inline verdict judge_reset(struct reflection *r, void *flows, const struct ways *ways)
{
	struct reflector_flow back, there;
	struct reflector_flow *row;

	if (answers_probe(&r->packet))
		return hear(r);
	row = find_row(r, flows, &ways->back, &back);
	if (row && back.kind != REFLECTOR_BOUND && back.asker != r->place &&
	    (back.kind == REFLECTOR_RESUMING ||
	     (r->packet.has_ack && acknowledges(r->packet.acknowledged, back.number))))
		return refuse(r, flows, &ways->back, row, &back);
	if (find_row(r, flows, &ways->there, &there) && there.asker == r->place) {
		if (there.kind != REFLECTOR_BOUND)
			return to_set(outcome_forwarded, there.waiting & asked_at(r, there.since));
		forget(flows, ways);
		return to_place(outcome_forwarded, there.answerer);
	}
	if (row && back.kind == REFLECTOR_BOUND && back.answerer == r->place) {
		forget(flows, ways);
		return to_place(outcome_forwarded, back.asker);
	}
	return outcome_stray;
}

/* A bound flow's end complains about a packet from `other`. */
static __always_inline verdict judge_complaint(struct reflection *r, void *flows, const struct reflector_flow_key *key, __u8 other)
{
	if (r->packet.protocol != PROTOCOL_UDP || !r->packet.unreachable)
		return to_place(outcome_forwarded, other);
	bpf_map_delete_elem(flows, key);
	if (others(r) & ~only(other))
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
	struct reflector_flows_key table = {};
	struct ways ways = {};
	void *flows;

	if (!r)
		return outcome_malformed;
	table.group = r->group;
	table.protocol = r->packet.protocol;
	flows = bpf_map_lookup_elem(&reflector_flows, &table);
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
