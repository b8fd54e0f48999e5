/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Which requests are wanted. */
#pragma once
#include "memory.h"

/* Whether "METHOD path" is in the language that the user asked for. */
INLINE int matches(struct begin *begin)
{
	u32 zero = 0, state = cfg.dfa_start, cell, len = begin->method_len + 1 + begin->path_len;
	u16 *table;
	if (!cfg.dfa_states)
		return 1;
	table = map_lookup(&dfa, &zero);
	if (!table)
		return 0;
	for (u32 i = 0; i < LINE; i++) {
		if (i >= len)
			break;
		cell = state * cfg.dfa_classes + cfg.dfa_class[(u8)begin->line[i]];
		if (cell >= DFA_CELLS)
			return 0;
		state = table[cell];
	}
	/* The last class is the end of the text. */
	cell = state * cfg.dfa_classes + cfg.dfa_classes - 1;
	return cell < DFA_CELLS && table[cell] == 1;
}

/* Whether one of the headers names the trace that was asked for. */
INLINE int is_of_trace(struct ids *ids)
{
	for (u32 k = 0; k < HEADERS; k++) {
		/* traceparent has its version in front; the request's own id is none of a trace. */
		u32 skip = k == 0 ? 3 : 0, same = 1;
		if (k == 5 || ids->value_len[k] < skip + cfg.trace_len)
			continue;
		for (u32 i = 0; i < TRACE; i++)
			if (i < cfg.trace_len && ids->value[k][skip + i] != cfg.trace[i])
				same = 0;
		if (same)
			return 1;
	}
	return 0;
}
