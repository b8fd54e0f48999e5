//! From program counters to source lines.

use fgspy_gobin::SourceFrame;

use crate::Runtime;

/// One physical frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Address in the target: of the instruction itself for a frame that was interrupted there, else of (the last byte
    /// of) the call, one less than the return address. This is what pprof and `addr2line` want to look up.
    pub address: u64,
    /// Its source lines, the innermost inlined call first. Empty for code that is not Go's.
    pub lines: Vec<SourceFrame<'a>>,
}

/// Looks up a whole stack, leaf first. `exact_leaf` when the first program counter is the instruction being executed.
pub fn frames<'a>(runtime: &'a Runtime, pcs: &[u64], exact_leaf: bool) -> Vec<Frame<'a>> {
    lookup_addresses(runtime, pcs, exact_leaf)
        .map(|address| {
            let mut lines = Vec::new();
            runtime.binary.source_frames(address.wrapping_sub(runtime.bias), &mut lines);
            Frame { address, lines }
        })
        .collect()
}

/// For each program counter of a stack, the address to look up.
///
/// A return address belongs to the instruction after the call, which may be another line, another inlined function, or
/// even another function: look up the byte before it. Exact are a running leaf, a function that has not started (its
/// entry), and what a signal interrupted (`runtime/traceback.go`, `symPC`).
pub fn lookup_addresses<'a>(runtime: &'a Runtime, pcs: &'a [u64], exact_leaf: bool) -> impl Iterator<Item = u64> + 'a {
    let mut exact = exact_leaf;
    pcs.iter().map(move |&pc| {
        let vaddr = pc.wrapping_sub(runtime.bias);
        let at_entry = || runtime.binary.func_at(vaddr).is_some_and(|function| function.entry == vaddr);
        let address = if exact || at_entry() { pc } else { pc.wrapping_sub(1) };
        exact = runtime.unwinder.special().is_injected(vaddr);
        address
    })
}

/// Drops what Go's own profiles do not show: compiler-generated wrappers (unless a panic called them) and
/// `runtime.goexit`, the bottom of every stack (`runtime/symtab.go`, `CallersFrames` and `elideWrapperCalling`).
///
/// `lines` are the source lines of a whole stack, innermost first.
pub fn is_shown(line: &SourceFrame<'_>, callee: Option<&str>) -> bool {
    let called_by_panic = matches!(callee, Some("runtime.gopanic" | "runtime.sigpanic" | "runtime.panicwrap"));
    if line.wrapper && !called_by_panic {
        return false;
    }
    line.function != "runtime.goexit"
}
