/* The guard's verdicts, and what an entry allows. */
#pragma once

#include "guard_types.h"
#include "packet.h"

#define GUARD_VERDICT(name) drop_##name,
enum verdict { GUARD_REASONS(GUARD_VERDICT) verdict_pass };
#undef GUARD_VERDICT

_Static_assert(sizeof(struct guard_dropped) == verdict_pass * sizeof(__u64), "one counter for each reason to drop");

static __always_inline bool is_own_mac(const struct guard_entry *entry, const __u16 mac[3])
{
	const __u16 *own = (const __u16 *)entry->mac;

	return own[0] == mac[0] && own[1] == mac[1] && own[2] == mac[2];
}

static __always_inline bool is_own_ipv4(const struct guard_entry *entry, __be32 address)
{
	for (int i = 0; i < GUARD_ADDRESSES; i++) {
		if (i >= entry->ipv4_count)
			return false;
		if (entry->ipv4[i] == address)
			return true;
	}
	return false;
}

static __always_inline bool is_own_ipv6(const struct guard_entry *entry, const struct ipv6_address *address)
{
	__u64 first = (__u64)address->word[1] << 32 | address->word[0];
	__u64 second = (__u64)address->word[3] << 32 | address->word[2];

	for (int i = 0; i < GUARD_IPV6_PLACES; i++) {
		if (i >= entry->ipv6_count)
			return false;
		if (entry->ipv6[i].half[0] == first && entry->ipv6[i].half[1] == second)
			return true;
	}
	return false;
}

static __always_inline bool is_unspecified(const struct ipv6_address *address)
{
	return !(address->word[0] | address->word[1] | address->word[2] | address->word[3]);
}
