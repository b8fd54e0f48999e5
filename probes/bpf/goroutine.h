/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What is known of one goroutine, and how its time is counted. */
#pragma once
#include "memory.h"

/* The goroutine that acts: the one whose thread this is, if it is at work for one. */
INLINE u64 actor(u64 g)
{
	u64 m = word(g + cfg.g_m);
	u64 current = m ? word(m + cfg.m_curg) : 0;
	return current ? word(current + cfg.g_goid) : 0;
}

/* The class of a status, and for what it waits if `reason` does not say. */
INLINE u8 class_of(u32 status, u64 g, u8 *reason)
{
	u8 why = *reason;
	switch (status) {
	case G_RUNNING:
	case G_COPYSTACK: /* at work on its own stack */
		return RUNNING;
	case G_RUNNABLE:
		return RUNNABLE;
	case G_SYSCALL:
		return SYSCALL;
	case G_WAITING:
		if (!why)
			read(&why, 1, g + cfg.g_reason);
		*reason = why;
		return cfg.class[why] & (CLASSES - 1);
	}
	return OTHER;
}

INLINE void add_to_children(u64 request, u8 class, u64 time)
{
	struct request *known = map_lookup(&by_request, &request);
	if (known)
		__sync_fetch_and_add(&known->total[class & (CLASSES - 1)], time);
}

/* Credits the time since the last transition. */
INLINE u64 credit(struct goroutine *known, u64 now)
{
	u64 time = now > known->since ? now - known->since : 0;
	known->total[known->class & (CLASSES - 1)] += time;
	if (known->request && !known->serving)
		add_to_children(known->request, known->class, time);
	known->since = now;
	return time;
}

INLINE struct goroutine *meet(u64 g, u32 status, u64 since)
{
	struct goroutine *known;
	u8 reason = 0;
	if (map_update(&goroutines, &g, &no_goroutine, NOEXIST)) {
		count(FULL);
		return 0;
	}
	known = map_lookup(&goroutines, &g);
	if (!known)
		return 0;
	known->since = since;
	known->status = status;
	known->class = class_of(status, g, &reason);
	known->reason = reason;
	known->start = word(g + cfg.g_start);
	return known;
}

INLINE void send_blocked(struct goroutine *known, u64 g, u64 since, u64 now, u64 by)
{
	u64 lo = word(g + cfg.g_lo), hi = word(g + cfg.g_hi), bp = word(g + cfg.g_bp);
	u64 frame[2];
	u32 n = 1;
	struct blocked *event_ = event(sizeof(*event_), BLOCKED, now, g, known->goid);
	if (!event_)
		return;
	event_->since = since;
	event_->by = by;
	event_->request = known->request;
	event_->reason = known->reason;
	event_->class = known->class;
	event_->pad = 0;
	event_->stack[0] = word(g + cfg.g_pc);
	for (u32 i = 1; i < FRAMES; i++) {
		if (bp < lo || hi < 16 || bp > hi - 16 || read_user(frame, 16, (void *)bp) || !frame[1])
			break;
		event_->stack[i] = frame[1];
		n = i + 1;
		if (frame[0] <= bp)
			break;
		bp = frame[0];
	}
	event_->frames = n;
	ring_submit(event_, NO_WAKEUP);
}
