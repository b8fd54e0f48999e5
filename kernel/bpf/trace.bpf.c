// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* Follows the goroutines of one process from probes at a few of the runtime's and of net/http's functions. One program for
 * all sites, which are told apart by their cookie. It reads registers and the target's memory, and nothing of the kernel's;
 * the link that it hangs on runs it for one process only. Several may run at once on one CPU (a probe can be preempted), so
 * nothing is kept by CPU but counts. */
#include "trace.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

const volatile struct config cfg SEC(".rodata") = {};
const struct goroutine no_goroutine SEC(".rodata") = {};
const struct ended none_ended SEC(".rodata") = {};
const struct children no_children SEC(".rodata") = {};

struct map ring SEC("maps") = {MAP_RINGBUF, 0, 0, 1 << 24, 0};
struct map goroutines SEC("maps") = {MAP_HASH, 8, sizeof(struct goroutine), 1 << 17, NO_PREALLOC};
struct map by_start SEC("maps") = {MAP_HASH, 8, sizeof(struct ended), 1 << 12, NO_PREALLOC};
struct map by_request SEC("maps") = {MAP_HASH, 8, sizeof(struct children), 1 << 16, NO_PREALLOC};
struct map counts SEC("maps") = {MAP_PERCPU_ARRAY, 4, 8, COUNTS, 0};
/* The number of the last request; when tracing began, by CLOCK_MONOTONIC. */
struct map numbers SEC("maps") = {MAP_ARRAY, 4, 8, 2, 0};
struct map dfa SEC("maps") = {MAP_ARRAY, 4, 2 * DFA_CELLS, 1, 0};

INLINE void count(u32 what)
{
	u64 *n = map_lookup(&counts, &what);
	if (n)
		__sync_fetch_and_add(n, 1);
}

INLINE u64 word(u64 address)
{
	u64 value = 0;
	if (read_user(&value, 8, (void *)address))
		count(UNREADABLE);
	return value;
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

/* The goroutine that acts: the one whose thread this is, if it is at work for one. */
INLINE u64 actor(u64 g)
{
	u64 m = word(g + cfg.g_m);
	u64 current = m ? word(m + cfg.m_curg) : 0;
	return current ? word(current + cfg.g_goid) : 0;
}

INLINE u8 class_of(u32 status, u64 g, u8 *reason)
{
	u8 why = 0;
	switch (status) {
	case G_RUNNING:
	case G_COPYSTACK: /* at work on its own stack */
		return RUNNING;
	case G_RUNNABLE:
		return RUNNABLE;
	case G_SYSCALL:
		return SYSCALL;
	case G_WAITING:
		read_user(&why, 1, (void *)(g + cfg.g_reason));
		*reason = why;
		return cfg.class[why] & (CLASSES - 1);
	}
	return OTHER;
}

INLINE void add_to_children(u64 request, u8 class, u64 time)
{
	struct children *sums = map_lookup(&by_request, &request);
	if (sums)
		__sync_fetch_and_add(&sums->total[class & (CLASSES - 1)], time);
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

INLINE void send_end(struct goroutine *known, u64 g, u64 now, u32 how)
{
	u64 pattern[2] = {}, request = known->request;
	struct children *sums;
	struct end *end = event(sizeof(*end), END, now, g, known->goid);
	if (end) {
		end->request = request;
		end->begin = known->begin;
		end->transitions = known->transitions - known->transitions_before;
		end->how = how;
		end->route_len = 0;
		if (known->site == HTTP_BEGIN && cfg.req_pattern != ABSENT &&
		    !read_user(pattern, 16, (void *)(known->serving + cfg.req_pattern)) && pattern[0] && pattern[1]) {
			u64 len = pattern[1];
			if (len > ROUTE)
				len = ROUTE;
			if (!read_user(end->route, len, (void *)pattern[0]))
				end->route_len = len;
		}
		sums = map_lookup(&by_request, &request);
		end->started = sums ? sums->count : 0;
		for (u32 i = 0; i < CLASSES; i++) {
			end->own[i] = known->total[i] - known->before[i];
			end->children[i] = sums ? sums->total[i] : 0;
		}
		ring_submit(end, NO_WAKEUP);
	}
	map_delete(&by_request, &request);
	known->request = 0;
	known->serving = 0;
}

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
	struct children *sums;
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
	sums = map_lookup(&by_request, &request);
	if (!sums)
		return;
	known->request = request;
	__sync_fetch_and_add(&sums->count, 1);
}

INLINE void changed(u64 g, u64 here, u32 from, u32 to)
{
	u64 now = ktime(), since, by = 0, *start;
	u32 one = 1;
	u8 reason = 0, waited;
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
			start = map_lookup(&numbers, &one);
			known = meet(g, from, start && *start ? *start : now);
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
		since = known->since;
		waited = from == G_WAITING && known->status == from;
		credit(known, now);
		if (waited && to == G_RUNNABLE) {
			u8 long_enough = cfg.blocked && now - since >= cfg.threshold;
			if (long_enough || cfg.transitions)
				by = actor(here);
			if (long_enough)
				send_blocked(known, g, since, now, by);
		}
	}
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
			event_->class = class_of(to, g, &reason);
			event_->reason = reason;
			ring_submit(event_, NO_WAKEUP);
		}
	}
	if (is_dead(to)) {
		if (known->request && known->serving)
			send_end(known, g, now, EXITED);
		retire(known, g);
		return;
	}
	known->status = to;
	known->class = class_of(to, g, &reason);
	known->reason = reason;
}

