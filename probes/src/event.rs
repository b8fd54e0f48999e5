//! What the program sends.

use crate::shared::constants::{G_DEAD, G_DEADEXTRA, G_IDLE, G_RUNNING, G_WAITING};
use crate::shared::records::{Begin, Blocked, End, Head, Ids, Transition};
use crate::shared::{RecordKind, Shared};
use crate::{EndReason, SiteKind, Times};

/// Headers that may say which request this is, in the order of [`Headers::values`].
pub const HEADERS: [&str; 6] = ["Traceparent", "B3", "X-B3-Traceid", "X-B3-Spanid", "Uber-Trace-Id", "X-Request-Id"];

/// The runtime's values for a goroutine that runs, for one that waits, and for one that is not there: unused, ended, or a dead
/// one of a thread of C.
const RUNNING: u8 = G_RUNNING as u8;
const WAITING: u8 = G_WAITING as u8;
const GONE: [u8; 3] = [G_IDLE as u8, G_DEAD as u8, G_DEADEXTRA as u8];

/// Something that happened. Times are nanoseconds of `CLOCK_MONOTONIC`; `g` is the address of a goroutine's g, which is used
/// again by others, `goid` its number, 0 where it had none yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A goroutine changed its status. From dead: it was born; to dead: it ended.
    Transition {
        /// When it was about to.
        time_ns: u64,
        /// Its g.
        g: u64,
        /// Its number.
        goid: u64,
        /// The runtime's value (`_Grunning` and so on, `runtime/runtime2.go`).
        from: u8,
        /// The same, afterwards.
        to: u8,
        /// The class afterwards.
        class: u8,
        /// The runtime's wait reason, if it waits now.
        reason: u8,
        /// Who made a waiting one runnable, or started a new one; `None`: the scheduler, as for timers and the network.
        by: Option<u64>,
        /// The request that it works for.
        request: Option<u64>,
        /// Where the function begins that it was started with.
        start_pc: u64,
        /// The thread.
        tid: u32,
    },
    /// A wait that was long has ended.
    Blocked {
        /// When it ended.
        time_ns: u64,
        /// When it began.
        since_ns: u64,
        /// Its g.
        g: u64,
        /// Its number.
        goid: u64,
        /// The class of what it waited for.
        class: u8,
        /// The runtime's wait reason.
        reason: u8,
        /// Who ended the wait; `None`: the scheduler, as for timers and the network.
        by: Option<u64>,
        /// The request that it works for.
        request: Option<u64>,
        /// Program counters, innermost first: where it waits, then return addresses.
        stack: Vec<u64>,
    },
    /// A goroutine begins to serve a request.
    RequestBegin {
        /// When.
        time_ns: u64,
        /// Its g.
        g: u64,
        /// Its number.
        goid: u64,
        /// Of a call of gRPC: who started that goroutine, where it is known (Go 1.21 on).
        parent: Option<u64>,
        /// A number for the request.
        request: u64,
        /// Where it was seen: [`SiteKind::HttpBegin`], [`SiteKind::InnerBegin`] or [`SiteKind::GrpcBegin`].
        site: SiteKind,
        /// Its method.
        method: Vec<u8>,
        /// Its path, at most 192 bytes; gRPC: the full method.
        path: Vec<u8>,
    },
    /// Which request it is. It comes after the beginning and before the end; of one that has no such headers, not at all.
    RequestIds {
        /// The request's number.
        request: u64,
        /// The headers that say which one it is.
        headers: Headers,
    },
    /// It is served.
    RequestEnd {
        /// When.
        time_ns: u64,
        /// When it began.
        begin_ns: u64,
        /// The g of the goroutine that served it.
        g: u64,
        /// Its number.
        goid: u64,
        /// The request's number.
        request: u64,
        /// How that is known.
        how: EndReason,
        /// What the goroutine did meanwhile.
        own_ns: Times,
        /// What goroutines did that were started for it, directly or not, while it was served; of an interval that was not
        /// over nothing.
        children_ns: Times,
        /// How many there were.
        children: u64,
        /// How often the goroutine changed its state.
        transitions: u64,
        /// The pattern of the mux that it matched, `GET /orders/{id}`; empty if there was none, at most 96 bytes.
        route: Vec<u8>,
    },
}

/// Values of [`HEADERS`], at most 64 bytes of each; empty where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// In the order of [`HEADERS`].
    pub values: [Vec<u8>; HEADERS.len()],
}

impl Event {
    /// Whether a goroutine is said to wait no longer that was at work all the time: nobody woke it. The runtime calls one
    /// waiting while the collector, or who stops the world, is at work on its thread (`runtime/proc.go`,
    /// `casGToWaitingForSuspendG`); Go's execution trace calls that running, and so do the times of [`Event::RequestEnd`].
    pub const fn was_at_work(&self) -> bool {
        matches!(self, Event::Transition { from: WAITING, to: RUNNING, by: None, .. })
    }

    /// The goroutine that ended the wait of the one that changes its status, if it waited and was not woken by the scheduler.
    pub const fn woken_by(&self) -> Option<u64> {
        if let Event::Transition { from: WAITING, by, .. } = self { *by } else { None }
    }

    /// Whether a goroutine ends.
    pub fn is_end_of_goroutine(&self) -> bool {
        matches!(self, Event::Transition { to, .. } if GONE.contains(to))
    }

