//! What the numbers of goroutines say about when they were started.
//!
//! Each of the runtime's processors (p's) takes numbers in batches of 16 and gives them out in order (`runtime/proc.go`,
//! `newproc1`, `_GoidCacheBatch`; Go 1.17 to 1.27). Of two goroutines with numbers of one batch the greater one was started
//! later; nothing follows for others.
//!
//! While a handler of HTTP/1 runs, another goroutine waits for the client to go away, or for its next request
//! (`net/http/server.go`, `startBackgroundRead`). It is started by the connection's goroutine when the body of the
//! request has been read (before the handler runs if there is none), and is over before the connection goes on to the next one.
//! So whatever the connection's goroutine starts after it, it starts for that request.

use fgspy_memory::Range;

use crate::allgs::AllGs;
use crate::batch::Reads;
use crate::bytes::{u64_at, words};
use crate::request::Idle;
use crate::request::anchors::{Anchors, Role, Roots};
use crate::request::look::is_pointer;
use crate::{G, Runtime, Status};

/// Numbers that a p takes at a time.
pub(super) const BATCH: u64 = 16;
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

/// How numbers are dealt out: the last one of all batches so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numbering(pub(super) u64);

impl Numbering {
    fn batch(self, goid: u64) -> u64 {
        // Batches need not begin at multiples of 16: threads that C has made take single numbers (`oneNewExtraM`).
        goid.wrapping_add(BATCH - 1).wrapping_sub(self.0 % BATCH) / BATCH
    }

    /// Whether goroutine `goid` was started after `other`.
    pub(super) fn order(self, goid: u64, other: u64) -> Order {
        if goid > self.0 || other > self.0 {
            return Order::Unknown;
        }
        match self.batch(goid).cmp(&self.batch(other)) {
            std::cmp::Ordering::Equal if goid > other => Order::After,
            std::cmp::Ordering::Equal => Order::Before,
            std::cmp::Ordering::Greater => Order::LaterBatch,
            std::cmp::Ordering::Less => Order::Unknown,
        }
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
    (anchors, roots): (&Anchors, &std::cell::RefCell<Roots>),
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

    #[test]
    fn numbers_of_one_batch_are_in_order_and_others_are_not() {
        let numbering = Numbering(160);
        assert_eq!(numbering.order(18, 17), Order::After);
        assert_eq!(numbering.order(17, 32), Order::Before);
        assert_eq!(numbering.order(33, 32), Order::LaterBatch);
        assert_eq!(numbering.order(32, 33), Order::Unknown);
        assert_eq!(numbering.order(161, 33), Order::Unknown, "nobody can have that number yet");
    }

    #[test]
    fn batches_may_begin_anywhere() {
        // Batches are 4 to 19 and 20 to 35.
        let numbering = Numbering(35);
        assert_eq!(numbering.order(19, 4), Order::After);
        assert_eq!(numbering.order(20, 19), Order::LaterBatch);
        assert_eq!(numbering.order(20, 35), Order::Before);
    }
}
