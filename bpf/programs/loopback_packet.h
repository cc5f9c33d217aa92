/*
 * Reads a packet between loopback addresses, as far as steer and reflector look at it. An error message is read
 * as what it quotes: its ports and addresses are those of the quoted packet.
 */
#pragma once

#include "extension_headers.h"
#include "packet.h"


#define TCP_FLAG_FIN 0x01
#define TCP_FLAG_SYN 0x02
#define TCP_FLAG_RST 0x04
#define TCP_FLAG_ACK 0x10

#define ICMP_UNREACHABLE 3
#define ICMP_TOO_LARGE_CODE 4
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETER_PROBLEM 12
#define ICMPV6_UNREACHABLE 1
#define ICMPV6_PARAMETER_PROBLEM 4
#define ICMP_HEADER_BYTES 8

enum packet_kind {
	packet_syn,
	packet_syn_ack,
	packet_reset,
	packet_segment,
	packet_datagram,
	packet_error,
	packet_later_fragment,
};

enum parsed {
	parsed_whole,
	/* Not IP from a loopback address to a loopback address. */
	parsed_foreign,
	/* Neither TCP nor UDP nor an error message about them. */
	parsed_unsupported,
	parsed_malformed,
};

/* Addresses and ports in network byte order, numbers in the host's. The addresses of IPv6, where there is but one, are 0. */
struct loopback_packet {
	__be32 source;
	__be32 destination;
	__be16 source_port;
	__be16 destination_port;
	__u32 sequence;
	__u32 acknowledged;
	/* Of a FIN: the sequence number behind it. */
	__u32 end;
	__u32 fragment_id;
	/* Where the upper layer's header stands in the frame. */
	__u32 upper_offset;
	__u8 protocol;
	__u8 kind;
	/* Of a RST: its acknowledgement counts. */
	bool has_ack;
	bool fin;
	/* Of an error: it says "unreachable", and not for the packet's size. */
	bool unreachable;
	bool ipv6;
	bool first_fragment;
};

/* Where the upper layer lies. */
struct extent {
	__u32 offset;
	__u32 end;
	__u8 protocol;
	bool later_fragment;
};

