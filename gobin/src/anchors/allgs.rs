//! The list of all goroutines (`runtime/proc.go`, `allgs`, `allglen`, `allgptr`).

use crate::Arch;
use crate::insn::{self, Op, Place};

/// Where the runtime keeps its list of goroutines: an array of addresses of g's, and its length.
///
/// Both variables are 8 bytes. Goroutines are only ever added, and a longer array is published before the new length:
/// **read the length first**, and the array that is read after it has at least so many entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllGs {
    /// The function whose code said so.
    pub found_in: AllGsFunction,
    /// Address of the number of goroutines.
    pub allglen: u64,
    /// Address of the array's address.
    pub allgptr: u64,
}

/// A function that walks the list of goroutines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AllGsFunction {
    /// `runtime.forEachGRace`: in every executable; loads `allglen`, then `allgptr`.
    ForEachGRace,
    /// `runtime.atomicAllG`: the same loads, where it is not inlined into the former (`-gcflags=-l`).
    AtomicAllG,
    /// `runtime.forEachG`: loads the first two words of the slice `allgs`. These are written under a lock that a reader
    /// from outside cannot hold: the newest entries may still be 0.
    ForEachG,
}

impl AllGsFunction {
    /// All of them, in the order in which to try them.
    pub const ALL: [AllGsFunction; 3] =
        [AllGsFunction::ForEachGRace, AllGsFunction::AtomicAllG, AllGsFunction::ForEachG];

    /// The function's name in the function table.
    pub const fn name(self) -> &'static str {
        match self {
            AllGsFunction::ForEachGRace => "runtime.forEachGRace",
            AllGsFunction::AtomicAllG => "runtime.atomicAllG",
            AllGsFunction::ForEachG => "runtime.forEachG",
        }
    }
}

/// Reads the list's place from the code of one of these functions. `vaddr` is the function's entry.
///
/// `None` unless the code loads exactly two words from fixed addresses, as the source says it must.
pub fn allgs(arch: Arch, function: AllGsFunction, code: &[u8], vaddr: u64) -> Option<AllGs> {
    let loads = word_loads(arch, code, vaddr);
    let &[first, second] = loads.as_slice() else { return None };
    let (allglen, allgptr) = match function {
        AllGsFunction::ForEachGRace | AllGsFunction::AtomicAllG if first != second => (first, second),
        AllGsFunction::ForEachG => {
            let allgs = slice_of(first, second)?;
            (allgs.checked_add(8)?, allgs)
        }
        _ => return None,
    };
    Some(AllGs { found_in: function, allglen, allgptr })
}

/// The fixed, aligned addresses from which words are loaded, in order.
pub(super) fn word_loads(arch: Arch, code: &[u8], vaddr: u64) -> Vec<u64> {
    let ops = insn::decode(arch, code, vaddr).into_iter();
    let loads = ops.filter_map(|op| match op {
        Op::Load { from: Place::Absolute(address), size: 8, .. } => Some(address),
        _ => None,
    });
    loads.filter(|address| address % 8 == 0).collect()
}

/// The address of a slice whose array address and length are loaded, in either order.
pub(super) fn slice_of(one: u64, other: u64) -> Option<u64> {
    (one.abs_diff(other) == 8).then_some(one.min(other))
}
