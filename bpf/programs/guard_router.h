/*
 * What only a router says. A bridge that snoops on multicast (the operator's own, or a switch behind the uplink) believes
 * every query and hello: it takes the sender for the multicast router, and no more brings the others what they have not
 * asked for in time, neighbour discovery first of all.
 */
#pragma once

#include "guard_verdict.h"

#define ICMP_REDIRECT 5
#define ICMP_ROUTER_ADVERTISEMENT 9

#define IGMP_V1_REPORT 0x12
#define IGMP_V2_REPORT 0x16
#define IGMP_LEAVE 0x17
#define IGMP_V3_REPORT 0x22

#define MLD_QUERY 130
#define ROUTER_RENUMBERING 138
/* Multicast router discovery (RFC 4286): advertisement, solicitation, termination. In IPv4 they are types of IGMP. */
#define MRD_ADVERTISEMENT 151
#define MRD_TERMINATION 153

/* PIM's hellos, and a virtual router's that takes the real one's place. */
static __always_inline bool is_routers_protocol(__u8 protocol)
{
	return protocol == PROTOCOL_PIM || protocol == PROTOCOL_VRRP;
}

static __always_inline bool is_routers_icmpv6(__u8 type)
{
	return type == MLD_QUERY || type == ROUTER_RENUMBERING ||
	       (type >= MRD_ADVERTISEMENT && type <= MRD_TERMINATION);
}

/* Of IGMP, a host has reports and leaves to send, and nothing else: what is not known here is a router's too. */
static __always_inline bool is_hosts_igmp(__u8 type)
{
	return type == IGMP_V1_REPORT || type == IGMP_V2_REPORT || type == IGMP_LEAVE || type == IGMP_V3_REPORT;
}

/* `fragment` is the header's field. Of a fragment a bridge reads what a guard cannot know: no host has reason to send it. */
static __always_inline enum verdict judge_router_ipv4(struct __sk_buff *skb, const struct guard_entry *entry, __u8 protocol,
						      __be16 fragment, __u32 offset, __u32 end)
{
	bool later = fragment & bpf_htons(IPV4_FRAGMENT_OFFSET);
	__u8 type;

	if (entry->router)
		return verdict_pass;
	if (is_routers_protocol(protocol))
		return drop_router;
	if (protocol == PROTOCOL_IGMP && fragment & bpf_htons(IPV4_FRAGMENT_OFFSET | IPV4_MORE_FRAGMENTS))
		return drop_router;
	if (protocol != PROTOCOL_IGMP && (protocol != PROTOCOL_ICMP || later))
		return verdict_pass;
	if (!read(skb, offset, end, &type, sizeof(type)))
		return drop_malformed;
	if (protocol == PROTOCOL_IGMP)
		return is_hosts_igmp(type) ? verdict_pass : drop_router;
	return type == ICMP_REDIRECT || type == ICMP_ROUTER_ADVERTISEMENT ? drop_router : verdict_pass;
}
