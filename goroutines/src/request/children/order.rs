//! What the numbers of goroutines say about when they were started.
//!
//! Each of the runtime's processors (p's) takes numbers in batches of 16 and gives them out in order (`runtime/proc.go`,
//! `newproc1`, `_GoidCacheBatch`; Go 1.17 to 1.27). Of two goroutines with numbers of one batch the greater one was started
//! later, and so of two with numbers of batches that the same p has taken; nothing follows for others.
//!
//! While a handler of HTTP/1 runs, another goroutine waits for the client to go away, or for its next request
//! (`net/http/server.go`, `startBackgroundRead`). It is started by the connection's goroutine when the body of the
//! request has been read (before the handler runs if there is none), and is over before the connection goes on to the next one.
//! So whatever the connection's goroutine starts after it, it starts for that request.

use std::cell::RefCell;
use std::collections::HashMap;

use fgspy_memory::{Memory, Range, ReadError};
use rustc_hash::FxBuildHasher;

use crate::allgs::AllGs;
use crate::batch::Reads;
use crate::bytes::{u64_at, words};
use crate::request::Idle;
use crate::request::anchors::{Anchors, Role, Roots};
use crate::request::look::is_pointer;
use crate::{G, Runtime, Status};

/// Numbers that a p takes at a time.
const BATCH: u64 = 16;
/// Batches of which it is remembered who has taken them.
const MAX_OWNERS: usize = 1 << 16;
/// Batches that one p may have taken since the last look, of which that is noted.
const MAX_TAKEN: usize = 1 << 12;
/// The most p's that are believed.
const MAX_PROCESSORS: u64 = 4096;
/// In `net/http.conn`: `rwc`, an interface, of which this is the data (`net/http/server.go`, Go 1.17 to 1.27).
const RWC_DATA: u64 = 24;
/// Bytes of a `net.netFD` in which its `runtime.pollDesc` is looked for: `pfd.pd.runtimeCtx`, at 24 or 32.
const FD_BYTES: usize = 48;
/// Bytes of a `runtime.pollDesc` in which the goroutine is looked for that waits to read (`rg`).
const POLL_BYTES: usize = 96;

/// Which of two goroutines was started first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The one that is asked about was started after the other.
    After,
    /// Before it.
    Before,
    /// It has a number of a batch that was taken after the other's was.
    LaterBatch,
    /// Nothing is known.
    Unknown,
}

/// How numbers are dealt out.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbering {
    /// The last number of all batches so far.
    last: u64,
    /// Which p has taken a batch, by the last number in that.
    owners: HashMap<u64, usize, FxBuildHasher>,
    /// The last number of the batch that each p has.
    current: Vec<u64>,
}

impl Numbering {
    /// Takes what is dealt out now: the last number of all, that of a moment before, and the last one of the batch that each p
    /// had in between.
    ///
    /// Which p has taken a batch is known of those that p's had when this was looked at. Of those in between it is known if only
    /// one of the p's has taken any.
    fn update(&mut self, (before, last): (u64, u64), current: Vec<u64>) {
        let is_steady = last % BATCH == self.last % BATCH && current.len() == self.current.len() && last >= self.last;
        if !is_steady || self.owners.len() >= MAX_OWNERS {
            *self = Numbering::default();
        }
        let took = current.iter().zip(&self.current).enumerate().filter(|(_, (now, before))| now != before);
        let mut took = took.map(|(p, _)| p);
        if let (Some(only), None) = (took.next(), took.next()) {
            let taken =
                (1..=before.saturating_sub(self.last) / BATCH).take(MAX_TAKEN).map(|number| self.last + number * BATCH);
            self.owners.extend(taken.map(|batch| (batch, only)));
        }
        self.owners.extend(current.iter().enumerate().filter(|(_, end)| **end != 0).map(|(p, end)| (*end, p)));
        (self.last, self.current) = (last, current);
    }

    /// The last number of the batch that has `goid`.
    fn batch(&self, goid: u64) -> u64 {
        // Batches need not end at multiples of 16: threads that C has made take single numbers (`oneNewExtraM`).
        goid + (self.last - goid) % BATCH
    }

