//! The live pointers of a goroutine that does not run, or of a stack that the kernel copied.
//!
//! A stack is full of words that nobody needs any more, or that another goroutine left there whose stack this was before.
//! So only those words count that the compiler says are live at the call that each frame is making.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use fgspy_gobin::{Call, Func, LiveSlots};
use rustc_hash::FxBuildHasher;

use crate::request::anchors::{Anchors, Role};
use crate::request::frames::{Frame, Frames};
use crate::unwind::StackBytes;
use crate::{Bounds, Runtime};

/// Calls of which the live words are remembered.
const MAX_CALLS: usize = 1 << 14;
/// Frames of a stack that are looked at, from the root on.
const MAX_FRAMES: usize = 48;
/// Words of a stack that are kept.
const MAX_WORDS: usize = 512;
/// The most code of a mux that is searched for calls.
const MAX_CODE: usize = 1 << 12;
/// What `(*ServeMux).ServeHTTP` calls before the handler (`net/http/server.go`, Go 1.22 on): its request is live then.
const BEFORE_HANDLER: [&str; 2] = ["net/http.(*ServeMux).findHandler", "net/http.(*serveMux121).findHandler"];

/// A live word of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) value: u64,
    /// The word below it: the first half, if both are an interface.
    pub(crate) before: u64,
    /// Link-time entry of the function whose frame it is in.
    pub(crate) func: u64,
}

/// Finds live words. Remembers where they are at each call.
#[derive(Debug, Default)]
pub(crate) struct Liveness {
    calls: RefCell<HashMap<u64, Option<Arc<LiveSlots>>, FxBuildHasher>>,
    /// The same of a mux, at the call of its handler, with arguments that are not needed any more.
    muxes: RefCell<HashMap<u64, Option<Arc<LiveSlots>>, FxBuildHasher>>,
}

/// A variable on the stack whose address was taken.
struct Object {
    at: u64,
    len: u64,
    func: u64,
    is_reached: bool,
}

impl Liveness {
    /// The live words of a stack that was walked to its root, but for those that point into it. The outermost frame's come first.
    pub(crate) fn words(
        &self,
        runtime: &Runtime,
        anchors: &Anchors,
        frames: &mut Frames,
        (bounds, pcs): (Bounds, &[u64]),
        stack: StackBytes<'_>,
    ) -> Vec<Word> {
        let mut words = self.of_calls(runtime, anchors, frames, (bounds, pcs, 0), stack, false);
        words.retain(|word| !bounds.holds(word.value, 1));
        words
    }

    /// The same of a stack that the kernel copied while the goroutine ran: `hi` is the stack's upper end. Words of its muxes are
    /// among them that are not needed any more, and are still what these were called with.
    pub(crate) fn of_sample(
        &self,
        runtime: &Runtime,
        anchors: &Anchors,
        frames: &mut Frames,
        (hi, pcs): (u64, &[u64]),
        stack: StackBytes<'_>,
    ) -> Vec<Word> {
        // The function nearest the leaf makes no call.
        let mut words = self.of_calls(runtime, anchors, frames, (Bounds { lo: 0, hi }, pcs, 1), stack, true);
        let copied = Bounds { lo: stack.start, hi };
        words.retain(|word| !copied.holds(word.value, 1));
        words
    }

    fn of_calls(
        &self,
        runtime: &Runtime,
        anchors: &Anchors,
        frames: &mut Frames,
        (bounds, pcs, leaf): (Bounds, &[u64], usize),
        stack: StackBytes<'_>,
        with_muxes: bool,
    ) -> Vec<Word> {
        // The one at the root is the runtime's.
        let last = pcs.len().saturating_sub(MAX_FRAMES + 1).max(leaf);
        let found = frames.of_walked(runtime, bounds, stack, pcs, last);
        let vaddr = |i: usize| pcs.get(i).map(|pc| pc.wrapping_sub(runtime.bias));
        let (mut words, mut objects) = (Vec::new(), Vec::new());
        for (number, frame) in found.iter().enumerate() {
            let Some(i) = pcs.len().checked_sub(number + 2) else { break };
            // A function that was interrupted makes no call: nothing is said of where it is.
            let is_interrupted = i.checked_sub(1).and_then(vaddr).is_some_and(|callee| is_preemption(anchors, callee));
            let Some(vaddr) = vaddr(i).filter(|_| !is_interrupted) else { continue };
            let is_mux = with_muxes && anchors.role(vaddr) == Some(Role::Mux);
            let of_mux = if is_mux { self.of_mux(runtime, vaddr) } else { None };
            let Some((slots, func)) = of_mux.or_else(|| self.slots(runtime, vaddr)) else { continue };
            add(runtime, &slots, (*frame, func), stack, &mut words, &mut objects);
        }
        reach(stack, &mut words, &mut objects);
        words
    }

