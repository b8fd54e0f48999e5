//! Names of code that is not Go's: the functions of C in the executable and in its libraries, by their symbol tables.

use std::cell::OnceCell;
use std::io::{self, Read, Seek, SeekFrom};

use fgspy_gobin::Source;
use fgspy_memory::{ExeFile, Mapping, Process};
use object::read::elf::ElfFile64;
use object::{LittleEndian, Object, ObjectSegment, ObjectSymbol, ReadCache, SymbolKind};

/// The most files that are kept open.
const MAX_FILES: usize = 256;
/// Longer files are not looked at: a length may be claimed without being there.
const MAX_LENGTH: u64 = 1 << 30;
/// The most symbols of one file.
const MAX_SYMBOLS: usize = 4 << 20;
/// The longest name that is shown, in bytes.
const MAX_NAME: usize = 512;

/// What is mapped in a process, and the files that it is mapped from.
///
/// Files are opened while the process is there; a symbol table is read when the first address in it is asked for.
#[derive(Default)]
pub struct Foreign {
    mappings: Vec<Mapping>,
    files: Vec<Image>,
}

/// A file with code.
struct Image {
    /// Where the code is mapped, and where that is in the file.
    code: Vec<Mapping>,
    file: ExeFile,
    table: OnceCell<Option<Table>>,
}

impl Foreign {
    /// Looks at what a process has mapped.
    pub fn of(process: &Process) -> Foreign {
        let mut foreign = Foreign::default();
        foreign.refresh(process);
        foreign
    }

    /// Looks again. What was there before stays known, unless something else is there now.
    pub fn refresh(&mut self, process: &Process) {
        // The names of a target that is gone are those that were seen.
        let Ok(mappings) = process.maps() else { return };
        self.mappings = mappings;
        let has_code = |file: &Image, at: &Mapping| file.code.iter().any(|code| code == at);
        let mut found: Vec<(Vec<Mapping>, Option<ExeFile>)> = Vec::new();
        for library in process.libraries().unwrap_or_default() {
            let code: Vec<Mapping> = library.mappings().iter().filter(|mapping| mapping.executable).cloned().collect();
            let is_known = code.iter().all(|at| self.files.iter().any(|file| has_code(file, at)));
            if !is_known && found.len() + self.files.len() < MAX_FILES {
                found.push((code, process.open_library(&library).ok()));
            }
        }
        if self.files.is_empty() {
            found.push((process.exe_mappings(&self.mappings), process.exe().try_clone().ok()));
        }
        for (code, file) in found {
            self.files.extend(file.map(|file| Image { code, file, table: OnceCell::new() }));
        }
    }

    /// A name for the code at an address: `function [file]`, or `[file]` where the function is not known.
    pub fn name(&self, address: u64) -> String {
        let index = self.mappings.partition_point(|mapping| mapping.end <= address);
        let mapping = self.mappings.get(index).filter(|mapping| mapping.start <= address);
        let path = mapping.and_then(|mapping| mapping.path.as_deref());
        let Some(name) = path.and_then(|path| path.file_name()).map(|name| name.to_string_lossy()) else {
            return "[unknown code]".to_owned();
        };
        let place = if name.starts_with('[') { name.into_owned() } else { format!("[{name}]") };
        match self.function(address) {
            Some(function) => format!("{function} {place}"),
            None => place,
        }
    }

    fn function(&self, address: u64) -> Option<&str> {
        let is_in = |code: &&Mapping| (code.start..code.end).contains(&address);
        // What was mapped there last.
        let found = self.files.iter().rev().find_map(|image| Some((image, image.code.iter().find(is_in)?)));
        let (image, code) = found?;
        let offset = (address - code.start).checked_add(code.offset)?;
        image.table.get_or_init(|| Table::read(&image.file)).as_ref()?.name(offset)
    }
}

/// The functions of a file, by where their code is in it.
struct Table {
    /// File offset of the first byte, file offset after the last, and start and end of the name; sorted.
    functions: Vec<(u64, u64, u32, u32)>,
    names: String,
}

