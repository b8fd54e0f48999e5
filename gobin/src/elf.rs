//! The few ELF64 structures that are needed, read through a [`Source`].
//!
//! They are decoded by hand: the `object` crate hands out slices that live as long as the file's bytes, so it wants the
//! whole file in memory (or a cache that never forgets), and it gives up on a file whose section headers are damaged,
//! which is only half a loss here.

use crate::bytes::{c_string, u8_at, u16_at, u32_at, u64_at};
use crate::source::read_exact;
use crate::{Arch, Error, Source};

const HEADER_SIZE: usize = 64;
const PROGRAM_HEADER_SIZE: usize = 56;
const SECTION_HEADER_SIZE: usize = 64;

/// Go's linker writes about 10 program headers, external linkers up to 15.
const MAX_PROGRAM_HEADERS: u16 = 256;
/// Executables have 20 to 60 sections. More are not an error: they are not looked at.
const MAX_SECTIONS: usize = 1024;
const MAX_SECTION_NAMES: u64 = 64 << 10;
const MAX_SECTION_NAME: usize = 64;

/// Bytes of the smallest page. A kernel with larger ones may map more at either end, where there is no code.
const PAGE: u64 = 4096;

pub(crate) const PT_LOAD: u32 = 1;
pub(crate) const PT_DYNAMIC: u32 = 2;
pub(crate) const PT_NOTE: u32 = 4;
pub(crate) const SHT_SYMTAB: u32 = 2;
pub(crate) const SHT_NOTE: u32 = 7;
pub(crate) const SHT_NOBITS: u32 = 8;

const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;

/// A part of the file that the loader maps (`PT_LOAD`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Link-time address of the first byte.
    pub vaddr: u64,
    /// Where the segment starts in the file, in bytes.
    pub offset: u64,
    /// How many bytes come from the file.
    pub file_size: u64,
    /// How many bytes the segment takes in memory; those beyond `file_size` start as zero.
    pub mem_size: u64,
    /// `p_flags`: 1 execute, 2 write, 4 read.
    pub flags: u32,
}

impl Segment {
    /// Whether the segment may be executed.
    pub const fn is_executable(&self) -> bool {
        self.flags & 1 != 0
    }

    /// Whether the segment may be written.
    pub const fn is_writable(&self) -> bool {
        self.flags & 2 != 0
    }

    /// The pages of the file that the loader maps: the first address, the address behind the last, and the offset of the first.
    /// `None` if they do not fit into an address space, or the segment begins at different places of a page in the file and in
    /// memory.
    pub(crate) fn pages(&self) -> Option<(u64, u64, u64)> {
        let within = self.vaddr % PAGE;
        let limit = self.vaddr.checked_add(self.file_size)?.checked_next_multiple_of(PAGE)?;
        let offset = self.offset.checked_sub(within)?;
        offset.is_multiple_of(PAGE).then_some((self.vaddr - within, limit, offset))
    }

    /// The file offset of `len` file-backed bytes at `vaddr`; `None` if the segment does not have all of them in the file.
    pub fn file_offset(&self, vaddr: u64, len: u64) -> Option<u64> {
        let within = vaddr.checked_sub(self.vaddr)?;
        if within.checked_add(len)? > self.file_size {
            return None;
        }
        self.offset.checked_add(within)
    }
}

/// One program header, any type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProgramHeader {
    pub(crate) kind: u32,
    pub(crate) segment: Segment,
}

/// One section header.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) kind: u32,
    pub(crate) addr: u64,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    /// Index of the section that this one refers to; for a symbol table, its string table.
    pub(crate) link: u32,
}

/// What the headers of an ELF executable say.
#[derive(Debug)]
pub(crate) struct Elf {
    pub(crate) arch: Arch,
    pub(crate) is_pie: bool,
    pub(crate) program_headers: Vec<ProgramHeader>,
    /// Empty when there are no section headers or they are damaged.
    pub(crate) sections: Vec<Section>,
}

