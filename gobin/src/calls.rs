//! Which calls there are in the code: what a return address says of the function that was called.

use crate::{Func, GoBinary, insn};

/// Most tail jumps that are noted of a function. A wrapper has one, `runtime.reflectcall` some thirty.
const MAX_TAIL_JUMPS: usize = 64;

/// A call instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// It always calls the code at this link-time address.
    To(u64),
    /// What it calls is in a register or in memory: a closure, a method of an interface.
    Indirect,
}

/// Where a function may hand over to another one that then stands in its place: the other one returns to its caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TailJumps {
    /// The link-time addresses outside the function to which it jumps.
    pub targets: Vec<u64>,
    /// It may also jump elsewhere, because a target is in a register or because not all of its code was looked at.
    pub open: bool,
}

impl GoBinary {
    /// The call instruction that ends at the link-time address `vaddr`, which a return address then may be. `None` when no
    /// call ends there.
    ///
    /// On amd64 instructions have no fixed length, so the bytes before an address can be read in several ways. A direct call
    /// of the first instruction of a function is what it seems; any other direct call counts only if nothing else fits and
    /// its target is code.
    pub fn call_before(&self, vaddr: u64) -> Option<Call> {
        if let Some(home) = self.home(vaddr.wrapping_sub(1)) {
            return home.binary.call_before(home.own(vaddr)).map(|call| match call {
                Call::To(target) => Call::To(target.wrapping_add(home.shift)),
                Call::Indirect => Call::Indirect,
            });
        }
        let direct = self.call_target(vaddr);
        let is_entry = |target: &u64| self.func_at(*target).is_some_and(|func| func.entry == *target);
        let is_code = |target: &u64| {
            self.segments().iter().any(|part| part.is_executable() && part.file_offset(*target, 1).is_some())
        };
        if let Some(target) = direct.filter(is_entry) {
            return Some(Call::To(target));
        }
        if insn::is_indirect_call(self.arch(), vaddr, |at, len| self.image.read(at, len)) {
            return Some(Call::Indirect);
        }
        direct.filter(is_code).map(Call::To)
    }

    /// The tail jumps of a function: wrappers of methods, several entries of one routine in assembly.
    ///
    /// A jump through a register is a tail jump where the function has no frame; within one it chooses between the cases
    /// of a `switch` (Go 1.19 on).
    pub fn tail_jumps(&self, func: &Func) -> TailJumps {
        let jumps = self.code(func).and_then(|code| insn::jumps(self.arch(), &code, func.entry));
        let Some(jumps) = jumps else { return TailJumps { targets: Vec::new(), open: true } };
        let mut found = TailJumps::default();
        for jump in jumps {
            match jump.target {
                Some(target) if func.contains(target) || found.targets.contains(&target) => {}
                Some(target) if found.targets.len() < MAX_TAIL_JUMPS => found.targets.push(target),
                Some(_) => found.open = true,
                None => found.open |= self.sp_delta(jump.at).is_none_or(|delta| delta <= 0),
            }
        }
        found
    }
}
