//! Whether calls can have made a stack.
//!
//! A stack that was read while its goroutine ran may be a mixture of two moments: the frames near the leaf of the one,
//! those below of the other. Most such mixtures show: somewhere a return address follows a call that cannot have led to the
//! function above it. What the executable says of two neighbouring frames never changes, so it is looked up once.

use std::ops::Range;
use std::sync::Arc;

use fgspy_gobin::{Arch, Call, Func, GoBinary, TailJumps};
use rustc_hash::FxHashMap;

use crate::Runtime;

/// Pairs of frames that are remembered, and functions whose jumps are. A program has some thousand pairs; a hostile one
/// makes us forget.
const MAX_KNOWN: usize = 1 << 16;
/// Functions that are looked at on the way from the one that is called to the one that stands in its place.
const MAX_DETOURS: usize = 16;

/// Go 1.17 is the last in which deferred functions return to the very call of `runtime.deferreturn`, so that it is made again
/// (`runtime/asm_amd64.s`, `jmpdefer`).
const LAST_WITH_JMPDEFER: u16 = 17;

/// Where a Linux program may have code: not in what it may never map, and not in the kernel's half.
const USER_SPACE: Range<u64> = 1 << 16..1 << 47;

/// How well a stack fits the calls in the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// Each frame was called by the one below it, by a direct call.
    Direct,
    /// Calls are where they must be, but what some of them call is decided when they are made: closures, methods of
    /// interfaces, what the runtime or a signal put there.
    Possible,
    /// No calls can have made it.
    Impossible,
}

/// Says of stacks whether calls can have made them. Remembers what the executable says, so one is for one program only.
#[derive(Debug, Default)]
pub struct Chains {
    /// By the program counter of a frame and the return address of the one below it.
    pairs: FxHashMap<(u64, u64), Fit>,
    /// By the entry of a function.
    jumps: FxHashMap<u64, Arc<TailJumps>>,
}

impl Chains {
    /// How well `pcs`, leaf first, fit the calls in the code. `start_pc` is where the goroutine began, 0 where that is not
    /// known.
    pub fn fit(&mut self, runtime: &Runtime, start_pc: u64, pcs: &[u64]) -> Fit {
        let mut worst = Fit::Direct;
        for pair in pcs.windows(2) {
            let &[callee, caller] = pair else { continue };
            worst = worst.max(self.pair(runtime, start_pc, callee, caller));
            if worst == Fit::Impossible {
                break;
            }
        }
        worst
    }

    /// The same of one frame and the return address below it.
    fn pair(&mut self, runtime: &Runtime, start_pc: u64, callee: u64, caller: u64) -> Fit {
        // Nothing calls the function that a goroutine starts with: its frame depends on the goroutine, not on the code.
        let is_first = runtime.unwinder.special().is_goexit(caller.wrapping_sub(runtime.bias));
        let key = if is_first { (callee, !start_pc) } else { (callee, caller) };
        if let Some(known) = self.pairs.get(&key) {
            return *known;
        }
        let special = runtime.unwinder.special();
        let fit = if is_first && start_pc != 0 && special.is_callback(callee.wrapping_sub(runtime.bias)) {
            // No `go` statement starts a goroutine with that: it is a thread of C's, whose g has no start function.
            Fit::Impossible
        } else if is_first {
            let start = start_pc.wrapping_sub(runtime.bias);
            self.fit_of(runtime, callee, || if start_pc == 0 { Some(Call::Indirect) } else { Some(Call::To(start)) })
        } else {
            self.fit_of(runtime, callee, || call_before(runtime, caller))
        };
        if self.pairs.len() >= MAX_KNOWN {
            self.pairs.clear();
        }
        self.pairs.insert(key, fit);
        fit
    }

    /// How well `call`, if there is one, fits the function that the program counter `callee` is in.
    fn fit_of(&mut self, runtime: &Runtime, callee: u64, call: impl FnOnce() -> Option<Call>) -> Fit {
        let (binary, vaddr) = (&*runtime.binary, callee.wrapping_sub(runtime.bias));
        let special = runtime.unwinder.special();
        // They seem to have been called by what a signal interrupted, or by what had called C.
        if special.is_injected(vaddr) || special.is_callback(vaddr) {
            return Fit::Possible;
        }
        match call() {
            None => Fit::Impossible,
            Some(Call::Indirect) => Fit::Possible,
            Some(Call::To(target)) => {
                // A return address may be one past the end of its function; the entry of a function is one that has not
                // begun.
                let before = binary.func_at(vaddr.wrapping_sub(1));
                let at = binary.func_at(vaddr).filter(|func| func.entry == vaddr);
                let fits = [before, at].into_iter().flatten().map(|func| self.reach(runtime, target, &func));
                fits.min().unwrap_or_else(|| outside(runtime, callee))
            }
        }
    }

