/* Whether the sandbox has a socket for a packet. */
#pragma once

#include "loopback_packet.h"

#define MAX_NAMESAKES 4096

/* enum of include/net/tcp_states.h */
#define TCP_STATE_ESTABLISHED 1
#define TCP_STATE_FIN_WAIT1 4
#define TCP_STATE_FIN_WAIT2 5
#define TCP_STATE_TIME_WAIT 6
#define TCP_STATE_CLOSE_WAIT 8
#define TCP_STATE_LAST_ACK 9
#define TCP_STATE_LISTEN 10
#define TCP_STATE_CLOSING 11

/* Ends of a flow of UDP, of one family; the addresses of IPv6 are 0. */
struct steer_flow_key {
	__be32 here;
	__be32 there;
	__be16 here_port;
	__be16 there_port;
	__u32 ipv6;
};

/*
 * Who asks from elsewhere with a number that a socket here has too: the answer is not for that one. There are none unless a
 * server's number is of those that another fraction's clients take, so nobody looks before the first.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_NAMESAKES);
	__type(key, struct steer_flow_key);
	__type(value, __u32);
} steer_namesakes SEC(".maps");

volatile __u32 has_namesakes = 0;

/* Fills the tuple for the socket that a packet is for, or, turned, that one from there to here would be for; its size. */
static __always_inline __u32 fill_tuple(const struct loopback_packet *packet, bool turned, struct bpf_sock_tuple *tuple)
{
	__be16 remote_port = turned ? packet->destination_port : packet->source_port;
	__be16 local_port = turned ? packet->source_port : packet->destination_port;

	if (packet->ipv6) {
		tuple->ipv6.saddr[3] = tuple->ipv6.daddr[3] = bpf_htonl(1);
		tuple->ipv6.sport = remote_port;
		tuple->ipv6.dport = local_port;
		return sizeof(tuple->ipv6);
	}
	tuple->ipv4.saddr = turned ? packet->destination : packet->source;
	tuple->ipv4.daddr = turned ? packet->source : packet->destination;
	tuple->ipv4.sport = remote_port;
	tuple->ipv4.dport = local_port;
	return sizeof(tuple->ipv4);
}

/* The socket that the packet is for, or, of an error, that sent what it quotes. */
static __always_inline __u32 socket_tuple(const struct loopback_packet *packet, struct bpf_sock_tuple *tuple)
{
	return fill_tuple(packet, packet->kind == packet_error, tuple);
}

/*
 * Whether it opens a connection that its listener keeps in a cookie alone (tcp_syncookies): there is no other socket for
 * it yet.
 */
static __always_inline bool returns_cookie(struct __sk_buff *skb, struct bpf_sock *listener,
					   const struct loopback_packet *packet)
{
	struct ipv6_header ipv6;
	struct ipv4_header ipv4;
	struct tcp_header tcp;

	if (packet->kind != packet_segment || !packet->has_ack ||
	    bpf_skb_load_bytes(skb, packet->upper_offset, &tcp, sizeof(tcp)))
		return false;
	if (packet->ipv6)
		return !bpf_skb_load_bytes(skb, ETHERNET_BYTES, &ipv6, sizeof(ipv6)) &&
		       !bpf_tcp_check_syncookie(listener, &ipv6, sizeof(ipv6), (void *)&tcp, sizeof(tcp));
	return !bpf_skb_load_bytes(skb, ETHERNET_BYTES, &ipv4, sizeof(ipv4)) &&
	       !bpf_tcp_check_syncookie(listener, &ipv4, sizeof(ipv4), (void *)&tcp, sizeof(tcp));
}

enum found { found_nothing, found_listener, found_remains, found_socket };

static __always_inline enum found find_tcp_socket(struct __sk_buff *skb, const struct loopback_packet *packet,
						  struct bpf_sock_tuple *tuple, __u32 size)
{
	struct bpf_sock *socket = bpf_skc_lookup_tcp(skb, tuple, size, BPF_F_CURRENT_NETNS, 0);
	enum found found = found_socket;

	if (!socket)
		return found_nothing;
	if (socket->state == TCP_STATE_LISTEN)
		found = returns_cookie(skb, socket, packet) ? found_socket : found_listener;
	else if (socket->state == TCP_STATE_TIME_WAIT)
		found = found_remains;
	bpf_sk_release(socket);
	return found;
}

