//! Go's maps with strings for keys: labels up to Go 1.23, headers of requests, metadata of gRPC.
//!
//! Two layouts: buckets with chains of overflow buckets (`runtime/map.go`, up to Go 1.23) and groups of slots
//! (`internal/runtime/maps`, Go 1.24 on). A map that is written to meanwhile may be read wrong: entries may be missing,
//! or there twice. Whoever relies on it must know that nobody did, or check what the entries point to.

mod buckets;
mod tables;

use fgspy_gobin::layout::{Layout, MapsLayout};
use fgspy_gobin::{GoBinary, GoVersion};

use crate::batch::Reads;
use crate::bytes::{u32_at, u64_at};
use crate::strings::StringHeader;

/// Bytes that hold all of a map's own fields that are needed.
pub(crate) const HEAD_BYTES: usize = 48;
/// Buckets, or groups, that are read of one map: 2048 entries and more.
const MAX_PARTS: usize = 256;
/// Entries in a bucket or group.
const PART_ENTRIES: usize = 8;
/// Bytes of a key.
const KEY_BYTES: usize = 16;

/// The functions that move entries from one array of buckets to the next, for several kinds of keys.
const EVACUATE: [&str; 4] =
    ["runtime.evacuate", "runtime.evacuate_faststr", "runtime.evacuate_fast64", "runtime.evacuate_fast32"];

/// How the maps of a program are laid out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Maps {
    layout: MapsLayout,
    /// Whether the keys of a group come before its values, instead of each key before its value
    /// (`GOEXPERIMENT=mapsplitgroup`, Go 1.27 on).
    split: bool,
}

/// A map's own fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    /// The seed of its hash function, which is drawn for each map.
    pub(crate) seed: u64,
    /// Number of entries.
    pub(crate) count: u64,
    /// Whether somebody was writing to it.
    pub(crate) is_written: bool,
    parts: Parts,
}

#[derive(Clone, Copy, Debug)]
enum Parts {
    Buckets { log2: u8, buckets: u64, old: u64, same_size: bool },
    Tables { directory: u64, len: u64 },
}

/// A key, and the first words of its value; values have `size` / 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: StringHeader,
    pub(crate) value: [u64; 3],
}

/// Set in `hmap.flags` while a goroutine writes to the map (`runtime/map.go`, `hashWriting`).
const HASH_WRITING: u8 = 4;

/// How a program lays out its maps, whose release does it as in `layout`.
///
/// With `GOEXPERIMENT=noswissmap`, Go 1.24 and 1.25 have the maps of Go 1.23 (`runtime/map_noswiss.go`). Who was built so has
/// the functions that move entries between buckets, whatever it says of itself.
pub(crate) fn layout_of(binary: &GoBinary, layout: &Layout) -> MapsLayout {
    let has_buckets = || binary.funcs_named(&EVACUATE).iter().any(Option::is_some);
    let of_buckets = || Some(Layout::for_version(&GoVersion::parse("go1.23")?, binary.arch())?.maps);
    match layout.maps {
        MapsLayout::Tables(_) if has_buckets() => of_buckets().unwrap_or(layout.maps),
        maps => maps,
    }
}

impl Maps {
    /// The maps of a program.
    pub(crate) fn of(binary: &GoBinary, layout: MapsLayout) -> Maps {
        Maps { layout, split: binary.has_experiment("mapsplitgroup") }
    }

    /// Decodes the first [`HEAD_BYTES`] of a map.
    pub(crate) fn head(&self, bytes: &[u8]) -> Option<Head> {
        let word = |offset: u32| u64_at(bytes, offset as usize);
        let byte = |offset: u32| bytes.get(offset as usize).copied();
        Some(match self.layout {
            MapsLayout::Buckets(map, bucket) => Head {
                seed: u32_at(bytes, map.hash0 as usize)?.into(),
                count: word(map.count)?,
                is_written: byte(map.flags)? & HASH_WRITING != 0,
                parts: Parts::Buckets {
                    log2: byte(map.b)?,
                    buckets: word(map.buckets)?,
                    old: word(map.oldbuckets)?,
                    same_size: u32::from(byte(map.flags)?) & bucket.same_size_grow != 0,
                },
            },
            MapsLayout::Tables(map) => Head {
                seed: word(map.seed)?,
                count: word(map.used)?,
                is_written: byte(map.writing)? != 0,
                parts: Parts::Tables { directory: word(map.dir_ptr)?, len: word(map.dir_len)? },
            },
        })
    }

    /// The entries of a map whose values have `size` bytes, 16 or 24; those beyond [`MAX_PARTS`] are left out. `None` when
    /// part of it is not mapped, or it is no map.
    pub(crate) async fn entries(&self, reads: &Reads, head: &Head, size: usize) -> Option<Vec<Entry>> {
        match (self.layout, head.parts) {
            _ if head.count == 0 => Some(Vec::new()),
            (MapsLayout::Buckets(_, bucket), Parts::Buckets { log2, buckets, old, same_size }) => {
                let new = 1usize.checked_shl(log2.into()).unwrap_or(MAX_PARTS);
                // A map that is still growing keeps entries that have not moved in its old buckets.
                let arrays = [(buckets, new), (old, if same_size { new } else { new / 2 }.max(1))];
                buckets::entries(reads, &bucket, arrays, size).await
            }
            (MapsLayout::Tables(layout), Parts::Tables { directory, len }) => {
                tables::entries(reads, &layout, self.split, (directory, len), size).await
            }
            _ => None,
        }
    }
}

/// Entry with its key at `key` and its value at `value`.
fn entry(bytes: &[u8], key: usize, value: usize, size: usize) -> Option<Entry> {
    let word = |i: usize| if 8 * i < size { u64_at(bytes, value + 8 * i) } else { Some(0) };
    Some(Entry { key: StringHeader::at(bytes, key)?, value: [word(0)?, word(1)?, word(2)?] })
}
