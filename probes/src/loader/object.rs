//! The program as clang made it: instructions, maps, constants, and what refers to what.
//!
//! Only what `probes/bpf/trace.bpf.c` uses is understood: one program in the section `uprobe.multi`, maps in `maps` (`struct map_spec`
//! each), constants in `.rodata`, and references to both (`R_BPF_64_64`).

use std::os::fd::{AsRawFd, OwnedFd};

use object::read::elf::ElfFile64;
use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget};

use crate::shared::Shared;
use crate::shared::tables::MapSpec;

/// The object for this architecture, as `cargo xtask bpf` made it.
#[cfg(target_arch = "x86_64")]
pub(super) const OBJECT: Option<&[u8]> = Some(include_bytes!("../../bpf/trace.amd64.bpf.o"));
#[cfg(not(target_arch = "x86_64"))]
pub(super) const OBJECT: Option<&[u8]> = None;

/// Instructions refer to a map by its descriptor (BPF_PSEUDO_MAP_FD).
const BY_MAP: u8 = 1;
/// To a place in a map of one value (BPF_PSEUDO_MAP_VALUE).
const BY_VALUE: u8 = 2;

/// The program, its maps and its constants.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) instructions: Vec<u8>,
    pub(super) maps: Vec<(String, MapSpec)>,
    /// The section of constants; the first are the configuration.
    pub(super) constants: Vec<u8>,
    references: Vec<Reference>,
}

#[derive(Clone, Copy, Debug)]
struct Reference {
    /// In bytes from the first instruction.
    at: usize,
    to: Target,
}

#[derive(Clone, Copy, Debug)]
enum Target {
    /// By its place in [`Program::maps`].
    Map(usize),
    /// Bytes from the start of the constants.
    Constant(u32),
}

/// Reads an object; says what is missing.
pub(super) fn parse(bytes: &[u8]) -> Result<Program, String> {
    let file = ElfFile64::<object::Endianness>::parse(bytes).map_err(|error| error.to_string())?;
    let section = |name: &str| file.section_by_name(name).ok_or_else(|| format!("no section {name}"));
    let data = |name: &str| section(name)?.data().map(<[u8]>::to_vec).map_err(|error| error.to_string());
    let (code, map_section) = (section("uprobe.multi")?, section("maps")?);
    let map_bytes = data("maps")?;
    let mut maps: Vec<(u64, String, MapSpec)> = Vec::new();
    for symbol in file.symbols().filter(|symbol| symbol.section_index() == Some(map_section.index())) {
        let name = symbol.name().map_err(|error| error.to_string())?;
        if !name.is_empty() {
            let spec = spec(&map_bytes, symbol.address()).ok_or_else(|| format!("map {name} is cut short"))?;
            maps.push((symbol.address(), name.to_owned(), spec));
        }
    }
    maps.sort_by_key(|(address, ..)| *address);
    let mut references = Vec::new();
    for (at, relocation) in code.relocations() {
        let RelocationTarget::Symbol(index) = relocation.target() else { return Err("a reference to nothing".into()) };
        let symbol = file.symbol_by_index(index).map_err(|error| error.to_string())?;
        let to = match symbol.section_index() {
            Some(index) if index == map_section.index() => {
                let place = maps.iter().position(|(address, ..)| *address == symbol.address());
                Target::Map(place.ok_or("a reference to no map")?)
            }
            Some(index) if Some(index) == file.section_by_name(".rodata").map(|section| section.index()) => {
                Target::Constant(symbol.address() as u32)
            }
            _ => return Err(format!("a reference to {:?}", symbol.name())),
        };
        references.push(Reference { at: at as usize, to });
    }
    let maps = maps.into_iter().map(|(_, name, spec)| (name, spec)).collect();
    Ok(Program { instructions: data("uprobe.multi")?, maps, constants: data(".rodata")?, references })
}

fn spec(bytes: &[u8], at: u64) -> Option<MapSpec> {
    MapSpec::read(bytes.get(usize::try_from(at).ok()?..)?)
}

impl Program {
    /// The instructions, with their references to these maps and to the map of the constants.
    pub(super) fn linked(&self, maps: &[OwnedFd], constants: &OwnedFd) -> Option<Vec<u8>> {
        let mut code = self.instructions.clone();
        for reference in &self.references {
            // Two instructions of 8 bytes: operation, registers, offset (2), immediate (4).
            let pair = code.get_mut(reference.at..reference.at + 16)?;
            let addend = u32::from_le_bytes(pair.get(4..8)?.try_into().ok()?);
            let (how, fd, place) = match reference.to {
                Target::Map(place) => (BY_MAP, maps.get(place)?, 0),
                Target::Constant(place) => (BY_VALUE, constants, place.wrapping_add(addend)),
            };
            let registers = pair.get_mut(1)?;
            *registers = (*registers & 0x0f) | (how << 4);
            pair.get_mut(4..8)?.copy_from_slice(&fd.as_raw_fd().to_le_bytes());
            pair.get_mut(12..16)?.copy_from_slice(&place.to_le_bytes());
        }
        Some(code)
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::shared::constants::DFA_CELLS;
    use crate::shared::{Config, tables};

    #[test]
    fn the_committed_object_is_understood() {
        let program = parse(OBJECT.unwrap()).unwrap();
        let names: Vec<&str> = program.maps.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["ring", "goroutines", "by_start", "by_request", "counts", "numbers", "dfa"]);
        let sizes = |name: &str| {
            let (_, spec) = program.maps.iter().find(|(of, _)| of == name).unwrap();
            (spec.key_size as usize, spec.value_size as usize)
        };
        assert_eq!(sizes("goroutines"), (8, size_of::<tables::Goroutine>()));
        assert_eq!(sizes("by_start"), (8, size_of::<tables::Ended>()));
        assert_eq!(sizes("by_request"), (8, size_of::<tables::Request>()));
        assert_eq!(sizes("dfa"), (4, size_of::<u16>() * DFA_CELLS));
        assert!(program.constants.len() >= size_of::<Config>());
        assert!(program.instructions.len().is_multiple_of(8) && !program.references.is_empty());
        assert!(program.references.iter().all(|reference| reference.at + 16 <= program.instructions.len()));
    }

    #[test]
    fn it_calls_nothing_that_reads_the_kernel_s_memory_or_writes_the_target_s() {
        // Helpers by their numbers (include/uapi/linux/bpf.h): of maps, the clock, the process's number, what to read the
        // target's memory with, of the ring, the cookie. A kernel locked down for confidentiality refuses none of them
        // (`bpf_base_func_proto`; kernel_lockdown(7)).
        const CALLED: [i32; 10] = [1, 2, 3, 5, 14, 112, 131, 132, 133, 174];
        const CALL: u8 = 0x85;
        let program = parse(OBJECT.unwrap()).unwrap();
        let called: BTreeSet<i32> = program
            .instructions
            .chunks_exact(8)
            .filter(|instruction| instruction[0] == CALL)
            .map(|instruction| {
                assert_eq!(instruction[1] >> 4, 0, "a call of something that is no helper");
                i32::from_le_bytes(instruction[4..].try_into().unwrap())
            })
            .collect();
        assert!(called.iter().all(|helper| CALLED.contains(helper)) && called.contains(&112), "{called:?}");
    }

    #[test]
    fn what_is_cut_short_is_refused() {
        let object = OBJECT.unwrap();
        for len in (0..object.len()).step_by(97) {
            let _ = parse(&object[..len]);
        }
        assert!(parse(&[]).is_err());
    }
}
