/* The guard on ICMPv6: neighbour discovery (RFC 4861), duplicate address detection (RFC 4862), MLD (RFC 3810). */
#pragma once

#include "guard_router.h"
#include "guard_verdict.h"

#define MLD_REPORT 131
#define ROUTER_SOLICITATION 133
#define ROUTER_ADVERTISEMENT 134
#define NEIGHBOUR_SOLICITATION 135
#define NEIGHBOUR_ADVERTISEMENT 136
#define REDIRECT 137
#define MLD2_REPORT 143

#define OPTION_SOURCE_LINK_LAYER 1
#define OPTION_TARGET_LINK_LAYER 2
/* The kernel's own messages have at most five. */
#define MAX_OPTIONS 8

struct icmpv6_header {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be32 body;
};

struct link_layer_option {
	__u8 type;
	/* In units of 8 bytes. */
	__u8 length;
	__u16 mac[3];
};

/* Where an ICMPv6 message stands, and what its packet says of it. */
struct message {
	__u32 offset;
	__u32 end;
	/* There was a fragment header. */
	bool fragment;
	/* Sent from `::`. */
	bool unspecified;
};

/* Both link-layer options must name the NIC; from `::` there is none (RFC 4861, section 4.3). */
static __always_inline enum verdict judge_options(struct __sk_buff *skb, const struct guard_entry *entry,
						  const struct message *message, __u32 offset)
{
	struct link_layer_option option;

	for (int i = 0; i < MAX_OPTIONS; i++) {
		if (offset == message->end)
			return verdict_pass;
		if (!read(skb, offset, message->end, &option, sizeof(option)) || option.length == 0)
			return drop_malformed;
		if (option.type == OPTION_SOURCE_LINK_LAYER || option.type == OPTION_TARGET_LINK_LAYER) {
			if (message->unspecified || option.length != 1 || !is_own_mac(entry, option.mac))
				return drop_neighbour;
		}
		offset += option.length * 8;
	}
	return offset == message->end ? verdict_pass : drop_malformed;
}

static __always_inline enum verdict judge_discovery(struct __sk_buff *skb, const struct guard_entry *entry,
						    const struct message *message, __u8 type)
{
	struct ipv6_address target;
	__u32 options = message->offset + sizeof(struct icmpv6_header);

	if ((type == ROUTER_ADVERTISEMENT || type == REDIRECT) && !entry->router)
		return drop_router;
	/* No receiver may believe a fragmented one (RFC 6980), and no guard can judge it. */
	if (message->fragment)
		return drop_neighbour;
	if (message->unspecified && type != NEIGHBOUR_SOLICITATION)
		return drop_source_ipv6;
	/* What it names is another's address by its nature. */
	if (type == REDIRECT)
		return verdict_pass;
	if (type == ROUTER_ADVERTISEMENT)
		options += 8;
	if (type == NEIGHBOUR_SOLICITATION || type == NEIGHBOUR_ADVERTISEMENT) {
		if (!read(skb, options, message->end, &target, sizeof(target)))
			return drop_malformed;
		if ((message->unspecified || type == NEIGHBOUR_ADVERTISEMENT) && !is_own_ipv6(entry, &target))
			return drop_neighbour;
		options += sizeof(target);
	}
	return judge_options(skb, entry, message, options);
}

static __always_inline enum verdict judge_icmpv6(struct __sk_buff *skb, const struct guard_entry *entry,
						 const struct message *message)
{
	struct icmpv6_header icmp;

	if (!read(skb, message->offset, message->end, &icmp, sizeof(icmp)))
		return drop_malformed;
	if (icmp.type >= ROUTER_SOLICITATION && icmp.type <= REDIRECT)
		return judge_discovery(skb, entry, message, icmp.type);
	if (is_routers_icmpv6(icmp.type) && !entry->router)
		return drop_router;
	if (!message->unspecified)
		return verdict_pass;
	if ((icmp.type == MLD_REPORT || icmp.type == MLD2_REPORT) && !message->fragment)
		return verdict_pass;
	return drop_source_ipv6;
}