impl Elf {
    pub(crate) fn parse(source: &dyn Source) -> Result<Elf, Error> {
        let ident = read_exact(source, 0, 20).or_else(|| read_exact(source, 0, 6)).ok_or(Error::NotElf)?;
        if ident.get(..4) != Some(b"\x7fELF") {
            return Err(Error::NotElf);
        }
        // In both classes the machine is at the same place.
        let machine = u16_at(&ident, 18).unwrap_or(0);
        match (u8_at(&ident, 4), u8_at(&ident, 5)) {
            (Some(2), Some(1)) => {}
            (_, Some(2)) => return Err(Error::BigEndian { machine: machine.swap_bytes() }),
            _ => return Err(Error::Not64Bit { machine }),
        }
        let truncated = Error::Truncated { what: "ELF header" };
        let header = read_exact(source, 0, HEADER_SIZE).ok_or_else(|| truncated.clone())?;
        let half = |at| u16_at(&header, at).ok_or_else(|| truncated.clone());
        let word = |at| u64_at(&header, at).ok_or_else(|| truncated.clone());

        let machine = half(18)?;
        let arch = Arch::from_elf_machine(machine).ok_or(Error::UnsupportedArch { machine })?;
        let kind = half(16)?;
        if kind != ET_EXEC && kind != ET_DYN {
            // Object files and core dumps.
            return Err(Error::NotGo);
        }
        let program_headers = program_headers(source, word(32)?, half(54)?, half(56)?)?;
        let sections = sections(source, word(40)?, half(58)?, half(60)?, half(62)?).unwrap_or_default();
        Ok(Elf { arch, is_pie: kind == ET_DYN, program_headers, sections })
    }

    pub(crate) fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }
}

fn program_headers(source: &dyn Source, at: u64, size: u16, count: u16) -> Result<Vec<ProgramHeader>, Error> {
    if count > MAX_PROGRAM_HEADERS {
        let (value, limit) = (count.into(), MAX_PROGRAM_HEADERS.into());
        return Err(Error::TooLarge { what: "number of program headers", value, limit });
    }
    let truncated = Error::Truncated { what: "program headers" };
    let size = usize::from(size);
    if size < PROGRAM_HEADER_SIZE {
        return Err(truncated);
    }
    let bytes = read_exact(source, at, size * usize::from(count)).ok_or(truncated)?;
    Ok(bytes.chunks_exact(size).filter_map(program_header).collect())
}

fn program_header(bytes: &[u8]) -> Option<ProgramHeader> {
    let segment = Segment {
        vaddr: u64_at(bytes, 16)?,
        offset: u64_at(bytes, 8)?,
        file_size: u64_at(bytes, 32)?,
        mem_size: u64_at(bytes, 40)?,
        flags: u32_at(bytes, 4)?,
    };
    Some(ProgramHeader { kind: u32_at(bytes, 0)?, segment })
}

fn sections(source: &dyn Source, at: u64, size: u16, count: u16, names: u16) -> Option<Vec<Section>> {
    let size = usize::from(size);
    if size < SECTION_HEADER_SIZE {
        return None;
    }
    let count = usize::from(count).min(MAX_SECTIONS);
    let bytes = read_exact(source, at, size.checked_mul(count)?)?;
    let header_of_names = bytes.chunks_exact(size).nth(usize::from(names))?;
    let names_size = u64_at(header_of_names, 32)?.min(MAX_SECTION_NAMES);
    let names = read_exact(source, u64_at(header_of_names, 24)?, usize::try_from(names_size).ok()?)?;
    Some(bytes.chunks_exact(size).filter_map(|header| section(header, &names)).collect())
}

fn section(header: &[u8], names: &[u8]) -> Option<Section> {
    let name = usize::try_from(u32_at(header, 0)?).ok().and_then(|at| c_string(names, at)).unwrap_or_default();
    let name = name.get(..MAX_SECTION_NAME).unwrap_or(name);
    Some(Section {
        name: String::from_utf8_lossy(name).into_owned(),
        kind: u32_at(header, 4)?,
        addr: u64_at(header, 16)?,
        offset: u64_at(header, 24)?,
        size: u64_at(header, 32)?,
        link: u32_at(header, 40)?,
    })
}
