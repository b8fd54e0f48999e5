//! Calls of gRPC that came through `net/http`.
//!
//! Where a server of gRPC is the handler of an `http.Server`, a request of HTTP/2 is served by two goroutines: that of `net/http`, which
//! moves bytes, and one that it starts for the call. Probes see both begin and end. They are one request: of gRPC, with the headers of
//! the first, and the time of the second in place of the time in which the first waits for it.

use fgspy_profile::Class;
use rustc_hash::FxHashMap;

use super::OneRequest;
use crate::number;

/// A request that is over.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) one: OneRequest,
    /// Changes of state of its goroutine.
    pub(crate) transitions: u64,
    /// The number of the request of HTTP/2 with which it came, if it is a call that did.
    pub(crate) carrier: Option<u64>,
}

/// Which requests are one.
#[derive(Debug, Default)]
pub(crate) struct GrpcOverHttp {
    /// Calls, by the request of HTTP/2.
    calls: FxHashMap<u64, u64>,
    /// The same, the other way round.
    carriers: FxHashMap<u64, u64>,
    /// Those that are over of which the other is not. There are no more than requests that are being served.
    halves: FxHashMap<u64, Finished>,
}

impl GrpcOverHttp {
    /// The request `call` of gRPC is the request `carrier` of HTTP/2.
    pub(crate) fn begins(&mut self, call: u64, carrier: u64) {
        self.calls.insert(carrier, call);
        self.carriers.insert(call, carrier);
    }

    /// Whether a request is one of HTTP/2 that has a call.
    pub(crate) fn carries(&self, number: u64) -> bool {
        self.calls.contains_key(&number)
    }

    /// The call of a request of HTTP/2.
    pub(crate) fn call_of(&self, number: u64) -> Option<u64> {
        self.calls.get(&number).copied()
    }

    /// A request is over. Gives what there is to add up: nothing while another one that is the same goes on.
    pub(crate) fn ends(&mut self, over: Finished, is_open: impl Fn(u64) -> bool) -> Option<Finished> {
        let number = over.one.number;
        let Some(other) = self.calls.get(&number).or_else(|| self.carriers.get(&number)).copied() else {
            return Some(over);
        };
        if is_open(other) {
            self.halves.insert(number, over);
            return None;
        }
        let is_call = self.carriers.contains_key(&number);
        self.forget(number);
        Some(match self.halves.remove(&other) {
            Some(half) if is_call => joined(over, half),
            Some(half) => joined(half, over),
            None => over,
        })
    }

    /// It is not known when a request ended. Gives the other one that was the same, if that is over.
    pub(crate) fn lost(&mut self, number: u64) -> Option<Finished> {
        let other = self.forget(number)?;
        self.halves.remove(&other)
    }

    /// Gives the other one.
    fn forget(&mut self, number: u64) -> Option<u64> {
        let (call, carrier) = match (self.calls.get(&number), self.carriers.get(&number)) {
            (Some(&call), _) => (call, number),
            (None, Some(&carrier)) => (number, carrier),
            (None, None) => return None,
        };
        self.calls.remove(&carrier);
        self.carriers.remove(&call);
        Some(if number == call { carrier } else { call })
    }
}

/// The request that both are.
fn joined(call: Finished, carrier: Finished) -> Finished {
    let (mut one, first) = (call.one, carrier.one);
    // What the goroutine of net/http did while the call was served is not counted: it waited for it, mostly.
    let mut beside_ns = one.duration_ns();
    let mut rest_ns = first.own_ns;
    let waits = [Class::Select, Class::Chan].map(|class| usize::from(number(class)));
    for index in waits.into_iter().chain(0..rest_ns.len()) {
        if let Some(time) = rest_ns.get_mut(index) {
            let part = beside_ns.min(*time);
            (*time, beside_ns) = (*time - part, beside_ns - part);
        }
    }
    let add = |sums: &mut [u64], times: &[u64]| {
        sums.iter_mut().zip(times).for_each(|(sum, time)| *sum = sum.saturating_add(*time));
    };
    add(&mut one.own_ns, &rest_ns);
    add(&mut one.children_ns, &first.children_ns);
    // The goroutine of the call was started for the request of net/http too.
    one.children += first.children.saturating_sub(1);
    (one.begin_ns, one.end_ns) = (first.begin_ns.min(one.begin_ns), first.end_ns.max(one.end_ns));
    (one.headers, one.by_exit) = (first.headers, one.by_exit && first.by_exit);
    Finished { one, transitions: call.transitions, carrier: Some(first.number) }
}
