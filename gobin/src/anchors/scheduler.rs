//! Variables of the scheduler (`runtime/runtime2.go`: `allp`, `allm`, `sched`).

use super::allgs::{slice_of, word_loads};
use crate::Arch;
use crate::insn::{self, Op, Place, Reg};

/// The list of p's: a slice. It is replaced when GOMAXPROCS grows, with the world stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllP {
    /// Address of the address of the array of p's.
    pub ptr: u64,
    /// Address of its length (i64): GOMAXPROCS.
    pub len: u64,
}

/// `runtime.allp` from the code of `runtime.gcMarkTinyAllocs`, which walks it and touches no other variable by word.
pub fn allp(arch: Arch, code: &[u8], vaddr: u64) -> Option<AllP> {
    let loads = word_loads(arch, code, vaddr);
    let &[first, second] = loads.as_slice() else { return None };
    let ptr = slice_of(first, second)?;
    Some(AllP { ptr, len: ptr.checked_add(8)? })
}

/// The list of m's (threads), linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllM {
    /// Address of the address of the first m.
    pub head: u64,
    /// Offset in an m of the address of the next (`m.alllink`). From the code, so it is right for every patch release.
    pub link: u32,
}

/// `runtime.allm` from the code of `runtime.mcommoninit`, which puts a new m at its head: the one variable whose value is
/// stored in the m and whose address is then taken (to store the m there atomically).
pub fn allm(arch: Arch, code: &[u8], vaddr: u64) -> Option<AllM> {
    let ops = insn::decode(arch, code, vaddr);
    let mut found = None;
    for (at, op) in ops.iter().enumerate() {
        let Op::Load { to, from: Place::Absolute(head), size: 8 } = *op else { continue };
        let rest = ops.get(at + 1..).unwrap_or_default();
        let is_taken = |op: &Op| matches!(*op, Op::Address { of: Place::Absolute(of), .. } if of == head);
        let Some(link) = stored_in_struct(arch, rest, to).filter(|_| rest.iter().any(is_taken)) else { continue };
        let candidate = AllM { head, link };
        if found.is_some_and(|earlier| earlier != candidate) {
            return None;
        }
        found = Some(candidate);
    }
    found
}

/// The offset at which a register is next stored in a structure, within a few operations (a write barrier is between).
fn stored_in_struct(arch: Arch, ops: &[Op], value: Reg) -> Option<u32> {
    let stack = insn::roles(arch).sp;
    for op in ops.iter().take(16) {
        match *op {
            Op::Store { from: Some(from), to: Place::Based(base, offset), size: 8 }
                if from == value && base != stack && offset > 0 =>
            {
                return u32::try_from(offset).ok();
            }
            Op::Load { to, .. } | Op::Address { to, .. } if to == value => return None,
            _ => {}
        }
    }
    None
}

/// The address of `runtime.sched.pidle` from the code of `runtime.pidleget`, which begins by loading it.
pub fn pidle(arch: Arch, code: &[u8], vaddr: u64) -> Option<u64> {
    word_loads(arch, code, vaddr).first().copied()
}
