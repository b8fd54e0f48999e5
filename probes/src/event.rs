//! What the program sends.

use crate::abi::{self, Cursor};
use crate::{CLASSES, SiteKind, Times};

/// Headers that may say which request this is, in the order of [`Headers::values`].
pub const HEADERS: [&str; 6] = ["Traceparent", "B3", "X-B3-Traceid", "X-B3-Spanid", "Uber-Trace-Id", "X-Request-Id"];

/// The runtime's values for a goroutine that runs, for one that waits, and for one that is not there: unused, ended, or not an
/// own one of the runtime's (`runtime/runtime2.go`).
const GRUNNING: u8 = 2;
const GWAITING: u8 = 4;
const GONE: [u8; 3] = [0, 6, 11];

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
        how: End,
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

/// How it is known that a request is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its handler returned.
    Marked,
    /// Its g began to serve another one, so that it ended at some time before: the handler panicked, or took the connection
    /// over, and nobody saw.
    NextRequest,
    /// The goroutine ended.
    GoroutineExit,
}

/// Values of [`HEADERS`], at most 64 bytes of each; empty where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// In the order of [`HEADERS`].
    pub values: [Vec<u8>; HEADERS.len()],
}

const TRANSITION: u32 = 1;
const BLOCKED: u32 = 2;
const BEGIN: u32 = 3;
const END: u32 = 4;
const IDS: u32 = 5;

impl Event {
    /// Whether a goroutine is said to wait no longer that was at work all the time: nobody woke it. The runtime calls one
    /// waiting while the collector, or who stops the world, is at work on its thread (`runtime/proc.go`,
    /// `casGToWaitingForSuspendG`); Go's execution trace calls that running, and so do the times of [`Event::RequestEnd`].
    pub const fn was_at_work(&self) -> bool {
        matches!(self, Event::Transition { from: GWAITING, to: GRUNNING, by: None, .. })
    }

    /// The goroutine that ended the wait of the one that changes its status, if it waited and was not woken by the scheduler.
    pub const fn woken_by(&self) -> Option<u64> {
        if let Event::Transition { from: GWAITING, by, .. } = self { *by } else { None }
    }

    /// Whether a goroutine ends.
    pub fn is_end_of_goroutine(&self) -> bool {
        matches!(self, Event::Transition { to, .. } if GONE.contains(to))
    }

    /// Reads one, as the program wrote it.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Event> {
        let mut at = Cursor(bytes);
        let (kind, tid, time_ns, g, goid) = (at.u32()?, at.u32()?, at.u64()?, at.u64()?, at.u64()?);
        match kind {
            TRANSITION => {
                let (by, request, start_pc) = (at.u64()?, at.u64()?, at.u64()?);
                let [from, to, reason, class] = at.array()?;
                let (by, request) = (some(by), some(request));
                Some(Event::Transition { time_ns, g, goid, from, to, class, reason, by, request, start_pc, tid })
            }
            BLOCKED => {
                let (since_ns, by, request) = (at.u64()?, some(at.u64()?), some(at.u64()?));
                let [reason, class] = at.array()?;
                let frames = usize::from(u16::from_ne_bytes(at.array()?)).min(abi::FRAMES);
                at.u32()?;
                let stack = (0..frames).map(|_| at.u64()).collect::<Option<Vec<u64>>>()?;
                Some(Event::Blocked { time_ns, since_ns, g, goid, class, reason, by, request, stack })
            }
            BEGIN => {
                let (request, parent) = (at.u64()?, some(at.u64()?));
                let [site, method_len, path_len, ..] = at.array::<8>()?;
                let line = at.bytes(abi::LINE)?;
                let method = prefix(line, method_len.into());
                let path = prefix(line.get(method.len() + 1..)?, path_len.into());
                let site = *SiteKind::ALL.get(usize::from(site))?;
                Some(Event::RequestBegin { time_ns, g, goid, parent, request, site, method, path })
            }
            IDS => {
                let request = at.u64()?;
                let lens: [u8; abi::HEADERS] = at.array()?;
                let [unread, _] = at.array()?;
                let mut headers = Headers::default();
                // If one could not be read, nobody knows which.
                for (value, len) in headers.values.iter_mut().zip(lens).filter(|_| unread == 0) {
                    *value = prefix(at.bytes(abi::VALUE)?, len.into());
                }
                Some(Event::RequestIds { request, headers })
            }
            END => {
                let (request, begin_ns, transitions, children) = (at.u64()?, at.u64()?, at.u64()?, at.u64()?);
                let how = match at.u32()? {
                    0 => End::Marked,
                    1 => End::NextRequest,
                    _ => End::GoroutineExit,
                };
                let len = at.u32()? as usize;
                let route = prefix(at.bytes(abi::ROUTE)?, len);
                // Where states are not followed they are not sent.
                let mut sums = || if at.0.is_empty() { Some([0; CLASSES]) } else { times(&mut at) };
                let (own_ns, children_ns) = (sums()?, sums()?);
                Some(Event::RequestEnd {
                    time_ns,
                    begin_ns,
                    g,
                    goid,
                    request,
                    how,
                    own_ns,
                    children_ns,
                    children,
                    transitions,
                    route,
                })
            }
            _ => None,
        }
    }
}

/// Nanoseconds by class.
pub(crate) fn times(at: &mut Cursor<'_>) -> Option<Times> {
    let mut times = [0; CLASSES];
    for time in &mut times {
        *time = at.u64()?;
    }
    Some(times)
}

fn some(number: u64) -> Option<u64> {
    (number != 0).then_some(number)
}

fn prefix(bytes: &[u8], len: usize) -> Vec<u8> {
    bytes.get(..len).unwrap_or(bytes).to_vec()
}
