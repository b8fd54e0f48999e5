//! What must be known of a Go program to read its goroutines.

use std::sync::Arc;

use fgspy_gobin::layout::Layout;
use fgspy_gobin::{GoBinary, GoVersion};

use crate::labels::Shape;
use crate::{GoroutineList, Status, Unwinder};

/// Where the layout of the runtime's structs comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// From the table made of this Go version's own sources, and confirmed by the self-test.
    Table,
    /// Measured in this process, because the version is not in the table; what could not be measured was assumed.
    Calibrated {
        /// What was assumed, for the user to read.
        assumed: Vec<String>,
    },
}

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
    /// The runtime's wait reasons, in its own words, by number.
    pub wait_reasons: Vec<String>,
    /// How labels are stored.
    pub labels: Shape,
    /// Unwinds saved contexts.
    pub unwinder: Unwinder,
}

impl Runtime {
    /// The runtime's own words for wait reason `number`.
    pub fn wait_reason(&self, number: u8) -> &str {
        self.wait_reasons.get(usize::from(number)).map_or("unknown wait reason", String::as_str)
    }

    /// What a goroutine's dump header says it is doing: the wait reason of one that waits, else its status.
    pub fn doing(&self, status: Status, wait_reason: u8) -> &str {
        match status {
            Status::Waiting => self.wait_reason(wait_reason),
            _ => status.word(),
        }
    }

    /// Name of the function at `pc`, if it is Go code.
    pub fn function_at(&self, pc: u64) -> Option<String> {
        let function = self.binary.func_at(pc.wrapping_sub(self.bias))?;
        Some(self.binary.func_name(&function).to_string())
    }

    /// Entry of the function that a goroutine with this stack was started with: the one that `runtime.goexit` seems to have
    /// called. `None` for a stack that does not end there.
    pub fn starts_at(&self, pcs: &[u64]) -> Option<u64> {
        let [.., first, bottom] = pcs else { return None };
        let function = self.binary.func_at(first.wrapping_sub(self.bias))?;
        self.unwinder
            .special()
            .is_goexit(bottom.wrapping_sub(self.bias))
            .then(|| function.entry.wrapping_add(self.bias))
    }

    /// Whether goroutines started at `start_pc` are the runtime's own, which its dumps hide unless asked
    /// (`runtime/traceback.go`, `isSystemGoroutine`). The finalizer goroutine counts as the user's only while it runs a
    /// finalizer; that cannot be seen from outside, so it counts as the runtime's.
    pub fn is_system(&self, start_pc: u64) -> bool {
        match self.function_at(start_pc).as_deref() {
            Some("runtime.main" | "runtime.handleAsyncEvent") => false,
            Some(name) => name.starts_with("runtime."),
            None => false,
        }
    }
}
