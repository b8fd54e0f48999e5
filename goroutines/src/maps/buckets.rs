//! Maps as arrays of buckets: one byte of hash for each entry, the keys, the values, and the address of the next bucket in
//! the chain (`runtime/map.go`, `bmap`).

use fgspy_gobin::layout::BucketLayout;
use fgspy_memory::Range;

use super::{Entry, KEY_BYTES, MAX_PARTS, PART_ENTRIES, entry};
use crate::batch::Reads;
use crate::bytes::u64_at;

/// Links of overflow chains that are followed. A bucket that is full has one; longer chains are rare.
const MAX_CHAIN: usize = 16;

/// The entries of arrays of buckets, each an address (or 0) and a length.
pub(super) async fn entries(
    reads: &Reads,
    layout: &BucketLayout,
    arrays: [(u64, usize); 2],
    size: usize,
) -> Option<Vec<Entry>> {
    let keys = layout.data_offset as usize;
    let values = keys + PART_ENTRIES * KEY_BYTES;
    let overflow = values + PART_ENTRIES * size;
    let bucket_bytes = overflow + 8;
    let mut ranges: Vec<Range> = arrays
        .into_iter()
        .filter(|(address, _)| *address != 0)
        .map(|(addr, count)| Range { addr, len: count.min(MAX_PARTS) * bucket_bytes })
        .collect();
    let (mut found, mut parts) = (Vec::new(), 0);
    for _ in 0..MAX_CHAIN {
        if ranges.is_empty() {
            return Some(found);
        }
        let copies = reads.get_all(&ranges).await;
        ranges.clear();
        for copy in copies {
            let copy = copy?;
            for bucket in copy.chunks_exact(bucket_bytes) {
                parts += 1;
                let hashes = bucket.iter().take(PART_ENTRIES).enumerate();
                let used = hashes.filter(|(_, hash)| u32::from(**hash) >= layout.min_top_hash);
                found.extend(used.filter_map(|(i, _)| entry(bucket, keys + i * KEY_BYTES, values + i * size, size)));
                let next = u64_at(bucket, overflow).unwrap_or(0);
                if next != 0 && parts + ranges.len() < 2 * MAX_PARTS {
                    ranges.push(Range { addr: next, len: bucket_bytes });
                }
            }
        }
    }
    Some(found)
}