struct text {
	u64 at, len;
};

/* Reads a string into `to`, and gives how long it is there. */
INLINE u64 copy(void *to, u64 most, struct text from)
{
	u64 len = from.len;
	if (len > most)
		len = most;
	if (!len || !from.at || read_user(to, len, (void *)from.at))
		return 0;
	return len;
}

/* Where the groups of a header map are, and how many. */
struct groups {
	u64 at;
	u32 count, size;
};

INLINE struct groups groups_of(u64 map)
{
	struct groups groups = {};
	u64 len, table;
	u8 b = 0;
	if (cfg.maps == MAPS_BUCKETS) {
		read_user(&b, 1, (void *)(map + cfg.buckets_b));
		groups.at = word(map + cfg.buckets_at);
		groups.size = cfg.bucket_size;
		groups.count = b > 3 ? 16 : 1 << b;
	} else if (cfg.maps == MAPS_TABLES) {
		groups.at = word(map + cfg.dir_ptr);
		groups.size = 8 + 8 * 40;
		groups.count = 1;
		len = word(map + cfg.dir_len);
		if (len) {
			table = word(groups.at);
			groups.at = word(table + cfg.table_groups);
			groups.count = len > 1 ? 16 : word(table + cfg.table_mask) + 1;
		}
	}
	return groups;
}

/* Copies the values of the headers that say which request this is. */
INLINE void headers(struct begin *begin, u64 map)
{
	struct groups groups = groups_of(map);
	u64 controls = 0;
	if (groups.count > 8) {
		count(HEADERS_UNREAD);
		return;
	}
	for (u32 i = 0; i < 64; i++) {
		u64 group = groups.at + (u64)(i / 8) * groups.size, slot = i % 8, text[2] = {};
		struct text key, value;
		u64 key_at, value_at, found;
		u8 control, wanted = 0;
		if (i / 8 >= groups.count)
			return;
		if (slot == 0 && read_user(&controls, 8, (void *)group))
			return;
		control = controls >> (8 * slot);
		if (cfg.maps == MAPS_BUCKETS) {
			if (control < cfg.tophash_least)
				continue;
			key_at = group + 8 + slot * 16;
			value_at = group + cfg.bucket_values + slot * 24;
		} else {
			if (control & 0x80)
				continue;
			key_at = group + 8 + slot * 40;
			value_at = key_at + 16;
		}
		if (read_user(&key, 16, (void *)key_at))
			continue;
		/* Most names are told by their length. */
		for (u32 k = 0; k < HEADERS; k++)
			wanted |= key.len == cfg.names[k].len;
		if (!wanted || !copy(text, 16, key))
			continue;
		for (u32 k = 0; k < HEADERS; k++) {
			if (key.len != cfg.names[k].len || text[0] != cfg.names[k].text[0] || text[1] != cfg.names[k].text[1])
				continue;
			/* A slice of strings, of which the first counts. */
			found = word(value_at);
			if (found && !read_user(&value, 16, (void *)found))
				begin->value_len[k] = copy(begin->value[k], VALUE, value);
		}
	}
}

/* Whether "METHOD path" is in the language that the user asked for. */
INLINE int matches(struct begin *begin)
{
	u32 zero = 0, state = cfg.dfa_start, cell;
	u16 *table;
	if (!cfg.dfa_states)
		return 1;
	table = map_lookup(&dfa, &zero);
	if (!table)
		return 0;
	for (u32 i = 0; i < METHOD + 1 + PATH; i++) {
		u8 byte;
		if (i < METHOD) {
			if (i >= begin->method_len)
				continue;
			byte = begin->method[i & (METHOD - 1)];
		} else if (i == METHOD) {
			byte = ' ';
		} else {
			u32 at = i - METHOD - 1;
			if (at >= begin->path_len || at >= PATH)
				break;
			byte = begin->path[at];
		}
		cell = state * cfg.dfa_classes + cfg.dfa_class[byte];
		if (cell >= DFA_CELLS)
			return 0;
		state = table[cell];
	}
	/* The last class is the end of the text. */
	cell = state * cfg.dfa_classes + cfg.dfa_classes - 1;
	return cell < DFA_CELLS && table[cell] == 1;
}

