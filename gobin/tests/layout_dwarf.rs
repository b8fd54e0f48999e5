//! Compares the layout table with the debug information of real executables: another source than the generator's.
//!
//! `FGSPY_TEST_BINARIES` names the executables (colon-separated); without it the test says so and does nothing.

mod common;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use fgspy_gobin::GoBinary;
use gimli::{AttributeValue, DW_AT_byte_size, DW_AT_data_member_location, DW_AT_name, DW_AT_type};
use gimli::{EndianSlice, LittleEndian};
use object::{Object, ObjectSection};

type Reader<'a> = EndianSlice<'a, LittleEndian>;
type Unit<'a> = gimli::Unit<Reader<'a>>;

/// Tables of `layouts.toml` that describe a structure, and its name in the debug information.
const STRUCTURES: [(&str, &str); 8] = [
    ("g", "runtime.g"),
    ("gobuf", "runtime.gobuf"),
    ("m", "runtime.m"),
    ("p", "runtime.p"),
    ("schedt", "runtime.schedt"),
    ("moduledata", "runtime.moduledata"),
    ("sudog", "runtime.sudog"),
    ("hmap", "runtime.hmap"),
];

struct Structure {
    name: String,
    size: u64,
    /// Name to offset, and where the field's type is in the unit.
    fields: BTreeMap<String, (u64, usize)>,
}

/// Types of a unit, by their place in it.
#[derive(Default)]
struct Types {
    structures: BTreeMap<usize, Structure>,
    /// What other names of types stand for.
    aliases: BTreeMap<usize, usize>,
}

#[test]
fn the_table_agrees_with_debug_information() {
    let mut compared = 0;
    let binaries = common::test_binaries("the_table_agrees_with_debug_information");
    for path in &binaries {
        compared += usize::from(compare(path, &common::open(path)));
    }
    println!("{compared} of {} executables have debug information", binaries.len());
    assert!(compared > 0 || binaries.is_empty(), "no executable has debug information");
}

/// Whether the executable has debug information of the runtime.
fn compare(path: &Path, binary: &GoBinary) -> bool {
    let name = path.display();
    let data = std::fs::read(path).unwrap();
    let file = object::File::parse(data.as_slice()).unwrap();
    let section = |id: gimli::SectionId| -> Result<Cow<'_, [u8]>, object::Error> {
        file.section_by_name(id.name()).map_or(Ok(Cow::Borrowed(&[][..])), |section| section.uncompressed_data())
    };
    let sections = gimli::DwarfSections::load(section).unwrap();
    let dwarf = sections.borrow(|bytes| EndianSlice::new(bytes, LittleEndian));
    let table = entry_for(binary);
    let mut seen = Vec::new();
    let mut units = dwarf.units();
    while let Some(header) = units.next().unwrap() {
        let unit = dwarf.unit(header).unwrap();
        let types = types(&dwarf, &unit);
        let named = |wanted: &str| types.structures.values().find(|structure| structure.name == wanted);
        // The Go linker puts all types into one unit.
        if named("runtime.g").is_none() {
            continue;
        }
        for (key, type_name) in STRUCTURES {
            let Some(expected) = table.get(key).and_then(toml::Value::as_table) else { continue };
            let found = named(type_name).unwrap_or_else(|| panic!("{name}: no {type_name} in the debug information"));
            for (field, offset) in expected {
                let offset = offset.as_integer().unwrap() as u64;
                let actual = if field == "size" { Some(found.size) } else { offset_of(&types, found, field) };
                assert_eq!(actual, Some(offset), "{name}: {type_name}.{field}");
            }
            seen.push(key);
        }
    }
    // The old map layout is there only where the table has it.
    assert!(seen.is_empty() || seen.len() >= 7, "{name}: compared only {seen:?}");
    !seen.is_empty()
}

/// The entry of `layouts.toml` made from the very release that built the executable.
fn entry_for(binary: &GoBinary) -> toml::Table {
    let table: toml::Table = include_str!("../layouts.toml").parse().unwrap();
    let version = binary.version().unwrap().text.split([' ', '-']).next().unwrap().trim_start_matches("go").to_owned();
    let mut entries = table["layout"].as_array().unwrap().iter().filter_map(toml::Value::as_table);
    let has = |entry: &&toml::Table| entry["go"].as_array().unwrap().iter().any(|go| go.as_str() == Some(&version));
    entries.find(has).unwrap_or_else(|| panic!("the table was not made from Go {version}")).clone()
}

fn types(dwarf: &gimli::Dwarf<Reader<'_>>, unit: &Unit<'_>) -> Types {
    let mut types = Types::default();
    let mut entries = unit.entries();
    let mut current = None;
    while let Some(entry) = entries.next_dfs().unwrap() {
        let name = || {
            let text = entry.attr_value(DW_AT_name).and_then(|name| dwarf.attr_string(unit, name).ok());
            text.map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let number = |attribute| entry.attr_value(attribute).and_then(|value| value.udata_value());
        let of = entry.attr_value(DW_AT_type).and_then(|of| match of {
            AttributeValue::UnitRef(at) => Some(at.0),
            // The Go linker writes them relative to the section.
            AttributeValue::DebugInfoRef(at) => at.to_unit_offset(&unit.header).map(|at| at.0),
            _ => None,
        });
        let at = entry.offset().0;
        match (entry.tag(), of) {
            (gimli::DW_TAG_structure_type, _) => {
                let size = number(DW_AT_byte_size).unwrap_or(0);
                types.structures.insert(at, Structure { name: name(), size, fields: BTreeMap::new() });
                current = Some(at);
            }
            (gimli::DW_TAG_typedef, Some(of)) => {
                types.aliases.insert(at, of);
            }
            (gimli::DW_TAG_member, Some(of)) => {
                let structure = current.and_then(|at| types.structures.get_mut(&at));
                // Bit fields of C code have no such offset.
                if let Some((structure, offset)) = structure.zip(number(DW_AT_data_member_location)) {
                    structure.fields.insert(name(), (offset, of));
                }
            }
            _ => {}
        }
    }
    types
}

/// Follows a dotted path.
fn offset_of(types: &Types, structure: &Structure, path: &str) -> Option<u64> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let (offset, of) = structure.fields.get(first)?;
    let Some(rest) = rest else { return Some(*offset) };
    let nested = types.structures.get(types.aliases.get(of).unwrap_or(of))?;
    Some(offset + offset_of(types, nested, rest)?)
}
