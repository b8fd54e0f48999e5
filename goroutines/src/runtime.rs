//! What must be known of a Go program to read its goroutines.

use std::sync::Arc;

use fgspy_gobin::layout::Layout;
use fgspy_gobin::{GoBinary, GoVersion};

use crate::label_shape::Shape;
use crate::maps::Maps;
use crate::{GoroutineList, Scheduler, Status, Unwinder};

/// Where the layout of the runtime's structs comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// From the table made of this Go version's own sources, and confirmed by the self-test.
    Table,
    /// The toolchain does not tell its release; it is the one of the release whose functions the program has, confirmed by its code
    /// and by the self-test.
    Like {
        /// That release: `1.26`.
        release: String,
    },
    /// Measured in this process, because the version is not in the table; what could not be measured was assumed.
    Calibrated {
        /// What was assumed, for the user to read.
        assumed: Vec<String>,
    },
}

/// The most code that is searched of what the compiler puts around a function that is started with arguments.
const MAX_WRAPPER_CODE: usize = 2048;

/// Everything that is needed to read the goroutines of one program. Made by [`crate::attach`].
#[derive(Clone)]
pub struct Runtime {
    /// The executable.
    pub binary: Arc<GoBinary>,
    /// Load address minus link-time address.
    pub bias: u64,
    /// The Go version that built it.
    pub version: GoVersion,
    /// Layout of the runtime's structs.
    pub layout: Layout,
    /// Where the layout comes from.
    pub trust: Trust,
    /// Where its goroutines are listed.
    pub list: GoroutineList,
    /// Where its processors and its run queues are, if that was found.
    pub scheduler: Option<Scheduler>,
    /// The runtime's wait reasons, in its own words, by number.
    pub wait_reasons: Vec<String>,
    /// The number of the one that coroutines wait with (`iter.Pull`, Go 1.23 on).
    pub(crate) coroutine: Option<u8>,
    /// How labels are stored.
    pub labels: Shape,
    /// How maps are laid out; `None` when that is not known.
    pub(crate) maps: Option<Maps>,
    /// Unwinds saved contexts.
    pub unwinder: Unwinder,
}

impl Runtime {
    /// Makes the functions of a plugin known, which is loaded `bias` above its link-time addresses.
    pub fn add_plugin(&self, plugin: GoBinary, bias: u64) {
        let shift = bias.wrapping_sub(self.bias);
        self.unwinder.special().add(&plugin, shift);
        self.binary.add_plugin(plugin, shift);
    }

    /// The runtime's own words for wait reason `number`.
    pub fn wait_reason(&self, number: u8) -> &str {
        self.wait_reasons.get(usize::from(number)).map_or("unknown wait reason", String::as_str)
    }

    /// Whether a goroutine in this state may go on and come back to it uncounted: coroutines switch to each other without
    /// `casgstatus` (`runtime/coro.go`, `coroswitch_m`).
    pub(crate) fn is_coroutine(&self, status: Status, wait_reason: u8) -> bool {
        status == Status::Waiting && self.coroutine == Some(wait_reason)
    }

    /// What a goroutine's dump header says it is doing: the wait reason of one that waits, if it has one, else its status
    /// (`runtime/traceback.go`, `goroutineheader`). The header of a leaked one also says that it is.
    pub fn doing(&self, status: Status, wait_reason: u8) -> &str {
        match status {
            // 0 is `waitReasonZero`: none was given.
            Status::Waiting | Status::Leaked if wait_reason != 0 => self.wait_reason(wait_reason),
            _ => status.word(),
        }
    }

    /// Name of the function at `pc`, if it is Go code.
    pub fn function_at(&self, pc: u64) -> Option<String> {
        let function = self.binary.func_at(pc.wrapping_sub(self.bias))?;
        Some(self.binary.func_name(&function).to_string())
    }

    /// Whether there is Go code at `pc`.
    pub fn is_go(&self, pc: u64) -> bool {
        self.binary.func_at(pc.wrapping_sub(self.bias)).is_some()
    }

    /// Name of the function that the `go` statement names by which goroutines are started at `start_pc`: not of what the compiler
    /// has put around it, to hand over its arguments.
    pub fn started_with(&self, start_pc: u64) -> Option<String> {
        let function = self.binary.func_at(start_pc.wrapping_sub(self.bias))?;
        let mut lines = Vec::new();
        self.binary.source_frames(function.entry, &mut lines);
        let is_wrapper = lines.last().is_some_and(|line| line.wrapper);
        let mut called = self.binary.calls(&function, MAX_WRAPPER_CODE).filter_map(|target| {
            let called = self.binary.func_at(target).filter(|called| called.entry == target)?;
            Some(self.binary.func_name(&called).to_string())
        });
        let wrapped = if is_wrapper { called.find(|name| !name.starts_with("runtime.")) } else { None };
        wrapped.or_else(|| Some(self.binary.func_name(&function).to_string()))
    }

    /// Entry of the function that a goroutine with this stack was started with: the one that `runtime.goexit` seems to have
    /// called; 0, as its g has it, for one that a thread of C's has become when it called Go. `None` for a stack that does not
    /// end there.
    pub fn starts_at(&self, pcs: &[u64]) -> Option<u64> {
        let [.., first, bottom] = pcs else { return None };
        let (special, vaddr) = (self.unwinder.special(), first.wrapping_sub(self.bias));
        let function = self.binary.func_at(vaddr)?;
        let entry = if special.is_callback(vaddr) { 0 } else { function.entry.wrapping_add(self.bias) };
        special.is_goexit(bottom.wrapping_sub(self.bias)).then_some(entry)
    }

    /// Whose goroutines are started at `start_pc`: the runtime's own are hidden by its dumps unless asked for
    /// (`runtime/traceback.go`, `isSystemGoroutine`).
    pub fn owner(&self, start_pc: u64) -> Owner {
        match self.function_at(start_pc).as_deref() {
            Some("runtime.main" | "runtime.handleAsyncEvent" | "runtime.corostart") => Owner::Program,
            Some("runtime.runfinq" | "runtime.runFinalizers" | "runtime.runCleanups") => Owner::RuntimeForProgram,
            Some(name) if name.starts_with("runtime.") => Owner::Runtime,
            _ => Owner::Program,
        }
    }

    /// Whether a goroutine started at `start_pc`, with the stack `pcs`, is one of the runtime's own.
    pub fn is_system(&self, start_pc: u64, pcs: &[u64]) -> bool {
        match self.owner(start_pc) {
            Owner::Program => false,
            Owner::Runtime => true,
            Owner::RuntimeForProgram => {
                pcs.iter().all(|&pc| self.function_at(pc).is_none_or(|name| name.starts_with("runtime.")))
            }
        }
    }
}

/// Whose goroutine one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The program's.
    Program,
    /// The runtime's own.
    Runtime,
    /// The runtime's, but it calls the program's finalizers and cleanups: while it does, it is the program's.
    RuntimeForProgram,
}
