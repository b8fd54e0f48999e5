//! By what time without a stack may be placed: what must be the same of it and of a place that was seen.

use std::collections::HashMap;

use fgspy_profile::{Idle, RequestId, Serving, State};
use indexmap::IndexSet;

use crate::estimate::{Cell, Labels, OnCpuPlace, RawLabelsId, RouteId, Samples, Whose};

/// What time and a place that was seen have in common. Only times in the same state are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Near {
    /// The goroutine, what it served, and its labels.
    Own { goid: u64, doing: Doing, serving: Serving, labels: RawLabelsId },
    /// The request, and the labels.
    OfRequest { request: RequestId, start_pc: u64, doing: Doing, labels: RawLabelsId },
    /// The route; of the labels all but those that are an id.
    OfRoute { route: RouteId, start_pc: u64, doing: Doing, labels: LabelKind },
    /// The goroutine. Only for time that stands under no request, route or label: it has no name that could be wrong.
    OfGoroutine { goid: u64, doing: Doing },
    /// The function that the goroutine was started with: likeness.
    Like { start_pc: u64, doing: Doing, kind: Kind, labels: LabelKind },
}

/// A state, with the reason of a wait. A thread that the kernel took off its CPU stands where the goroutine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Doing {
    state: State,
    wait_reason: Option<u8>,
}

impl Doing {
    const RUNS: Doing = Doing { state: State::Running, wait_reason: None };

    fn of(cell: Cell) -> Doing {
        let state = if cell.state == State::RunningOffCpu { State::Running } else { cell.state };
        Doing { state, wait_reason: cell.wait_reason }
    }
}

/// What goroutines that serve no request are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Unknown,
    Nothing,
    Idle(Idle),
}

/// Sets of labels that differ in ids only have one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LabelKind(u32);

impl Near {
    /// Whether this only says that another goroutine did the like.
    pub(crate) fn is_likeness(self) -> bool {
        matches!(self, Near::Like { .. })
    }
}

/// Finds what times and places have in common.
pub(crate) struct Nears {
    routes: Vec<Option<RouteId>>,
    kinds: Vec<LabelKind>,
    /// The labels of a request, if it was only ever seen with one set of them; and the kind of a route's.
    of_requests: HashMap<RequestId, Option<RawLabelsId>>,
    of_routes: HashMap<RouteId, Option<LabelKind>>,
}

impl Nears {
    pub(crate) fn new(samples: &Samples) -> Nears {
        let mut without_ids: IndexSet<Labels> = IndexSet::new();
        let kind = |labels: &Labels| {
            let kept = labels.iter().filter(|(key, _)| !is_id(key)).cloned().collect();
            LabelKind(without_ids.insert_full(kept).0 as u32)
        };
        let kinds = samples.labels.iter().map(kind).collect();
        let routes = samples.requests.iter().map(|seen| seen.route).collect();
        let mut nears = Nears { routes, kinds, of_requests: HashMap::new(), of_routes: HashMap::new() };
        for cell in &samples.cells {
            let Serving::Request(request) = cell.serving else { continue };
            let (labels, kind) = (cell.labels, nears.kind(cell.labels));
            let only = nears.of_requests.entry(request).or_insert(Some(labels));
            *only = only.filter(|only| *only == labels);
            if let Some(route) = nears.route(request) {
                let only = nears.of_routes.entry(route).or_insert(Some(kind));
                *only = only.filter(|only| *only == kind);
            }
        }
        nears
    }

    /// By what time in `cell` may be placed, the nearest first.
    pub(crate) fn wanted(&self, goid: u64, cell: Cell) -> Vec<Near> {
        let mut nears = self.offered(goid, cell);
        let has_no_name = match cell.serving {
            Serving::Unknown => true,
            // Its labels may only not have been read.
            Serving::Nothing => cell.labels == RawLabelsId::default(),
            Serving::Idle(_) | Serving::Request(_) => false,
        };
        nears.retain(|near| has_no_name || !matches!(near, Near::OfGoroutine { .. }));
        nears
    }

    /// What a place in `cell` can be used for, the nearest first.
    pub(crate) fn offered(&self, goid: u64, cell: Cell) -> Vec<Near> {
        let whose = Whose::Serving(cell.serving);
        self.all(goid, cell.start_pc, Doing::of(cell), (whose, Some(cell.labels)))
    }

    /// What a place at which the kernel saw a goroutine can be used for.
    pub(crate) fn offered_by_sample(&self, place: &OnCpuPlace) -> Vec<Near> {
        let labels = match (place.labels, place.whose) {
            (None, Whose::Serving(Serving::Request(request))) => self.of_requests.get(&request).copied().flatten(),
            (labels, _) => labels,
        };
        self.all(place.goid, place.start_pc, Doing::RUNS, (place.whose, labels))
    }

    fn all(&self, goid: u64, start_pc: u64, doing: Doing, (whose, labels): (Whose, Option<RawLabelsId>)) -> Vec<Near> {
        let mut nears = Vec::with_capacity(4);
        let label_kind = labels.map(|labels| self.kind(labels));
        // Number 0 stands for any goroutine.
        if let (Whose::Serving(serving), Some(labels)) = (whose, labels) {
            nears.extend((goid != 0).then_some(Near::Own { goid, doing, serving, labels }));
            if let Serving::Request(request) = serving {
                nears.push(Near::OfRequest { request, start_pc, doing, labels });
            }
        }
        let route = match whose {
            Whose::OfRoute(route) => Some(route),
            Whose::Serving(serving) => serving.request().and_then(|request| self.route(request)),
        };
        if let Some(route) = route {
            let labels = label_kind.or_else(|| self.of_routes.get(&route).copied().flatten());
            nears.extend(labels.map(|labels| Near::OfRoute { route, start_pc, doing, labels }));
        }
        nears.extend((goid != 0).then_some(Near::OfGoroutine { goid, doing }));
        let kind = match whose {
            Whose::Serving(Serving::Unknown) => Some(Kind::Unknown),
            Whose::Serving(Serving::Nothing) => Some(Kind::Nothing),
            Whose::Serving(Serving::Idle(idle)) => Some(Kind::Idle(idle)),
            Whose::Serving(Serving::Request(_)) | Whose::OfRoute(_) => None,
        };
        let like = kind.zip(label_kind).map(|(kind, labels)| Near::Like { start_pc, doing, kind, labels });
        nears.extend(like);
        nears
    }

    fn route(&self, request: RequestId) -> Option<RouteId> {
        self.routes.get(request.index()).copied().flatten()
    }

    fn kind(&self, labels: RawLabelsId) -> LabelKind {
        self.kinds.get(labels.index()).copied().unwrap_or(LabelKind(u32::MAX))
    }
}

/// Whether the values of a label tell one request, span or user from another: `trace_id`, `span id`, `requestID`.
fn is_id(key: &str) -> bool {
    let letters: String = key.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    letters.ends_with("id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_known_by_their_names() {
        assert!(["trace_id", "span id", "local root span id", "requestID", "id"].into_iter().all(is_id));
        assert!(!["http.route", "kind", "ids", ""].into_iter().any(is_id));
    }
}
