//! What a goroutine may be found to serve.

use super::trace::Trace;

/// What to read of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestOptions {
    /// Read method, path, route and the headers named in [the module](super). Without it, requests are only separated from each other.
    pub data: bool,
    /// Keep what follows the `?` of a path. It often holds what should not be in a profile.
    pub keep_query: bool,
}

impl Default for RequestOptions {
    fn default() -> RequestOptions {
        RequestOptions { data: true, keep_query: false }
    }
}

/// What a goroutine serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served<'a> {
    /// It was not looked at: requests were not asked for, or its stack was not, or could not be read.
    NotAsked,
    /// No server's function is on its stack.
    Nothing,
    /// It belongs to a server, and serves no request now.
    Idle(Idle),
    /// It serves this request.
    Serving(&'a Request),
    /// It serves a request, or did when it was first looked at; which one changed while it was read.
    Torn,
    /// It is in a server's function, but what is there does not have the shape of a request.
    Unknown(Mismatch),
}

impl<'a> Served<'a> {
    /// The request, if it is known.
    pub fn request(self) -> Option<&'a Request> {
        match self {
            Served::Serving(request) => Some(request),
            _ => None,
        }
    }
}

/// What a goroutine of a server does that serves no request. Its time is nobody's: this is what makes idle servers look
/// busy in wall-clock profiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Idle {
    /// Waits for new connections.
    Accepting,
    /// Has a connection with no request: it is new, kept alive for a next one, or its requests are other goroutines'
    /// (HTTP/2). Also while it reads the head of a request, which has no name until then.
    Connection,
    /// Moves the bytes of requests that other goroutines serve or have sent: the reading and writing loops of HTTP/2, gRPC
    /// and of the HTTP client's connections.
    Transport,
    /// One of a pool of workers (gRPC's stream workers, `database/sql`'s openers) with nothing to do.
    Worker,
}

impl Idle {
    /// A word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Idle::Accepting => "accepting",
            Idle::Connection => "connection",
            Idle::Transport => "transport",
            Idle::Worker => "worker",
        }
    }
}

/// Why it is unknown which request a goroutine serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mismatch {
    /// The frame that should hold the request was not found where its function's stack size says it is.
    NoFrame,
    /// Nothing in the frame points to what looks like a connection, a stream or a request.
    NoPointer,
    /// The parts of a request do not point to each other.
    Disagreement,
    /// A method, path or protocol is not one.
    NoText,
    /// Part of it is not mapped.
    Unmapped,
    /// It is larger, or more deeply linked, than is followed.
    TooLarge,
}

impl Mismatch {
    /// All of them.
    pub const ALL: [Mismatch; 6] = [
        Mismatch::NoFrame,
        Mismatch::NoPointer,
        Mismatch::Disagreement,
        Mismatch::NoText,
        Mismatch::Unmapped,
        Mismatch::TooLarge,
    ];

    /// A word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Mismatch::NoFrame => "no frame",
            Mismatch::NoPointer => "no pointer",
            Mismatch::Disagreement => "disagreement",
            Mismatch::NoText => "no text",
            Mismatch::Unmapped => "unmapped",
            Mismatch::TooLarge => "too large",
        }
    }
}

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// HTTP/1.0 or HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// gRPC, on its own transport or through `net/http`.
    Grpc,
    /// A job that is known by the `runtime/pprof` labels of who works on it ([`super::job`]).
    Labels,
}

impl Protocol {
    /// A word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Protocol::Http1 => "http/1",
            Protocol::Http2 => "http/2",
            Protocol::Grpc => "grpc",
            Protocol::Labels => "labels",
        }
    }
}

/// One request. All text is at most [`MAX_TEXT`] bytes long and holds no control characters; what was cut ends in `…`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// Tells it from other requests of the same program.
    pub identity: Identity,
    /// How it came.
    pub protocol: Protocol,
    /// Its method: `GET`. Always `POST` for gRPC. `None` without [`RequestOptions::data`].
    pub method: Option<String>,
    /// Its path, `/orders/17`, or with [`RequestOptions::keep_query`] its path and query. For gRPC the full method,
    /// `/shop.Orders/Get`; for a job its name. `None` without [`RequestOptions::data`].
    pub path: Option<String>,
    /// The pattern of `net/http.ServeMux` that it matched, `GET /orders/{id}`: Go 1.22 on, as soon as it was matched.
    pub route: Option<String>,
    /// The trace that it says it is part of.
    pub trace: Option<Trace>,
    /// Its `X-Request-Id`; of a job that has no trace the first of its spans, as its label has it.
    pub request_id: Option<String>,
}

impl Request {
    /// The full method of a gRPC call, `/shop.Orders/Get`.
    pub fn rpc_method(&self) -> Option<&str> {
        self.path.as_deref().filter(|_| self.protocol == Protocol::Grpc)
    }
}

/// The longest method, path, route or header that is kept, in bytes.
pub const MAX_TEXT: usize = 512;

/// Tells requests of one program apart. Two observations of the same goroutine with equal identities saw the same request;
/// equal identities at different goroutines too, where both serve it. A call of gRPC that came through `net/http` has two: that of the
/// call, and that of the request of HTTP/2, which is seen only while its goroutine is not in gRPC's transport.
///
/// Made of the addresses of the request's parts and of the seed of the map that holds its headers, which Go draws for each
/// map (`runtime/map.go`, `hmap.hash0`; `internal/runtime/maps.Map.seed`): a request that takes the very memory of another
/// one, freed before, has another seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity(pub u64);
