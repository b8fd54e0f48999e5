//! Where the executable was loaded.

use thiserror::Error;

use crate::auxv::Auxv;
use crate::elf::{HEADER_LEN, Shape};
use crate::maps::Mapping;
use crate::read::{Memory, ReadError};

/// The distance between an executable's link-time addresses and the addresses it runs at:
/// `run-time address = link-time address + bias`, wrapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadBias {
    /// The distance; 0 unless the executable is position independent.
    pub bias: u64,
    /// Who said so.
    pub from: BiasSource,
    /// The file's ELF header was found in memory where this bias puts it. `false` where the header is not part of any
    /// loadable segment, or where the program has overwritten it.
    pub confirmed: bool,
}

/// Who said where the executable was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BiasSource {
    /// The executable can only run where it was linked (`ET_EXEC`).
    Linked,
    /// The auxiliary vector: where the kernel says the program headers or the entry point are.
    Auxv,
    /// The list of mappings.
    Maps,
}

/// Why the load bias is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BiasError {
    /// The executable could not be read as a 64-bit little-endian ELF executable.
    #[error("the executable is not a readable 64-bit little-endian ELF file")]
    NotElf,
    /// Neither the auxiliary vector nor the mappings tell.
    #[error("neither the auxiliary vector nor the memory map says where the executable was loaded")]
    Unknown,
    /// The target's memory cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Decides among what the auxiliary vector and the mappings propose: the first proposal under which the target's memory
/// holds the file's own ELF header; failing that, the first one that two of them agree on.
///
/// `maps` lists the mappings of the executable, and is asked for only if need be.
pub(crate) fn find(
    shape: &Shape,
    auxv: Auxv,
    maps: impl FnOnce() -> Vec<Mapping>,
    memory: &impl Memory,
) -> Result<LoadBias, BiasError> {
    if !shape.pie {
        let confirmed = holds_header(shape, 0, memory)?;
        return Ok(LoadBias { bias: 0, from: BiasSource::Linked, confirmed });
    }
    let told = |told: Option<u64>, linked: Option<u64>| Some(told?.wrapping_sub(linked?));
    let mut proposals: Vec<(u64, BiasSource)> =
        [told(auxv.phdr, shape.vaddr_of(shape.phdr_offset)), told(auxv.entry, Some(shape.entry))]
            .into_iter()
            .flatten()
            .filter(|bias| bias % PAGE == 0)
            .map(|bias| (bias, BiasSource::Auxv))
            .collect();
    for &(bias, from) in &proposals {
        if holds_header(shape, bias, memory)? {
            return Ok(LoadBias { bias, from, confirmed: true });
        }
    }
    for bias in from_maps(shape, &maps()) {
        if holds_header(shape, bias, memory)? {
            return Ok(LoadBias { bias, from: BiasSource::Maps, confirmed: true });
        }
        proposals.push((bias, BiasSource::Maps));
    }
    proposals
        .iter()
        .enumerate()
        .find(|&(at, &(bias, _))| proposals.iter().skip(at + 1).any(|&(other, _)| other == bias))
        .map(|(_, &(bias, from))| LoadBias { bias, from, confirmed: false })
        .ok_or(BiasError::Unknown)
}

/// The smallest page of any machine that runs Go; biases are multiples of it.
const PAGE: u64 = 4096;

/// The most mappings of the executable that are tried.
const MAX_TRIES: usize = 64;

/// What the mappings of the executable propose, each paired with the segment that starts on its first page.
fn from_maps(shape: &Shape, maps: &[Mapping]) -> Vec<u64> {
    let propose = |mapping: &Mapping| {
        let ahead = |offset: u64| offset.checked_sub(mapping.offset);
        let segment = shape.segments.iter().filter(|s| ahead(s.offset).is_some()).min_by_key(|s| ahead(s.offset))?;
        let first_linked = segment.vaddr.wrapping_sub(ahead(segment.offset)?);
        Some(mapping.start.wrapping_sub(first_linked)).filter(|bias| bias % PAGE == 0)
    };
    maps.iter().take(MAX_TRIES).filter_map(propose).collect()
}