/* Whether one of the headers names the trace that was asked for. */
INLINE int is_of_trace(struct begin *begin)
{
	if (!cfg.trace_len)
		return 1;
	for (u32 k = 0; k < HEADERS; k++) {
		/* traceparent has its version in front; the request's own id is none of a trace. */
		u32 skip = k == 0 ? 3 : 0, same = 1;
		if (k == 5 || begin->value_len[k] < skip + cfg.trace_len)
			continue;
		for (u32 i = 0; i < 32; i++)
			if (i < cfg.trace_len && begin->value[k][skip + i] != cfg.trace[i])
				same = 0;
		if (same)
			return 1;
	}
	return 0;
}

INLINE void begins(u64 g, u64 object, u32 site)
{
	u64 now = ktime(), url, goid, map, request;
	u32 zero = 0;
	struct goroutine *known = map_lookup(&goroutines, &g);
	struct text text = {};
	struct begin *begin;
	u64 *next;
	if (known && known->request && known->serving == object) {
		count(REPEATED); /* its stack grew, and the function begins once more */
		return;
	}
	if (known && cfg.states)
		credit(known, now);
	if (known && known->request && known->serving)
		send_end(known, g, now, NEXT_REQUEST);
	goid = word(g + cfg.g_goid);
	begin = event(sizeof(*begin), BEGIN, now, g, goid);
	if (!begin)
		return;
	begin->site = site;
	begin->method_len = begin->path_len = 0;
	begin->started = 0;
	for (u32 k = 0; k < HEADERS; k++)
		begin->value_len[k] = 0;
	if (site == HTTP_BEGIN) {
		if (!read_user(&text, 16, (void *)(object + cfg.req_method)))
			begin->method_len = copy(begin->method, METHOD, text);
		url = word(object + cfg.req_url);
		if (url && !read_user(&text, 16, (void *)(url + cfg.url_path)))
			begin->path_len = copy(begin->path, PATH, text);
		map = word(object + cfg.req_header);
		if (map)
			headers(begin, map);
	} else {
		begin->method[0] = 'P';
		begin->method[1] = 'O';
		begin->method[2] = 'S';
		begin->method[3] = 'T';
		begin->method_len = 4;
		/* Where a stream has its method depends on the version: it is the first text that begins with a slash. */
		for (u32 i = 0; i < 24; i++) {
			char slash = 0;
			if (read_user(&text, 16, (void *)(object + 8 * i)))
				break;
			if (text.len < 3 || text.len > 512 || text.at < 4096 || read_user(&slash, 1, (void *)text.at) || slash != '/')
				continue;
			begin->path_len = copy(begin->path, PATH, text);
			break;
		}
	}
	if (!matches(begin) || !is_of_trace(begin)) {
		count(FILTERED);
		ring_discard(begin, NO_WAKEUP);
		return;
	}
	next = map_lookup(&numbers, &zero);
	if (!known)
		known = meet(g, G_RUNNING, now);
	if (!next || !known) {
		ring_discard(begin, NO_WAKEUP);
		return;
	}
	known->goid = goid;
	known->request = begin->request = __sync_fetch_and_add(next, 1) + 1;
	known->serving = object;
	request = known->request;
	if (cfg.states && map_update(&by_request, &request, &no_children, ANY))
		count(FULL);
	known->begin = now;
	known->site = site;
	known->transitions_before = known->transitions;
	for (u32 i = 0; i < CLASSES; i++)
		known->before[i] = known->total[i];
	ring_submit(begin, NO_WAKEUP);
}

INLINE void ends(u64 g, u32 site)
{
	u64 now = ktime();
	struct goroutine *known = map_lookup(&goroutines, &g);
	if (!known || !known->request || !known->serving)
		return;
	/* gRPC through net/http is a request of HTTP/2 as well: each kind ends its own. */
	if ((site == GRPC_END) != (known->site == GRPC_BEGIN))
		return;
	if (cfg.states)
		credit(known, now);
	send_end(known, g, now, MARKED);
	if (cfg.scoped || !cfg.states)
		map_delete(&goroutines, &g);
}

SEC("uprobe.multi") int on_hit(struct pt_regs *ctx)
{
	u32 site = cookie(ctx) & 0xff;
	u64 g = ctx->r14;
	count(site);
	switch (site) {
	case CAS_STATUS:
		changed(ctx->ax, g, ctx->bx, ctx->cx);
		break;
	case SYSCALL_ENTER:
		changed(g, g, G_RUNNING, G_SYSCALL);
		break;
	case SYSCALL_EXIT:
		changed(g, g, G_SYSCALL, G_RUNNING);
		break;
	case HTTP_BEGIN:
		begins(g, ctx->di, site);
		break;
	case GRPC_BEGIN:
		begins(g, ctx->di, site);
		break;
	case HTTP_END:
	case HTTP2_END:
	case GRPC_END:
		ends(g, site);
		break;
	}
	return 0;
}