impl Table {
    /// Reads the symbols of a 64-bit ELF file: those of `.symtab`, and those of `.dynsym`, which stripping leaves.
    fn read(file: &ExeFile) -> Option<Table> {
        if file.len() > MAX_LENGTH {
            return None;
        }
        let cache = ReadCache::new(Reader { file, at: 0 });
        let elf = ElfFile64::<LittleEndian, _>::parse(&cache).ok()?;
        let segments: Vec<(u64, u64, u64)> =
            elf.segments().map(|segment| (segment.address(), segment.file_range().0, segment.file_range().1)).collect();
        let offset = |address: u64| {
            let inside = |&(start, _, size): &(u64, u64, u64)| address.wrapping_sub(start) < size;
            let (start, offset, _) = segments.iter().copied().find(inside)?;
            offset.checked_add(address - start)
        };
        let mut table = Table { functions: Vec::new(), names: String::new() };
        for symbol in elf.symbols().chain(elf.dynamic_symbols()).take(MAX_SYMBOLS) {
            // Those without a kind are written in assembly.
            let is_code = match symbol.kind() {
                SymbolKind::Text => true,
                SymbolKind::Unknown => symbol.size() > 0,
                _ => false,
            };
            let (Ok(name), true) = (symbol.name(), is_code && symbol.is_definition() && symbol.address() != 0) else {
                continue;
            };
            if let Some(start) = offset(symbol.address()).filter(|_| !name.is_empty() && name.len() <= MAX_NAME) {
                table.add(start, symbol.size(), name)?;
            }
        }
        table.finish();
        Some(table)
    }

    fn add(&mut self, start: u64, size: u64, name: &str) -> Option<()> {
        let from = u32::try_from(self.names.len()).ok()?;
        self.names.push_str(name);
        self.functions.push((start, start.saturating_add(size), from, u32::try_from(self.names.len()).ok()?));
        Some(())
    }

    fn finish(&mut self) {
        // Of several names for one place, one with a length before one without, and the public one before those that are
        // the library's own (`getpid`, `__getpid`).
        let names = &self.names;
        let own = |from: u32| names.bytes().skip(from as usize).take_while(|&byte| byte == b'_').count();
        self.functions.sort_by_cached_key(|&(start, end, from, _)| (start, end == start, own(from), from));
        self.functions.dedup_by_key(|&mut (start, ..)| start);
    }

    /// The function that has the byte at a file offset. Between functions there are others whose names are not known.
    fn name(&self, offset: u64) -> Option<&str> {
        let after = self.functions.partition_point(|&(start, ..)| start <= offset);
        let before = self.functions.get(..after)?;
        // Parts of a function may have names of their own, which end before it does.
        let near = before.iter().rev().take(8).find(|&&(start, end, ..)| offset < end || offset == start)?;
        let &(_, _, from, to) = near;
        self.names.get(from as usize..to as usize)
    }
}

/// Reads a file by position, from where it was left.
struct Reader<'a> {
    file: &'a ExeFile,
    at: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.file.len().saturating_sub(self.at);
        let len = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let bytes = Source::read(self.file, self.at, len).ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.get_mut(..len).ok_or(io::ErrorKind::InvalidInput)?.copy_from_slice(&bytes);
        self.at += len as u64;
        Ok(len)
    }
}

impl Seek for Reader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(distance) => self.file.len().checked_add_signed(distance),
            SeekFrom::Current(distance) => self.at.checked_add_signed(distance),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_by_their_extent() {
        let mut table = Table { functions: Vec::new(), names: String::new() };
        for (start, size, name) in
            [(100, 50, "outer"), (110, 5, "part"), (100, 50, "alias"), (200, 0, "sizeless"), (300, 10, "last")]
        {
            table.add(start, size, name).unwrap();
        }
        table.finish();
        assert_eq!(table.name(99), None);
        assert_eq!(table.name(100), Some("outer"));
        assert_eq!(table.name(112), Some("part"));
        assert_eq!(table.name(120), Some("outer"), "behind the part");
        assert_eq!(table.name(150), None, "no neighbour's name");
        assert_eq!(table.name(200), Some("sizeless"));
        assert_eq!(table.name(201), None);
        assert_eq!(table.name(309), Some("last"));
        assert_eq!(table.name(310), None);
    }

    #[test]
    fn our_own_functions_of_the_c_library_have_names() {
        let foreign = Foreign::of(&Process::open(std::process::id()).unwrap());
        let name = foreign.name(libc_function());
        assert!(name.starts_with("getpid [libc"), "{name}");
        let own = foreign.name(functions_are_found_by_their_extent as fn() as usize as u64);
        assert!(own.contains("functions_are_found_by_their_extent") && own.contains(" ["), "{own}");
        assert_eq!(foreign.name(0x10), "[unknown code]");
    }

    /// Where the C library has `getpid`: the dynamic linker has put its address into the table that the call goes through.
    fn libc_function() -> u64 {
        libc::getpid as unsafe extern "C" fn() -> libc::pid_t as usize as u64
    }
}
