//! The few numbers of an ELF file that say where the kernel maps it.

use fgspy_gobin::Source;

/// Length of a 64-bit ELF header (`Elf64_Ehdr` in elf(5)).
pub(crate) const HEADER_LEN: usize = 64;
/// Length of a program header (`Elf64_Phdr`).
const PHDR_LEN: usize = 56;
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const PT_LOAD: u32 = 1;

/// A part of the file that the kernel maps; addresses are link-time addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) vaddr: u64,
    pub(crate) offset: u64,
    pub(crate) file_size: u64,
}

/// What of an executable decides where it is mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The header as it is in the file.
    pub(crate) header: [u8; HEADER_LEN],
    /// May be loaded anywhere (`ET_DYN`), rather than only where it was linked (`ET_EXEC`).
    pub(crate) pie: bool,
    /// Link-time address of the entry point.
    pub(crate) entry: u64,
    /// File offset of the program headers.
    pub(crate) phdr_offset: u64,
    /// The loadable segments in file order.
    pub(crate) segments: Vec<Segment>,
}

impl Shape {
    /// `None` when the file is not a 64-bit little-endian executable, or is damaged.
    pub(crate) fn read(file: &dyn Source) -> Option<Shape> {
        let header: [u8; HEADER_LEN] = file.read(0, HEADER_LEN)?.as_ref().try_into().ok()?;
        // ELFCLASS64, ELFDATA2LSB
        if !header.starts_with(b"\x7fELF\x02\x01") {
            return None;
        }
        let pie = match le(&header, 16, 2)? as u16 {
            ET_EXEC => false,
            ET_DYN => true,
            _ => return None,
        };
        let (phdr_offset, size, count) = (le(&header, 32, 8)?, le(&header, 54, 2)?, le(&header, 56, 2)?);
        if size != PHDR_LEN as u64 {
            return None; // The kernel refuses to load such a file as well (load_elf_phdrs in fs/binfmt_elf.c).
        }
        let table = file.read(phdr_offset, PHDR_LEN.checked_mul(count as usize)?)?;
        let segments = table.as_chunks::<PHDR_LEN>().0.iter().filter_map(|phdr| {
            (le(phdr, 0, 4)? == u64::from(PT_LOAD)).then_some(Segment {
                offset: le(phdr, 8, 8)?,
                vaddr: le(phdr, 16, 8)?,
                file_size: le(phdr, 32, 8)?,
            })
        });
        Some(Shape { header, pie, entry: le(&header, 24, 8)?, phdr_offset, segments: segments.collect() })
    }

    /// The link-time address of a file offset, if it is in a loadable segment.
    pub(crate) fn vaddr_of(&self, offset: u64) -> Option<u64> {
        self.segments.iter().find_map(|segment| {
            let inside = offset.checked_sub(segment.offset)?;
            (inside < segment.file_size).then(|| segment.vaddr.wrapping_add(inside))
        })
    }
}

/// The `len`-byte little-endian number at `at`.
fn le(bytes: &[u8], at: usize, len: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(len)?)?;
    Some(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_our_own_executable() {
        let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let shape = Shape::read(&file).unwrap();
        assert!(shape.pie);
        assert_eq!(shape.vaddr_of(0), Some(0));
        assert_eq!(shape.vaddr_of(shape.phdr_offset), Some(shape.phdr_offset));
        assert_eq!(shape.vaddr_of(u64::MAX), None);
        assert!(shape.segments.len() >= 2);
        let mut other = file.clone();
        other[4] = 1; // ELFCLASS32
        assert_eq!(Shape::read(&other), None);
        assert_eq!(Shape::read(&file[..100].to_vec()), None);
    }

    proptest::proptest! {
        #[test]
        fn never_panics_on_damage(damage in proptest::collection::vec((0usize..64, proptest::num::u8::ANY), 0..8)) {
            let mut file = vec![0u8; 64 + 56 * 4];
            file[..6].copy_from_slice(b"\x7fELF\x02\x01");
            (file[16], file[32], file[54], file[56]) = (3, 64, 56, 4);
            file[64] = 1;
            for (at, with) in damage {
                file[at] = with;
            }
            if let Some(shape) = Shape::read(&file) {
                shape.vaddr_of(shape.phdr_offset);
            }
        }
    }
}
