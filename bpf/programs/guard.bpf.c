/*
 * The guard: what a NIC's host end lets out of a VM, and how fast in both directions.
 *
 *   guard_sent      ingress: what the pod sends. Everything is dropped but what the link's entry allows.
 *   guard_received  egress: what the pod receives. Only the rate is limited.
 *
 * A link without an entry is closed. The daemon writes or removes the entry before it puts a program on a link, so that the
 * entry of a link that is gone means nothing to a later link that got its index.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include "guard_ipv4.h"
#include "guard_ipv6.h"
#include "guard_rate.h"

#define MAX_LINKS 16384

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_LINKS);
	__type(key, __u32);
	__type(value, struct guard_entry);
} guard_entries SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_LINKS);
	__type(key, __u32);
	__type(value, struct guard_buckets);
} guard_buckets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_LINKS);
	__type(key, __u32);
	__type(value, struct guard_counters);
} guard_counters SEC(".maps");

/* The kernel may give a removed entry's memory to another link's while it is being read. */
static __always_inline bool applies(const struct guard_entry *entry, __u32 link)
{
	return *(const volatile __u32 *)&entry->link == link;
}

static __always_inline enum verdict judge(struct __sk_buff *skb, const struct guard_entry *entry)
{
	struct ethernet_header ethernet;

	if (!read(skb, 0, skb->len, &ethernet, sizeof(ethernet)))
		return drop_malformed;
	if (!is_own_mac(entry, ethernet.source))
		return drop_source_mac;
	/* The kernel has moved an outer tag out of the frame by now. */
	if (skb->vlan_present)
		return drop_ether_type;
	if (ethernet.type == bpf_htons(ETHER_TYPE_IPV4))
		return judge_ipv4(skb, entry);
	if (ethernet.type == bpf_htons(ETHER_TYPE_IPV6))
		return judge_ipv6(skb, entry);
	if (ethernet.type == bpf_htons(ETHER_TYPE_ARP))
		return judge_arp(skb, entry);
	return drop_ether_type;
}

static __always_inline enum verdict judge_sent(struct __sk_buff *skb, __u32 link, __u64 bytes)
{
	struct guard_entry *entry = bpf_map_lookup_elem(&guard_entries, &link);
	struct guard_buckets *buckets;
	enum verdict verdict;

	if (!entry || !applies(entry, link))
		return drop_closed;
	verdict = judge(skb, entry);
	if (verdict == verdict_pass && entry->egress.limited) {
		buckets = bpf_map_lookup_elem(&guard_buckets, &link);
		if (!buckets || !within_rate(&entry->egress, &buckets->egress_due_ns, bytes))
			verdict = drop_egress_rate;
	}
	return applies(entry, link) ? verdict : drop_closed;
}

static __always_inline void count_dropped(struct guard_counters *counters, enum verdict verdict)
{
	__u64 *dropped = (__u64 *)&counters->dropped;
	__u32 place = verdict;

	if (place < verdict_pass)
		dropped[place]++;
}

SEC("classifier")
int guard_sent(struct __sk_buff *skb)
{
	__u32 link = skb->ifindex;
	__u64 bytes = wire_bytes(skb);
	enum verdict verdict = judge_sent(skb, link, bytes);
	struct guard_counters *counters = bpf_map_lookup_elem(&guard_counters, &link);

	if (counters && verdict == verdict_pass) {
		counters->passed++;
		counters->passed_bytes += bytes;
	} else if (counters) {
		count_dropped(counters, verdict);
	}
	/* Not OK: a filter of the operator's behind this one shall still be asked. */
	return verdict == verdict_pass ? TC_ACT_UNSPEC : TC_ACT_SHOT;
}

SEC("classifier")
int guard_received(struct __sk_buff *skb)
{
	__u32 link = skb->ifindex;
	struct guard_entry *entry = bpf_map_lookup_elem(&guard_entries, &link);
	struct guard_buckets *buckets;
	struct guard_counters *counters;

	if (!entry || !applies(entry, link) || !entry->ingress.limited)
		return TC_ACT_UNSPEC;
	buckets = bpf_map_lookup_elem(&guard_buckets, &link);
	if (buckets && within_rate(&entry->ingress, &buckets->ingress_due_ns, wire_bytes(skb)))
		return TC_ACT_UNSPEC;
	counters = bpf_map_lookup_elem(&guard_counters, &link);
	if (counters)
		count_dropped(counters, drop_ingress_rate);
	return TC_ACT_SHOT;
}

char _license[] SEC("license") = "Dual MIT/GPL";
