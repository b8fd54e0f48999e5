//! Requests that were being served before the probes were set. No probe sees them begin, so no event tells of them: they are
//! read from the goroutines that serve them, as `fgspy requests` does.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::Filter;
use fgspy_goroutines::request::{Identity, Protocol as Read};
use fgspy_goroutines::{Look, Observation, Reader, Request, RequestOptions, Runtime, Served, Sight, Stack, Wanted};
use fgspy_memory::{Memory, ReadError};
use fgspy_profile::{Protocol, route};

/// The function that calls handlers of HTTP/1 (`net/http/server.go`).
const HANDLER: &str = "net/http.serverHandler.ServeHTTP";
/// Requests that are followed one by one. Of more, only their number is known.
const MAX_REQUESTS: usize = 10_000;
/// Goroutines that moved while they were read are read again, so often.
const MAX_ROUNDS: usize = 3;
/// Goroutines that are looked at before events are taken again: of many, all would take longer than the ring has room for.
const PART: usize = 4096;
/// Bytes of a method and of a path that the kernel's program compares.
const METHOD: usize = 16;
const PATH: usize = 192;

/// A request that was being served before the probes were set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OlderRequest {
    /// Its route, as that of a request which is seen to end.
    pub route: String,
    /// Its method.
    pub method: String,
    /// Its path; gRPC: the full method.
    pub path: String,
    /// The id of its trace, else its own; empty if it has none.
    pub id: String,
    /// The goroutine that serves it.
    pub goid: u64,
    /// Since when it has been there at least, in nanoseconds of `CLOCK_MONOTONIC`: since the probes were set, or since its
    /// goroutine has been waiting, where the runtime knows that.
    pub since_ns: u64,
    /// When it was last known to be there.
    pub seen_ns: u64,
    /// It ended, some time after that.
    pub ended: bool,
    /// What its goroutine did when it was last read, in the runtime's words: `select`, `running`.
    pub doing: String,
    index: u32,
    /// Who started its goroutine, where that is known.
    parent: Option<u64>,
    identity: Identity,
    /// When it was found.
    found_ns: u64,
}

impl OlderRequest {
    /// How long it has been there at least.
    pub fn at_least_ns(&self) -> u64 {
        self.seen_ns.saturating_sub(self.since_ns)
    }
}

/// All of them.
#[derive(Debug)]
pub struct OlderRequests {
    reader: Reader,
    filter: Option<Filter>,
    start_ns: u64,
    /// By goroutine: each serves one request at a time.
    requests: BTreeMap<u64, OlderRequest>,
    /// Goroutines of which it is not known yet, by their numbers in the runtime's list.
    undecided: HashMap<u64, u32>,
    /// Goroutines that are to be looked at, while not all have been.
    left: Vec<u32>,
    /// Goroutines of which a probe saw a request begin, while not all have been looked at: what they serve is known.
    begun: HashSet<u64>,
    /// Requests beyond those that are followed.
    more: u64,
}

/// What one reading of a goroutine says of it.
struct Seen {
    index: u32,
    goid: u64,
    parent: Option<u64>,
    what: What,
    doing: String,
    wait_since_ns: u64,
}

enum What {
    Serves(Box<Request>),
    /// It serves one, or did; which one is not known.
    Unclear,
    /// It serves none.
    Nothing,
    /// It is gone.
    Gone,
}

impl OlderRequests {
    /// None, before anybody has looked. Only those are looked for that `filter` wants. The probes were set at `start_ns` of
    /// `CLOCK_MONOTONIC`.
    pub fn new(runtime: &Runtime, filter: Option<Filter>, start_ns: u64) -> OlderRequests {
        let reader = Reader::with_requests(runtime, RequestOptions::default());
        OlderRequests { reader, filter, ..OlderRequests::none(start_ns) }
    }

    /// For a trace that looks for no such requests.
    pub fn none(start_ns: u64) -> OlderRequests {
        OlderRequests {
            reader: Reader::new(),
            filter: None,
            start_ns,
            requests: BTreeMap::new(),
            undecided: HashMap::new(),
            left: Vec::new(),
            begun: HashSet::new(),
            more: 0,
        }
    }

    /// Begins to look at all goroutines, once the probes are set: [`OlderRequests::look`] does.
    ///
    /// # Errors
    /// When nothing at all can be read from the target any more.
    pub fn begin_look(&mut self, runtime: &Runtime, memory: &dyn Memory) -> Result<(), ReadError> {
        if self.reader.finds_requests() {
            let len = memory.read_u64(runtime.list.len)?.unwrap_or(0);
            self.reader.refresh(runtime, memory, len)?;
            self.left = self.reader.all().runs().flatten().copied().collect();
        }
        Ok(())
    }

