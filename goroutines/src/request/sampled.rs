//! Which request a goroutine served when the kernel sampled its thread.
//!
//! A sample has a copy of the stack as it was at that moment: the frames near its root lead to the request, as those of a
//! goroutine that does not run do. What they point to is read later, some milliseconds at most. It is still what it was if
//! no memory was reused since ([`super::generation`]); requests that have ended meanwhile are found too.

use std::sync::Arc;

use fgspy_gobin::Arch;
use fgspy_memory::ReadError;

use super::finder::Finder;
use super::look::{Look, No, Slots, Start};
use super::{Idle, Mismatch, Request, grpc, http, plan};
use crate::batch::{self, Reads, Task};
use crate::unwind::StackBytes;
use crate::{Bounds, G, Runtime};

/// A kernel's sample of a goroutine that ran on its own stack.
#[derive(Clone, Copy, Debug)]
pub struct SampledStack<'a> {
    /// The number of its g in [`crate::AllGs`].
    pub index: u32,
    /// Its program counters, leaf first, down to `runtime.goexit`.
    pub pcs: &'a [u64],
    /// Its stack, from the stack pointer up, as far as it was copied.
    pub stack: StackBytes<'a>,
}

/// What a goroutine served when it was sampled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SampledServing {
    /// No server's function was on its stack.
    Nothing,
    /// It belonged to a server, and served no request then.
    Idle(Idle),
    /// It served this request.
    Serving(Arc<Request>),
    /// It was in a server's function; for which request is unknown.
    Unknown,
}

/// Places in a copied stack at which the root's return address is looked for.
const MAX_ROOTS: usize = 4;

impl Finder {
    /// Takes note that samples have been collected. Those that are taken from now on can be looked at when this has been called
    /// once more.
    ///
    /// # Errors
    /// When nothing at all can be read from the target any more.
    pub(crate) fn collected(&mut self, runtime: &Runtime, memory: &dyn fgspy_memory::Memory) -> Result<(), ReadError> {
        let now = self.generation_now(runtime, memory)?;
        if now.is_none() {
            self.generation.resolve(runtime, memory)?;
        }
        let [last, _] = self.sampled_generations;
        self.sampled_generations = [now, last];
        Ok(())
    }

    /// What goroutines served when they were sampled, in the order of `samples`. They must have been taken after the call of
    /// [`Finder::collected`] before the last one: memory that they point to may have been reused before that.
    ///
    /// # Errors
    /// When nothing at all can be read from the target any more.
    pub(crate) fn sampled(
        &mut self,
        runtime: &Runtime,
        memory: &dyn fgspy_memory::Memory,
        samples: &[SampledStack<'_>],
    ) -> Result<Vec<SampledServing>, ReadError> {
        let starts: Vec<Result<Slots, No>> = samples.iter().map(|sample| self.slots(runtime, sample)).collect();
        if starts.iter().all(Result::is_err) {
            return Ok(starts.into_iter().map(|start| answer(start.map(|_| None))).collect());
        }
        self.prepare(runtime, memory);
        let reads = Reads::default();
        let shared = self.shared(runtime, &reads);
        let tasks = samples.iter().zip(starts).map(|(sample, slots)| -> Task<'_, SampledServing> {
            let look = Look {
                shared: &shared,
                g: G { bounds: copied_bounds(sample.stack), ..G::NONE },
                address: 0,
                before: None,
                last: self.last(sample.index),
            };
            Box::pin(async move { answer(search(&look, slots).await) })
        });
        let tasks = tasks.collect();
        let found = batch::run(memory, &reads, tasks)?;
        let [_, before] = self.sampled_generations;
        let is_kept = before.is_some() && before == self.generation_now(runtime, memory)?;
        Ok(found.into_iter().map(|found| found.unwrap_or(SampledServing::Unknown).kept_if(is_kept)).collect())
    }

