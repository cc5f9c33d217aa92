/*
 * Steer: does a loopback packet of this sandbox stay, or go to the host?
 *
 *   steer_out  egress of lo. What the sandbox has a socket for stays, at native speed.
 *   steer_in   clsact ingress of the endpoint. Has lo receive what the host delivers, so that the kernel takes
 *              127.0.0.1 and ::1 for what they are.
 *
 * Loaded once for each sandbox. Counts nothing: what leaves is counted by the reflector, and what stays must cost as
 * little as can be.
 */
#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>

#include "steer_sockets.h"

/* What a classifier says that gives no verdict itself (cls_bpf_classify() in net/sched/cls_bpf.c, Linux 6.1). */
#define MATCH -1
#define NO_MATCH 0
#define MAX_FRAGMENTED 1024
/* Of a shorter connection, keeping its course costs more than it spares. */
#define MIN_KEPT_SEGMENTS 16

/* The endpoint's index in the sandbox; set when the program is loaded. */
volatile const __u32 endpoint_ifindex = 0;

struct steer_fragment_key {
	__u32 source;
	__u32 destination;
	__u32 id;
	__u8 protocol;
	__u8 ipv6;
	__u8 reserved[2];
};

/* Whether the rest of a datagram stays (1). */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_FRAGMENTED);
	__type(key, struct steer_fragment_key);
	__type(value, __u32);
} steer_fragments SEC(".maps");

enum course {
	course_unknown,
	course_stays,
	course_leaves,
};

/*
 * A connection's other end does not change place, so that where its packets go is asked once and kept with its socket. When
 * the other end is gone, the packets of one that was here are answered here, as they should be.
 */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u32);
} steer_courses SEC(".maps");

/*
 * Between the handshake and the end. A socket may be connected again, which begins with a SYN in another state.
 */
static __always_inline bool is_connected(__u32 state)
{
	const __u32 connected = 1 << TCP_STATE_ESTABLISHED | 1 << TCP_STATE_FIN_WAIT1 | 1 << TCP_STATE_FIN_WAIT2 |
				1 << TCP_STATE_CLOSE_WAIT | 1 << TCP_STATE_LAST_ACK | 1 << TCP_STATE_CLOSING;

	return connected >> (state & 31) & 1;
}

static __always_inline __u32 kept_course(struct __sk_buff *skb)
{
	struct bpf_sock *sender = skb->sk;
	__u32 *kept;

	if (!sender || !is_connected(sender->state))
		return course_unknown;
	kept = bpf_sk_storage_get(&steer_courses, sender, NULL, 0);
	return kept ? *kept : course_unknown;
}

static __always_inline void keep_course(struct __sk_buff *skb, const struct loopback_packet *packet, __u32 course)
{
	struct bpf_sock *sender = skb->sk;
	struct bpf_tcp_sock *tcp;

	if (!sender || packet->protocol != PROTOCOL_TCP)
		return;
	if (packet->kind == packet_syn) {
		/* What stands there is of an earlier connection. */
		bpf_sk_storage_delete(&steer_courses, sender);
		return;
	}
	if (packet->kind != packet_segment || !is_connected(sender->state))
		return;
	tcp = bpf_tcp_sock(sender);
	if (tcp && tcp->segs_out >= MIN_KEPT_SEGMENTS)
		bpf_sk_storage_get(&steer_courses, sender, &course, BPF_SK_STORAGE_GET_F_CREATE);
}

static __always_inline bool fragment_stays(struct __sk_buff *skb, const struct loopback_packet *packet)
{
	struct steer_fragment_key key = {
		.source = packet->source,
		.destination = packet->destination,
		.id = packet->fragment_id,
		.protocol = packet->protocol,
		.ipv6 = packet->ipv6,
	};
	__u32 *known, local;

	if (packet->kind == packet_later_fragment) {
		known = bpf_map_lookup_elem(&steer_fragments, &key);
		/* Of other protocols, nothing leaves. */
		return !known || *known;
	}
	local = has_socket(skb, packet);
	bpf_map_update_elem(&steer_fragments, &key, &local, BPF_ANY);
	return local;
}

static __always_inline bool stays(struct __sk_buff *skb, const struct loopback_packet *packet)
{
	if (packet->first_fragment || packet->kind == packet_later_fragment)
		return fragment_stays(skb, packet);
	return has_socket(skb, packet);
}

SEC("classifier")
int steer_out(struct __sk_buff *skb)
{
	__u16 everybody[3] = { 0xffff, 0xffff, 0xffff };
	__u32 course = kept_course(skb);

	if (course == course_unknown) {
		struct loopback_packet packet = {};

		if (parse(skb, skb->protocol, &packet) != parsed_whole)
			return TC_ACT_UNSPEC;
		course = stays(skb, &packet) ? course_stays : course_leaves;
		keep_course(skb, &packet, course);
	}
	if (course == course_stays)
		return TC_ACT_UNSPEC;
	/* Passes every NIC's receive filter. */
	if (bpf_skb_store_bytes(skb, 0, everybody, sizeof(everybody), 0))
		return TC_ACT_SHOT;
	return bpf_redirect(endpoint_ifindex, 0);
}

/*
 * The reflector has looked at the rest; this is what must hold whatever the host does. `protocol` is what is next to its
 * header.
 */
static __always_inline bool is_loopback(struct __sk_buff *skb, __u8 *protocol)
{
	struct ipv4_header ipv4;
	struct ipv6_header ipv6;

	if (skb->vlan_present)
		return false;
	if (skb->protocol == bpf_htons(ETHER_TYPE_IPV4)) {
		if (!read(skb, ETHERNET_BYTES, skb->len, &ipv4, sizeof(ipv4)))
			return false;
		*protocol = ipv4.protocol;
		return ipv4.version_and_length >> 4 == 4 && is_loopback_ipv4(ipv4.source) &&
		       is_loopback_ipv4(ipv4.destination);
	}
	if (skb->protocol != bpf_htons(ETHER_TYPE_IPV6) || !read(skb, ETHERNET_BYTES, skb->len, &ipv6, sizeof(ipv6)))
		return false;
	*protocol = ipv6.next;
	return bpf_ntohl(ipv6.version_class_flow) >> 28 == 6 && is_loopback_ipv6(&ipv6.source) &&
	       is_loopback_ipv6(&ipv6.destination);
}

/*
 * No verdict, but a match: the filter's action has lo receive what matches, in this very softirq. bpf_redirect() would put it
 * into this CPU's backlog first, where a burst is cut off at net.core.netdev_max_backlog.
 */
SEC("classifier")
int steer_in(struct __sk_buff *skb)
{
	__u8 protocol = 0;

	if (!is_loopback(skb, &protocol)) {
		/* Nobody's: no protocol of this sandbox takes it. */
		bpf_skb_change_type(skb, PACKET_OTHERHOST);
		return NO_MATCH;
	}
	if (protocol == PROTOCOL_UDP)
		note_namesake(skb);
	/* It came by broadcast. */
	bpf_skb_change_type(skb, PACKET_HOST);
	return MATCH;
}

char _license[] SEC("license") = "Dual MIT/GPL";