    /// Looks at some of them, and says whether any are left. Events are to be taken in between and afterwards: they say which of
    /// what is found had begun after the probes were set ([`OlderRequests::begins`]). `now` is `CLOCK_MONOTONIC`.
    ///
    /// # Errors
    /// When nothing at all can be read from the target any more.
    pub fn look(&mut self, runtime: &Runtime, memory: &dyn Memory, now: &dyn Fn() -> u64) -> Result<bool, ReadError> {
        let mut indices = self.left.split_off(self.left.len().saturating_sub(PART));
        // Those of other parts are read again later.
        let before = std::mem::take(&mut self.undecided);
        for _ in 0..MAX_ROUNDS {
            self.find(runtime, memory, &indices, &|_| true, now)?;
            indices = self.undecided.values().copied().collect();
            if indices.is_empty() {
                break;
            }
        }
        self.undecided.extend(before);
        if self.left.is_empty() {
            self.begun = HashSet::new();
        }
        Ok(!self.left.is_empty())
    }

    /// Looks again at those that were there, and at those of which it is not known yet. The probes must be set still, and events
    /// be taken afterwards: of what is found, they say what had begun after the probes were set.
    ///
    /// # Errors
    /// When nothing at all can be read from the target any more.
    pub fn again(&mut self, runtime: &Runtime, memory: &dyn Memory, now: &dyn Fn() -> u64) -> Result<(), ReadError> {
        let undecided = std::mem::take(&mut self.undecided);
        let indices: Vec<u32> = undecided.values().copied().collect();
        // A g may have another goroutine by now, whose beginnings were all told and are forgotten.
        self.find(runtime, memory, &indices, &|goid| undecided.contains_key(&goid), now)?;
        self.confirm(runtime, memory, now)
    }

    /// Looks again at those that were there.
    ///
    /// # Errors
    /// When nothing at all can be read from the target any more.
    pub fn confirm(&mut self, runtime: &Runtime, memory: &dyn Memory, now: &dyn Fn() -> u64) -> Result<(), ReadError> {
        let indices: Vec<u32> =
            self.requests.values().filter(|request| !request.ended).map(|request| request.index).collect();
        // What is there now was there before the reading began, and perhaps no longer.
        let before_ns = now();
        for seen in self.read(runtime, memory, &indices)? {
            for request in self.requests.values_mut().filter(|request| request.index == seen.index && !request.ended) {
                match &seen.what {
                    What::Serves(now) if seen.goid == request.goid && now.identity == request.identity => {
                        request.seen_ns = request.seen_ns.max(before_ns);
                        request.doing.clone_from(&seen.doing);
                        request.since(seen.wait_since_ns);
                    }
                    What::Unclear if seen.goid == request.goid => {}
                    _ => request.ended = true,
                }
            }
        }
        Ok(())
    }

    /// A goroutine begins to serve a request, at `time_ns` of `CLOCK_MONOTONIC`, and a probe sees it. What it served before
    /// is over; and if it was looked at after that, what was found is this one, and none that had begun earlier.
    pub fn begins(&mut self, goid: u64, time_ns: u64) {
        self.undecided.remove(&goid);
        if !self.left.is_empty() {
            self.begun.insert(goid);
        }
        let Some(request) = self.requests.get_mut(&goid) else { return };
        if time_ns <= request.found_ns {
            self.requests.remove(&goid);
        } else {
            request.ended = true;
        }
    }

    /// Those that were found, by goroutine.
    pub fn requests(&self) -> impl Iterator<Item = &OlderRequest> {
        self.requests.values()
    }

    /// How many more there were than are kept.
    pub fn more(&self) -> u64 {
        self.more
    }

    /// Looks for requests where none is known yet.
    fn find(
        &mut self,
        runtime: &Runtime,
        memory: &dyn Memory,
        indices: &[u32],
        is_wanted_goroutine: &dyn Fn(u64) -> bool,
        now: &dyn Fn() -> u64,
    ) -> Result<(), ReadError> {
        let seen = self.read(runtime, memory, indices)?;
        let found_ns = now();
        // They are among those that were read.
        self.undecided.clear();
        for seen in seen {
            if self.begun.contains(&seen.goid) || !is_wanted_goroutine(seen.goid) {
                continue;
            }
            match seen.what {
                What::Unclear => drop(self.undecided.insert(seen.goid, seen.index)),
                What::Serves(request) if is_wanted(&request, self.filter.as_ref()) => {
                    if self.requests.len() < MAX_REQUESTS {
                        let mut found = found(&request, seen.index, seen.goid, self.start_ns, found_ns);
                        (found.doing, found.parent) = (seen.doing, seen.parent);
                        found.since(seen.wait_since_ns);
                        self.requests.insert(seen.goid, found);
                    } else {
                        self.more += 1;
                    }
                }
                What::Serves(_) | What::Nothing | What::Gone => {}
            }
        }
        self.leave_out_carriers();
        Ok(())
    }

