/* The way through the extension headers of IPv6 to the upper layer. */
#pragma once

#include "packet.h"

#define HEADER_HOP_BY_HOP 0
#define HEADER_ROUTING 43
#define HEADER_FRAGMENT 44
#define HEADER_AUTHENTICATION 51
#define HEADER_DESTINATION 60
/* RFC 8200 foresees seven at most. */
#define MAX_EXTENSION_HEADERS 8

#define IPV6_FRAGMENT_OFFSET 0xfff8
#define IPV6_MORE_FRAGMENTS 0x0001

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
	bool more_fragments;
	__be32 fragment_id;
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
			upper->more_fragments = header.fragment & bpf_htons(IPV6_MORE_FRAGMENTS);
			if (!read(skb, upper->offset + sizeof(header), end, &upper->fragment_id, sizeof(upper->fragment_id)))
				return false;
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
