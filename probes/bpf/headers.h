/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The headers that say which request it is. */
#pragma once
#include "memory.h"

/* Where the groups of a header map are (or its buckets), and how many. */
struct groups {
	u64 at;
	u32 count, size;
};

INLINE struct groups groups_of(u64 map, u64 *block)
{
	struct groups groups = {};
	u64 len, table;
	if (read(block, MAP_HEAD, map))
		return groups;
	if (cfg.maps == MAPS_BUCKETS) {
		u8 b = ((u8 *)block)[cfg.buckets_b];
		groups.at = field(block, cfg.buckets_at);
		groups.size = cfg.bucket_size;
		groups.count = b > 3 ? 16 : 1 << b;
	} else if (cfg.maps == MAPS_TABLES) {
		groups.at = field(block, cfg.dir_ptr);
		len = field(block, cfg.dir_len);
		groups.size = 8 + 8 * 40;
		groups.count = 1;
		if (len) {
			table = word(groups.at);
			groups.at = word(table + cfg.table_groups);
			groups.count = len > 1 ? 16 : word(table + cfg.table_mask) + 1;
		}
	}
	return groups;
}

/* Copies a header's value, if it is one of those. Its values are at `first`, or where it says at `values`; the first counts.
 * Whether it could be read is told by what is sent, of which the verifier keeps no account. */
INLINE void header(struct ids *ids, struct text key, u64 first, u64 values)
{
	u64 name[2] = {};
	struct text value = {};
	/* Most are told by their length. */
	if (key.len >= 64 || !(cfg.name_lens >> key.len & 1))
		return;
	ids->unread |= read_user(name, key.len < 16 ? key.len : 16, (void *)key.at);
	for (u32 k = 0; k < HEADERS; k++) {
		/* In one, which the verifier likes: it looks at both ways of every branch. */
		if ((key.len ^ cfg.names[k].len) | (name[0] ^ cfg.names[k].text[0]) | (name[1] ^ cfg.names[k].text[1]))
			continue;
		if (cfg.maps == MAPS_BUCKETS)
			ids->unread |= read_user(&first, 8, (void *)values);
		ids->unread |= read_user(&value, 16, (void *)first);
		if (value.len > VALUE)
			value.len = VALUE;
		ids->unread |= read_user(ids->value[k], value.len, (void *)value.at);
		ids->value_len[k] = value.len;
		return;
	}
}

/* Copies the values of the headers that say which request this is. Half a group is read at once: each reading has its price,
 * and the stack has 512 bytes. */
INLINE void headers(struct ids *ids, u64 map, u64 *block)
{
	struct groups groups = groups_of(map, block);
	u32 key = cfg.maps == MAPS_BUCKETS ? 16 : 40;
	u64 controls = 0;
	if (groups.count > 8) {
		count(HEADERS_UNREAD);
		return;
	}
	for (u32 i = 0; i < 16; i++) {
		u32 second = i % 2;
		u64 group = groups.at + (u64)(i / 2) * groups.size, keys = group + second * 4 * key;
		if (i / 2 >= groups.count)
			return;
		if (second && cfg.maps == MAPS_TABLES && (controls & 0x80808080) == 0x80808080)
			continue;
		/* What is in front of the second half is of the first one: it is read as well, and not looked at. */
		if (read(block, cfg.maps == MAPS_BUCKETS ? HALF_BUCKET : HALF_GROUP, keys))
			return;
		if (!second)
			controls = block[0];
		for (u32 of = 0; of < 4; of++) {
			u8 control = controls >> 8 * of;
			u32 at = 8 + of * key;
			struct text name = {field(block, at), field(block, at + 8)};
			u64 first = cfg.maps == MAPS_BUCKETS ? 0 : field(block, at + 16);
			if (cfg.maps == MAPS_BUCKETS ? control < cfg.tophash_least : control & 0x80)
				continue;
			header(ids, name, first, group + cfg.bucket_values + (4 * second + of) * 24);
		}
		controls >>= 32;
	}
}

/* Reads which request it is. What is given is to be sent, or not. */
INLINE struct ids *read_ids(u64 g, u64 goid, u64 now, u64 map)
{
	u64 block[HALF_GROUP / 8] = {};
	struct ids *ids = event(sizeof(*ids), IDS, now, g, goid);
	if (!ids)
		return 0;
	*(u64 *)ids->value_len = 0;
	headers(ids, map, block);
	if (ids->unread)
		count(UNREADABLE);
	return ids;
}