    /// The frames of a sample that may lead to its request.
    fn slots(&mut self, runtime: &Runtime, sample: &SampledStack<'_>) -> Result<Slots, No> {
        let SampledStack { pcs, stack, .. } = *sample;
        let arch = runtime.binary.arch();
        let mut result = Err(No::Unknown(Mismatch::NoFrame));
        let roots = pcs.last().map_or(Vec::new(), |root| positions(stack, *root));
        let roots = roots.into_iter().filter_map(|slot| self.root_bounds(runtime, arch, pcs, slot));
        // Without any, the functions on the stack may still say that nothing is served.
        for bounds in roots.collect::<Vec<_>>().into_iter().chain([Bounds { lo: 0, hi: 0 }]) {
            let wants = plan::Wants { mux: self.options.data, serve: true };
            let (anchors, frames) = (&self.anchors, self.frames.get_mut());
            result = match plan::walked(runtime, anchors, frames, bounds, (pcs, stack), wants) {
                Ok(Start::Walked(slots)) => Ok(self.with_live(runtime, (bounds.hi, pcs), stack, slots)),
                Ok(Start::Awaits(_)) => Err(No::Idle(Idle::Connection)),
                Ok(Start::Top(_)) => Err(No::Unknown(Mismatch::NoFrame)),
                Err(no) => Err(no),
            };
            if !matches!(result, Err(No::Unknown(Mismatch::NoFrame))) {
                break;
            }
        }
        result
    }

    /// Adds the live words where those of HTTP/2 are not found otherwise.
    fn with_live(&mut self, runtime: &Runtime, (hi, pcs): (u64, &[u64]), stack: StackBytes<'_>, slots: Slots) -> Slots {
        if slots.run_handler.is_none() || slots.stream.is_some() || runtime.layout.http2.is_none() {
            return slots;
        }
        let live = self.liveness.of_sample(runtime, &self.anchors, self.frames.get_mut(), (hi, pcs), stack);
        Slots { live, ..slots }
    }

    /// The upper end of the stack whose root returns to `runtime.goexit` from the address `slot`.
    fn root_bounds(&mut self, runtime: &Runtime, arch: Arch, pcs: &[u64], slot: u64) -> Option<Bounds> {
        let root = pcs.get(pcs.len().checked_sub(2)?)?;
        let hi = self.frames.get_mut().end_of_stack(runtime, arch, root.wrapping_sub(runtime.bias), slot)?;
        Some(Bounds { lo: 0, hi })
    }
}

impl SampledServing {
    /// This, if what was read of it was still there.
    fn kept_if(self, is_kept: bool) -> SampledServing {
        match self {
            SampledServing::Serving(_) if !is_kept => SampledServing::Unknown,
            other => other,
        }
    }
}

fn answer(found: Result<Option<Arc<Request>>, No>) -> SampledServing {
    match found {
        Ok(Some(request)) => SampledServing::Serving(request),
        Err(No::Nothing) => SampledServing::Nothing,
        Err(No::Idle(idle)) => SampledServing::Idle(idle),
        Ok(None) | Err(No::Torn | No::Unknown(_)) => SampledServing::Unknown,
    }
}

/// Follows what the frames point to.
async fn search(look: &Look<'_>, slots: Result<Slots, No>) -> Result<Option<Arc<Request>>, No> {
    let slots = slots?;
    if slots.stream.is_some() {
        // Where the stream is in the frame is learned from goroutines that do not run.
        let is_known = !look.shared.stream_places.borrow().is_empty();
        return if is_known { grpc::find(look, &slots).await.map(|found| Some(found.request)) } else { Ok(None) };
    }
    http::sampled(look, &slots).await
}

/// Where a word is in a copied stack, lowest address first.
fn positions(stack: StackBytes<'_>, word: u64) -> Vec<u64> {
    let words = (0..stack.bytes.len() as u64 / 8).filter_map(|i| stack.start.checked_add(8 * i));
    words.filter(|at| stack.word(*at) == Some(word)).take(MAX_ROOTS).collect()
}

fn copied_bounds(stack: StackBytes<'_>) -> Bounds {
    Bounds { lo: stack.start, hi: stack.start.saturating_add(stack.bytes.len() as u64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_where_they_are() {
        let bytes: Vec<u8> = [7u64, 9, 7, 8].iter().flat_map(|word| word.to_le_bytes()).collect();
        let stack = StackBytes { start: 0x1000, bytes: &bytes };
        assert_eq!(positions(stack, 7), [0x1000, 0x1010]);
        assert_eq!(positions(stack, 6), []);
        assert_eq!(positions(StackBytes { start: u64::MAX - 8, bytes: &bytes }, 8), []);
    }
}
