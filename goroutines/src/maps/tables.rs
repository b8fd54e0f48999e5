//! Maps as tables of groups: a control byte for each of 8 slots, then the slots (`internal/runtime/maps`, Go 1.24 on). A
//! small map is a single group; a larger one has a directory of tables, in which a table may be named more than once.

use fgspy_gobin::layout::TablesLayout;
use fgspy_memory::Range;

use super::{Entry, KEY_BYTES, MAX_PARTS, PART_ENTRIES, entry};
use crate::batch::Reads;
use crate::bytes::{u64_at, words};

/// Set in the control byte of a slot that is empty or was deleted.
const VACANT: u8 = 0x80;
/// Tables that are read of one map: of up to 1024 entries each (`maxTableCapacity`).
const MAX_TABLES: usize = 64;
/// Bytes that hold all of a table's fields that are needed.
const TABLE_BYTES: usize = 32;

/// The entries of the map whose directory is given by its address and length.
pub(super) async fn entries(
    reads: &Reads,
    layout: &TablesLayout,
    split: bool,
    (directory, len): (u64, u64),
    size: usize,
) -> Option<Vec<Entry>> {
    let group_bytes = 8 + PART_ENTRIES * (KEY_BYTES + size);
    let groups = if len == 0 {
        vec![Range { addr: directory, len: group_bytes }]
    } else {
        let len = usize::try_from(len).ok().filter(|len| *len <= MAX_TABLES && len.is_power_of_two())?;
        let directory = reads.bytes(directory, 8 * len).await?;
        let mut tables: Vec<u64> = words(&directory).collect();
        // A table that is named more than once is named so by neighbours.
        tables.dedup();
        let tables: Vec<Range> = tables.into_iter().map(|addr| Range { addr, len: TABLE_BYTES }).collect();
        let mut left = MAX_PARTS;
        let mut groups = Vec::new();
        for table in reads.get_all(&tables).await {
            let table = table?;
            let mask = u64_at(&table, layout.groups_mask as usize)?;
            let count = usize::try_from(mask.checked_add(1)?).ok().filter(|count| count.is_power_of_two())?.min(left);
            left -= count;
            groups.push(Range { addr: u64_at(&table, layout.groups_data as usize)?, len: count * group_bytes });
        }
        groups
    };
    let mut found = Vec::new();
    for copy in reads.get_all(&groups).await {
        for group in copy?.chunks_exact(group_bytes) {
            let used = group.iter().take(PART_ENTRIES).enumerate().filter(|(_, control)| **control & VACANT == 0);
            found.extend(used.filter_map(|(i, _)| {
                let (key, value) = if split {
                    (8 + i * KEY_BYTES, 8 + PART_ENTRIES * KEY_BYTES + i * size)
                } else {
                    (8 + i * (KEY_BYTES + size), 8 + i * (KEY_BYTES + size) + KEY_BYTES)
                };
                entry(group, key, value, size)
            }));
        }
    }
    Some(found)
}
