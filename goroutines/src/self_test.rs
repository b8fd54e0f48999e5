//! The self-test that decides whether a layout is trusted.

use std::collections::HashSet;

use fgspy_memory::{Memory, Range, ReadError};

use crate::chain::may_be_foreign_code;
use crate::{AttachError, G, Runtime, status};

/// Goroutines looked at.
const TESTED: u64 = 4096;

/// Reads some goroutines and checks that they look like goroutines: statuses exist, ids are unique, stack bounds are in
/// order, and goroutine 1 was started at `runtime.main`.
pub(crate) fn self_test(memory: &dyn Memory, runtime: &Runtime) -> Result<(), AttachError> {
    let gs = some_goroutines(memory, runtime)?;
    let wrong = |reason: String| AttachError::SelfTest { version: runtime.version.to_string(), reason };
    if let Some(g) = gs.iter().find(|g| !status::is_known(g.raw_status)) {
        return Err(wrong(format!("a goroutine has status {:#x}, which does not exist", g.raw_status)));
    }
    let live: Vec<&G> = gs.iter().filter(|g| g.status().is_some()).collect();
    let mut ids = HashSet::new();
    if let Some(g) = live.iter().find(|g| !ids.insert(g.goid)) {
        return Err(wrong(format!("two goroutines have the id {}", g.goid)));
    }
    if let Some(g) = live.iter().find(|g| g.bounds.lo >= g.bounds.hi) {
        return Err(wrong(format!("goroutine {} has no stack", g.goid)));
    }
    let main = runtime.binary.func_named("runtime.main").map(|main| main.entry.wrapping_add(runtime.bias));
    match gs.iter().find(|g| g.goid == 1) {
        Some(g) if Some(g.start_pc) == main => Ok(()),
        Some(g) => Err(wrong(format!(
            "goroutine 1 was started at {:#x} ({}), not at runtime.main",
            g.start_pc,
            runtime.function_at(g.start_pc).unwrap_or_else(|| "no function".into())
        ))),
        // Not even the main goroutine: the list is being made.
        None if live.is_empty() => Err(AttachError::NotStarted),
        // It has ended and its g was reused; then the others must have been started at functions, and the runtime's own
        // are always among them.
        None => {
            let origins: Vec<Origin> = live.iter().map(|g| origin(runtime, g.start_pc)).collect();
            let count = |wanted: Origin| origins.iter().filter(|&&origin| origin == wanted).count();
            match (count(Origin::Nonsense), count(Origin::Function)) {
                (0, 1..) => Ok(()),
                (0, 0) => Err(wrong(format!("none of {} goroutines was started at a function", live.len()))),
                (strays, _) => Err(wrong(format!("{strays} of {} goroutines were started at no function", live.len()))),
            }
        }
    }
}

/// Where a goroutine began.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// At the entry of a function of this executable.
    Function,
    /// Nowhere that is known: a thread of C's that called Go has a g that no `go` statement started (`runtime/proc.go`,
    /// `oneNewExtraM`), and a plugin has functions of its own.
    Elsewhere,
    /// Where no function can begin.
    Nonsense,
}

fn origin(runtime: &Runtime, pc: u64) -> Origin {
    let vaddr = pc.wrapping_sub(runtime.bias);
    match runtime.binary.func_at(vaddr) {
        Some(function) if function.entry == vaddr => Origin::Function,
        None if pc == 0 || may_be_foreign_code(runtime, pc) => Origin::Elsewhere,
        _ => Origin::Nonsense,
    }
}

/// The first goroutines of the runtime's list.
fn some_goroutines(memory: &dyn Memory, runtime: &Runtime) -> Result<Vec<G>, ReadError> {
    let addresses = runtime.list.some(memory, TESTED)?;
    let size = runtime.layout.g.size as usize;
    let ranges: Vec<Range> = addresses.into_iter().map(|addr| Range { addr, len: size }).collect();
    let (mut buf, mut got) = (Vec::new(), Vec::new());
    memory.read_ranges(&ranges, &mut buf, &mut got)?;
    let whole = got.iter().map(|got| *got == size);
    let copies = buf.chunks_exact(size.max(1)).zip(whole).filter(|(_, whole)| *whole);
    Ok(copies.filter_map(|(copy, _)| G::decode(&runtime.layout, copy)).collect())
}