    /// Whether goroutine `goid` was started after `other`.
    pub(super) fn order(&self, goid: u64, other: u64) -> Order {
        if goid > self.last || other > self.last {
            return Order::Unknown;
        }
        let (batch, of_other) = (self.batch(goid), self.batch(other));
        let owner = self.owners.get(&batch);
        let is_same_p = batch == of_other || owner.is_some() && owner == self.owners.get(&of_other);
        match (is_same_p, batch > of_other) {
            (true, _) if goid > other => Order::After,
            (true, _) => Order::Before,
            (false, true) => Order::LaterBatch,
            (false, false) => Order::Unknown,
        }
    }

    /// Looks at how numbers are dealt out now. Whether that is understood.
    ///
    /// # Errors
    /// When nothing at all can be read from the target any more.
    pub(super) fn look(&mut self, runtime: &Runtime, memory: &dyn Memory) -> Result<bool, ReadError> {
        let Some(scheduler) = runtime.scheduler else { return Ok(false) };
        // `schedt.goidgen` is its first field (`runtime/runtime2.go`, Go 1.17 to 1.27).
        let head = [Range { addr: scheduler.allp, len: 16 }, Range { addr: scheduler.sched, len: 8 }];
        let (mut bytes, mut got) = (Vec::new(), Vec::new());
        memory.read_ranges(&head, &mut bytes, &mut got)?;
        let head: Vec<u64> = words(&bytes).collect();
        let (&[array, count, before], [16, 8]) = (head.as_slice(), got.as_slice()) else { return Ok(false) };
        let len = 8 * count.min(MAX_PROCESSORS) as usize;
        memory.read_ranges(&[Range { addr: array, len }], &mut bytes, &mut got)?;
        // `p.goidcache` and `p.goidcacheend`, the next number and the end of the batch, come before the run queue.
        let cache = u64::from(runtime.layout.p.runqhead).saturating_sub(16);
        let mut caches: Vec<Range> = words(&bytes).map(|p| Range { addr: p.wrapping_add(cache), len: 16 }).collect();
        caches.push(Range { addr: scheduler.sched, len: 8 });
        memory.read_ranges(&caches, &mut bytes, &mut got)?;
        let read: Vec<u64> = words(&bytes).collect();
        let Some((&last, caches)) = read.split_last() else { return Ok(false) };
        let ends = caches.chunks_exact(2).map(|cache| match *cache {
            [next, end] if next <= end && end - next <= BATCH && end > 0 && end - 1 <= last => {
                (last - (end - 1)).is_multiple_of(BATCH).then_some(end - 1)
            }
            // It has not taken any.
            [0, 0] => Some(0),
            _ => None,
        });
        // Otherwise, only batches can be compared.
        let current: Option<Vec<u64>> = ends.collect();
        self.update((before, last), current.unwrap_or_default());
        Ok(true)
    }
}

/// A connection and the goroutine that serves it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Served {
    pub(super) goid: u64,
    pub(super) connection: u64,
    /// The response to its present request.
    pub(super) response: u64,
}

