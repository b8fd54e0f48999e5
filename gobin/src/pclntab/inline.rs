//! Inlined calls (`runtime.inlinedCall`) and where a function's tree of them is.

use super::func::{Func, Identity};
use super::header::PclntabVersion;
use super::table::Pclntab;
use crate::bytes::{i32_at, u8_at, u32_at};
use crate::image::Image;

/// Index of the inline tree among a function's funcdata (`FUNCDATA_InlTree`).
const FUNCDATA_INLINE_TREE: usize = 3;

/// One node of an inline tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InlinedCall {
    pub(crate) identity: Identity,
    /// Where the call was, in bytes from the entry of the function that it was inlined into. Negative where no
    /// instruction belongs to the call itself (seen with `-race`): the runtime then takes the function's first line.
    pub(crate) parent_pc: i32,
}

impl InlinedCall {
    /// Reads node `index` of the tree at link-time address `tree`.
    pub(crate) fn read(image: &Image, version: PclntabVersion, tree: u64, index: u32) -> Option<InlinedCall> {
        let size: usize = if version >= PclntabVersion::Go120 { 16 } else { 20 };
        let vaddr = tree.checked_add(u64::from(index) * size as u64)?;
        let node = image.read(vaddr, size)?;
        let number = |at| i32_at(&node, at).and_then(|value| u32::try_from(value).ok());
        if version >= PclntabVersion::Go120 {
            let start_line = number(12).unwrap_or(0);
            let identity = Identity { name: number(4)?, start_line, func_id: u8_at(&node, 0)? };
            return Some(InlinedCall { identity, parent_pc: i32_at(&node, 8)? });
        }
        // 0: parent node (i16), 4: file, 8: line of the call, which the line table gives as well.
        let identity = Identity { name: number(12)?, start_line: 0, func_id: u8_at(&node, 2)? };
        Some(InlinedCall { identity, parent_pc: i32_at(&node, 16)? })
    }
}

impl Pclntab {
    /// The link-time address of a function's inline tree. `gofunc` is the address that funcdata offsets count from
    /// (Go 1.18 and later).
    pub(crate) fn inline_tree(&self, image: &Image, gofunc: Option<u64>, func: &Func) -> Option<u64> {
        if self.version().offsets_are_relative() {
            return gofunc?.checked_add(self.inline_tree_offset(func)?.into());
        }
        // Before 1.18: an array of absolute addresses, aligned to 8 in memory.
        let array = self.vaddr().checked_add(funcdata(func)? as u64)?.checked_next_multiple_of(8)?;
        image.read_ptr(array.checked_add(8 * FUNCDATA_INLINE_TREE as u64)?).filter(|&tree| tree != 0)
    }

    /// The offset of a function's inline tree from `gofunc` (Go 1.18 and later).
    pub(crate) fn inline_tree_offset(&self, func: &Func) -> Option<u32> {
        let offset = u32_at(self.bytes(), funcdata(func)?.checked_add(4 * FUNCDATA_INLINE_TREE)?)?;
        (offset != u32::MAX).then_some(offset)
    }
}

/// Where in the table a function's `funcdata` array starts: after its `pcdata`. `None` when it has no inline tree.
fn funcdata(func: &Func) -> Option<usize> {
    if usize::from(func.funcdata_count) <= FUNCDATA_INLINE_TREE {
        return None;
    }
    func.pcdata.checked_add(usize::try_from(func.pcdata_count).ok()?.checked_mul(4)?)
}
