// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* Follows the goroutines of one process from probes at a few of the runtime's and of net/http's functions. One program for
 * all sites, which are told apart by their cookie. It reads registers and the target's memory, and nothing of the kernel's;
 * the link that it hangs on runs it for one process only. Several may run at once on one CPU (a probe can be preempted), so
 * nothing is kept by CPU but counts. */
#include "states.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* One hit in so many is timed: two looks at the clock are dear beside what a hit takes. */
enum { SAMPLED = 64, LONGEST_NS = 1 << 16 };

/* A goroutine changes its status; of coroutines two do. */
INLINE void at_state(struct pt_regs *ctx, u32 site)
{
	u64 here = ctx->r14, g = here, next = 0;
	u32 from = G_RUNNING, to = G_WAITING;
	u8 why = 0;
	switch (site) {
	case CAS_STATUS:
		g = ctx->ax;
		from = ctx->bx;
		to = ctx->cx;
		/* Who is stopped for its stack to be scanned waits until somebody wakes it. */
		if (to == (G_SCAN | G_PREEMPTED)) {
			to = G_WAITING;
			why = cfg.preempted;
		}
		break;
	case SYSCALL_ENTER:
		to = G_SYSCALL;
		break;
	case SYSCALL_EXIT:
		from = G_SYSCALL;
		to = G_RUNNING;
		break;
	/* Who waits for its turn is the first that a coro has (runtime/coro.go, Go 1.22 to 1.27). */
	case CORO_SWITCH:
		next = word(ctx->ax);
		why = cfg.coroutine;
		break;
	case CORO_EXIT: /* whose end casgstatus sees */
		g = word(word(ctx->dx + 8));
		from = G_WAITING;
		to = G_RUNNING;
		why = cfg.coroutine;
		break;
	}
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < 2 && g; i++) {
		changed(g, here, from, to, why);
		g = next;
		from = G_WAITING;
		to = G_RUNNING;
		next = 0;
	}
}

/* A request begins or ends. Its headers are read in one place for both, which the verifier then looks at once: what it knows by then
 * of the two is the same, because nothing else is kept from before. */
INLINE void at_request(struct pt_regs *ctx, u32 site)
{
	u64 now = ktime(), g = ctx->r14, object = ctx->di, third = ctx->cx;
	struct wanted wanted = {};
	/* The verifier wants each register read at its own place, and not one of two at a place that depends. */
	asm volatile("" : "+r"(object), "+r"(third));
	switch (site) {
	case HTTP_BEGIN:
	case GRPC_BEGIN:
	case HTTP2_BEGIN:
	case INNER_BEGIN:
		if (site == HTTP2_BEGIN || site == INNER_BEGIN)
			object = third;
		begins(g, object, site == HTTP2_BEGIN ? HTTP_BEGIN : site, now, &wanted);
		break;
	case HTTP_END:
	case HTTP2_END:
		if (cfg.ids_of_slow)
			wanted_at_end(g, now, &wanted);
		break;
	}
	g = ctx->r14;
	if (wanted.map && !cfg.trace_len)
		send_ids(g, now, &wanted);
	site = cookie(ctx) & 0xff;
	switch (site) {
	case HTTP_END:
	case HTTP2_END:
	case GRPC_END:
		ends(g, site, now);
		break;
	}
}

INLINE void hit(struct pt_regs *ctx, u32 site)
{
	u64 *start = number(START);
	/* Probes are set one after the other: until all are there, some of what happens is not seen. */
	if (!start || !*start)
		return;
	if (site < HTTP_BEGIN)
		at_state(ctx, site);
	else
		at_request(ctx, site);
}

SEC("uprobe.multi") int on_hit(struct pt_regs *ctx)
{
	u32 site = cookie(ctx) & 0xff;
	u64 start, took;
	if (site >= SITES)
		return 0; /* set only to learn what it takes to come here */
	start = add(site, 1) % SAMPLED ? 0 : ktime();
	hit(ctx, site);
	if (!start)
		return 0;
	took = ktime() - start;
	site = cookie(ctx) & 0xff;
	/* Else something else ran meanwhile. */
	if (took < LONGEST_NS && site < SITES) {
		count(TIMED + site);
		add(TIMED_NS + site, took);
	}
	return 0;
}