/// Whether the target's memory holds the file's ELF header where `bias` puts it.
fn holds_header(shape: &Shape, bias: u64, memory: &impl Memory) -> Result<bool, ReadError> {
    let Some(vaddr) = shape.vaddr_of(0) else { return Ok(false) };
    let mut found = [0; HEADER_LEN];
    Ok(memory.read_into(vaddr.wrapping_add(bias), &mut found)? && found == shape.header)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::elf::Segment;
    use crate::image::Image;
    use crate::snapshot::{Facts, Parts, Snapshot};

    /// Prelinked executables do not start at 0.
    const LINKED: u64 = 0x70_0000;
    const BIAS: u64 = 0x5555_5555_4000 - LINKED;
    const START: u64 = BIAS + LINKED;

    fn shape(pie: bool) -> Shape {
        let segments = vec![
            Segment { vaddr: LINKED, offset: 0, file_size: 0x800 },
            Segment { vaddr: LINKED + 0x1_1000, offset: 0x1000, file_size: 0x2000 },
            Segment { vaddr: LINKED + 0x2_2800, offset: 0x3800, file_size: 0x10 },
        ];
        let mut header = [7; HEADER_LEN];
        header[..4].copy_from_slice(b"\x7fELF");
        Shape { header, pie, entry: LINKED + 0x1_1040, phdr_offset: 64, segments }
    }

    fn memory(header_at: Option<u64>) -> Snapshot {
        let mut memory = Image::default();
        if let Some(addr) = header_at {
            memory.append(addr, &shape(true).header);
        }
        Snapshot::from_parts(Parts { facts: Facts::default(), memory, exe_len: 0, exe: Image::default() })
    }

    fn mapping(start: u64, offset: u64) -> Mapping {
        let (readable, writable, executable) = (true, false, false);
        Mapping {
            start,
            end: start + 0x1000,
            readable,
            writable,
            executable,
            offset,
            inode: 1,
            device: (0, 0),
            path: None,
        }
    }

    fn found(auxv: Auxv, maps: &[Mapping], header_at: Option<u64>) -> Result<LoadBias, BiasError> {
        find(&shape(true), auxv, || maps.to_vec(), &memory(header_at))
    }

    const TRUE_AUXV: Auxv = Auxv { phdr: Some(START + 64), entry: Some(START + 0x1_1040) };

    #[test]
    fn the_auxiliary_vector_suffices() {
        let asked = Cell::new(false);
        let maps = || {
            asked.set(true);
            Vec::new()
        };
        let expected = LoadBias { bias: BIAS, from: BiasSource::Auxv, confirmed: true };
        assert_eq!(find(&shape(true), TRUE_AUXV, maps, &memory(Some(START))), Ok(expected));
        assert!(!asked.get());
        for half in [Auxv { phdr: None, ..TRUE_AUXV }, Auxv { entry: None, ..TRUE_AUXV }] {
            assert_eq!(found(half, &[], Some(START)), Ok(expected));
        }
    }

    #[test]
    fn a_lying_vector_is_overruled_by_the_memory() {
        let lie = Auxv { phdr: Some(0x1_0040), entry: Some(0xdead_beef) };
        // As with pages of 64 KiB: the mapping starts before its segment does.
        let maps = [mapping(START + 0x2_2000, 0x3000), mapping(START + 0x1_1000, 0x1000)];
        for maps in [&maps[..1], &maps[1..]] {
            let expected = LoadBias { bias: BIAS, from: BiasSource::Maps, confirmed: true };
            assert_eq!(found(lie, maps, Some(START)), Ok(expected));
        }
        assert_eq!(found(lie, &[], Some(START)), Err(BiasError::Unknown));
        assert_eq!(found(lie, &[mapping(0x7000, 0)], Some(START)), Err(BiasError::Unknown));
    }

    #[test]
    fn without_a_header_in_memory_two_must_agree() {
        let expected = LoadBias { bias: BIAS, from: BiasSource::Auxv, confirmed: false };
        assert_eq!(found(TRUE_AUXV, &[], None), Ok(expected));
        let half = Auxv { phdr: None, ..TRUE_AUXV };
        assert_eq!(found(half, &[], None), Err(BiasError::Unknown));
        assert_eq!(found(half, &[mapping(START, 0)], None), Ok(expected));
        let by_maps = LoadBias { from: BiasSource::Maps, ..expected };
        assert_eq!(found(Auxv::default(), &[mapping(START, 0), mapping(START + 0x1_1000, 0x1000)], None), Ok(by_maps));
    }

    #[test]
    fn a_linked_address_stays() {
        let result = find(&shape(false), TRUE_AUXV, Vec::new, &memory(Some(LINKED)));
        assert_eq!(result, Ok(LoadBias { bias: 0, from: BiasSource::Linked, confirmed: true }));
        let result = find(&shape(false), TRUE_AUXV, Vec::new, &memory(None));
        assert_eq!(result, Ok(LoadBias { bias: 0, from: BiasSource::Linked, confirmed: false }));
    }
}
