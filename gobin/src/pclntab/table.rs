//! The function table, held in memory, and the lookups in it.

use std::borrow::Cow;
use std::collections::HashMap;

use super::func::Func;
use super::header::{Header, PclntabVersion};
use super::live::{LiveSlots, PCDATA_STACK_MAP};
use super::pcvalue::{self, Fuel};
use crate::bytes::{c_string, u32_at, u64_at};
use crate::image::Image;

/// Bytes of names that are searched for what is asked together, each name by itself: some 10 ms. Usual programs have a
/// few MiB of names.
const MAX_SEARCHED: usize = 256 << 20;

/// Index of the table of inline tree positions among a function's pcdata (`PCDATA_InlTreeIndex`).
const PCDATA_INLINE_INDEX: u32 = 2;

/// The table, from its header to the end of the function records.
pub(crate) struct Pclntab {
    header: Header,
    bytes: Vec<u8>,
    /// Link-time address of the header.
    vaddr: u64,
    /// Link-time address of the text, what function offsets count from.
    text: u64,
    quantum: u8,
}

impl Pclntab {
    pub(crate) const fn new(header: Header, bytes: Vec<u8>, vaddr: u64, text: u64, quantum: u8) -> Pclntab {
        Pclntab { header, bytes, vaddr, text, quantum }
    }

    pub(crate) const fn version(&self) -> PclntabVersion {
        self.header.version
    }

    pub(crate) const fn vaddr(&self) -> u64 {
        self.vaddr
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Width of a code address in the index and in the function records.
    pub(super) const fn entry_width(&self) -> usize {
        if self.header.version.offsets_are_relative() { 4 } else { 8 }
    }

    pub(super) fn has_start_lines(&self) -> bool {
        self.header.version >= PclntabVersion::Go120
    }

    fn part(&self, offset: u64) -> &[u8] {
        usize::try_from(offset).ok().and_then(|at| self.bytes.get(at..)).unwrap_or_default()
    }

    /// The part that holds all function names, each ended by a NUL.
    pub(crate) fn names(&self) -> &[u8] {
        let len = self.header.units.saturating_sub(self.header.names);
        let names = self.part(self.header.names);
        usize::try_from(len).ok().and_then(|len| names.get(..len)).unwrap_or(names)
    }

    /// Entry `index` of the index: the function's address and where its record starts in [`Pclntab::bytes`]. The entry
    /// after the last function has only an address (the end of the text); its record position means nothing.
    pub(super) fn entry(&self, index: u32) -> Option<(u64, usize)> {
        if index > self.header.functions {
            return None;
        }
        let base = usize::try_from(self.header.function_table).ok()?;
        let width = self.entry_width();
        let at = base.checked_add((index as usize).checked_mul(2 * width)?)?;
        let (address, record) = if width == 4 {
            let offset = u32_at(&self.bytes, at)?;
            (self.text.checked_add(offset.into())?, u32_at(&self.bytes, at + width).unwrap_or(u32::MAX).into())
        } else {
            (u64_at(&self.bytes, at)?, u64_at(&self.bytes, at + width).unwrap_or(u64::MAX))
        };
        Some((address, base.saturating_add(usize::try_from(record).unwrap_or(usize::MAX))))
    }

    /// The function at position `index`.
    pub(crate) fn func(&self, index: u32) -> Option<Func> {
        if index >= self.header.functions {
            return None;
        }
        Func::read(self, index)
    }

    /// The function whose code has `vaddr`.
    pub(crate) fn func_at(&self, vaddr: u64) -> Option<Func> {
        // The last entry that is not above `vaddr`: of several functions without code at one address, the last.
        let (mut low, mut high) = (0, self.header.functions);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.entry(middle)?.0 <= vaddr { low = middle + 1 } else { high = middle }
        }
        self.func(low.checked_sub(1)?).filter(|func| func.contains(vaddr))
    }

    /// The functions in order. A damaged record is left out.
    pub(crate) fn funcs(&self) -> impl Iterator<Item = Func> {
        // The index cannot have more entries than bytes, whatever the header says.
        let most = u32::try_from(self.part(self.header.function_table).len() / (2 * self.entry_width()));
        (0..self.header.functions.min(most.unwrap_or(u32::MAX))).filter_map(|index| self.func(index))
    }