/// The number of the goroutine that waits for the connection's client while the handler of this very request runs.
pub(super) async fn background(
    (runtime, all): (&Runtime, &AllGs),
    (anchors, roots): (&Anchors, &RefCell<Roots>),
    reads: &Reads,
    served: Served,
) -> Option<u64> {
    let word = async |addr: u64| u64_at(&reads.bytes(addr, 8).await?, 0).filter(|word| is_pointer(*word));
    let rwc = word(served.connection.checked_add(RWC_DATA)?).await?;
    // A connection of TCP has its descriptor first; one of TLS the interface of the connection that it encrypts.
    let [head] = reads.get([Range { addr: rwc, len: 16 }]).await;
    let head = head?;
    let (first, second) = (u64_at(&head, 0)?, u64_at(&head, 8)?);
    let descriptor = if is_static(runtime, first) { word(second).await? } else { first };
    let descriptor = reads.bytes(descriptor, FD_BYTES).await?;
    let polls = words(&descriptor).skip(3).filter(|word| is_pointer(*word));
    let polls: Vec<Range> = polls.map(|addr| Range { addr, len: POLL_BYTES }).collect();
    let copies = reads.get_all(&polls).await;
    let waiting = copies.iter().flatten().flat_map(|copy| words(copy)).find(|word| all.find(*word).is_some())?;
    // The connection still serves that request after the goroutine was seen to wait.
    let current = Range { addr: served.connection.wrapping_add(runtime.layout.http.conn_cur_req.into()), len: 8 };
    let g = Range { addr: waiting, len: runtime.layout.g.size as usize };
    let [before, g, after] = reads.get([current, g, current]).await;
    let is_current = |copy: Option<Vec<u8>>| copy.and_then(|copy| u64_at(&copy, 0)) == Some(served.response);
    let g = G::decode(&runtime.layout, &g?)?;
    let root = roots.borrow_mut().root(&runtime.binary, anchors, g.start_pc.wrapping_sub(runtime.bias));
    let is_it = is_current(before)
        && is_current(after)
        && g.parent_goid == Some(served.goid)
        && g.status() == Some(Status::Waiting)
        && runtime.wait_reason(g.wait_reason) == "IO wait"
        && root.is_some_and(|root| root.role == Role::Idle(Idle::Transport));
    is_it.then_some(g.goid)
}

fn is_static(runtime: &Runtime, address: u64) -> bool {
    let vaddr = address.wrapping_sub(runtime.bias);
    runtime.binary.segments().iter().any(|segment| vaddr.wrapping_sub(segment.vaddr) < segment.mem_size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbering(looks: &[(u64, &[u64])]) -> Numbering {
        let mut numbering = Numbering::default();
        looks.iter().for_each(|(last, current)| numbering.update((*last, *last), current.to_vec()));
        numbering
    }

    #[test]
    fn numbers_of_one_batch_are_in_order_and_others_are_not() {
        let numbering = numbering(&[(160, &[])]);
        assert_eq!(numbering.order(18, 17), Order::After);
        assert_eq!(numbering.order(17, 32), Order::Before);
        assert_eq!(numbering.order(33, 32), Order::LaterBatch);
        assert_eq!(numbering.order(32, 33), Order::Unknown);
        assert_eq!(numbering.order(161, 33), Order::Unknown, "nobody can have that number yet");
    }

    #[test]
    fn batches_may_begin_anywhere() {
        // Batches are 4 to 19 and 20 to 35.
        let numbering = numbering(&[(35, &[])]);
        assert_eq!(numbering.order(19, 4), Order::After);
        assert_eq!(numbering.order(20, 19), Order::LaterBatch);
        assert_eq!(numbering.order(20, 35), Order::Before);
    }

    #[test]
    fn batches_of_one_p_are_in_order() {
        let numbering = numbering(&[(64, &[48, 64]), (80, &[80, 64])]);
        assert_eq!(numbering.order(65, 48), Order::After, "both are of the first p");
        assert_eq!(numbering.order(48, 65), Order::Before);
        assert_eq!(numbering.order(65, 64), Order::LaterBatch, "the other one is of the second p");
        assert_eq!(numbering.order(33, 64), Order::Unknown);
    }

    #[test]
    fn batches_that_only_one_p_can_have_taken_are_its_own() {
        let one = numbering(&[(64, &[48, 64]), (128, &[128, 64])]);
        assert_eq!(one.order(97, 82), Order::After);
        let both = numbering(&[(64, &[48, 64]), (128, &[128, 112])]);
        assert_eq!(both.order(97, 82), Order::LaterBatch, "96 may be of either");
        assert_eq!(both.order(113, 33), Order::After);
        let mut late = numbering(&[(64, &[48, 64])]);
        late.update((112, 128), vec![112, 64]);
        assert_eq!(late.order(113, 112), Order::LaterBatch, "the second may have taken it after it was looked at");
        let shifted = numbering(&[(64, &[48, 64]), (81, &[81, 64])]);
        assert_eq!(shifted.order(81, 48), Order::LaterBatch, "it is forgotten when batches begin elsewhere");
    }
}
