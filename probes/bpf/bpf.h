/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What a program needs of the kernel's interface: numbers and layouts that are stable (include/uapi/linux/bpf.h,
 * arch/x86/include/uapi/asm/ptrace.h). No vmlinux.h, no BTF, no relocations but those of maps and constants. */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))

enum { MAP_HASH = 1, MAP_ARRAY = 2, MAP_PERCPU_ARRAY = 6, MAP_RINGBUF = 27 };
enum { ANY = 0, NOEXIST = 1, NO_PREALLOC = 1, NO_WAKEUP = 1 };

static void *(*map_lookup)(void *map, const void *key) = (void *)1;
static long (*map_update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*map_delete)(void *map, const void *key) = (void *)3;
static u64 (*ktime)(void) = (void *)5;
static u64 (*pid_tgid)(void) = (void *)14;
static long (*read_user)(void *to, u32 size, const void *from) = (void *)112;
static void *(*ring_reserve)(void *ring, u64 size, u64 flags) = (void *)131;
static void (*ring_submit)(void *data, u64 flags) = (void *)132;
static void (*ring_discard)(void *data, u64 flags) = (void *)133;
static u64 (*cookie)(void *ctx) = (void *)174;

/* Registers of amd64, and what Go's internal calling convention (cmd/compile/abi-internal.md) uses them for. */
struct pt_regs {
	u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