    /// Reads one, as the program wrote it.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Event> {
        let head = Head::read(bytes)?;
        match RecordKind::of(head.kind)? {
            RecordKind::Transition => Transition::read(bytes).map(transition),
            RecordKind::Blocked => Blocked::read(bytes).map(blocked),
            RecordKind::Begin => request_begin(&Begin::read(bytes)?),
            RecordKind::Ids => Ids::read(bytes).map(|ids| request_ids(&ids)),
            RecordKind::End => request_end(bytes),
        }
    }
}

fn transition(sent: Transition) -> Event {
    let Transition { head, by, request, start, from, to, reason, class, pad: _ } = sent;
    Event::Transition {
        time_ns: head.time,
        g: head.g,
        goid: head.goid,
        from,
        to,
        class,
        reason,
        by: some(by),
        request: some(request),
        start_pc: start,
        tid: head.tid,
    }
}

fn blocked(sent: Blocked) -> Event {
    Event::Blocked {
        time_ns: sent.head.time,
        since_ns: sent.since,
        g: sent.head.g,
        goid: sent.head.goid,
        class: sent.class,
        reason: sent.reason,
        by: some(sent.by),
        request: some(sent.request),
        stack: sent.stack.into_iter().take(sent.frames.into()).collect(),
    }
}

fn request_begin(sent: &Begin) -> Option<Event> {
    let method = prefix(&sent.line, sent.method_len.into());
    let path = prefix(sent.line.get(method.len() + 1..)?, sent.path_len.into());
    Some(Event::RequestBegin {
        time_ns: sent.head.time,
        g: sent.head.g,
        goid: sent.head.goid,
        parent: some(sent.parent),
        request: sent.request,
        site: SiteKind::of(sent.site)?,
        method,
        path,
    })
}

fn request_ids(sent: &Ids) -> Event {
    let mut headers = Headers::default();
    // If one could not be read, nobody knows which.
    if sent.unread == 0 {
        for ((value, text), len) in headers.values.iter_mut().zip(&sent.value).zip(sent.value_len) {
            *value = prefix(text, len.into());
        }
    }
    Event::RequestIds { request: sent.request, headers }
}

fn request_end(bytes: &[u8]) -> Option<Event> {
    // Where states are not followed, their sums are not sent.
    let whole = match bytes.len() {
        END_WITHOUT_SUMS => &[bytes, &[0; size_of::<End>() - END_WITHOUT_SUMS]].concat(),
        _ => bytes,
    };
    let sent = End::read(whole)?;
    Some(Event::RequestEnd {
        time_ns: sent.head.time,
        begin_ns: sent.begin,
        g: sent.head.g,
        goid: sent.head.goid,
        request: sent.request,
        how: EndReason::of(sent.how)?,
        own_ns: sent.own,
        children_ns: sent.children,
        children: sent.started,
        transitions: sent.transitions,
        route: prefix(&sent.route, usize::try_from(sent.route_len).ok()?),
    })
}

/// Bytes of [`End`] up to its sums.
const END_WITHOUT_SUMS: usize = std::mem::offset_of!(End, own);

fn some(number: u64) -> Option<u64> {
    (number != 0).then_some(number)
}

/// The first `len` bytes, or all if there are not so many.
fn prefix(bytes: &[u8], len: usize) -> Vec<u8> {
    bytes.get(..len).unwrap_or(bytes).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: Head = Head { kind: RecordKind::End as u32, tid: 7, time: 200, g: 0xc000, goid: 18 };

    #[test]
    fn the_end_of_a_request_comes_with_sums_or_without() {
        let mut route = [0; 96];
        route[..5].copy_from_slice(b"GET /");
        let sent = End { head: HEAD, request: 3, begin: 100, how: 1, route_len: 5, route, own: [9; 16], ..End::ZERO };
        let bytes = sent.to_bytes();
        for (len, own) in [(bytes.len(), [9; 16]), (END_WITHOUT_SUMS, [0; 16])] {
            let Some(Event::RequestEnd { time_ns, begin_ns, goid, how, own_ns, route, .. }) =
                Event::decode(&bytes[..len])
            else {
                panic!("{len} bytes are a record");
            };
            assert_eq!((time_ns, begin_ns, goid, how, own_ns), (200, 100, 18, EndReason::NextRequest, own));
            assert_eq!(route, b"GET /");
        }
        assert_eq!(Event::decode(&bytes[..END_WITHOUT_SUMS + 8]), None);
    }

    #[test]
    fn lengths_beyond_a_field_are_those_of_the_field() {
        let sent = Blocked { head: Head { kind: RecordKind::Blocked as u32, ..HEAD }, frames: 999, ..Blocked::ZERO };
        let Some(Event::Blocked { stack, by, .. }) = Event::decode(&sent.to_bytes()) else { panic!("it is a record") };
        assert_eq!((stack.len(), by), (64, None));
        let line = [b'x'; 209];
        let head = Head { kind: RecordKind::Begin as u32, ..HEAD };
        let sent = Begin { head, site: 5, method_len: 255, path_len: 255, line, ..Begin::ZERO };
        assert_eq!(Event::decode(&sent.to_bytes()), None, "there is no room for a path");
        let Some(Event::RequestBegin { method, path, site, .. }) =
            Event::decode(&Begin { method_len: 3, ..sent }.to_bytes())
        else {
            panic!("it is a record");
        };
        assert_eq!((method.len(), path.len(), site), (3, 205, SiteKind::HttpBegin));
    }

    proptest! {
        #[test]
        fn any_record_is_read_or_refused(kind in 0u32..7, rest in proptest::collection::vec(any::<u8>(), 0..700)) {
            let bytes = [&kind.to_ne_bytes(), rest.as_slice()].concat();
            let _ = Event::decode(&bytes);
        }
    }
}