    /// A gRPC call through `net/http` has two goroutines: one that serves the HTTP request, and one that it started for the
    /// call. They are one request.
    fn leave_out_carriers(&mut self) {
        let carriers = self.requests.values().filter_map(|call| {
            let carrier = self.requests.get(&call.parent?)?;
            (carrier.path == call.path && carrier.goid != call.goid).then_some(carrier.goid)
        });
        for carrier in carriers.collect::<Vec<u64>>() {
            self.requests.remove(&carrier);
        }
    }

    fn read(&mut self, runtime: &Runtime, memory: &dyn Memory, indices: &[u32]) -> Result<Vec<Seen>, ReadError> {
        let wanted: Vec<Wanted> = indices.iter().map(|&index| Wanted { index, look: Look::Stack }).collect();
        let mut all = Vec::new();
        self.reader.read(runtime, memory, &wanted, &mut |place, sight| match sight {
            Sight::Seen(observation) => all.extend(seen(runtime, &observation)),
            // No fingerprint was given that it could be the same by.
            Sight::Gone | Sight::Same => {
                let index = indices.get(place).copied().unwrap_or(u32::MAX);
                all.push(Seen {
                    index,
                    goid: 0,
                    parent: None,
                    what: What::Gone,
                    doing: String::new(),
                    wait_since_ns: 0,
                });
            }
        })?;
        Ok(all)
    }
}

impl OlderRequest {
    /// Its goroutine has been waiting since then, so it was there then; 0 if that is not known.
    fn since(&mut self, wait_since_ns: u64) {
        if wait_since_ns > 0 {
            self.since_ns = self.since_ns.min(wait_since_ns);
        }
    }
}

/// Whether a stack that is known shows that no handler runs.
fn is_outside_handler(runtime: &Runtime, stack: &Stack<'_>) -> bool {
    let Stack::Whole(pcs) = stack else { return false };
    !pcs.iter().any(|&pc| runtime.function_at(pc).is_some_and(|name| name == HANDLER))
}

fn seen(runtime: &Runtime, observation: &Observation<'_>) -> Option<Seen> {
    let what = match observation.request {
        // A connection has read its next request before the handler and its probe begin, and still has it while it flushes the
        // answer.
        Served::Serving(request)
            if request.protocol == Read::Http1 && is_outside_handler(runtime, &observation.stack) =>
        {
            What::Unclear
        }
        Served::Serving(request) if request.protocol != Read::Labels => What::Serves(Box::new(request.clone())),
        Served::Torn | Served::Unknown(_) => What::Unclear,
        Served::Serving(_) | Served::Nothing | Served::Idle(_) => What::Nothing,
        // Its stack could not be read this time.
        Served::NotAsked => What::Unclear,
    };
    let g = observation.g;
    let waits = observation.status == fgspy_goroutines::Status::Waiting;
    Some(Seen {
        index: observation.index,
        goid: g.goid,
        parent: g.parent_goid,
        what,
        doing: runtime.doing(observation.status, g.wait_reason).to_owned(),
        wait_since_ns: if waits { u64::try_from(g.wait_since_ns).unwrap_or(0) } else { 0 },
    })
}

fn found(request: &Request, index: u32, goid: u64, start_ns: u64, found_ns: u64) -> OlderRequest {
    let text = |text: &Option<String>| text.as_deref().unwrap_or_default().to_owned();
    let (method, path) = (text(&request.method), text(&request.path));
    // As the kernel's program says it, HTTP/2 is not told from HTTP/1.
    let protocol = if request.protocol == Read::Grpc { Protocol::Grpc } else { Protocol::Http1 };
    let trace = request.trace.map(|trace| trace.trace_id.to_string());
    OlderRequest {
        route: route(protocol, &method, &path, &text(&request.route)),
        method,
        path,
        id: trace.unwrap_or_else(|| text(&request.request_id)),
        goid,
        since_ns: start_ns,
        seen_ns: found_ns.max(start_ns),
        ended: false,
        doing: String::new(),
        index,
        parent: None,
        identity: request.identity,
        found_ns,
    }
}

/// Whether the kernel's program would have told of a request, had it seen it begin.
fn is_wanted(request: &Request, filter: Option<&Filter>) -> bool {
    let Some(filter) = filter else { return true };
    let text = |text: &Option<String>, most: usize| -> Vec<u8> {
        text.as_deref().unwrap_or_default().bytes().take(most).collect()
    };
    let line = [text(&request.method, METHOD), text(&request.path, PATH)].join(&b' ');
    let is_of_trace = |wanted: &str| {
        let id = request.trace.map(|trace| trace.trace_id.to_string()).unwrap_or_default();
        // An id of eight bytes is the low half of one of sixteen.
        id.starts_with(wanted) || id.trim_start_matches('0').starts_with(wanted.trim_start_matches('0'))
    };
    filter.dfa.as_ref().is_none_or(|dfa| dfa.accepts(&line)) && filter.trace.as_deref().is_none_or(is_of_trace)
}
