/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The configuration, the maps, what is counted, and reading the target's memory. */
#pragma once
#include "shared.h"

const volatile struct config cfg SEC(".rodata") = {};
const struct goroutine no_goroutine SEC(".rodata") = {};
const struct ended none_ended SEC(".rodata") = {};
const struct request no_request SEC(".rodata") = {};

struct map_spec ring SEC("maps") = {MAP_RINGBUF, 0, 0, 1 << 24, 0};
struct map_spec goroutines SEC("maps") = {MAP_HASH, 8, sizeof(struct goroutine), 1 << 17, NO_PREALLOC};
struct map_spec by_start SEC("maps") = {MAP_HASH, 8, sizeof(struct ended), 1 << 12, NO_PREALLOC};
struct map_spec by_request SEC("maps") = {MAP_HASH, 8, sizeof(struct request), 1 << 16, NO_PREALLOC};
struct map_spec counts SEC("maps") = {MAP_PERCPU_ARRAY, 4, 8, COUNTS, 0};
struct map_spec numbers SEC("maps") = {MAP_ARRAY, 4, 8, NUMBERS, 0};
struct map_spec dfa SEC("maps") = {MAP_ARRAY, 4, 2 * DFA_CELLS, 1, 0};

/* Gives what the count was before. */
INLINE u64 add(u32 what, u64 more)
{
	u64 *n = map_lookup(&counts, &what);
	return n ? __sync_fetch_and_add(n, more) : 1;
}

INLINE void count(u32 what)
{
	add(what, 1);
}

INLINE u64 *number(u32 which)
{
	return map_lookup(&numbers, &which);
}

/* Reads the target's memory, and gives whether that failed: a probe cannot wait for a page that is not there. */
INLINE int read(void *to, u32 size, u64 address)
{
	if (!read_user(to, size, (void *)address))
		return 0;
	count(UNREADABLE);
	return 1;
}

INLINE u64 word(u64 address)
{
	u64 value = 0;
	read(&value, 8, address);
	return value;
}

/* A word of a block that was read. */
INLINE u64 field(u64 *block, u32 at)
{
	return *(u64 *)((u8 *)block + at);
}

/* A string of Go's. */
struct text {
	u64 at, len;
};

/* Reads a string into `to`, and gives how long it is there: nothing of one that cannot be read, as one at 0. */
INLINE u64 copy(void *to, u64 most, struct text from)
{
	u64 len = from.len < most ? from.len : most;
	return read(to, len, from.at) ? 0 : len;
}

INLINE void *event(u64 size, u32 kind, u64 now, u64 g, u64 goid)
{
	struct head *head = ring_reserve(&ring, size, 0);
	if (!head) {
		count(LOST);
		return 0;
	}
	head->kind = kind;
	head->tid = pid_tgid();
	head->time = now;
	head->g = g;
	head->goid = goid;
	return head;
}
