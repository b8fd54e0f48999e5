//! One function of the table (`runtime._func`).

use super::table::Pclntab;
use crate::bytes::{i32_at, u8_at, u32_at};

/// A function of the executable.
///
/// A small copy of the function's record; the parts that vary in length stay in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Func {
    /// Position in the table. Functions are in the order of their addresses.
    pub index: u32,
    /// Link-time address of the first instruction.
    pub entry: u64,
    /// Link-time address after the last one, including padding: where the next function starts.
    pub end: u64,
    /// The runtime's number for functions it treats specially (`internal/abi.FuncID`); 0 for all others. The numbers
    /// differ between Go releases.
    pub func_id: u8,
    /// What the traceback must know.
    pub flags: FuncFlags,
    /// Line of the `func` keyword; 0 when unknown (before Go 1.20, or written by the linker).
    pub start_line: u32,
    pub(crate) name: u32,
    pub(crate) pcsp: u32,
    pub(crate) pcfile: u32,
    pub(crate) pcln: u32,
    pub(crate) unit: u32,
    pub(crate) pcdata_count: u32,
    pub(crate) funcdata_count: u8,
    /// Where in the table the `pcdata` array starts.
    pub(crate) pcdata: usize,
}

/// Flags of a function (`internal/abi.FuncFlag`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FuncFlags(pub u8);

impl FuncFlags {
    /// `TOPFRAME`: a stack ends here (`runtime.goexit`, `runtime.mstart`, ...).
    pub const fn is_top_frame(self) -> bool {
        self.0 & 1 != 0
    }

    /// `SPWRITE`: the function sets its stack pointer, so stack sizes say nothing about its callers.
    pub const fn writes_sp(self) -> bool {
        self.0 & 2 != 0
    }

    /// `ASM`: written in assembly (set from Go 1.18 on).
    pub const fn is_assembly(self) -> bool {
        self.0 & 4 != 0
    }
}

/// What a real and an inlined function have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Offset of the function's name.
    pub(crate) name: u32,
    /// Line of the `func` keyword; 0 when unknown.
    pub(crate) start_line: u32,
    pub(crate) func_id: u8,
}

impl Func {
    pub(crate) const fn identity(&self) -> Identity {
        Identity { name: self.name, start_line: self.start_line, func_id: self.func_id }
    }

    /// Whether the function's code has `vaddr`.
    pub const fn contains(&self, vaddr: u64) -> bool {
        self.entry <= vaddr && vaddr < self.end
    }

    /// Reads record `index`.
    pub(super) fn read(table: &Pclntab, index: u32) -> Option<Func> {
        let (entry, record) = table.entry(index)?;
        let (end, _) = table.entry(index.checked_add(1)?)?;
        if end <= entry {
            return None;
        }
        let bytes = table.bytes();
        // The record begins with the function's address again, as wide as in the index.
        let fields = record.checked_add(table.entry_width())?;
        let at = |offset: usize| u32_at(bytes, fields.checked_add(offset)?);
        let (start_line, rest) = if table.has_start_lines() {
            (u32::try_from(i32_at(bytes, fields.checked_add(32)?)?).unwrap_or(0), fields.checked_add(36)?)
        } else {
            (0, fields.checked_add(32)?)
        };
        Some(Func {
            index,
            entry,
            end,
            name: at(0)?,
            // 4: size of the arguments, 8: offset of the deferreturn call.
            pcsp: at(12)?,
            pcfile: at(16)?,
            pcln: at(20)?,
            pcdata_count: at(24)?,
            unit: at(28)?,
            start_line,
            func_id: u8_at(bytes, rest)?,
            flags: FuncFlags(u8_at(bytes, rest.checked_add(1)?)?),
            funcdata_count: u8_at(bytes, rest.checked_add(3)?)?,
            pcdata: rest.checked_add(4)?,
        })
    }
}
