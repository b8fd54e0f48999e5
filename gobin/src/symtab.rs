//! Addresses from the ELF symbol table, which stripping removes.
//!
//! Few symbols are ever asked for, and the tables of a large program take tens of megabytes, so they are streamed
//! through for each question instead of being kept.

use crate::bytes::{u32_at, u64_at};
use crate::elf::{SHT_SYMTAB, Section};
use crate::image::Image;

/// `Elf64_Sym`: name (u32), info, other, section (u16), value, size.
const ENTRY: usize = 24;
const CHUNK: usize = 256 << 10;
/// The largest table that is looked at, in bytes.
const MAX_TABLE: u64 = 1 << 30;

/// A symbol's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Link-time address.
    pub addr: u64,
    /// Size in bytes; 0 when the table does not say.
    pub size: u64,
}

/// Looks up several names in one pass.
pub(crate) fn symbols(image: &Image, wanted: &[&str]) -> Vec<Option<Symbol>> {
    let mut found = vec![None; wanted.len()];
    let Some(table) = image.elf.sections.iter().find(|section| section.kind == SHT_SYMTAB) else { return found };
    let Some(strings) = usize::try_from(table.link).ok().and_then(|at| image.elf.sections.get(at)) else {
        return found;
    };
    let positions = positions(image, strings, wanted);
    if positions.is_empty() {
        return found;
    }
    chunks(image, table, 0, |_, bytes| {
        for entry in bytes.chunks_exact(ENTRY) {
            let Some(name) = u32_at(entry, 0) else { break };
            let first = positions.partition_point(|&(position, _)| position < u64::from(name));
            let same = positions.get(first..).unwrap_or_default().iter();
            for &(_, index) in same.take_while(|&&(position, _)| position == u64::from(name)) {
                let symbol = u64_at(entry, 8).zip(u64_at(entry, 16)).map(|(addr, size)| Symbol { addr, size });
                // Undefined symbols have address 0.
                if let Some(slot @ None) = found.get_mut(index) {
                    *slot = symbol.filter(|symbol| symbol.addr != 0);
                }
            }
        }
    });
    found
}

/// Where in the string table the names are, sorted. A name may occur several times, and linkers let a symbol point into
/// the tail of a longer name, so every place is kept.
fn positions(image: &Image, strings: &Section, wanted: &[&str]) -> Vec<(u64, usize)> {
    const MAX_POSITIONS: usize = 10_000;
    let needles: Vec<Vec<u8>> = wanted.iter().map(|name| [name.as_bytes(), b"\0"].concat()).collect();
    let overlap = needles.iter().map(Vec::len).max().unwrap_or(0).min(CHUNK);
    let mut positions = Vec::new();
    chunks(image, strings, overlap, |offset, bytes| {
        for (index, needle) in needles.iter().enumerate().filter(|(_, needle)| needle.len() > 1) {
            let hits = memchr::memmem::find_iter(bytes, needle).map(|at| (offset + at as u64, index));
            positions.extend(hits.take(MAX_POSITIONS.saturating_sub(positions.len())));
        }
    });
    positions.sort_unstable();
    positions.dedup();
    positions
}

/// Calls `visit` with consecutive pieces of a section and their offsets in it; `overlap` bytes are repeated.
fn chunks(image: &Image, section: &Section, overlap: usize, mut visit: impl FnMut(u64, &[u8])) {
    // A multiple of the entry size, so that no entry is cut.
    let step = CHUNK / ENTRY * ENTRY;
    let size = section.size.min(MAX_TABLE);
    let mut at = 0;
    while at < size {
        let len = (size - at).min((step + overlap) as u64);
        let bytes = section.offset.checked_add(at).zip(usize::try_from(len).ok());
        let Some(bytes) = bytes.and_then(|(offset, len)| image.read_file(offset, len)) else { return };
        visit(at, &bytes);
        at += step as u64;
    }
}
