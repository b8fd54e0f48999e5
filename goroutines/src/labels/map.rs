//! Labels up to Go 1.23: a `map[string]string` in the old map layout (`runtime/map.go`, `hmap` and `bmap`).

use fgspy_memory::{Memory, ReadError};

use super::{MAX_LABELS, Pair, StringHeader, copy};
use crate::bytes;

/// Entries in a bucket.
const BUCKET_ENTRIES: usize = 8;
/// One byte of hash for each entry, then the keys, then the values, then the overflow pointer.
const KEYS: usize = BUCKET_ENTRIES;
const VALUES: usize = KEYS + BUCKET_ENTRIES * 16;
const OVERFLOW: usize = VALUES + BUCKET_ENTRIES * 16;
const BUCKET_BYTES: usize = OVERFLOW + 8;
/// Tophash values below this are marks: empty, or moved to the new buckets (`minTopHash`).
const MIN_TOPHASH: u8 = 5;
/// Buckets read of one map: more than enough for the labels we keep.
const MAX_BUCKETS: usize = 64;

/// Offsets in `hmap`, the same in Go 1.17–1.23.
const HMAP_BYTES: usize = 48;
const HMAP_B: usize = 9;
const HMAP_BUCKETS: usize = 16;
const HMAP_OLD_BUCKETS: usize = 24;

pub(super) fn string_pairs(memory: &dyn Memory, address: u64) -> Result<Option<Vec<Pair>>, ReadError> {
    // g.labels points to a variable that holds the map, which is itself a pointer to its hmap.
    let Some(hmap) = memory.read_u64(address)? else { return Ok(None) };
    if hmap == 0 {
        return Ok(Some(Vec::new()));
    }
    let Some(header) = copy(memory, hmap, HMAP_BYTES)? else { return Ok(None) };
    let (Some(&log2), Some(buckets), Some(old)) =
        (header.get(HMAP_B), bytes::u64_at(&header, HMAP_BUCKETS), bytes::u64_at(&header, HMAP_OLD_BUCKETS))
    else {
        return Ok(None);
    };
    let count = 1usize.checked_shl(log2.into()).filter(|count| *count <= MAX_BUCKETS).unwrap_or(MAX_BUCKETS);
    let mut pairs = Vec::new();
    if !collect(memory, buckets, count, &mut pairs)? {
        return Ok(None);
    }
    // A map that was still growing when it was attached keeps entries that have not moved in its old buckets, of which
    // there are half as many (a same-size growth keeps as many; reading too few loses labels, never invents any).
    if old != 0 && !collect(memory, old, (count / 2).max(1), &mut pairs)? {
        return Ok(None);
    }
    Ok(Some(pairs))
}

/// Appends the pairs of an array of buckets and of their overflow chains. `Ok(false)` when part of it is unmapped.
fn collect(memory: &dyn Memory, array: u64, count: usize, pairs: &mut Vec<Pair>) -> Result<bool, ReadError> {
    if array == 0 {
        return Ok(true);
    }
    let Some(buckets) = copy(memory, array, count * BUCKET_BYTES)? else { return Ok(false) };
    let mut chained = 0;
    for bucket in buckets.chunks_exact(BUCKET_BYTES) {
        let mut overflow = append(bucket, pairs);
        while overflow != 0 && chained < MAX_BUCKETS {
            chained += 1;
            let Some(bucket) = copy(memory, overflow, BUCKET_BYTES)? else { return Ok(false) };
            overflow = append(&bucket, pairs);
        }
    }
    Ok(true)
}

/// Appends the pairs of one bucket and gives the address of its overflow bucket, or 0.
fn append(bucket: &[u8], pairs: &mut Vec<Pair>) -> u64 {
    for (i, _) in bucket.iter().take(BUCKET_ENTRIES).enumerate().filter(|(_, tophash)| **tophash >= MIN_TOPHASH) {
        let (key, value) = (StringHeader::at(bucket, KEYS + i * 16), StringHeader::at(bucket, VALUES + i * 16));
        if let (Some(key), Some(value), true) = (key, value, pairs.len() < MAX_LABELS) {
            pairs.push((key, value));
        }
    }
    bytes::u64_at(bucket, OVERFLOW).unwrap_or(0)
}
