//! Functions that an unwinder must know by name.

use fgspy_gobin::{Func, GoBinary};

/// Link-time address ranges of the runtime functions at which stacks end or change their rules.
#[derive(Clone, Debug, Default)]
pub struct SpecialFunctions {
    bottom: Vec<(u64, u64)>,
    injected: Vec<(u64, u64)>,
    switches: Vec<(u64, u64)>,
}

/// At the bottom of every goroutine (`goexit`) and of every thread's own stack (the others).
const BOTTOM: &[&str] = &["runtime.goexit", "runtime.goexit.abi0", "runtime.mstart", "runtime.rt0_go"];
/// Called by the runtime's signal handler as if the interrupted instruction had called them.
const INJECTED: &[&str] =
    &["runtime.asyncPreempt", "runtime.asyncPreempt.abi0", "runtime.sigpanic", "runtime.debugCallV2"];
/// Where a thread leaves its goroutine's stack for its own.
const SWITCHES: &[&str] = &[
    "runtime.systemstack",
    "runtime.systemstack.abi0",
    "runtime.mcall",
    "runtime.morestack",
    "runtime.morestack.abi0",
    "runtime.asmcgocall",
    "runtime.asmcgocall.abi0",
];

impl SpecialFunctions {
    /// Looks the functions up; any of them may be absent from a binary.
    pub fn find(binary: &GoBinary) -> SpecialFunctions {
        let ranges = |names: &[&str]| {
            binary.funcs_named(names).into_iter().flatten().map(|f: Func| (f.entry, f.end)).collect::<Vec<_>>()
        };
        SpecialFunctions { bottom: ranges(BOTTOM), injected: ranges(INJECTED), switches: ranges(SWITCHES) }
    }

    /// The bottom frame of a stack.
    pub fn is_bottom(&self, vaddr: u64) -> bool {
        within(&self.bottom, vaddr)
    }

    /// A frame that a signal handler injected; the frame it returns to was interrupted at exactly its program counter.
    pub fn is_injected(&self, vaddr: u64) -> bool {
        within(&self.injected, vaddr)
    }

    /// A frame in which a thread switches from its goroutine's stack to its own.
    pub fn is_stack_switch(&self, vaddr: u64) -> bool {
        within(&self.switches, vaddr)
    }
}

fn within(ranges: &[(u64, u64)], vaddr: u64) -> bool {
    ranges.iter().any(|&(start, end)| (start..end).contains(&vaddr))
}
