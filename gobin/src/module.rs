//! The runtime's description of the main module (`runtime.firstmoduledata`), and how it and the function table are
//! found without symbols.

use crate::Error;
use crate::bytes::{u32_at, u64_at};
use crate::elf::Segment;
use crate::image::{Image, Range};
use crate::pclntab::{HEADER_SIZE, Header, LARGEST_TABLE, PclntabVersion, magic_is_older};

/// What `runtime.firstmoduledata` says (`runtime/symtab.go`, `type moduledata`). All addresses are link-time addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModuleData {
    /// Where the structure itself is.
    pub vaddr: u64,
    /// Where the function table is (`pcHeader`).
    pub pclntab: u64,
    /// Start of the Go code, what function offsets count from (`text`).
    pub text: u64,
    /// End of the Go code (`etext`).
    pub etext: u64,
    /// Address of the first function (`minpc`).
    pub minpc: u64,
    /// End of the last function (`maxpc`).
    pub maxpc: u64,
    /// What funcdata offsets count from (`gofunc`). `None` before Go 1.18, where funcdata are addresses, and where no
    /// inlined call confirms it.
    pub gofunc: Option<u64>,
}

/// A function table and the module data that refers to it.
pub(crate) struct Located {
    pub(crate) header: Header,
    pub(crate) module: ModuleData,
    /// Length of the function table in bytes.
    pub(crate) table_len: usize,
}

/// Sections that hold the function table: of an executable; of a PIE linked by Go up to 1.25.
const TABLE_SECTIONS: [&str; 2] = [".gopclntab", ".data.rel.ro.gopclntab"];
/// Sections that may hold the module data: from Go 1.26 on; before; if an external linker merged them.
const MODULE_SECTIONS: [&str; 4] = [".go.module", ".noptrdata", ".data", ".data.rel.ro"];
/// More plausible headers than any real executable has. One that embeds other Go executables has a few.
const MAX_HEADERS: usize = 64;
const MODULE_WORDS: usize = 24;

/// Finds the function table and the module data. `budget` limits the bytes that are searched.
///
/// A header alone is not trusted: a Go program may embed other Go programs as data. Only the real one is what the module
/// data points to.
pub(crate) fn locate(image: &Image, budget: &mut u64) -> Result<Located, Error> {
    let mut unknown = None;
    let mut headers = Vec::new();
    for range in TABLE_SECTIONS.iter().filter_map(|name| image.section_range(name)) {
        match header_at(image, range.vaddr) {
            Found::Header(header) => headers.push((range.vaddr, header)),
            Found::Older => return Err(older()),
            Found::Unknown(magic) => unknown = Some(magic),
            Found::Nothing => {}
        }
    }
    if let Some(located) = locate_module(image, &headers, budget) {
        return Ok(located);
    }
    let (scanned, saw_older) = scan_for_headers(image, budget);
    if let Some(located) = locate_module(image, &scanned, budget) {
        return Ok(located);
    }
    match (headers.first().or(scanned.first()), unknown) {
        (Some(&(pclntab, _)), _) => Err(Error::NoModuleData { pclntab }),
        (None, Some(magic)) => Err(Error::UnknownPclntab { magic }),
        (None, None) if saw_older => Err(older()),
        (None, None) if is_packed(image) => Err(Error::Packed),
        (None, None) if image.section_range(".go.buildinfo").is_some() => Err(Error::NoTable),
        (None, None) => Err(Error::NotGo),
    }
}

/// How much of a file is searched for the mark of UPX: it comes behind the ELF headers.
const MAX_MARK: usize = 4096;

fn is_packed(image: &Image) -> bool {
    let len = usize::try_from(image.len()).unwrap_or(MAX_MARK).min(MAX_MARK);
    image.read_file(0, len).is_some_and(|head| memchr::memmem::find(&head, b"UPX!").is_some())
}

fn older() -> Error {
    Error::TooOld { go: "Go 1.2 to 1.15".to_owned() }
}

enum Found {
    Header(Header),
    Older,
    Unknown(u32),
    Nothing,
}

fn header_at(image: &Image, vaddr: u64) -> Found {
    let Some(bytes) = image.read(vaddr, HEADER_SIZE) else { return Found::Nothing };
    if let Some(header) = Header::parse(&bytes, image.elf.arch) {
        return Found::Header(header);
    }
    match u32_at(&bytes, 0) {
        Some(magic) if magic_is_older(magic) => Found::Older,
        Some(magic) if PclntabVersion::from_magic(magic).is_none() => Found::Unknown(magic),
        _ => Found::Nothing,
    }
}

