// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* Follows the goroutines of one process from probes at a few of the runtime's and of net/http's functions. One program for
 * all sites, which are told apart by their cookie. It reads registers and the target's memory, and nothing of the kernel's;
 * the link that it hangs on runs it for one process only. Several may run at once on one CPU (a probe can be preempted), so
 * nothing is kept by CPU but counts. */
#include "states.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* One hit in so many is timed: two looks at the clock are dear beside what a hit takes. */
enum { SAMPLED = 64, LONGEST_NS = 1 << 16 };

INLINE void hit(struct pt_regs *ctx, u32 site)
{
	u64 g = ctx->r14, *start = number(START);
	/* Probes are set one after the other: until all are there, some of what happens is not seen. */
	if (!start || !*start)
		return;
	switch (site) {
	case CAS_STATUS:
		if (cfg.states)
			changed(ctx->ax, g, ctx->bx, ctx->cx);
		break;
	case SYSCALL_ENTER:
		if (cfg.states)
			changed(g, g, G_RUNNING, G_SYSCALL);
		break;
	case SYSCALL_EXIT:
		if (cfg.states)
			changed(g, g, G_SYSCALL, G_RUNNING);
		break;
	case HTTP_BEGIN:
	case GRPC_BEGIN:
		begins(g, ctx->di, site);
		break;
	case HTTP_END:
	case HTTP2_END:
	case GRPC_END:
		ends(g, site);
		break;
	}
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
	/* Else something else ran meanwhile. */
	if (took < LONGEST_NS) {
		count(TIMED + site);
		add(TIMED_NS + site, took);
	}
	return 0;
}
