//! The header of the function table (`runtime.pcHeader`).

use crate::Arch;
use crate::bytes::{u8_at, u32_at, u64_at};

/// Bytes that hold a header of any version.
pub(crate) const HEADER_SIZE: usize = 72;

/// The largest table that is accepted, in bytes. Kubernetes-sized programs have about 40 MB.
pub(crate) const LARGEST_TABLE: u64 = 1 << 30;

/// The format of the function table, named after the Go release that introduced it (`internal/abi/symtab.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PclntabVersion {
    /// Magic `0xfffffffa`, Go 1.16 and 1.17: functions by absolute address.
    Go116,
    /// Magic `0xfffffff0`, Go 1.18 and 1.19: functions by offset from the text.
    Go118,
    /// Magic `0xfffffff1`, Go 1.20 and later: with start lines. Go 1.26 moved the inline trees and stack maps into the
    /// same section and left the header's text address zero, without a new magic.
    Go120,
}

impl PclntabVersion {
    /// The first four bytes of the table, as a little-endian number.
    pub const fn magic(self) -> u32 {
        match self {
            PclntabVersion::Go116 => 0xffff_fffa,
            PclntabVersion::Go118 => 0xffff_fff0,
            PclntabVersion::Go120 => 0xffff_fff1,
        }
    }

    pub(crate) const fn from_magic(magic: u32) -> Option<PclntabVersion> {
        match magic {
            0xffff_fffa => Some(PclntabVersion::Go116),
            0xffff_fff0 => Some(PclntabVersion::Go118),
            0xffff_fff1 => Some(PclntabVersion::Go120),
            _ => None,
        }
    }

    /// The format of the table whose first eight bytes are `word`, a little-endian number.
    pub fn of_table(word: u64) -> Option<PclntabVersion> {
        PclntabVersion::from_magic(word as u32)
    }

    /// Whether Go 1.`minor` writes this format.
    pub const fn fits_minor(self, minor: u16) -> bool {
        match self {
            PclntabVersion::Go116 => matches!(minor, 16 | 17),
            PclntabVersion::Go118 => matches!(minor, 18 | 19),
            PclntabVersion::Go120 => minor >= 20,
        }
    }

    /// Whether code addresses are 4-byte offsets from the text instead of absolute 8-byte addresses.
    pub(crate) const fn offsets_are_relative(self) -> bool {
        !matches!(self, PclntabVersion::Go116)
    }
}

/// Whether `magic` is the one of Go 1.2 to 1.15 (`0xfffffffb`).
pub(crate) const fn magic_is_older(magic: u32) -> bool {
    magic == 0xffff_fffb
}

/// A header that is plausible in itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) version: PclntabVersion,
    /// Number of functions.
    pub(crate) functions: u32,
    // Offsets of the parts, from the start of the header.
    pub(crate) names: u64,
    pub(crate) units: u64,
    pub(crate) files: u64,
    pub(crate) pc_values: u64,
    pub(crate) function_table: u64,
}

impl Header {
    /// Decodes a header, or `None` when it is not one for this architecture.
    pub(crate) fn parse(bytes: &[u8], arch: Arch) -> Option<Header> {
        let version = PclntabVersion::from_magic(u32_at(bytes, 0)?)?;
        let fixed = [u8_at(bytes, 4)?, u8_at(bytes, 5)?, u8_at(bytes, 6)?, u8_at(bytes, 7)?];
        if fixed != [0, 0, arch.pc_quantum(), Arch::POINTER_SIZE] {
            return None;
        }
        let word = |index: usize| u64_at(bytes, 8 + 8 * index);
        // From 1.18 the third word is the address of the text, which 1.26 stopped filling in. It is never used.
        let first_offset = if version.offsets_are_relative() { 3 } else { 2 };
        let header = Header {
            version,
            functions: u32::try_from(word(0)?).ok()?,
            names: word(first_offset)?,
            units: word(first_offset + 1)?,
            files: word(first_offset + 2)?,
            pc_values: word(first_offset + 3)?,
            function_table: word(first_offset + 4)?,
        };
        let parts = [header.names, header.units, header.files, header.pc_values, header.function_table];
        let ascending = parts.is_sorted() && header.names >= 8 && header.function_table < LARGEST_TABLE;
        (ascending && header.functions > 0 && u64::from(header.functions) < LARGEST_TABLE / 8).then_some(header)
    }
}
