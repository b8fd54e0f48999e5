//! The snapshot file.
//!
//! ```text
//! magic "FGSPYSNP" · version u32 · gzip of:
//!     length u32 of the header · header (postcard)
//!     memory extents (address u64, length u64)… · executable extents (offset u64, length u64)…
//!     bytes of the memory extents · bytes of the executable extents
//! ```
//! Numbers are little-endian. The extents of each kind ascend and do not touch.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::image::Image;
use crate::recorder::MAX_RECORDED;
use crate::snapshot::{Facts, Parts};

const MAGIC: &[u8; 8] = b"FGSPYSNP";
const VERSION: u32 = 1;

/// The most bytes that a file may unpack to: as much as two recorders remember, and their tables.
pub(crate) const MAX_UNPACKED: u64 = 2 * MAX_RECORDED + (256 << 20);
/// The most bytes of a packed header. Unpacked, a string of no length takes 24 bytes for one, so this bounds the header
/// in memory to 24 MiB.
const MAX_HEADER: u64 = 1 << 20;
/// The most extents of one kind: 256 MiB of table.
const MAX_EXTENTS: u64 = 16 << 20;

/// Why bytes are not a snapshot, or cannot become one.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// It does not start like a snapshot.
    #[error("this is not an fgspy snapshot")]
    NotASnapshot,
    /// It was written by another version.
    #[error("the snapshot has format version {found}, but this fgspy reads version {VERSION}: record it anew")]
    Version {
        /// The version in the file.
        found: u32,
    },
    /// It is cut off, or its packed data is damaged.
    #[error("the snapshot is cut off or damaged: {0}")]
    Damaged(#[from] io::Error),
    /// Its parts contradict each other.
    #[error("the snapshot is damaged: {0}")]
    Inconsistent(&'static str),
    /// It holds, or would hold, more than is allowed.
    #[error("the snapshot is too large: more than {limit} {what}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        limit: u64,
    },
}

#[derive(Serialize, Deserialize)]
struct Header {
    facts: Facts,
    exe_len: u64,
    memory: Sizes,
    exe: Sizes,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Sizes {
    extents: u64,
    bytes: u64,
}

impl Sizes {
    fn of(image: &Image) -> Sizes {
        Sizes { extents: image.extents().count() as u64, bytes: image.bytes().len() as u64 }
    }
}

fn at_most(value: u64, limit: u64, what: &'static str) -> Result<u64, SnapshotError> {
    if value <= limit { Ok(value) } else { Err(SnapshotError::TooLarge { what, limit }) }
}

pub(crate) fn save(parts: &Parts) -> Result<Vec<u8>, SnapshotError> {
    let Parts { facts, memory, exe_len, exe } = parts;
    let header = Header { facts: facts.clone(), exe_len: *exe_len, memory: Sizes::of(memory), exe: Sizes::of(exe) };
    at_most(header.memory.extents.max(header.exe.extents), MAX_EXTENTS, "ranges")?;
    let packed = postcard::to_stdvec(&header).map_err(|_| SnapshotError::Inconsistent("the header"))?;
    let len = at_most(packed.len() as u64, MAX_HEADER, "bytes of facts")? as u32;
    let mut file = [&MAGIC[..], &VERSION.to_le_bytes()].concat();
    let mut out = GzEncoder::new(&mut file, Compression::default());
    out.write_all(&len.to_le_bytes())?;
    out.write_all(&packed)?;
    for image in [memory, exe] {
        for (addr, bytes) in image.extents() {
            out.write_all(&addr.to_le_bytes())?;
            out.write_all(&(bytes.len() as u64).to_le_bytes())?;
        }
    }
    out.write_all(memory.bytes())?;
    out.write_all(exe.bytes())?;
    out.finish()?;
    Ok(file)
}

/// Reads a file that unpacks to at most `limit` bytes. What it claims costs nothing; only what it holds does.
pub(crate) fn load(bytes: &[u8], limit: u64) -> Result<Parts, SnapshotError> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(SnapshotError::NotASnapshot)?;
    let (version, rest) = rest.split_first_chunk().ok_or(SnapshotError::NotASnapshot)?;
    let found = u32::from_le_bytes(*version);
    if found != VERSION {
        return Err(SnapshotError::Version { found });
    }
    let mut input = GzDecoder::new(rest);
    let mut len = [0; 4];
    input.read_exact(&mut len)?;
    let len = at_most(u64::from(u32::from_le_bytes(len)), MAX_HEADER, "bytes of facts")?;
    let header: Header = postcard::from_bytes(&exactly(&mut input, len)?)
        .map_err(|_| SnapshotError::Inconsistent("its facts make no sense"))?;
    let Header { facts, exe_len, memory, exe } = header;
    let table = |sizes: Sizes| Ok::<_, SnapshotError>(16 * at_most(sizes.extents, MAX_EXTENTS, "ranges")?);
    let (memory_table, exe_table) = (table(memory)?, table(exe)?);
    let total = memory.bytes.saturating_add(exe.bytes).saturating_add(memory_table + exe_table);
    at_most(total, limit, "bytes")?;
    let memory_table = exactly(&mut input, memory_table)?;
    let exe_table = exactly(&mut input, exe_table)?;
    let memory = image(&memory_table, exactly(&mut input, memory.bytes)?)?;
    let exe = image(&exe_table, exactly(&mut input, exe.bytes)?)?;
    // Reading on past the last byte makes gzip check its sum.
    if input.read(&mut [0])? != 0 {
        return Err(SnapshotError::Inconsistent("there is more than it says"));
    }
    Ok(Parts { facts, memory, exe_len, exe })
}

