//! Requests: the units of work that goroutines serve, and what a goroutine of a server does that serves none.

use serde::{Deserialize, Serialize};

use crate::{RequestId, Sighting, State, StringId};

/// What is known of the request a goroutine served when it was observed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Serving {
    /// Not looked for, or unknown: what was there changed while it was read, or was not understood.
    #[default]
    Unknown,
    /// No request: it belongs to no server.
    Nothing,
    /// No request now: it belongs to a server that waits for one, or that moves the bytes of others' requests.
    Idle(Idle),
    /// This request, or one that started it while it served this request.
    Request(RequestId),
}

impl Serving {
    /// The word for it: `unknown`, `nothing`, `idle` or `request`.
    pub const fn word(self) -> &'static str {
        match self {
            Serving::Unknown => "unknown",
            Serving::Nothing => "nothing",
            Serving::Idle(_) => "idle",
            Serving::Request(_) => "request",
        }
    }

    /// The request, if it serves one.
    pub const fn request(self) -> Option<RequestId> {
        match self {
            Serving::Request(id) => Some(id),
            Serving::Unknown | Serving::Nothing | Serving::Idle(_) => None,
        }
    }

    /// What it does instead of serving a request, if it belongs to a server.
    pub const fn idle(self) -> Option<Idle> {
        match self {
            Serving::Idle(idle) => Some(idle),
            Serving::Unknown | Serving::Nothing | Serving::Request(_) => None,
        }
    }
}

/// What a goroutine of a server does that serves no request. Its time is nobody's: this is what makes idle servers look
/// busy in wall-clock profiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Idle {
    /// Waits for new connections.
    Accepting,
    /// Has a connection with no request.
    Connection,
    /// Moves the bytes of requests that other goroutines serve or have sent.
    Transport,
    /// One of a pool of workers with nothing to do.
    Worker,
}

impl Idle {
    /// All of them, in the order in which users read them.
    pub const ALL: [Idle; 4] = [Idle::Accepting, Idle::Connection, Idle::Transport, Idle::Worker];

    /// The word for it, as it stands in labels and pictures.
    pub const fn word(self) -> &'static str {
        match self {
            Idle::Accepting => "accepting",
            Idle::Connection => "connection",
            Idle::Transport => "transport",
            Idle::Worker => "worker",
        }
    }
}

/// How a request came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Protocol {
    /// HTTP/1.0 or HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2.
    Http2,
    /// gRPC, on its own transport or through `net/http`.
    Grpc,
    /// A job that is known by the `runtime/pprof` labels of who works on it; its path is its name.
    Labels,
}

impl Protocol {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Protocol::Http1 => "http/1",
            Protocol::Http2 => "http/2",
            Protocol::Grpc => "grpc",
            Protocol::Labels => "labels",
        }
    }
}

/// One request. Of its strings, those that are not known are the empty string.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// How it came.
    pub protocol: Protocol,
    /// `GET`.
    pub method: StringId,
    /// `/orders/17`, with its query only if that was asked for; for gRPC the full method, `/shop.Orders/Get`.
    pub path: StringId,
    /// The pattern of `net/http.ServeMux` that it matched: `GET /orders/{id}`.
    pub pattern: StringId,
    /// What it has in common with others of its kind: see [`crate::Builder::request`].
    pub route: StringId,
    /// The trace it is part of, in hexadecimal digits.
    pub trace_id: StringId,
    /// The span that sent it, in hexadecimal digits.
    pub span_id: StringId,
    /// Its `X-Request-Id`.
    pub request_id: StringId,
    /// The goroutine that serves it.
    pub goid: u64,
    /// From when on time is credited to it, in nanoseconds since the recording began. A tick stands for the whole period
    /// before it: this may be that much before the request began.
    pub first_ns: u64,
    /// Until when time is credited to it or to those that it started, in nanoseconds since the recording began.
    pub last_ns: u64,
    /// The looks that bound its duration; `None` in recordings that do not have them (format version 3 and before).
    pub sighting: Option<Sighting>,
    /// What its goroutines were doing when; may be empty, and may be cut.
    pub spans: Vec<Span>,
}

/// What a goroutine of a request was doing for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// When it was first seen doing so, in nanoseconds since the recording began.
    pub from_ns: u64,
    /// When it was last known to do so, in nanoseconds since the recording began.
    pub to_ns: u64,
    /// The goroutine: the one that serves the request, or one that it started.
    pub goid: u64,
    /// What it was doing.
    pub state: State,
    /// The runtime's own word for what it waited for; only for [`State::Waiting`].
    pub wait_reason: Option<StringId>,
}

/// A request as [`crate::Builder::request`] takes it: [`Request`] with texts in place of ids, and without a route.
#[derive(Clone, Debug, Default)]
pub struct NewRequest<'a> {
    /// [`Request::protocol`].
    pub protocol: Protocol,
    /// [`Request::method`].
    pub method: &'a str,
    /// [`Request::path`].
    pub path: &'a str,
    /// [`Request::pattern`].
    pub pattern: &'a str,
    /// [`Request::trace_id`].
    pub trace_id: &'a str,
    /// [`Request::span_id`].
    pub span_id: &'a str,
    /// [`Request::request_id`].
    pub request_id: &'a str,
    /// [`Request::goid`].
    pub goid: u64,
    /// [`Request::first_ns`].
    pub first_ns: u64,
    /// [`Request::last_ns`].
    pub last_ns: u64,
    /// [`Request::sighting`].
    pub sighting: Option<Sighting>,
    /// [`Request::spans`].
    pub spans: Vec<Span>,
}
