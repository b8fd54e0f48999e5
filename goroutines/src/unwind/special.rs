//! Functions that an unwinder must know by name.

use fgspy_gobin::{Func, GoBinary};

/// Link-time address ranges of the runtime functions at which stacks end or change their rules.
#[derive(Clone, Debug, Default)]
pub struct SpecialFunctions {
    goexit: Vec<(u64, u64)>,
    thread_start: Vec<(u64, u64)>,
    injected: Vec<(u64, u64)>,
    park: Vec<(u64, u64)>,
    switches: Vec<(u64, u64)>,
    grow: Vec<(u64, u64)>,
    left: Vec<(u64, u64)>,
    c_calls: Vec<(u64, u64)>,
    callbacks: Vec<(u64, u64)>,
    deferred_return: Vec<(u64, u64)>,
    scheduler: Vec<(u64, u64)>,
    signal: Vec<(u64, u64)>,
}

/// At the bottom of every goroutine.
const GOEXIT: &[&str] = &["runtime.goexit", "runtime.goexit.abi0"];
/// At the bottom of every thread's own stack.
const THREAD_START: &[&str] = &["runtime.mstart", "runtime.mstart.abi0", "runtime.rt0_go", "runtime.rt0_go.abi0"];
/// Called by the runtime's signal handler as if the interrupted instruction had called them.
const INJECTED: &[&str] =
    &["runtime.asyncPreempt", "runtime.asyncPreempt.abi0", "runtime.sigpanic", "runtime.debugCallV2"];
/// Where goroutines stop to wait.
const PARK: &[&str] = &["runtime.gopark"];
/// The most code of such a function that is looked at; `runtime.gopark` has 300 bytes.
const MAX_PARK_BYTES: usize = 2048;
/// Where a thread leaves its goroutine's stack for its own.
const SWITCHES: &[&str] = &[
    "runtime.systemstack",
    "runtime.systemstack.abi0",
    "runtime.morestack",
    "runtime.morestack.abi0",
    "runtime.asmcgocall",
    "runtime.asmcgocall.abi0",
];

/// Where a thread leaves its goroutine's stack to make that larger.
const GROW: &[&str] = &["runtime.morestack", "runtime.morestack.abi0"];

/// What `systemstack` and `asmcgocall` say the goroutine was executing when they left its stack
/// (`runtime/asm_amd64.s`, `gosave_systemstack_switch`).
const LEFT: &[&str] = &["runtime.systemstack_switch", "runtime.systemstack_switch.abi0"];
/// Calls into C. Meanwhile the goroutine is in a system call; afterwards nothing clears what was saved.
const C_CALLS: &[&str] = &["runtime.cgocall"];
/// Called by C. What it returns to on the goroutine's stack is where that stack was left (`runtime/asm_amd64.s`,
/// `cgocallback`).
const CALLBACKS: &[&str] = &["runtime.cgocallback", "runtime.cgocallback.abi0"];
/// Calls deferred functions when the function that deferred them returns.
const DEFERRED_RETURN: &[&str] = &["runtime.deferreturn"];
/// On a thread's own stack, with no goroutine: choosing the next one.
const SCHEDULER: &[&str] = &["runtime.schedule", "runtime.park_m", "runtime.goexit0", "runtime.mstart1"];

/// Frames of a signal handler on the signal stack. What it interrupted is not in the chain of frame pointers.
const SIGNAL: &[&str] = &[
    "runtime.sigtramp",
    "runtime.sigtramp.abi0",
    "runtime.sigtrampgo",
    "runtime.cgoSigtramp",
    "runtime.sigreturn",
    "runtime.sigreturn__sigaction",
];

impl SpecialFunctions {
    /// Looks the functions up; any of them may be absent from a binary.
    pub fn find(binary: &GoBinary) -> SpecialFunctions {
        let ranges = |names: &[&str]| {
            binary.funcs_named(names).into_iter().flatten().map(|f: Func| (f.entry, f.end)).collect::<Vec<_>>()
        };
        SpecialFunctions {
            goexit: ranges(GOEXIT),
            thread_start: ranges(THREAD_START),
            injected: ranges(INJECTED),
            park: ranges(PARK).into_iter().flat_map(|range| framed(binary, range)).collect(),
            switches: ranges(SWITCHES),
            grow: ranges(GROW),
            left: ranges(LEFT),
            c_calls: ranges(C_CALLS),
            callbacks: ranges(CALLBACKS),
            deferred_return: ranges(DEFERRED_RETURN),
            scheduler: ranges(SCHEDULER),
            signal: ranges(SIGNAL),
        }
    }

    /// The bottom frame of a goroutine's stack.
    pub fn is_goexit(&self, vaddr: u64) -> bool {
        within(&self.goexit, vaddr)
    }

    /// The bottom frame of a stack: a goroutine's or a thread's own.
    pub fn is_bottom(&self, vaddr: u64) -> bool {
        self.is_goexit(vaddr) || within(&self.thread_start, vaddr)
    }

    /// A frame that a signal handler injected; the frame it returns to was interrupted at exactly its program counter.
    pub fn is_injected(&self, vaddr: u64) -> bool {
        within(&self.injected, vaddr)
    }

    /// A return address in a function in which goroutines stop to wait, past the point where it has set up its frame.
    pub fn is_park(&self, vaddr: u64) -> bool {
        within(&self.park, vaddr.wrapping_sub(1))
    }

    /// A frame of the scheduler: the thread is between goroutines.
    pub fn is_scheduler(&self, vaddr: u64) -> bool {
        within(&self.scheduler, vaddr)
    }

    /// A frame of a signal handler.
    pub fn is_signal(&self, vaddr: u64) -> bool {
        within(&self.signal, vaddr)
    }

    /// The mark that a goroutine left its stack.
    pub fn is_left(&self, vaddr: u64) -> bool {
        within(&self.left, vaddr)
    }

    /// A frame that calls into C.
    pub fn is_c_call(&self, vaddr: u64) -> bool {
        within(&self.c_calls, vaddr)
    }

    /// A frame that C called.
    pub fn is_callback(&self, vaddr: u64) -> bool {
        within(&self.callbacks, vaddr)
    }

    /// In `runtime.deferreturn`.
    pub fn is_deferred_return(&self, vaddr: u64) -> bool {
        within(&self.deferred_return, vaddr)
    }

    /// A frame in which a thread leaves its goroutine's stack to make that larger.
    pub fn is_growth(&self, vaddr: u64) -> bool {
        within(&self.grow, vaddr)
    }

    /// A frame in which a thread switches from its goroutine's stack to its own.
    pub fn is_stack_switch(&self, vaddr: u64) -> bool {
        within(&self.switches, vaddr)
    }
}

/// The parts of a function in which it has a frame.
fn framed(binary: &GoBinary, (start, end): (u64, u64)) -> Vec<(u64, u64)> {
    let mut parts: Vec<(u64, u64)> = Vec::new();
    for vaddr in (start..end).take(MAX_PARK_BYTES) {
        let Some(delta) = binary.sp_delta(vaddr) else { break };
        if delta > 0 {
            match parts.last_mut() {
                Some((_, end)) if *end == vaddr => *end += 1,
                _ => parts.push((vaddr, vaddr + 1)),
            }
        }
    }
    parts
}

fn within(ranges: &[(u64, u64)], vaddr: u64) -> bool {
    ranges.iter().any(|&(start, end)| (start..end).contains(&vaddr))
}
