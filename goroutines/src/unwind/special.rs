//! Functions that an unwinder must know by name.

use std::sync::{Arc, OnceLock};

use fgspy_gobin::{Func, GoBinary};

/// The most plugins whose copies are known.
const MAX_PLUGINS: usize = 64;

/// The runtime functions at which stacks end or change their rules. A plugin has its own copies of them.
#[derive(Clone, Debug)]
pub struct SpecialFunctions {
    own: Ranges,
    plugins: Arc<[OnceLock<Ranges>]>,
}

/// Their ranges of link-time addresses.
#[derive(Debug, Clone, Default)]
struct Ranges {
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

impl Ranges {
    /// Looks the functions up, and adds `shift` to their addresses.
    fn find(binary: &GoBinary, shift: u64) -> Ranges {
        let moved = |(start, end): (u64, u64)| (start.wrapping_add(shift), end.wrapping_add(shift));
        let found = |names: &[&str]| {
            binary.funcs_named(names).into_iter().flatten().map(|f: Func| (f.entry, f.end)).collect::<Vec<_>>()
        };
        let ranges = |names: &[&str]| found(names).into_iter().map(moved).collect::<Vec<_>>();
        Ranges {
            goexit: ranges(GOEXIT),
            thread_start: ranges(THREAD_START),
            injected: ranges(INJECTED),
            park: found(PARK).into_iter().flat_map(|range| framed(binary, range)).map(moved).collect(),
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
}

impl SpecialFunctions {
    /// Looks the functions up, also in the plugins that `binary` knows; any of them may be absent.
    pub fn find(binary: &GoBinary) -> SpecialFunctions {
        let plugins = (0..MAX_PLUGINS).map(|_| OnceLock::new()).collect();
        let special = SpecialFunctions { own: Ranges::find(binary, 0), plugins };
        binary.plugins().for_each(|(plugin, shift)| special.add(plugin, shift));
        special
    }

    /// Adds the copies of a plugin, whose addresses are the main module's if `shift` is added to them.
    pub(crate) fn add(&self, plugin: &GoBinary, shift: u64) {
        let mut ranges = Ranges::find(plugin, shift);
        for slot in self.plugins.iter() {
            match slot.set(ranges) {
                Ok(()) => return,
                Err(back) => ranges = back,
            }
        }
    }

    /// Whether an address is in one of the ranges that `part` gives.
    fn within(&self, vaddr: u64, part: impl Fn(&Ranges) -> &[(u64, u64)]) -> bool {
        within(part(&self.own), vaddr)
            || self.plugins.iter().map_while(OnceLock::get).any(|ranges| within(part(ranges), vaddr))
    }

    /// The bottom frame of a goroutine's stack.
    pub fn is_goexit(&self, vaddr: u64) -> bool {
        self.within(vaddr, |ranges| &ranges.goexit)
    }

    /// The bottom frame of a stack: a goroutine's or a thread's own.
    pub fn is_bottom(&self, vaddr: u64) -> bool {
        self.is_goexit(vaddr) || self.within(vaddr, |ranges| &ranges.thread_start)
    }

    /// A frame that a signal handler injected; the frame it returns to was interrupted at exactly its program counter.
    pub fn is_injected(&self, vaddr: u64) -> bool {
        self.within(vaddr, |ranges| &ranges.injected)
    }

    /// A return address in a function in which goroutines stop to wait, past the point where it has set up its frame.
    pub fn is_park(&self, vaddr: u64) -> bool {
        self.within(vaddr.wrapping_sub(1), |ranges| &ranges.park)
    }

    /// A frame of the scheduler: the thread is between goroutines.
    pub fn is_scheduler(&self, vaddr: u64) -> bool {
        self.within(vaddr, |ranges| &ranges.scheduler)
    }

    /// A frame of a signal handler.
    pub fn is_signal(&self, vaddr: u64) -> bool {
        self.within(vaddr, |ranges| &ranges.signal)
    }

    /// The mark that a goroutine left its stack.
    pub fn is_left(&self, vaddr: u64) -> bool {
        self.within(vaddr, |ranges| &ranges.left)
    }

    /// A frame that calls into C.
    pub fn is_c_call(&self, vaddr: u64) -> bool {
        self.within(vaddr, |ranges| &ranges.c_calls)
    }

    /// A frame that C called.
    pub fn is_callback(&self, vaddr: u64) -> bool {
        self.within(vaddr, |ranges| &ranges.callbacks)
    }

    /// In `runtime.deferreturn`.
    pub fn is_deferred_return(&self, vaddr: u64) -> bool {
        self.within(vaddr, |ranges| &ranges.deferred_return)
    }

    /// A frame in which a thread leaves its goroutine's stack to make that larger.
    pub fn is_growth(&self, vaddr: u64) -> bool {
        self.within(vaddr, |ranges| &ranges.grow)
    }

    /// A frame in which a thread switches from its goroutine's stack to its own.
    pub fn is_stack_switch(&self, vaddr: u64) -> bool {
        self.within(vaddr, |ranges| &ranges.switches)
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
