/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Goroutines change their states, begin and end. */
#pragma once
#include "requests.h"

INLINE void retire(struct goroutine *known, u64 g)
{
	u64 start = known->start;
	struct ended *sums = map_lookup(&by_start, &start);
	if (!sums) {
		map_update(&by_start, &start, &none_ended, NOEXIST);
		sums = map_lookup(&by_start, &start);
	}
	if (sums) {
		__sync_fetch_and_add(&sums->count, 1);
		__sync_fetch_and_add(&sums->transitions, known->transitions);
		for (u32 i = 0; i < CLASSES; i++)
			if (known->total[i])
				__sync_fetch_and_add(&sums->total[i], known->total[i]);
	} else {
		count(FULL);
	}
	map_delete(&goroutines, &g);
}

INLINE int is_dead(u32 status)
{
	return status == G_DEAD || status == G_DEADEXTRA || status == G_IDLE;
}

/* A goroutine begins: for whom, and who started it. */
INLINE void born(u64 g, u64 here, u32 to, u64 now)
{
	u64 m = word(here + cfg.g_m), creator = m ? word(m + cfg.m_curg) : 0;
	struct goroutine *parent = creator ? map_lookup(&goroutines, &creator) : 0;
	struct goroutine *known;
	struct request *of;
	u64 request = parent ? parent->request : 0;
	if (cfg.scoped && !request)
		return;
	map_delete(&goroutines, &g);
	known = meet(g, to, now);
	if (!known)
		return;
	known->parent = creator ? word(creator + cfg.g_goid) : 0;
	if (!request)
		return;
	/* None is there if that request is over, or there are too many. */
	of = map_lookup(&by_request, &request);
	if (!of)
		return;
	known->request = request;
	__sync_fetch_and_add(&of->children, 1);
}

/* A goroutine is about to change its status. `why` is what it waits for, where the runtime has not written that yet, and what a
 * coroutine waited for that another one lets run; else 0. */
INLINE void changed(u64 g, u64 here, u32 from, u32 to, u8 why)
{
	u64 now = ktime(), since, by = 0, *start;
	u8 reason = to == G_WAITING ? why : 0, class, waited;
	struct goroutine *known;
	if (is_dead(from)) {
		if (!is_dead(to))
			born(g, here, to, now);
		known = is_dead(to) ? 0 : map_lookup(&goroutines, &g);
		if (!known)
			return;
		by = known->parent;
	} else {
		known = map_lookup(&goroutines, &g);
		if (!known) {
			if (cfg.scoped)
				return;
			start = number(START);
			known = meet(g, from, start ? *start : now);
			if (!known)
				return;
		}
		/* A g has no number yet when it is born. */
		if (!known->goid)
			known->goid = word(g + cfg.g_goid);
		if (known->status != from) {
			/* Where system calls have sites of their own, the runtime may call casgstatus for them as well. */
			if (known->status == to)
				return;
			count(CONTRADICTED);
		}
		if (from == G_RUNNING && known->serving)
			keep_pattern(known);
		since = known->since;
		waited = from == G_WAITING && known->status == from;
		/* Nobody woke it: the runtime calls one waiting while the collector, or who stops the world, is at work on its
		 * thread (casGToWaitingForSuspendG). Go's own trace calls that running. */
		if (waited && to == G_RUNNING && !why)
			known->class = RUNNING;
		credit(known, now);
		if (waited && (to == G_RUNNABLE || why)) {
			u8 long_enough = cfg.blocked && now - since >= cfg.threshold;
			if (long_enough || cfg.transitions)
				by = actor(here);
			if (long_enough)
				send_blocked(known, g, since, now, by);
		}
	}
	class = class_of(to, g, &reason);
	known->transitions++;
	if (cfg.transitions) {
		struct transition *event_ = event(sizeof(*event_), TRANSITION, now, g, known->goid);
		if (event_) {
			event_->by = by;
			event_->request = known->request;
			event_->start = known->start;
			event_->from = from;
			event_->to = to;
			event_->pad = 0;
			event_->class = class;
			event_->reason = reason;
			ring_submit(event_, NO_WAKEUP);
		}
	}
	if (is_dead(to)) {
		if (known->request && known->serving)
			send_end(known, g, now, GOROUTINE_EXIT);
		retire(known, g);
		return;
	}
	known->status = to;
	known->class = class;
	known->reason = reason;
}
