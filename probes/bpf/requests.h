/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Requests begin and end. */
#pragma once
#include "filter.h"
#include "goroutine.h"
#include "headers.h"

/* How often it is looked at while the request is served. */
enum { LOOKS = 8 };

/* Whether the request is still in memory: as long as it has its URL. (From Go 1.27 on, HTTP/2 keeps the URL to the end, but
 * the request only as long as the handler wants it.) What was read of it before is its own then. */
INLINE int is_there(struct goroutine *known)
{
	return word(known->serving + cfg.req_url) == known->url;
}

/* Keeps the pattern, for when the request is no longer there at its end. */
INLINE void keep_pattern(struct goroutine *known)
{
	u64 request = known->request, len;
	struct text pattern;
	struct request *kept;
	if (cfg.req_pattern == ABSENT || known->site != HTTP_BEGIN || known->looks >= LOOKS)
		return;
	known->looks++;
	if (read(&pattern, 16, known->serving + cfg.req_pattern) || !pattern.len)
		return;
	if (pattern.at == known->pattern[0] && pattern.len == known->pattern[1])
		return;
	kept = map_lookup(&by_request, &request);
	if (!kept || !is_there(known))
		return;
	kept->route_len = 0;
	len = copy(kept->route, ROUTE, pattern);
	if (!is_there(known))
		return;
	kept->route_len = len;
	known->pattern[0] = pattern.at;
	known->pattern[1] = pattern.len;
}

/* The pattern of a request that is over: as it is now, or else as it was kept. */
INLINE void end_pattern(struct end *end, struct goroutine *known, struct request *kept)
{
	struct text pattern;
	end->route_len = 0;
	if (cfg.req_pattern == ABSENT || known->site != HTTP_BEGIN)
		return;
	/* Where the handler's return was not seen, its memory may be anybody's by now. */
	if (end->how == MARKED && !read(&pattern, 16, known->serving + cfg.req_pattern)) {
		end->route_len = copy(end->route, ROUTE, pattern);
		if (is_there(known))
			return;
		end->route_len = 0;
	}
	if (kept && kept->route_len) {
		__builtin_memcpy(end->route, kept->route, ROUTE);
		end->route_len = kept->route_len;
	} else {
		count(PATTERN_GONE);
	}
}

INLINE void send_end(struct goroutine *known, u64 g, u64 now, u32 how)
{
	u64 request = known->request;
	struct request *kept;
	struct end *end = event(cfg.states ? sizeof(*end) : (u64) & ((struct end *)0)->own, END, now, g, known->goid);
	if (end) {
		end->request = request;
		end->begin = known->begin;
		end->transitions = known->transitions - known->transitions_before;
		end->how = how;
		kept = cfg.states ? map_lookup(&by_request, &request) : 0;
		end_pattern(end, known, kept);
		end->started = kept ? kept->children : 0;
		if (cfg.states) {
			for (u32 i = 0; i < CLASSES; i++) {
				end->own[i] = known->total[i] - known->before[i];
				end->children[i] = kept ? kept->total[i] : 0;
			}
		}
		ring_submit(end, NO_WAKEUP);
	}
	if (cfg.states)
		map_delete(&by_request, &request);
	known->request = 0;
	known->serving = 0;
}

/* Reads method and path. In HTTP/1 both are as they came, in one line. */
INLINE void read_line(struct begin *begin, struct text method, struct text path)
{
	u64 before = method.len < METHOD ? method.len : METHOD, after = path.len < PATH ? path.len : PATH;
	if (path.at != method.at + before + 1) {
		before = copy(begin->line, METHOD, method);
		after = copy(begin->line + before + 1, PATH, path);
	} else if (read(begin->line, before + 1 + after, method.at)) {
		before = after = 0;
	}
	begin->line[before] = ' ';
	begin->method_len = before;
	begin->path_len = after;
}

/* Where a request's URL and headers are, and whether the headers are there to its end: HTTP/2 of Go 1.27 on does not keep them. */
struct places {
	u64 url, map;
	u32 kept;
};

/* What a request of net/http's is, or of its HTTP/2. */
INLINE void read_http(struct begin *begin, u64 object, u32 site, struct places *places)
{
	u64 block[REQUEST / 8];
	struct text method = {}, path = {};
	if (site == INNER_BEGIN) {
		read(&method, 16, object + cfg.inner_method);
		places->map = word(object + cfg.inner_header);
		places->url = word(object + cfg.inner_url);
	} else {
		if (read(block, REQUEST, object))
			return;
		method.at = field(block, cfg.req_method);
		method.len = field(block, cfg.req_method + 8);
		places->map = field(block, cfg.req_header);
		places->url = field(block, cfg.req_url);
		places->kept = field(block, cfg.req_major) == 1;
	}
	read(&path, 16, places->url + cfg.url_path);
	read_line(begin, method, path);
}

/* What a call of gRPC's is. */
INLINE void read_grpc(struct begin *begin, u64 object)
{
	struct text text;
	begin->line[0] = 'P';
	begin->line[1] = 'O';
	begin->line[2] = 'S';
	begin->line[3] = 'T';
	begin->line[4] = ' ';
	begin->method_len = 4;
	/* Where a stream has its method depends on the version: it is the first text that begins with a slash. */
	for (u32 i = 0; i < 24; i++) {
		char slash = 0;
		if (read_user(&text, 16, (void *)(object + 8 * i)))
			break;
		if (text.len < 3 || text.len > 512 || text.at < 4096 || read_user(&slash, 1, (void *)text.at) || slash != '/')
			continue;
		begin->path_len = copy(begin->line + 5, PATH, text);
		break;
	}
}

