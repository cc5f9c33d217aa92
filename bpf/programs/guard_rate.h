/*
 * Token buckets without a lock. A bucket is the time at which it will be full again ("due"); a frame moves that time
 * on by what its bytes cost, and is refused when it would then lie further off than a whole bucket.
 */
#pragma once

#include "guard_types.h"
#include "packet.h"

/* Rivals for one bucket are the NIC's queues. */
#define MAX_ATTEMPTS 8
/* Keeps bytes * cost_mult below 2^63, for the daemon keeps cost_mult below 2^40. */
#define MAX_CHARGED_BYTES (1 << 22)

static __always_inline bool within_rate(const struct guard_rate *rate, __u64 *due_ns, __u64 bytes)
{
	__u64 now = bpf_ktime_get_ns();
	__u64 cost, needed, seen, start;

	if (bytes > MAX_CHARGED_BYTES)
		bytes = MAX_CHARGED_BYTES;
	cost = (bytes * rate->cost_mult) >> (rate->cost_shift & 63);
	/* A frame larger than the bucket goes when the bucket is full, and leaves a debt; else it could never go. */
	needed = cost < rate->burst_ns ? cost : rate->burst_ns;
	for (int i = 0; i < MAX_ATTEMPTS; i++) {
		seen = *(volatile __u64 *)due_ns;
		start = seen > now ? seen : now;
		if (start - now + needed > rate->burst_ns)
			return false;
		if (__sync_val_compare_and_swap(due_ns, seen, start + cost) == seen)
			return true;
	}
	/* Charged all the same; at most as many frames as there are CPUs go out early. */
	__sync_fetch_and_add(due_ns, cost);
	return true;
}
