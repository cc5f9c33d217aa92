/* The guard on IPv6: the source, and the way through the extension headers to what may not be sent. */
#pragma once

#include "guard_neighbour.h"
#include "guard_verdict.h"

#define HEADER_HOP_BY_HOP 0
#define HEADER_ROUTING 43
#define HEADER_FRAGMENT 44
#define HEADER_AUTHENTICATION 51
#define HEADER_DESTINATION 60
/* RFC 8200 foresees seven at most. */
#define MAX_EXTENSION_HEADERS 8

#define IPV6_FRAGMENT_OFFSET 0xfff8
#define DHCPV6_SERVER_PORT 547

/* The first four bytes of every extension header. */
struct extension_header {
	__u8 next;
	__u8 length;
	__be16 fragment;
};

struct upper_layer {
	__u32 offset;
	__u8 protocol;
	/* There was a fragment header. */
	bool fragment;
	/* It was not of the first fragment: nothing of the upper layer's header is here. */
	bool later_fragment;
};

static __always_inline bool is_extension(__u8 header)
{
	return header == HEADER_HOP_BY_HOP || header == HEADER_ROUTING || header == HEADER_FRAGMENT ||
	       header == HEADER_AUTHENTICATION || header == HEADER_DESTINATION;
}

/* False when the chain is too long, leaves the packet, or holds two fragment headers. */
static __always_inline bool find_upper_layer(struct __sk_buff *skb, __u32 end, struct upper_layer *upper)
{
	struct extension_header header;
	__u32 bytes;

	for (int i = 0; i < MAX_EXTENSION_HEADERS; i++) {
		if (!is_extension(upper->protocol))
			return upper->offset <= end;
		if (!read(skb, upper->offset, end, &header, sizeof(header)))
			return false;
		if (upper->protocol == HEADER_FRAGMENT) {
			if (upper->fragment)
				return false;
			upper->fragment = true;
			upper->later_fragment = header.fragment & bpf_htons(IPV6_FRAGMENT_OFFSET);
			bytes = 8;
		} else if (upper->protocol == HEADER_AUTHENTICATION) {
			bytes = (header.length + 2) * 4;
		} else {
			bytes = (header.length + 1) * 8;
		}
		upper->protocol = header.next;
		upper->offset += bytes;
		if (upper->later_fragment)
			return upper->offset <= end;
	}
	return !is_extension(upper->protocol) && upper->offset <= end;
}

static __always_inline enum verdict judge_upper_layer(struct __sk_buff *skb, const struct guard_entry *entry,
						      const struct upper_layer *upper, __u32 end, bool unspecified)
{
	struct message message = {
		.offset = upper->offset,
		.end = end,
		.fragment = upper->fragment,
		.unspecified = unspecified,
	};
	struct udp_header udp;

	if (upper->later_fragment)
		return unspecified ? drop_source_ipv6 : verdict_pass;
	if (upper->protocol == PROTOCOL_ICMPV6)
		return judge_icmpv6(skb, entry, &message);
	if (unspecified)
		return drop_source_ipv6;
	/* A first fragment must show what it is (RFC 7112); TCP's ports stand where UDP's do. */
	if (upper->protocol != PROTOCOL_UDP && upper->protocol != PROTOCOL_TCP)
		return verdict_pass;
	if (!read(skb, upper->offset, end, &udp, sizeof(udp)))
		return drop_malformed;
	if (upper->protocol == PROTOCOL_UDP && udp.source == bpf_htons(DHCPV6_SERVER_PORT) && !entry->dhcp_server)
		return drop_dhcp_server;
	return verdict_pass;
}

static __always_inline enum verdict judge_ipv6(struct __sk_buff *skb, const struct guard_entry *entry)
{
	struct ipv6_header ip;
	struct upper_layer upper = { .offset = ETHERNET_BYTES + sizeof(ip) };
	__u32 end;
	bool unspecified;

	if (!read(skb, ETHERNET_BYTES, skb->len, &ip, sizeof(ip)))
		return drop_malformed;
	/* 0: a segmentation-offloaded packet too large for the field. */
	end = ip.payload_length == 0 && skb->gso_size ? skb->len : upper.offset + bpf_ntohs(ip.payload_length);
	if (bpf_ntohl(ip.version_class_flow) >> 28 != 6 || end > skb->len)
		return drop_malformed;
	unspecified = is_unspecified(&ip.source);
	if (!unspecified && !is_own_ipv6(entry, &ip.source))
		return drop_source_ipv6;
	upper.protocol = ip.next;
	if (!find_upper_layer(skb, end, &upper))
		return drop_malformed;
	return judge_upper_layer(skb, entry, &upper, end, unspecified);
}
