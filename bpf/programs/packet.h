/* Headers as they stand in a frame, and how to read them. Nothing here assumes a linear skb. */
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define ETHER_TYPE_IPV4 0x0800
#define ETHER_TYPE_ARP 0x0806
#define ETHER_TYPE_IPV6 0x86dd

#define IPV4_FRAGMENT_OFFSET 0x1fff
#define IPV4_MORE_FRAGMENTS 0x2000

#define PROTOCOL_ICMP 1
#define PROTOCOL_IGMP 2
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define PROTOCOL_ICMPV6 58
#define PROTOCOL_PIM 103
#define PROTOCOL_VRRP 112

/* 16-bit words: comparable without a call, and aligned wherever the compiler puts them. */
struct ethernet_header {
	__u16 destination[3];
	__u16 source[3];
	__be16 type;
};

struct ipv4_header {
	__u8 version_and_length;
	__u8 service;
	__be16 total_length;
	__be16 id;
	__be16 fragment;
	__u8 ttl;
	__u8 protocol;
	__be16 checksum;
	__be32 source;
	__be32 destination;
};

struct ipv6_address {
	__u32 word[4];
};

struct ipv6_header {
	__be32 version_class_flow;
	__be16 payload_length;
	__u8 next;
	__u8 hop_limit;
	struct ipv6_address source;
	struct ipv6_address destination;
};

struct tcp_header {
	__be16 source;
	__be16 destination;
	__be32 sequence;
	__be32 acknowledged;
	__u8 data_offset;
	__u8 flags;
	__be16 window;
	__be16 checksum;
	__be16 urgent;
};

struct udp_header {
	__be16 source;
	__be16 destination;
	__be16 length;
	__be16 checksum;
};

#define ETHERNET_BYTES ((__u32)sizeof(struct ethernet_header))

/* Reads `size` bytes that must lie before `end`, which is where the packet ends, not the frame with its padding. */
static __always_inline bool read(struct __sk_buff *skb, __u32 offset, __u32 end, void *to, __u32 size)
{
	return offset + size <= end && bpf_skb_load_bytes(skb, offset, to, size) == 0;
}

/*
 * Bytes without preamble and checksum, after segmentation. The segments are counted here, because those of a frame
 * from a TAP are not counted by the kernel yet (SKB_GSO_DODGY).
 */
static __always_inline __u64 wire_bytes(struct __sk_buff *skb)
{
	__u32 headers = skb->protocol == bpf_htons(ETHER_TYPE_IPV6) ? 74 : 54;
	__u32 segment = skb->gso_size;
	__u32 bytes = skb->len;

	if (segment == 0 || bytes <= headers + segment)
		return bytes;
	return bytes + (__u64)((bytes - headers - 1) / segment) * headers;
}