/// The next `len` bytes. Room is made as they come.
fn exactly(input: &mut impl Read, len: u64) -> Result<Vec<u8>, SnapshotError> {
    let mut bytes = Vec::new();
    if input.take(len).read_to_end(&mut bytes)? as u64 == len {
        Ok(bytes)
    } else {
        Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
    }
}

fn image(table: &[u8], bytes: Vec<u8>) -> Result<Image, SnapshotError> {
    let (words, _) = table.as_chunks::<8>();
    let (pairs, _) = words.as_chunks::<2>();
    let extents = pairs.iter().map(|&[addr, len]| (u64::from_le_bytes(addr), u64::from_le_bytes(len)));
    Image::from_parts(extents, bytes).ok_or(SnapshotError::Inconsistent("its ranges overlap or do not add up"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::threads::Thread;

    fn parts() -> Parts {
        let facts = Facts {
            pid: 42,
            ns_pid: 1,
            exe_path: "/opt/checkout".into(),
            command_line: vec!["checkout".into(), String::new()],
            load_bias: Some(0x5555_0000_0000),
            threads: vec![Thread { tid: 42, ns_tid: 1 }],
            arch: "x86_64".into(),
        };
        let (mut memory, mut exe) = (Image::default(), Image::default());
        memory.append(0x1000, &[1; 5000]);
        memory.append(0xc000_0000, b"stack");
        exe.append(0, b"\x7fELF");
        Parts { facts, memory, exe_len: 9999, exe }
    }

    /// A file with any contents inside.
    fn pack(parts: &[&[u8]]) -> Vec<u8> {
        let mut file = [&MAGIC[..], &VERSION.to_le_bytes()].concat();
        let mut out = GzEncoder::new(&mut file, Compression::fast());
        for part in parts {
            out.write_all(part).unwrap();
        }
        out.finish().unwrap();
        file
    }

    fn pack_with_header(memory: Sizes, rest: &[u8]) -> Vec<u8> {
        let exe = Sizes { extents: 0, bytes: 0 };
        let header = postcard::to_stdvec(&Header { facts: Facts::default(), exe_len: 0, memory, exe }).unwrap();
        pack(&[&(header.len() as u32).to_le_bytes(), &header, rest])
    }

    #[test]
    fn what_is_saved_is_loaded() {
        assert_eq!(load(&save(&parts()).unwrap(), MAX_UNPACKED).unwrap(), parts());
    }

    #[test]
    fn every_cut_is_noticed() {
        let file = save(&parts()).unwrap();
        for len in 0..file.len() {
            assert!(load(&file[..len], MAX_UNPACKED).is_err(), "{len} of {} bytes", file.len());
        }
    }

    #[test]
    fn other_files_are_named_as_such() {
        assert!(matches!(load(b"", 1), Err(SnapshotError::NotASnapshot)));
        assert!(matches!(load(b"FGSPYSNP", 1), Err(SnapshotError::NotASnapshot)));
        assert!(matches!(load(b"FGSPYSNP\x02\0\0\0", 1), Err(SnapshotError::Version { found: 2 })));
    }

    #[test]
    fn claims_cost_nothing() {
        let load = |file: &[u8]| load(file, MAX_UNPACKED);
        let huge = pack_with_header(Sizes { extents: u64::MAX, bytes: u64::MAX }, b"");
        assert!(matches!(load(&huge), Err(SnapshotError::TooLarge { what: "ranges", .. })));
        let huge = pack_with_header(Sizes { extents: 0, bytes: u64::MAX }, b"");
        assert!(matches!(load(&huge), Err(SnapshotError::TooLarge { what: "bytes", .. })));
        // Allowed, but not there: would be 1 GiB if room were made for what is claimed.
        let absent = pack_with_header(Sizes { extents: MAX_EXTENTS, bytes: MAX_RECORDED }, b"");
        assert!(matches!(load(&absent), Err(SnapshotError::Damaged(_))));
        let long = pack(&[&u32::MAX.to_le_bytes()]);
        assert!(matches!(load(&long), Err(SnapshotError::TooLarge { what: "bytes of facts", .. })));
    }

    #[test]
    fn a_bomb_is_not_unpacked() {
        let zeros = vec![0; 64 << 20];
        let bomb = pack_with_header(Sizes { extents: 0, bytes: 0 }, &zeros);
        assert!(bomb.len() < 1 << 20);
        assert!(matches!(load(&bomb, MAX_UNPACKED), Err(SnapshotError::Inconsistent("there is more than it says"))));
        let bomb = pack_with_header(Sizes { extents: 0, bytes: 64 << 20 }, &zeros);
        assert!(matches!(load(&bomb, 1 << 20), Err(SnapshotError::TooLarge { what: "bytes", .. })));
    }

    #[test]
    fn ranges_must_make_sense() {
        let table = |pairs: &[(u64, u64)]| -> Vec<u8> {
            pairs.iter().flat_map(|&(addr, len)| [addr.to_le_bytes(), len.to_le_bytes()]).flatten().collect()
        };
        let file = |pairs: &[(u64, u64)]| {
            let rest = [table(pairs), vec![0; 4]].concat();
            pack_with_header(Sizes { extents: pairs.len() as u64, bytes: 4 }, &rest)
        };
        assert!(load(&file(&[(1, 2), (4, 2)]), MAX_UNPACKED).is_ok());
        for pairs in [&[(1, 2), (2, 2)][..], &[(4, 2), (1, 2)], &[(1, u64::MAX)], &[(1, 3)], &[(1, 0), (2, 4)]] {
            let result = load(&file(pairs), MAX_UNPACKED);
            assert!(matches!(result, Err(SnapshotError::Inconsistent(_))), "{pairs:?}");
        }
    }

    proptest! {
        #[test]
        fn damage_is_noticed_or_harmless(at in 0usize..200, with: u8) {
            let mut file = save(&parts()).unwrap();
            let at = at % file.len();
            file[at] = with;
            if let Ok(loaded) = load(&file, MAX_UNPACKED) {
                prop_assert_eq!(loaded, parts()); // a byte of the gzip header that means nothing
            }
        }

        #[test]
        fn any_contents_are_survived(inside in prop::collection::vec(any::<u8>(), 0..300), len in 0u32..300) {
            let _ = load(&pack(&[&len.to_le_bytes(), &inside]), MAX_UNPACKED);
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = load(&bytes, MAX_UNPACKED);
        }
    }
}
