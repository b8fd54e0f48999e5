//! Each request once.
//!
//! **A call of gRPC that came through `net/http`** (`http.Server{Handler: grpcServer}`) is served by two goroutines: HTTP/2's, which runs
//! the handler and then moves the bytes of the call, and one that this one starts for the call. Both lead to a request, which is the
//! same. The goroutine of the call is the one that counts.
//!
//! **A goroutine with labels of a trace or span** that serves no request works on a job; but not if a request is known that
//! belongs to the same trace or span. Then it works for that request: either the request said which trace it is part of, or a goroutine
//! that serves it was seen with these labels, which Go hands down to whom it starts. Where several requests have the same trace it is not
//! known for which of them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

use fgspy_goroutines::request::{Identity, Protocol, Request, job_of_trace};
use fgspy_profile::RequestId;

use super::{MAX_HEIRS, MAX_REQUESTS, Requests, Server};
use crate::estimate::Hasher;

/// To which requests the traces and spans that labels name belong.
#[derive(Debug, Default)]
pub(super) struct Owners {
    by_job: HashMap<Identity, Owner, Hasher>,
}

/// Whose a trace or span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// This request's. Of what labels say, the goroutine on which they were seen.
    One(RequestId, Option<u64>),
    /// Of several, or it is not known of which.
    Several,
}

/// What is known of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// It is part of this request.
    Of(RequestId),
    /// It is part of a request, and it is not known of which.
    OfOne,
    /// It is no request's.
    OfNone,
}

impl Owners {
    /// A request says that it is part of a trace.
    fn says(&mut self, trace: Identity, request: RequestId) {
        let owner = Owner::One(request, None);
        self.note(trace, owner, |known| if known == owner { owner } else { Owner::Several });
    }

    /// Goroutine `goid`, which serves `request`, has labels that name a job. Labels of an earlier request may still be there: what
    /// was seen on this goroutine before is that one's.
    fn has(&mut self, job: Identity, request: RequestId, goid: u64) {
        self.note(job, Owner::One(request, Some(goid)), |known| match known {
            Owner::One(known, by) if known == request || by == Some(goid) => Owner::One(known, by),
            Owner::One(..) | Owner::Several => Owner::Several,
        });
    }

    /// A connection that serves nothing has labels that name a job: they are of a request before, and will be there when the next
    /// one begins.
    fn has_left(&mut self, job: Identity) {
        self.note(job, Owner::Several, |known| known);
    }

    fn note(&mut self, job: Identity, owner: Owner, change: impl FnOnce(Owner) -> Owner) {
        let is_room = self.by_job.len() < MAX_REQUESTS;
        match self.by_job.entry(job) {
            Entry::Occupied(mut known) => {
                let changed = change(*known.get());
                known.insert(changed);
            }
            Entry::Vacant(place) if is_room => {
                place.insert(owner);
            }
            Entry::Vacant(_) => {}
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.by_job.capacity() * (size_of::<(Identity, Owner)>() + 1)
    }
}

impl Requests {
    /// As [`Requests::serves`], of a goroutine that was started by `parent`: a call of gRPC is the request of HTTP/2 by which it came.
    pub(crate) fn serves_once(
        &mut self,
        (goid, index): (u64, u32),
        parent: Option<u64>,
        request: &Request,
        serves_one: bool,
        tick: Range<u64>,
    ) -> Option<RequestId> {
        let is_call = request.protocol == Protocol::Grpc && serves_one;
        if is_call && let Some(id) = self.came_by(goid, parent, request) {
            self.servers.insert(goid, Server { index, request: id, since_ns: tick.end, serves_one });
            if let Some(open) = self.open.remove(&goid) {
                self.close(open, id);
            }
            return Some(id);
        }
        let before = self.seen.len();
        let id = self.serves((goid, index), request, serves_one, tick)?;
        if let (true, Some(trace)) = (self.seen.len() > before, request.trace) {
            self.owners.says(job_of_trace(trace.trace_id), id);
        }
        if let (true, Some(parent)) = (is_call && self.calls.len() < MAX_HEIRS, parent) {
            self.calls.insert(parent, id);
        }
        Some(id)
    }