    /// The arguments of a mux that were live at all its calls of [`BEFORE_HANDLER`], while it makes the call of its handler that
    /// returns to `vaddr`: nothing else is put in their place (`cmd/compile/abi-internal.md`, "spill area").
    fn of_mux(&self, runtime: &Runtime, vaddr: u64) -> Option<(Arc<LiveSlots>, u64)> {
        let func = runtime.binary.func_at(vaddr.wrapping_sub(1))?;
        let muxes = &mut self.muxes.borrow_mut();
        if muxes.len() >= MAX_CALLS {
            muxes.clear();
        }
        let slots = muxes.entry(vaddr).or_insert_with(|| arguments_of_mux(runtime, &func, vaddr).map(Arc::new));
        Some((slots.clone()?, func.entry))
    }

    /// Where live words are while the call is made that returns to `vaddr`, and the entry of the function that makes it.
    fn slots(&self, runtime: &Runtime, vaddr: u64) -> Option<(Arc<LiveSlots>, u64)> {
        let call = vaddr.wrapping_sub(1);
        let func = runtime.binary.func_at(call)?;
        let calls = &mut self.calls.borrow_mut();
        if calls.len() >= MAX_CALLS {
            calls.clear();
        }
        let slots = calls.entry(vaddr).or_insert_with(|| runtime.binary.live_slots(call).map(Arc::new));
        Some((slots.clone()?, func.entry))
    }
}

fn arguments_of_mux(runtime: &Runtime, func: &Func, vaddr: u64) -> Option<LiveSlots> {
    let binary = &runtime.binary;
    let before: Vec<u64> = binary.funcs_named(&BEFORE_HANDLER).into_iter().flatten().map(|func| func.entry).collect();
    let is_before = |end: &u64| binary.call_target(*end).is_some_and(|target| before.contains(&target));
    let ends: Vec<u64> = (func.entry + 1..func.end).take(MAX_CODE).filter(is_before).collect();
    // All of these come before the handler, which is called by way of a table.
    let is_handler = ends.iter().all(|end| *end < vaddr) && binary.call_before(vaddr) == Some(Call::Indirect);
    let (first, others) = ends.split_first().filter(|_| is_handler)?;
    let mut live = binary.live_slots(first.wrapping_sub(1))?;
    for other in others {
        let also = binary.live_slots(other.wrapping_sub(1))?;
        live.arguments.retain(|slot| also.arguments.contains(slot));
    }
    Some(LiveSlots { arguments: live.arguments, ..LiveSlots::default() })
}

fn is_preemption(anchors: &Anchors, vaddr: u64) -> bool {
    anchors.preempted.iter().any(|func| func.contains(vaddr))
}

/// Adds the live words of a frame, and its objects.
fn add(
    runtime: &Runtime,
    slots: &LiveSlots,
    (frame, func): (Frame, u64),
    stack: StackBytes<'_>,
    words: &mut Vec<Word>,
    objects: &mut Vec<Object>,
) {
    let arch = runtime.binary.arch();
    let (variables, arguments) = (frame.end_of_variables(arch), frame.arguments(arch));
    let locals = slots.locals.iter().map(|below| variables.wrapping_sub(u64::from(*below)));
    let live = locals.chain(slots.arguments.iter().map(|above| arguments.wrapping_add(u64::from(*above))));
    words.extend(live.filter_map(|at| word_at(stack, at, func)).take(MAX_WORDS.saturating_sub(words.len())));
    objects.extend(slots.objects.iter().map(|&(at, len)| {
        let base = if at < 0 { variables } else { arguments };
        Object { at: base.wrapping_add_signed(at.into()), len: len.into(), func, is_reached: false }
    }));
}

/// Adds the words of objects on the stack that words lead to.
fn reach(stack: StackBytes<'_>, words: &mut Vec<Word>, objects: &mut [Object]) {
    let mut next = 0;
    while let Some(&Word { value, .. }) = words.get(next) {
        next += 1;
        let reached =
            objects.iter_mut().find(|object| !object.is_reached && value.wrapping_sub(object.at) < object.len);
        let Some(object) = reached else { continue };
        object.is_reached = true;
        let within = (0..object.len / 8).filter_map(|number| word_at(stack, object.at + 8 * number, object.func));
        let room = MAX_WORDS.saturating_sub(words.len());
        words.extend(within.take(room).collect::<Vec<_>>());
    }
}

fn word_at(stack: StackBytes<'_>, at: u64, func: u64) -> Option<Word> {
    let value = stack.word(at)?;
    let before = at.checked_sub(8).and_then(|at| stack.word(at)).unwrap_or(0);
    Some(Word { value, before, func })
}
