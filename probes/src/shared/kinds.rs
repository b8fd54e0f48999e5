//! Kinds of sites, records and counters.

use super::constants::SITES;
use super::define::shared_enumeration;

shared_enumeration! {
    /// What happens at a site, which is the cookie of its probe. Registers hold what Go's internal calling convention on amd64
    /// says: g in R14, arguments in RAX, RBX, RCX, RDI.
    #[derive(Hash, PartialOrd, Ord)]
    pub enum SiteKind(""): u8 {
        /// `runtime.casgstatus(gp, old, new)`: a goroutine changes its status.
        CasStatus = 0,
        /// A goroutine enters a system call, where `casgstatus` does not see that.
        SyscallEnter = 1,
        /// It comes back, where `casgstatus` does not see that.
        SyscallExit = 2,
        /// `runtime.coroswitch(*coro)`: a coroutine waits, and lets another one run.
        CoroSwitch = 3,
        /// `runtime.corostart.deferwrap1`, a closure (in RDX) of a `*coro`, with `runtime.coroexit` inlined: a coroutine ends,
        /// and lets another one run.
        CoroExit = 4,
        /// `net/http.serverHandler.ServeHTTP(server, writer, *Request)`: `net/http` calls a handler.
        HttpBegin = 5,
        /// `golang.org/x/net/http2.(*serverConn).runHandler(writer, *Request, handler)`: the HTTP/2 of `golang.org/x/net`
        /// calls a handler, with a `net/http.Server` or without.
        Http2Begin = 6,
        /// `net/http/internal/http2.(*serverConn).runHandler(writer, *ServerRequest, handler)`: the HTTP/2 in `net/http` calls
        /// a handler for `golang.org/x/net`, which from Go 1.27 on has no HTTP/2 of its own.
        InnerBegin = 7,
        /// A handler of HTTP/1 has returned.
        HttpEnd = 8,
        /// A handler of HTTP/2 has returned.
        Http2End = 9,
        /// `google.golang.org/grpc.(*Server).handleStream`, its stream in RDI: gRPC serves a call.
        GrpcBegin = 10,
        /// gRPC writes the call's status: the last that it does for the call.
        GrpcEnd = 11,
    }
}

impl SiteKind {
    /// The kind with this number.
    pub(crate) fn of(number: u8) -> Option<SiteKind> {
        SiteKind::ALL.get(usize::from(number)).copied()
    }

    /// Whether it is about states of goroutines, not about requests.
    pub const fn is_of_states(self) -> bool {
        matches!(
            self,
            SiteKind::CasStatus
                | SiteKind::SyscallEnter
                | SiteKind::SyscallExit
                | SiteKind::CoroSwitch
                | SiteKind::CoroExit
        )
    }

    /// Its name in messages.
    pub const fn word(self) -> &'static str {
        match self {
            SiteKind::CasStatus => "status",
            SiteKind::SyscallEnter => "syscall begins",
            SiteKind::SyscallExit => "syscall ends",
            SiteKind::CoroSwitch => "coroutine waits",
            SiteKind::CoroExit => "coroutine ends",
            SiteKind::HttpBegin => "HTTP request begins",
            SiteKind::Http2Begin | SiteKind::InnerBegin => "HTTP/2 request begins",
            SiteKind::HttpEnd => "HTTP/1 request ends",
            SiteKind::Http2End => "HTTP/2 request ends",
            SiteKind::GrpcBegin => "gRPC call begins",
            SiteKind::GrpcEnd => "gRPC call ends",
        }
    }
}

shared_enumeration! {
    /// Kinds of records in the ring.
    pub(crate) enum RecordKind(""): u32 {
        /// `struct transition`.
        Transition = 1,
        /// `struct blocked`.
        Blocked = 2,
        /// `struct begin`.
        Begin = 3,
        /// `struct end`.
        End = 4,
        /// `struct ids`.
        Ids = 5,
    }
}

impl RecordKind {
    /// The kind with this number.
    pub(crate) fn of(number: u32) -> Option<RecordKind> {
        RecordKind::ALL.into_iter().find(|kind| *kind as u32 == number)
    }
}

shared_enumeration! {
    /// How it is known that a request has ended.
    pub enum EndReason(""): u32 {
        /// Its handler returned.
        Marked = 0,
        /// Its g began to serve another one. So it ended at some time before, and nobody saw: the handler panicked, or took the
        /// connection over.
        NextRequest = 1,
        /// The goroutine ended.
        GoroutineExit = 2,
    }
}

impl EndReason {
    /// The reason with this number.
    pub(crate) fn of(number: u32) -> Option<EndReason> {
        EndReason::ALL.into_iter().find(|how| *how as u32 == number)
    }
}

shared_enumeration! {
    /// How the map of a request's headers is laid out.
    pub(crate) enum MapLayout("MAPS_"): u32 {
        /// Buckets, up to Go 1.23.
        Buckets = 1,
        /// Tables of groups, Go 1.24 on.
        Tables = 2,
    }
}

shared_enumeration! {
    /// Entries of the map `numbers`.
    pub(crate) enum Number(""): u32 {
        /// The number of the last request.
        Requests = 0,
        /// When all probes were set, in nanoseconds of `CLOCK_MONOTONIC`; 0 before.
        Start = 1,
        /// Goroutines that are kept between requests.
        Kept = 2,
        /// From how many nanoseconds on a request is slow.
        Slow = 3,
    }
}

const FIRST: u32 = SITES as u32;

shared_enumeration! {
    /// Entries of the map `counts`, after the hits of each kind of site.
    pub(crate) enum Counter(""): u32 {
        /// Records for which the ring had no room.
        Lost = FIRST,
        /// Goroutines, requests or start functions for which a map had no room.
        Full = FIRST + 1,
        /// Times that the target's memory could not be read.
        Unreadable = FIRST + 2,
        /// Goroutines that left another state than the one they had entered.
        Contradicted = FIRST + 3,
        /// Requests that seemed to begin twice.
        Repeated = FIRST + 4,
        /// Requests that the filter refused.
        Filtered = FIRST + 5,
        /// Requests with too many headers to look through.
        HeadersUnread = FIRST + 6,
        /// Slow requests whose headers had been replaced before they ended.
        HeadersGone = FIRST + 7,
        /// Requests that were no longer in memory when their pattern was to be read.
        PatternGone = FIRST + 8,
    }
}