    /// The request that is known already as that of the goroutine's parent, or of one that it has started itself.
    fn came_by(&mut self, goid: u64, parent: Option<u64>, call: &Request) -> Option<RequestId> {
        let is_same = |requests: &Requests, id: RequestId| {
            let known = requests.get(id).map(|seen| &seen.request);
            known.is_some_and(|known| known.protocol == Protocol::Grpc && known.path == call.path)
        };
        if let Some(id) = self.calls.get(&goid).copied().filter(|id| is_same(self, *id)) {
            return Some(id);
        }
        let parent = parent?;
        let id = self.of_life(parent).filter(|id| is_same(self, *id))?;
        // Its own time is the call's; that of the parent until then is the request's as well.
        if let Some((_, seen)) = self.seen.get_index_mut(id.index()).filter(|(_, seen)| seen.goid == parent) {
            seen.goid = goid;
            if self.late.len() < MAX_HEIRS {
                self.late.insert(parent, id);
            }
        }
        Some(id)
    }

    /// Takes note that goroutine `goid`, which serves `request`, has labels that name `job`.
    pub(crate) fn is_labelled(&mut self, goid: u64, request: RequestId, job: Identity) {
        self.owners.has(job, request, goid);
    }

    /// Takes note that a goroutine which serves one request after the other, and none now, has labels that name `job`.
    pub(crate) fn is_labelled_still(&mut self, job: Identity) {
        self.owners.has_left(job);
    }

    /// What a job is part of.
    pub(crate) fn part(&self, job: Identity) -> Part {
        match self.owners.by_job.get(&job) {
            Some(Owner::One(request, _)) => Part::Of(*request),
            Some(Owner::Several) => Part::OfOne,
            None => Part::OfNone,
        }
    }

    /// The identity of a request that is a job.
    pub(crate) fn job(&self, id: RequestId) -> Option<Identity> {
        let (identity, seen) = self.seen.get_index(id.index())?;
        (seen.request.protocol == Protocol::Labels).then_some(*identity)
    }

    /// Takes note that a goroutine that has labels which name `job` was started for `request`. If the job is known from that
    /// goroutine, it was taken for a job only because it was not known yet for whom the goroutine works.
    pub(crate) fn is_no_job(&mut self, goid: u64, request: RequestId, job: Identity) {
        let is_its = self.seen.get(&job).is_some_and(|seen| seen.goid == goid);
        if is_its && self.part(job) == Part::OfNone {
            self.owners.has(job, request, goid);
        }
    }

    /// The jobs that turned out to be part of a request, and of which, if that is known. Their time lines become the request's.
    pub(crate) fn parts(&mut self) -> HashMap<RequestId, Option<RequestId>> {
        let jobs = self.seen.iter().enumerate();
        let jobs = jobs.filter(|(_, (_, seen))| seen.request.protocol == Protocol::Labels);
        let parts = jobs.filter_map(|(number, (job, _))| {
            let whole = match self.part(*job) {
                Part::Of(request) => Some(request),
                Part::OfOne => None,
                Part::OfNone => return None,
            };
            Some((RequestId(number as u32), whole))
        });
        let parts: HashMap<RequestId, Option<RequestId>> = parts.collect();
        for (part, whole) in &parts {
            let Some((_, seen)) = self.seen.get_index_mut(part.index()) else { continue };
            let spans = std::mem::take(&mut seen.spans);
            self.spans -= spans.len();
            if let Some(whole) = whole {
                spans.into_iter().for_each(|span| self.span(*whole, span));
            }
        }
        parts
    }

    /// The request that a request is part of: mostly itself.
    pub(crate) fn whole(&self, id: RequestId) -> Option<RequestId> {
        let (identity, seen) = self.seen.get_index(id.index())?;
        if seen.request.protocol != Protocol::Labels {
            return Some(id);
        }
        match self.part(*identity) {
            Part::Of(request) => Some(request),
            Part::OfOne => None,
            Part::OfNone => Some(id),
        }
    }
}
