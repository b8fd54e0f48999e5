//! The relocations of a position-independent executable.
//!
//! Only `RELATIVE` relocations matter: they are what makes a pointer in the data of a PIE point somewhere. The table is
//! found as the loader finds it, through `PT_DYNAMIC`, so it needs no section headers.
//!
//! Go's own linker and GNU ld also write the addend into the relocated word, so the file already holds every pointer
//! and nothing need be kept (their tables have about as many entries as the program has static pointers, and Go's is
//! not sorted). LLVM's lld leaves the words zero; then the table is kept, sorted by address. A sample tells which it
//! is. Packed relocations (`DT_RELR`) keep their addend in the word by definition.

use std::borrow::Cow;

use crate::bytes::{u32_at, u64_at};
use crate::elf::PT_DYNAMIC;
use crate::image::Image;

const DT_NULL: u64 = 0;
const DT_RELA: u64 = 7;
const DT_RELASZ: u64 = 8;

/// `Elf64_Rela`: offset, info, addend.
const ENTRY: usize = 24;
/// 96 MiB of table. Kubernetes-sized programs have about 400,000 entries.
const MAX_ENTRIES: u64 = 4 << 20;
const MAX_DYNAMIC: u64 = 16 << 10;
/// How many entries are compared with the words they relocate.
const SAMPLES: u64 = 256;

/// How the pointers of an executable are to be read.
pub(crate) struct Relocs {
    /// (link-time address, value), sorted. Empty when the file's words already hold the values.
    values: Vec<(u64, u64)>,
}

impl Relocs {
    /// For a file whose words hold their values already.
    pub(crate) const fn in_place() -> Relocs {
        Relocs { values: Vec::new() }
    }

    /// Reads the table, if it must be kept. A missing or damaged table is the same as an empty one: what depends on it
    /// is checked by whoever reads it.
    pub(crate) fn load(image: &Image) -> Relocs {
        let Some((table, count)) = find_table(image) else { return Relocs::in_place() };
        if words_hold_values(image, table, count) {
            return Relocs::in_place();
        }
        let mut values = read_table(image, table, count);
        values.sort_unstable();
        values.dedup_by_key(|&mut (at, _)| at);
        values.shrink_to_fit();
        Relocs { values }
    }

    /// Writes the relocated words that lie wholly within `bytes`, which begin at `vaddr`.
    pub(crate) fn apply<'a>(&self, vaddr: u64, bytes: Cow<'a, [u8]>) -> Cow<'a, [u8]> {
        let first = self.values.partition_point(|&(at, _)| at < vaddr);
        let tail = self.values.get(first..).unwrap_or_default();
        let len = bytes.len() as u64;
        let within = |&(at, value): &(u64, u64)| Some((at.checked_sub(vaddr)?, value)).filter(|&(at, _)| at < len);
        let mut inside = tail.iter().map_while(within).peekable();
        if inside.peek().is_none() {
            return bytes;
        }
        let mut relocated = bytes.into_owned();
        for (at, value) in inside {
            let Ok(at) = usize::try_from(at) else { break };
            if let Some(word) = at.checked_add(8).and_then(|end| relocated.get_mut(at..end)) {
                word.copy_from_slice(&value.to_le_bytes());
            }
        }
        Cow::Owned(relocated)
    }
}

/// The link-time address of the table and its number of entries.
fn find_table(image: &Image) -> Option<(u64, u64)> {
    let header = image.elf.program_headers.iter().find(|header| header.kind == PT_DYNAMIC)?;
    let size = header.segment.file_size.min(MAX_DYNAMIC);
    let dynamic = image.read(header.segment.vaddr, usize::try_from(size).ok()?)?;
    let (mut table, mut size) = (None, None);
    for entry in dynamic.chunks_exact(16) {
        let value = u64_at(entry, 8)?;
        match u64_at(entry, 0)? {
            DT_NULL => break,
            DT_RELA => table = Some(value),
            DT_RELASZ => size = Some(value),
            _ => {}
        }
    }
    Some((table?, (size? / ENTRY as u64).min(MAX_ENTRIES)))
}

fn words_hold_values(image: &Image, table: u64, count: u64) -> bool {
    let step = (count / SAMPLES).max(1);
    (0..count).step_by(usize::try_from(step).unwrap_or(usize::MAX)).all(|index| {
        let entry = table.checked_add(index * ENTRY as u64).and_then(|at| image.read(at, ENTRY));
        let Some((at, value)) = entry.as_deref().and_then(|entry| relative(image, entry)) else { return true };
        image.read(at, 8).and_then(|word| u64_at(&word, 0)).is_none_or(|word| word == value)
    })
}

fn read_table(image: &Image, table: u64, count: u64) -> Vec<(u64, u64)> {
    const PER_READ: u64 = 4096;
    let mut values = Vec::new();
    let mut done = 0;
    while done < count {
        let entries = (count - done).min(PER_READ);
        let Some(at) = table.checked_add(done * ENTRY as u64) else { break };
        let Some(bytes) = image.read(at, entries as usize * ENTRY) else { break };
        values.extend(bytes.chunks_exact(ENTRY).filter_map(|entry| relative(image, entry)));
        done += entries;
    }
    values
}

/// The address and value of a `RELATIVE` relocation; `None` for the other kinds.
fn relative(image: &Image, entry: &[u8]) -> Option<(u64, u64)> {
    let kind = u32_at(entry, 8)?;
    (kind == image.elf.arch.relative_relocation()).then_some((u64_at(entry, 0)?, u64_at(entry, 16)?))
}
