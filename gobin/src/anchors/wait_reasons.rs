//! The texts of the wait reasons (`runtime/runtime2.go`, `waitReasonStrings`).

use crate::Arch;
use crate::insn::{self, Op, Place};

/// Where the texts are. They are renumbered between Go releases, so that they are better read from the target than known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitReasons {
    /// Address of an array of strings (address and length, 8 bytes each), indexed by `g.waitreason`.
    pub strings: u64,
    /// Their number.
    pub count: u32,
}

/// Reads their place from the code of `runtime.waitReason.String`.
///
/// The method returns a constant unless `w < len(waitReasonStrings)`, else an element of the array: the comparison has
/// the number, and the last fixed address is the array's.
pub fn wait_reasons(arch: Arch, code: &[u8], vaddr: u64) -> Option<WaitReasons> {
    let ops = insn::decode(arch, code, vaddr);
    let count = ops.windows(2).find_map(|pair| match *pair {
        // The number is right for `<` and `>=` only.
        [Op::CompareImmediate { value, .. }, Op::Branch { unsigned_less: true }] => u8::try_from(value).ok(),
        _ => None,
    })?;
    let strings = ops.iter().rev().find_map(|op| match *op {
        Op::Address { of: Place::Absolute(address), .. } => Some(address),
        _ => None,
    })?;
    (count > 0 && strings % 8 == 0).then_some(WaitReasons { strings, count: count.into() })
}
