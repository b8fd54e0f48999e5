//! The executable as the loader sees it: bytes at link-time addresses, with relocations applied.

use std::borrow::Cow;

use crate::bytes::u64_at;
use crate::elf::{Elf, PT_LOAD, SHT_NOBITS, Section, Segment};
use crate::relocs::Relocs;
use crate::source::read_exact;
use crate::{Error, Source};

/// How much is read at a time when a part of the file is searched.
const CHUNK: u64 = 256 << 10;

/// An ELF file opened for reading by link-time address.
pub(crate) struct Image {
    source: Box<dyn Source>,
    pub(crate) elf: Elf,
    pub(crate) segments: Vec<Segment>,
    relocs: Relocs,
}

impl Image {
    pub(crate) fn open(source: Box<dyn Source>) -> Result<Image, Error> {
        let elf = Elf::parse(source.as_ref())?;
        let loads = elf.program_headers.iter().filter(|header| header.kind == PT_LOAD);
        let segments = loads.map(|header| header.segment).collect();
        let mut image = Image { source, elf, segments, relocs: Relocs::in_place() };
        if image.elf.is_pie {
            image.relocs = Relocs::load(&image);
        }
        Ok(image)
    }

    /// Length of the file in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.source.len()
    }

    /// `len` bytes at file offset `offset`.
    pub(crate) fn read_file(&self, offset: u64, len: usize) -> Option<Cow<'_, [u8]>> {
        read_exact(self.source.as_ref(), offset, len)
    }

    /// `len` file-backed bytes at a link-time address, as they are in the file.
    pub(crate) fn read(&self, vaddr: u64, len: usize) -> Option<Cow<'_, [u8]>> {
        let offset = self.segments.iter().find_map(|segment| segment.file_offset(vaddr, len as u64))?;
        self.read_file(offset, len)
    }

    /// Like [`Image::read`], with the relocations that fall into the range applied.
    pub(crate) fn read_relocated(&self, vaddr: u64, len: usize) -> Option<Cow<'_, [u8]>> {
        let bytes = self.read(vaddr, len)?;
        Some(self.relocs.apply(vaddr, bytes))
    }

    /// The relocated 8-byte word at a link-time address.
    pub(crate) fn read_ptr(&self, vaddr: u64) -> Option<u64> {
        u64_at(&self.read_relocated(vaddr, 8)?, 0)
    }

    /// The file-backed bytes of a section, as a range of link-time addresses.
    pub(crate) fn section_range(&self, name: &str) -> Option<Range> {
        let section: &Section = self.elf.section(name)?;
        (section.kind != SHT_NOBITS && section.addr != 0).then_some(Range { vaddr: section.addr, len: section.size })
    }

    /// The file-backed ranges of the segments that `wanted` picks.
    pub(crate) fn segment_ranges(&self, wanted: impl Fn(&Segment) -> bool) -> Vec<Range> {
        let segments = self.segments.iter().filter(|segment| wanted(segment));
        segments.map(|segment| Range { vaddr: segment.vaddr, len: segment.file_size }).collect()
    }

    /// Calls `visit` with consecutive pieces of a range: their link-time address and their relocated bytes. Each piece
    /// but the last is followed by `overlap` bytes that the next one repeats, so that no match is cut in two. Stops
    /// when `visit` gives something, at the first unreadable piece, or when `budget` bytes were read.
    pub(crate) fn search<T>(
        &self,
        range: Range,
        overlap: u64,
        budget: &mut u64,
        mut visit: impl FnMut(u64, &[u8]) -> Option<T>,
    ) -> Option<T> {
        let mut at = 0;
        while at < range.len {
            let len = (range.len - at).min(CHUNK.saturating_add(overlap));
            *budget = budget.checked_sub(len)?;
            let vaddr = range.vaddr.checked_add(at)?;
            let bytes = self.read_relocated(vaddr, usize::try_from(len).ok()?)?;
            if let Some(found) = visit(vaddr, &bytes) {
                return Some(found);
            }
            at = at.saturating_add(CHUNK);
        }
        None
    }
}

/// A range of link-time addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) vaddr: u64,
    /// Length in bytes.
    pub(crate) len: u64,
}