/* From an address and port to the same. */
static __always_inline bool is_to_itself(const struct loopback_packet *packet)
{
	return packet->source_port == packet->destination_port && packet->source == packet->destination;
}

/*
 * A listener may claim a SYN only: a packet of a connection that lives elsewhere must not be swallowed by a listener
 * that took its port here later. What a finished connection left (TIME_WAIT) may claim all but a SYN, which is for
 * a listener, here or elsewhere.
 *
 * A connection from an address and port to the same has one tuple for both its ends: whoever asks finds the sender. On
 * one machine a client never gets the number of a server that listens; of another fraction's server it may. Its SYN is
 * for a listener only, and what follows is for the other end, which is not here.
 */
static __always_inline bool has_tcp_socket(struct __sk_buff *skb, const struct loopback_packet *packet)
{
	bool syn = packet->kind == packet_syn, to_itself = packet->kind != packet_error && is_to_itself(packet);
	struct bpf_sock_tuple tuple = {};
	__u32 size = socket_tuple(packet, &tuple);
	enum found found;

	if (to_itself && !syn)
		return false;
	found = to_itself ? found_remains : find_tcp_socket(skb, packet, &tuple, size);
	if (found == found_remains && syn) {
		/* No connection comes from port 0, so only a listener is found. */
		if (packet->ipv6)
			tuple.ipv6.sport = 0;
		else
			tuple.ipv4.sport = 0;
		found = find_tcp_socket(skb, packet, &tuple, size);
	}
	return found == found_listener ? syn : found != found_nothing;
}

static __always_inline struct steer_flow_key flow_key(const struct loopback_packet *packet, bool sender_is_here)
{
	struct steer_flow_key key = {
		.here = sender_is_here ? packet->source : packet->destination,
		.there = sender_is_here ? packet->destination : packet->source,
		.here_port = sender_is_here ? packet->source_port : packet->destination_port,
		.there_port = sender_is_here ? packet->destination_port : packet->source_port,
		.ipv6 = packet->ipv6,
	};

	return key;
}

/* Whether a datagram that a socket here could take is the answer to somebody elsewhere who has the same number. */
static __always_inline bool is_for_namesake(const struct loopback_packet *packet)
{
	struct steer_flow_key answers = flow_key(packet, true), asks = flow_key(packet, false);

	if (!has_namesakes || packet->kind != packet_datagram)
		return false;
	if (bpf_map_lookup_elem(&steer_namesakes, &answers))
		return true;
	/* The one here asks now. */
	bpf_map_delete_elem(&steer_namesakes, &asks);
	return false;
}

static __always_inline bool has_udp_socket(struct __sk_buff *skb, const struct loopback_packet *packet)
{
	struct bpf_sock_tuple tuple = {};
	__u32 size = socket_tuple(packet, &tuple);
	struct bpf_sock *socket = bpf_sk_lookup_udp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);

	if (!socket)
		return false;
	bpf_sk_release(socket);
	return !is_for_namesake(packet);
}

static __always_inline bool has_socket(struct __sk_buff *skb, const struct loopback_packet *packet)
{
	if (packet->protocol == PROTOCOL_TCP)
		return has_tcp_socket(skb, packet);
	return has_udp_socket(skb, packet);
}

/* Keeps in mind that this datagram's answer is for its sender, when a socket here has the sender's number. */
static __always_inline void note_namesake(struct __sk_buff *skb)
{
	struct loopback_packet packet = {};
	struct bpf_sock_tuple tuple = {};
	struct steer_flow_key key;
	struct bpf_sock *socket;
	__u32 noted = 1, size;

	if (parse(skb, skb->protocol, &packet) != parsed_whole || packet.kind != packet_datagram)
		return;
	key = flow_key(&packet, false);
	if (has_namesakes && bpf_map_lookup_elem(&steer_namesakes, &key))
		return;
	size = fill_tuple(&packet, true, &tuple);
	socket = bpf_sk_lookup_udp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (!socket)
		return;
	bpf_sk_release(socket);
	bpf_map_update_elem(&steer_namesakes, &key, &noted, BPF_ANY);
	has_namesakes = 1;
}
