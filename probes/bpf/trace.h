/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the program and fgspy tell each other. The same in Rust: probes/src/abi.rs. */
#pragma once
#include "bpf.h"

enum { CLASSES = 16, FRAMES = 64, METHOD = 16, PATH = 192, LINE = METHOD + 1 + PATH, ROUTE = 96, HEADERS = 6, VALUE = 64, DFA_CELLS = 1 << 16 };
/* Bytes that are read at once: of a request, of the head of a map, four keys with values of a group, four keys of a bucket. */
enum { REQUEST = 64, MAP_HEAD = 32, HALF_GROUP = 8 + 4 * 40, HALF_BUCKET = 8 + 4 * 16 };

/* Kinds of sites: the lowest byte of a cookie. */
enum site { CAS_STATUS, SYSCALL_ENTER, SYSCALL_EXIT, CORO_SWITCH, CORO_EXIT, HTTP_BEGIN, HTTP2_BEGIN, INNER_BEGIN, HTTP_END, HTTP2_END, GRPC_BEGIN, GRPC_END, SITES, NOTHING = 0xff };

/* Values of a g's status (runtime/runtime2.go, Go 1.17 to 1.27). */
enum { G_IDLE = 0, G_RUNNABLE = 1, G_RUNNING = 2, G_SYSCALL = 3, G_WAITING = 4, G_DEAD = 6, G_COPYSTACK = 8, G_PREEMPTED = 9, G_DEADEXTRA = 11, G_SCAN = 0x1000 };

/* Classes that are no wait reason's. */
enum { RUNNING = 0, RUNNABLE = 1, SYSCALL = 2, OTHER = 3, NO_CLASS = 255 };

enum count { LOST = SITES, FULL, UNREADABLE, CONTRADICTED, REPEATED, FILTERED, HEADERS_UNREAD, HEADERS_GONE, PATTERN_GONE, TIMED, TIMED_NS = TIMED + SITES, COUNTS = TIMED_NS + SITES };

/* The number of the last request; when all probes were set, by CLOCK_MONOTONIC, 0 before; goroutines that are kept between requests;
 * from how many nanoseconds on a request is slow. */
enum number { REQUESTS, START, KEPT, SLOW, NUMBERS };

enum kind { TRANSITION = 1, BLOCKED, BEGIN, END, IDS };
enum how { MARKED = 0, NEXT_REQUEST = 1, EXITED = 2 };
enum maps { MAPS_UNKNOWN, MAPS_BUCKETS, MAPS_TABLES };
#define ABSENT 0xffffffffu

struct name {
	u64 text[2]; /* padded with zeros */
	u32 len, pad;
};

/* Set by fgspy before the program is loaded. */
struct config {
	u64 threshold; /* waits as long as this are sent with their stack */
	u32 states, transitions, blocked, scoped;
	u32 g_lo, g_hi, g_m, g_pc, g_bp, g_goid, g_reason, g_start, m_curg;
	u32 req_method, req_url, url_path, req_header, req_pattern;
	u32 maps;          /* enum maps */
	u32 buckets_b, buckets_at, bucket_size, bucket_values, tophash_least;
	u32 dir_ptr, dir_len, table_groups, table_mask;
	u32 dfa_classes, dfa_start, dfa_states, trace_len;
	u32 most_kept, coroutine, preempted; /* wait reasons */
	u32 inner_method, inner_url, inner_header; /* of the request that HTTP/2 makes before it becomes one of net/http */
	u32 req_major;
	u32 ids_of_slow; /* of HTTP/1 only of slow requests, when they end */
	u32 g_parent;
	u64 name_lens; /* a bit for each length that a header's name has */
	u8 trace[32]; /* lower-case hexadecimal, trace_len digits of it */
	u8 class[256]; /* of a wait reason */
	u8 dfa_class[256];
	struct name names[HEADERS]; /* of headers */
};

struct head {
	u32 kind, tid;
	u64 time, g, goid;
};

struct transition {
	struct head head;
	u64 by, request, start;
	u8 from, to, reason, class;
	u32 pad;
};

struct blocked {
	struct head head;
	u64 since, by, request;
	u8 reason, class;
	u16 frames;
	u32 pad;
	u64 stack[FRAMES];
};

struct begin {
	struct head head;
	u64 request;
	u64 parent; /* of a call of gRPC: the goroutine that started the one which serves it, 0 if that is not known */
	u8 site, method_len, path_len, pad[5];
	char line[LINE]; /* method, a space, path */
};

/* Which request it is: sent after its beginning, or before its end. */
struct ids {
	struct head head;
	u64 request;
	u8 value_len[HEADERS];
	u8 unread; /* not 0: some header could not be read */
	u8 pad;
	char value[HEADERS][VALUE];
};

struct end {
	struct head head;
	u64 request, begin, transitions, started;
	u32 how, route_len;
	char route[ROUTE];
	u64 own[CLASSES], children[CLASSES]; /* not sent where states are not followed */
};

/* What is known of a goroutine, by the address of its g. */
struct goroutine {
	u64 goid, since, parent, start;
	u64 request;  /* the number of the request that it works for */
	u64 serving;  /* the address of the request that it serves itself, 0 if it was started for one */
	u64 begin;    /* of that request */
	u64 transitions, transitions_before;
	u32 status;
	u8 class, reason, site;
	u8 looks; /* at its request's pattern */
	u64 total[CLASSES]; /* nanoseconds by class */
	u64 before[CLASSES]; /* the same when its request began */
	u64 url, headers; /* of its request: addresses */
	u64 pattern[2]; /* where the text was that is kept, and how long */
};

/* Sums over goroutines that have ended, by their start function. */
struct ended {
	u64 count, transitions;
	u64 total[CLASSES];
};

/* What is kept of a request while it is served. */
struct request {
	u64 children;
	u64 total[CLASSES]; /* of these */
	u64 route_len;
	char route[ROUTE]; /* the pattern that it matched, when that was last looked at */
};