    /// Whether a call of `target` may be found in `callee`: that function itself, or one to which it leads by jumps.
    fn reach(&mut self, runtime: &Runtime, target: u64, callee: &Func) -> Fit {
        let (binary, special) = (&*runtime.binary, runtime.unwinder.special());
        let mut open = false;
        let mut ways = vec![target];
        let mut next = 0;
        while let Some(&target) = ways.get(next) {
            next += 1;
            let Some(func) = binary.func_at(target) else {
                // C, or a stub of the linker's.
                open = true;
                continue;
            };
            // Who leaves for the thread's own stack calls itself something else meanwhile.
            let has_left = special.is_left(callee.entry) && special.is_stack_switch(func.entry);
            if func.entry == callee.entry || has_left {
                return Fit::Direct;
            }
            if next > MAX_DETOURS || calls_what_it_is_told(binary, &func) {
                open = true;
                continue;
            }
            let jumps = self.jumps(binary, &func);
            open |= jumps.open;
            for jump in &jumps.targets {
                if !ways.contains(jump) {
                    ways.push(*jump);
                }
            }
        }
        if open { Fit::Possible } else { Fit::Impossible }
    }

    /// The tail jumps of a function.
    fn jumps(&mut self, binary: &GoBinary, func: &Func) -> Arc<TailJumps> {
        if self.jumps.len() >= MAX_KNOWN {
            self.jumps.clear();
        }
        Arc::clone(self.jumps.entry(func.entry).or_insert_with(|| Arc::new(binary.tail_jumps(func))))
    }
}

/// The call that returns to `caller`.
fn call_before(runtime: &Runtime, caller: u64) -> Option<Call> {
    let (binary, vaddr) = (&*runtime.binary, caller.wrapping_sub(runtime.bias));
    if binary.func_at(vaddr.wrapping_sub(1)).is_none() {
        return (outside(runtime, caller) == Fit::Possible).then_some(Call::Indirect);
    }
    binary.call_before(vaddr).or_else(|| {
        let direct_call = match binary.arch() {
            Arch::Amd64 => 5,
            Arch::Arm64 => 4,
        };
        let again = vaddr.checked_add(direct_call).and_then(|end| binary.call_target(end));
        let is_made_again = runtime.version.minor <= LAST_WITH_JMPDEFER
            && again.is_some_and(|target| runtime.unwinder.special().is_deferred_return(target));
        is_made_again.then_some(Call::Indirect)
    })
}

/// Whether a function passes control to the address it is given, as those do that `-gcflags=-spectre=ret` calls instead of
/// closures (`runtime/asm_amd64.s`, `retpolineAX`).
fn calls_what_it_is_told(binary: &GoBinary, func: &Func) -> bool {
    binary.func_name(func).starts_with("runtime.retpoline")
}

/// What to think of a program counter that is in no function of the executable.
fn outside(runtime: &Runtime, pc: u64) -> Fit {
    if may_be_foreign_code(runtime, pc) { Fit::Possible } else { Fit::Impossible }
}

/// Whether a program counter that is in no function of the executable may be in code all the same. The program may have
/// loaded code, or made it; but there is none between the functions, among the data, or where Go has its heap and its stacks.
pub(crate) fn may_be_foreign_code(runtime: &Runtime, pc: u64) -> bool {
    let (binary, vaddr) = (&*runtime.binary, pc.wrapping_sub(runtime.bias));
    let is_between = (binary.module().text..binary.module().etext).contains(&vaddr);
    let is_data = binary
        .segments()
        .iter()
        .any(|part| !part.is_executable() && (part.vaddr..part.vaddr.saturating_add(part.mem_size)).contains(&vaddr));
    // The first 4 GiB of the heap (`runtime/malloc.go`, `mallocinit`).
    let is_heap = pc >> 32 == 0xc0;
    !is_between && !is_data && !is_heap && USER_SPACE.contains(&pc)
}