    /// The name at an offset into the names. Bytes that are not UTF-8 are replaced.
    pub(crate) fn name(&self, offset: u32) -> Option<Cow<'_, str>> {
        c_string(self.names(), usize::try_from(offset).ok()?).map(String::from_utf8_lossy)
    }

    /// The first function of each name.
    pub(crate) fn funcs_named(&self, wanted: &[&str]) -> Vec<Option<Func>> {
        if self.names().len().saturating_mul(wanted.len()) > MAX_SEARCHED {
            return self.funcs_named_by_reading(wanted);
        }
        // Look for the names first and then for their positions: comparing numbers beats reading 100,000 names.
        let mut positions: Vec<(u32, usize)> = Vec::new();
        for (index, name) in wanted.iter().enumerate() {
            positions.extend(self.positions_of(name).into_iter().map(|position| (position, index)));
        }
        positions.sort_unstable();
        let mut found = vec![None; wanted.len()];
        if positions.is_empty() {
            return found;
        }
        for func in self.funcs() {
            let first = positions.partition_point(|&(position, _)| position < func.name);
            let same = positions.get(first..).unwrap_or_default().iter();
            for &(_, index) in same.take_while(|&&(position, _)| position == func.name) {
                if let Some(slot @ None) = found.get_mut(index) {
                    *slot = Some(func);
                }
            }
        }
        found
    }

    /// The same, by reading the name of each function: where the names are very long and many are wanted.
    fn funcs_named_by_reading(&self, wanted: &[&str]) -> Vec<Option<Func>> {
        let mut found = vec![None; wanted.len()];
        let mut places: HashMap<&[u8], Vec<usize>> = HashMap::new();
        for (index, name) in wanted.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            places.entry(name.as_bytes()).or_default().push(index);
        }
        let longest = wanted.iter().map(|name| name.len()).max().unwrap_or(0);
        let names = self.names();
        for func in self.funcs() {
            let rest = names.get(func.name as usize..).unwrap_or_default();
            let Some(len) = memchr::memchr(0, rest.get(..=longest).unwrap_or(rest)) else { continue };
            let same = rest.get(..len).and_then(|name| places.get(name)).into_iter().flatten();
            for &index in same {
                if let Some(slot @ None) = found.get_mut(index) {
                    *slot = Some(func);
                }
            }
        }
        found
    }

    /// The offsets into the names where `name` begins. A real table has each name once.
    fn positions_of(&self, name: &str) -> Vec<u32> {
        const MAX_POSITIONS: usize = 1000;
        if name.is_empty() {
            return Vec::new();
        }
        let names = self.names();
        let ended = [name.as_bytes(), b"\0"].concat();
        let begins = |at: &usize| at.checked_sub(1).is_none_or(|before| names.get(before) == Some(&0));
        let places = memchr::memmem::find_iter(names, &ended).filter(begins);
        places.filter_map(|at| u32::try_from(at).ok()).take(MAX_POSITIONS).collect()
    }

    /// A value at `vaddr` from the table at offset `table` of the pc-value part; offset 0 means that there is none.
    fn value(&self, func: &Func, table: u32, vaddr: u64, fuel: &mut Fuel) -> Option<i32> {
        if table == 0 {
            return None;
        }
        let table = self.part(self.header.pc_values).get(usize::try_from(table).ok()?..)?;
        pcvalue::at(table, vaddr.checked_sub(func.entry)?, self.quantum, fuel)
    }

    /// How far the stack pointer is below its value at the function's entry, in bytes.
    pub(crate) fn sp_delta(&self, func: &Func, vaddr: u64) -> Option<i32> {
        self.value(func, func.pcsp, vaddr, &mut Fuel::full())
    }

    /// The largest distance of the stack pointer from its value at the function's entry, in bytes.
    pub(crate) fn frame_size(&self, func: &Func) -> Option<i32> {
        let table = Some(func.pcsp).filter(|&table| table != 0)?;
        let table = self.part(self.header.pc_values).get(usize::try_from(table).ok()?..)?;
        pcvalue::largest(table, &mut Fuel::full())
    }

    /// The line at `vaddr`; 0 when unknown.
    pub(crate) fn line(&self, func: &Func, vaddr: u64, fuel: &mut Fuel) -> u32 {
        self.value(func, func.pcln, vaddr, fuel).and_then(|line| u32::try_from(line).ok()).unwrap_or(0)
    }

    /// The source file at `vaddr`.
    pub(crate) fn file(&self, func: &Func, vaddr: u64, fuel: &mut Fuel) -> Option<Cow<'_, str>> {
        let number = u32::try_from(self.value(func, func.pcfile, vaddr, fuel)?).ok()?;
        // File numbers count within the compilation unit; a table maps them to offsets into the file names.
        let at = usize::try_from(func.unit.checked_add(number)?).ok()?.checked_mul(4)?;
        let offset = u32_at(self.part(self.header.units), at).filter(|&offset| offset != u32::MAX)?;
        c_string(self.part(self.header.files), usize::try_from(offset).ok()?).map(String::from_utf8_lossy)
    }

    /// The position in the function's inline tree at `vaddr`; `None` when nothing is inlined there.
    pub(crate) fn inline_index(&self, func: &Func, vaddr: u64, fuel: &mut Fuel) -> Option<u32> {
        if func.pcdata_count <= PCDATA_INLINE_INDEX {
            return None;
        }
        let table = u32_at(&self.bytes, func.pcdata.checked_add(4 * PCDATA_INLINE_INDEX as usize)?)?;
        u32::try_from(self.value(func, table, vaddr, fuel)?).ok()
    }

    /// The live words of the frame of `func` at the call that has `vaddr`. `gofunc` is the address that funcdata offsets
    /// count from (Go 1.18 and later).
    pub(crate) fn live_slots(&self, image: &Image, gofunc: Option<u64>, func: &Func, vaddr: u64) -> Option<LiveSlots> {
        if func.pcdata_count <= PCDATA_STACK_MAP {
            return None;
        }
        let table = u32_at(&self.bytes, func.pcdata.checked_add(4 * PCDATA_STACK_MAP as usize)?)?;
        // The runtime takes the first bitmap where there is none: before the prologue is over.
        let index = self.value(func, table, vaddr, &mut Fuel::full()).and_then(|index| u32::try_from(index).ok());
        Some(LiveSlots::read(image, self, gofunc, func, index.unwrap_or(0)))
    }
}
