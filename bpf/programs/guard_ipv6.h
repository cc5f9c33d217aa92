/* The guard on IPv6: the source, and the way through the extension headers to what may not be sent. */
#pragma once

#include "extension_headers.h"
#include "guard_neighbour.h"
#include "guard_router.h"
#include "guard_verdict.h"

#define DHCPV6_SERVER_PORT 547

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

	if (is_routers_protocol(upper->protocol) && !entry->router)
		return drop_router;
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
