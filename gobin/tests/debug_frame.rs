//! Compares stack sizes (SP deltas) with the DWARF call frame information of the executables in `FGSPY_TEST_BINARIES`
//! that have any.

mod common;

use std::path::Path;

use fgspy_gobin::{Arch, GoBinary};
use gimli::{BaseAddresses, CfaRule, DebugFrame, LittleEndian, UnwindContext, UnwindSection};
use object::{Object, ObjectSection};

/// Compares every row of every function's unwind table. Gives the number of rows.
fn compare(path: &Path, binary: &GoBinary, frames: &[u8]) -> usize {
    // The return address is above the frame on amd64, and part of it on arm64.
    let (stack_pointer, pushed) = match binary.arch() {
        Arch::Amd64 => (gimli::X86_64::RSP, 8),
        Arch::Arm64 => (gimli::AArch64::SP, 0),
    };
    let mut section = DebugFrame::new(frames, LittleEndian);
    section.set_address_size(8);
    let bases = BaseAddresses::default();
    let mut context = UnwindContext::new();
    let mut entries = section.entries(&bases);
    let mut compared = 0;
    while let Some(entry) = entries.next().unwrap() {
        let gimli::CieOrFde::Fde(partial) = entry else { continue };
        let description = partial.parse(DebugFrame::cie_from_offset).unwrap();
        let mut rows = description.rows(&section, &bases, &mut context).unwrap();
        while let Some(row) = rows.next_row().unwrap() {
            let CfaRule::RegisterAndOffset { register, offset } = *row.cfa() else { continue };
            let address = row.start_address();
            let ours = binary.sp_delta(address);
            // C functions have unwind tables as well, but no entry in Go's table.
            let Some(ours) = ours.filter(|_| register == stack_pointer) else { continue };
            assert_eq!(i64::from(ours) + pushed, offset, "{} at {address:#x}", path.display());
            compared += 1;
        }
    }
    compared
}

#[test]
fn stack_sizes_agree_with_debug_frame() {
    for path in common::test_binaries("stack_sizes_agree_with_debug_frame") {
        let bytes = std::fs::read(&path).unwrap();
        let file = object::File::parse(bytes.as_slice()).unwrap();
        let section = file.section_by_name(".debug_frame").or_else(|| file.section_by_name(".zdebug_frame"));
        let Some(section) = section else {
            println!("{}: has no .debug_frame", path.display());
            continue;
        };
        let compared = compare(&path, &common::open(&path), &section.uncompressed_data().unwrap());
        assert!(compared > 1000, "{}: only {compared} rows compared", path.display());
        println!("{}: {compared} stack sizes agree with .debug_frame", path.display());
    }
}
