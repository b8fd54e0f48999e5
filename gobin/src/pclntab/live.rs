//! Which words of a frame hold live pointers: what the compiler tells the garbage collector (`runtime/stkframe.go`,
//! `getStackMap`). At a call, a word that is not among these may be anything: it was not written yet, or is not needed any more.

use super::func::Func;
use super::table::Pclntab;
use crate::bytes::{i32_at, u32_at};
use crate::image::Image;

/// Indices among a function's funcdata (`internal/abi/symtab.go`, Go 1.17 to 1.27).
const FUNCDATA_ARGUMENTS: usize = 0;
const FUNCDATA_LOCALS: usize = 1;
const FUNCDATA_OBJECTS: usize = 2;
/// Index of the table of bitmap numbers among a function's pcdata (`PCDATA_StackMapIndex`).
pub(super) const PCDATA_STACK_MAP: u32 = 1;
/// The most words of a frame that are looked at, and the most objects in it.
const MAX_WORDS: u32 = 4096;
const MAX_OBJECTS: u64 = 256;

/// The live words of a frame at a call. Positions are in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveSlots {
    /// Positions of live words below the end of the frame's variables: the variable at position 8 is the uppermost.
    pub locals: Vec<u32>,
    /// Positions of live words above the start of the arguments.
    pub arguments: Vec<u32>,
    /// Variables in the frame whose address was taken, which live as long as something points to them: where they begin,
    /// below 0 from the end of the variables and else from the start of the arguments, and how long they are.
    pub objects: Vec<(i32, u32)>,
}

impl LiveSlots {
    /// Reads the slots of `func` whose bitmaps have the number `index`.
    pub(super) fn read(image: &Image, table: &Pclntab, gofunc: Option<u64>, func: &Func, index: u32) -> LiveSlots {
        let at = |number| funcdata(image, table, gofunc, func, number);
        let bits = |number| at(number).and_then(|map| bitmap(image, map, index)).unwrap_or_default();
        let locals = bits(FUNCDATA_LOCALS);
        let count = locals.len() as u32;
        let live = |bits: Vec<bool>| (0u32..).zip(bits).filter(|(_, is_live)| *is_live).map(|(word, _)| word);
        LiveSlots {
            locals: live(locals).map(|word| 8 * (count - word)).collect(),
            arguments: live(bits(FUNCDATA_ARGUMENTS)).map(|word| 8 * word).collect(),
            objects: at(FUNCDATA_OBJECTS).and_then(|records| objects(image, table, records)).unwrap_or_default(),
        }
    }
}

/// The link-time address of one of a function's funcdata.
fn funcdata(image: &Image, table: &Pclntab, gofunc: Option<u64>, func: &Func, number: usize) -> Option<u64> {
    if usize::from(func.funcdata_count) <= number {
        return None;
    }
    let array = func.pcdata.checked_add(usize::try_from(func.pcdata_count).ok()?.checked_mul(4)?)?;
    if table.version().offsets_are_relative() {
        let offset = u32_at(table.bytes(), array.checked_add(4 * number)?).filter(|offset| *offset != u32::MAX)?;
        return gofunc?.checked_add(offset.into());
    }
    // Before 1.18: an array of absolute addresses, aligned to 8 in memory.
    let array = table.vaddr().checked_add(array as u64)?.checked_next_multiple_of(8)?;
    image.read_ptr(array.checked_add(8 * number as u64)?).filter(|&data| data != 0)
}

/// Bitmap number `index` of those at `map` (`runtime.stackmap`: their number, their length in bits, the bits).
fn bitmap(image: &Image, map: u64, index: u32) -> Option<Vec<bool>> {
    let head = image.read(map, 8)?;
    let (count, bits) = (u32::try_from(i32_at(&head, 0)?).ok()?, u32::try_from(i32_at(&head, 4)?).ok()?);
    if index >= count || bits > MAX_WORDS {
        return None;
    }
    let len = bits.div_ceil(8);
    let at = map.checked_add(8)?.checked_add(u64::from(index) * u64::from(len))?;
    let bytes = image.read(at, len as usize)?;
    Some((0..bits).map(|bit| bytes.get(bit as usize / 8).is_some_and(|byte| byte >> (bit % 8) & 1 != 0)).collect())
}

/// The records of a function's objects on the stack (`runtime.stackObjectRecord`: position and length come first).
fn objects(image: &Image, table: &Pclntab, records: u64) -> Option<Vec<(i32, u32)>> {
    let size: u64 = if table.version().offsets_are_relative() { 16 } else { 24 };
    let count = image.read_ptr(records)?.min(MAX_OBJECTS);
    let bytes = image.read(records.checked_add(8)?, usize::try_from(count * size).ok()?)?;
    let record = |at: u64| {
        let at = usize::try_from(at).ok()?;
        let len = u32::try_from(i32_at(&bytes, at.checked_add(4)?)?).ok()?;
        (len <= 8 * MAX_WORDS).then_some((i32_at(&bytes, at)?, len))
    };
    (0..count).map(|number| record(number * size)).collect()
}