/* Where states are not followed, goroutines that serve one request after the other are met once only. */
INLINE struct goroutine *meet_server(u64 g, u64 now)
{
	struct goroutine *known = meet(g, G_RUNNING, now);
	u64 *kept = number(KEPT);
	if (known && !cfg.states && kept)
		__sync_fetch_and_add(kept, 1);
	return known;
}

INLINE void leave_server(u64 g)
{
	u64 *kept = number(KEPT);
	if (!cfg.states && kept && *kept <= cfg.most_kept)
		return;
	map_delete(&goroutines, &g);
	if (!cfg.states && kept)
		__sync_fetch_and_add(kept, -1);
}

/* Whether who serves a request begins once more with the same one: its stack grew, and the function begins again; or HTTP/2
 * calls net/http, with a request of the same URL. */
INLINE int is_again(struct goroutine *known, u64 object, u64 goid, u32 site)
{
	if (!known->request || !known->serving || known->goid != goid)
		return 0;
	if (known->serving == object)
		return 1;
	if (site != HTTP_BEGIN || known->site != INNER_BEGIN || word(object + cfg.req_url) != known->url)
		return 0;
	known->serving = object;
	known->site = site;
	return 1;
}

/* Whose headers are to be read, and where they are; nowhere if none are. */
struct wanted {
	u64 map, request, goid;
};

INLINE void begins(u64 g, u64 object, u32 site, u64 now, struct wanted *wanted)
{
	u64 goid = word(g + cfg.g_goid), request, *last;
	struct places places = {};
	struct goroutine *known = map_lookup(&goroutines, &g);
	struct begin *begin;
	struct ids *ids = 0;
	if (known && is_again(known, object, goid, site)) {
		count(REPEATED);
		return;
	}
	if (known && cfg.states)
		credit(known, now);
	if (known && known->request && known->serving)
		send_end(known, g, now, NEXT_REQUEST);
	begin = event(sizeof(*begin), BEGIN, now, g, goid);
	if (!begin)
		return;
	begin->site = site;
	begin->parent = 0;
	begin->method_len = begin->path_len = 0;
	if (site == GRPC_BEGIN && cfg.g_parent != ABSENT)
		begin->parent = word(g + cfg.g_parent);
	if (site == GRPC_BEGIN)
		read_grpc(begin, object);
	else
		read_http(begin, object, site, &places);
	if (!matches(begin))
		goto filtered;
	/* A call that came through net/http is of its request's trace, which was looked at when that began. */
	if (cfg.trace_len && !(site == GRPC_BEGIN && known && known->request)) {
		if (!places.map)
			goto filtered;
		ids = read_ids(g, goid, now, places.map);
		if (!ids)
			goto discarded;
		if (!is_of_trace(ids))
			goto filtered;
	}
	last = number(REQUESTS);
	if (!known)
		known = meet_server(g, now);
	if (!last || !known)
		goto discarded;
	known->goid = goid;
	known->request = begin->request = request = __sync_fetch_and_add(last, 1) + 1;
	known->serving = object;
	known->begin = now;
	known->site = site;
	known->url = places.url;
	known->headers = cfg.ids_of_slow && places.kept ? places.map : 0;
	known->looks = 0;
	known->pattern[0] = known->pattern[1] = 0;
	if (cfg.states) {
		if (map_update(&by_request, &request, &no_request, ANY))
			count(FULL);
		known->transitions_before = known->transitions;
		for (u32 i = 0; i < CLASSES; i++)
			known->before[i] = known->total[i];
	}
	ring_submit(begin, NO_WAKEUP);
	if (ids) {
		ids->request = request;
		ring_submit(ids, NO_WAKEUP);
	} else if (!known->headers) {
		wanted->map = places.map;
		wanted->request = request;
		wanted->goid = goid;
	}
	return;
filtered:
	count(FILTERED);
discarded:
	ring_discard(begin, NO_WAKEUP);
	if (ids)
		ring_discard(ids, NO_WAKEUP);
}

/* The headers of a request that ends and was slow. A handler may have put others in their place. */
INLINE void wanted_at_end(u64 g, u64 now, struct wanted *wanted)
{
	struct goroutine *known = map_lookup(&goroutines, &g);
	u64 *slow = number(SLOW);
	if (!known || !known->request || !known->serving || !known->headers || !slow || now - known->begin < *slow)
		return;
	if (word(known->serving + cfg.req_header) != known->headers) {
		count(HEADERS_GONE);
		return;
	}
	wanted->map = known->headers;
	wanted->request = known->request;
	wanted->goid = known->goid;
}

INLINE void send_ids(u64 g, u64 now, struct wanted *wanted)
{
	struct ids *ids = read_ids(g, wanted->goid, now, wanted->map);
	if (!ids)
		return;
	ids->request = wanted->request;
	/* Most requests have none of them. */
	if (*(u64 *)ids->value_len)
		ring_submit(ids, NO_WAKEUP);
	else
		ring_discard(ids, NO_WAKEUP);
}

INLINE void ends(u64 g, u32 site, u64 now)
{
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
		leave_server(g);
}