/// The plausible headers in the file's segments, and whether there was one of Go 1.2 to 1.15.
///
/// Needed where no section is named after the table: externally linked PIE up to Go 1.25, and files without section
/// headers.
fn scan_for_headers(image: &Image, budget: &mut u64) -> (Vec<(u64, Header)>, bool) {
    let mut headers = Vec::new();
    let mut saw_older = false;
    let ranges = image.section_range(".data.rel.ro").into_iter();
    let ranges = ranges.chain(image.segment_ranges(|segment| !segment.is_executable()));
    let ranges: Vec<Range> = ranges.chain(image.segment_ranges(Segment::is_executable)).collect();
    for range in ranges {
        image.search(range, HEADER_SIZE as u64, budget, |vaddr, bytes| {
            for at in aligned_words(vaddr, bytes) {
                let window = bytes.get(at..)?;
                let magic = u32_at(window, 0)?;
                if magic < 0xffff_fff0 {
                    continue;
                }
                saw_older |= magic_is_older(magic) && window.get(4..8) == Some(&[0, 0, image.elf.arch.pc_quantum(), 8]);
                let candidate = vaddr.checked_add(at as u64)?;
                if let Some(header) = Header::parse(window, image.elf.arch)
                    && !headers.contains(&(candidate, header))
                {
                    headers.push((candidate, header));
                }
                if headers.len() >= MAX_HEADERS {
                    return Some(());
                }
            }
            None
        });
    }
    (headers, saw_older)
}

/// The positions in `bytes`, which begin at `vaddr`, whose addresses are multiples of 8.
fn aligned_words(vaddr: u64, bytes: &[u8]) -> impl Iterator<Item = usize> + use<> {
    let first = vaddr.wrapping_neg() % 8;
    (first as usize..bytes.len()).step_by(8)
}

fn locate_module(image: &Image, headers: &[(u64, Header)], budget: &mut u64) -> Option<Located> {
    if headers.is_empty() {
        return None;
    }
    let sections = MODULE_SECTIONS.iter().filter_map(|name| image.section_range(name));
    let ranges = sections.chain(image.segment_ranges(Segment::is_writable));
    let ranges: Vec<Range> = ranges.chain(image.segment_ranges(|s| !s.is_writable() && !s.is_executable())).collect();
    ranges.into_iter().find_map(|range| {
        image.search(range, 8 * MODULE_WORDS as u64, budget, |vaddr, bytes| {
            aligned_words(vaddr, bytes).find_map(|at| {
                let words = bytes.get(at..)?;
                let pclntab = u64_at(words, 0)?;
                let &(_, header) = headers.iter().find(|&&(candidate, _)| candidate == pclntab)?;
                module_at(vaddr.checked_add(at as u64)?, words, pclntab, header)
            })
        })
    })
}

/// Decodes the module data in `words` if it fits the function table.
///
/// These positions are the same from Go 1.16 to 1.27. The slices of the table's parts give many redundant facts; all of
/// them must hold, so one match is enough.
fn module_at(vaddr: u64, words: &[u8], pclntab: u64, header: Header) -> Option<Located> {
    let word = |index: usize| u64_at(words, 8 * index);
    let parts = [
        (1, header.names),
        (4, header.units),
        (7, header.files),
        (10, header.pc_values),
        (13, header.function_table),
        (16, header.function_table),
    ];
    if !parts.iter().all(|&(index, offset)| word(index) == pclntab.checked_add(offset)) {
        return None;
    }
    let index_len = u64::from(header.functions) + 1;
    let table_len = header.function_table.checked_add(word(14)?)?;
    let module = ModuleData {
        vaddr,
        pclntab,
        minpc: word(20)?,
        maxpc: word(21)?,
        text: word(22)?,
        etext: word(23)?,
        gofunc: None,
    };
    let plausible = word(17)? == index_len
        && module.text <= module.minpc
        && module.minpc < module.maxpc
        && module.minpc < module.etext
        && table_len <= LARGEST_TABLE;
    plausible.then_some(Located { header, module, table_len: usize::try_from(table_len).ok()? })
}
