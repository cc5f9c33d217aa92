/* The guard on IPv4 and ARP. */
#pragma once

#include "guard_router.h"
#include "guard_verdict.h"

#define DHCP_SERVER_PORT 67

#define ARP_ETHERNET 1
#define ARP_REQUEST 1
#define ARP_REPLY 2

struct arp_packet {
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_bytes;
	__u8 protocol_bytes;
	__be16 operation;
	__u16 sender_mac[3];
	/* Halves, because the addresses are not aligned to their size. */
	__u16 sender_ip[2];
	__u16 target_mac[3];
	__u16 target_ip[2];
};

static __always_inline __be32 joined(const __u16 halves[2])
{
	__be32 whole;

	__builtin_memcpy(&whole, halves, sizeof(whole));
	return whole;
}

static __always_inline enum verdict judge_arp(struct __sk_buff *skb, const struct guard_entry *entry)
{
	struct arp_packet arp;
	__be32 sender;

	if (!read(skb, ETHERNET_BYTES, skb->len, &arp, sizeof(arp)))
		return drop_malformed;
	if (arp.hardware != bpf_htons(ARP_ETHERNET) || arp.protocol != bpf_htons(ETHER_TYPE_IPV4) ||
	    arp.hardware_bytes != 6 || arp.protocol_bytes != 4)
		return drop_arp;
	if (arp.operation != bpf_htons(ARP_REQUEST) && arp.operation != bpf_htons(ARP_REPLY))
		return drop_arp;
	if (!is_own_mac(entry, arp.sender_mac))
		return drop_arp;
	sender = joined(arp.sender_ip);
	/* A probe (RFC 5227) of another's address would keep that other from taking it. */
	if (sender == 0 && arp.operation == bpf_htons(ARP_REQUEST))
		sender = joined(arp.target_ip);
	return is_own_ipv4(entry, sender) ? verdict_pass : drop_arp;
}

static __always_inline enum verdict judge_ipv4(struct __sk_buff *skb, const struct guard_entry *entry)
{
	struct ipv4_header ip;
	struct udp_header udp;
	__u32 header_bytes, end;
	enum verdict verdict;

	if (!read(skb, ETHERNET_BYTES, skb->len, &ip, sizeof(ip)))
		return drop_malformed;
	header_bytes = (ip.version_and_length & 0xf) * 4;
	/* 0: a segmentation-offloaded packet too large for the field. */
	end = ip.total_length == 0 && skb->gso_size ? skb->len : ETHERNET_BYTES + bpf_ntohs(ip.total_length);
	if (ip.version_and_length >> 4 != 4 || header_bytes < sizeof(ip) || end > skb->len ||
	    ETHERNET_BYTES + header_bytes > end)
		return drop_malformed;
	if (!is_own_ipv4(entry, ip.source))
		return drop_source_ipv4;
	verdict = judge_router_ipv4(skb, entry, ip.protocol, ip.fragment, ETHERNET_BYTES + header_bytes, end);
	if (verdict != verdict_pass)
		return verdict;
	/* The ports stand in the first fragment, which is judged itself. */
	if (ip.protocol != PROTOCOL_UDP || ip.fragment & bpf_htons(IPV4_FRAGMENT_OFFSET))
		return verdict_pass;
	if (!read(skb, ETHERNET_BYTES + header_bytes, end, &udp, sizeof(udp)))
		return drop_malformed;
	if (udp.source == bpf_htons(DHCP_SERVER_PORT) && !entry->dhcp_server)
		return drop_dhcp_server;
	return verdict_pass;
}