static __always_inline bool is_loopback_ipv4(__be32 address)
{
	return (address & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
}

static __always_inline bool is_loopback_ipv6(const struct ipv6_address *address)
{
	return !(address->word[0] | address->word[1] | address->word[2]) && address->word[3] == bpf_htonl(1);
}

/* `quoted` packets may be cut off: their length says nothing. */
static __always_inline enum parsed parse_ipv4(struct __sk_buff *skb, __u32 offset, bool quoted,
					      struct loopback_packet *packet, struct extent *extent)
{
	struct ipv4_header ip;
	__u32 header_bytes;

	if (!read(skb, offset, skb->len, &ip, sizeof(ip)))
		return parsed_malformed;
	header_bytes = (ip.version_and_length & 0xf) * 4;
	extent->offset = offset + header_bytes;
	/* 0: a segmentation-offloaded packet too large for the field. */
	extent->end = quoted || (ip.total_length == 0 && skb->gso_size) ? skb->len
									  : offset + bpf_ntohs(ip.total_length);
	if (ip.version_and_length >> 4 != 4 || header_bytes < sizeof(ip) || extent->end > skb->len ||
	    extent->offset > extent->end)
		return parsed_malformed;
	if (!is_loopback_ipv4(ip.source) || !is_loopback_ipv4(ip.destination))
		return parsed_foreign;
	packet->source = ip.source;
	packet->destination = ip.destination;
	extent->protocol = ip.protocol;
	extent->later_fragment = ip.fragment & bpf_htons(IPV4_FRAGMENT_OFFSET);
	if (!quoted) {
		packet->first_fragment = !extent->later_fragment && ip.fragment & bpf_htons(IPV4_MORE_FRAGMENTS);
		packet->fragment_id = ip.id;
	}
	return parsed_whole;
}

static __always_inline enum parsed parse_ipv6(struct __sk_buff *skb, __u32 offset, bool quoted,
					      struct loopback_packet *packet, struct extent *extent)
{
	struct upper_layer upper = { .offset = offset + sizeof(struct ipv6_header) };
	struct ipv6_header ip;

	if (!read(skb, offset, skb->len, &ip, sizeof(ip)))
		return parsed_malformed;
	extent->end = quoted || (ip.payload_length == 0 && skb->gso_size)
			      ? skb->len
			      : upper.offset + bpf_ntohs(ip.payload_length);
	if (bpf_ntohl(ip.version_class_flow) >> 28 != 6 || extent->end > skb->len)
		return parsed_malformed;
	if (!is_loopback_ipv6(&ip.source) || !is_loopback_ipv6(&ip.destination))
		return parsed_foreign;
	packet->ipv6 = true;
	upper.protocol = ip.next;
	if (!find_upper_layer(skb, extent->end, &upper))
		return parsed_malformed;
	extent->offset = upper.offset;
	extent->protocol = upper.protocol;
	extent->later_fragment = upper.later_fragment;
	if (!quoted) {
		packet->first_fragment = upper.more_fragments && !upper.later_fragment;
		packet->fragment_id = upper.fragment_id;
	}
	return parsed_whole;
}

static __always_inline enum packet_kind tcp_kind(__u8 flags)
{
	if (flags & TCP_FLAG_RST)
		return packet_reset;
	if (flags & TCP_FLAG_SYN)
		return flags & TCP_FLAG_ACK ? packet_syn_ack : packet_syn;
	return packet_segment;
}

/* `bytes`: from the header to the end of the packet. */
static __always_inline void read_flags(const struct tcp_header *tcp, __u32 bytes, struct loopback_packet *packet)
{
	packet->sequence = bpf_ntohl(tcp->sequence);
	packet->acknowledged = bpf_ntohl(tcp->acknowledged);
	packet->has_ack = tcp->flags & TCP_FLAG_ACK;
	packet->kind = tcp_kind(tcp->flags);
	packet->fin = tcp->flags & TCP_FLAG_FIN;
	packet->end = packet->sequence + bytes - (tcp->data_offset >> 4) * 4 + 1;
}

static __always_inline enum parsed parse_tcp(struct __sk_buff *skb, const struct extent *extent,
					     struct loopback_packet *packet)
{
	struct tcp_header tcp;

	if (!read(skb, extent->offset, extent->end, &tcp, sizeof(tcp)))
		return parsed_malformed;
	packet->source_port = tcp.source;
	packet->destination_port = tcp.destination;
	read_flags(&tcp, extent->end - extent->offset, packet);
	return parsed_whole;
}

static __always_inline enum parsed parse_udp(struct __sk_buff *skb, const struct extent *extent,
					     struct loopback_packet *packet)
{
	struct udp_header udp;

	if (!read(skb, extent->offset, extent->end, &udp, sizeof(udp)))
		return parsed_malformed;
	packet->source_port = udp.source;
	packet->destination_port = udp.destination;
	packet->kind = packet_datagram;
	return parsed_whole;
}

static __always_inline enum parsed parse_error(struct __sk_buff *skb, struct extent *extent,
					       struct loopback_packet *packet)
{
	/* Type and code; then ports and sequence number of the quoted packet, which every error quotes. */
	struct { __u8 type, code; } message;
	struct { __be16 source, destination; __be32 sequence; } quoted;
	__u32 offset = extent->offset + ICMP_HEADER_BYTES;
	enum parsed parsed;

	if (!read(skb, extent->offset, extent->end, &message, sizeof(message)))
		return parsed_malformed;
	if (packet->ipv6) {
		if (message.type < ICMPV6_UNREACHABLE || message.type > ICMPV6_PARAMETER_PROBLEM)
			return parsed_unsupported;
		packet->unreachable = message.type == ICMPV6_UNREACHABLE;
		parsed = parse_ipv6(skb, offset, true, packet, extent);
	} else {
		if (message.type != ICMP_UNREACHABLE && message.type != ICMP_TIME_EXCEEDED &&
		    message.type != ICMP_PARAMETER_PROBLEM)
			return parsed_unsupported;
		packet->unreachable = message.type == ICMP_UNREACHABLE && message.code != ICMP_TOO_LARGE_CODE;
		parsed = parse_ipv4(skb, offset, true, packet, extent);
	}
	if (parsed != parsed_whole)
		return parsed;
	if (extent->later_fragment || (extent->protocol != PROTOCOL_TCP && extent->protocol != PROTOCOL_UDP))
		return parsed_unsupported;
	if (!read(skb, extent->offset, extent->end, &quoted, sizeof(quoted)))
		return parsed_malformed;
	packet->source_port = quoted.source;
	packet->destination_port = quoted.destination;
	packet->sequence = extent->protocol == PROTOCOL_TCP ? bpf_ntohl(quoted.sequence) : 0;
	packet->protocol = extent->protocol;
	packet->kind = packet_error;
	return parsed_whole;
}

/*
 * What most packets are: IPv4 without options, whole, with TCP or UDP, and its headers where they can be read in place,
 * which takes a fraction of the time. False: to be read with care; nothing is filled in.
 */
static __always_inline bool parse_plain(struct __sk_buff *skb, struct loopback_packet *packet)
{
	void *start = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ipv4_header *ip = start + ETHERNET_BYTES;
	struct udp_header *udp = (void *)(ip + 1);
	struct tcp_header *tcp = (void *)(ip + 1);
	__u32 bytes;

	if ((void *)(udp + 1) > end || ip->version_and_length != 0x45 ||
	    ip->fragment & bpf_htons(IPV4_FRAGMENT_OFFSET | IPV4_MORE_FRAGMENTS) ||
	    !is_loopback_ipv4(ip->source) || !is_loopback_ipv4(ip->destination))
		return false;
	bytes = bpf_ntohs(ip->total_length);
	if (ETHERNET_BYTES + bytes > skb->len)
		return false;
	if (ip->protocol == PROTOCOL_UDP) {
		if (bytes < sizeof(*ip) + sizeof(*udp))
			return false;
		packet->kind = packet_datagram;
	} else if (ip->protocol == PROTOCOL_TCP) {
		if (bytes < sizeof(*ip) + sizeof(*tcp) || (void *)(tcp + 1) > end)
			return false;
		read_flags(tcp, bytes - sizeof(*ip), packet);
	} else {
		return false;
	}
	packet->source = ip->source;
	packet->destination = ip->destination;
	packet->fragment_id = ip->id;
	packet->upper_offset = ETHERNET_BYTES + sizeof(*ip);
	packet->protocol = ip->protocol;
	packet->source_port = udp->source;
	packet->destination_port = udp->destination;
	return true;
}

/* `packet` must be all zero. Not static: the verifier looks at it once, not once for each way on from here. */
__noinline int parse(struct __sk_buff *skb, __u32 type, struct loopback_packet *packet)
{
	struct extent extent = {};
	enum parsed parsed;

	if (!packet)
		return parsed_malformed;
	if (type == bpf_htons(ETHER_TYPE_IPV4) && parse_plain(skb, packet))
		return parsed_whole;
	if (type == bpf_htons(ETHER_TYPE_IPV4))
		parsed = parse_ipv4(skb, ETHERNET_BYTES, false, packet, &extent);
	else if (type == bpf_htons(ETHER_TYPE_IPV6))
		parsed = parse_ipv6(skb, ETHERNET_BYTES, false, packet, &extent);
	else
		return parsed_foreign;
	if (parsed != parsed_whole)
		return parsed;
	packet->protocol = extent.protocol;
	packet->upper_offset = extent.offset;
	if (extent.later_fragment) {
		packet->kind = packet_later_fragment;
		return parsed_whole;
	}
	if (extent.protocol == PROTOCOL_TCP)
		return parse_tcp(skb, &extent, packet);
	if (extent.protocol == PROTOCOL_UDP)
		return parse_udp(skb, &extent, packet);
	/* The kernel cuts errors down to a size that every link carries. */
	if (extent.protocol == (packet->ipv6 ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP) && !packet->first_fragment)
		return parse_error(skb, &extent, packet);
	return parsed_unsupported;
}
