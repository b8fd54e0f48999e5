//! The functions by which a goroutine is known to serve requests.

use std::cell::Cell;
use std::collections::HashMap;

use fgspy_gobin::{Func, GoBinary};
use rustc_hash::FxBuildHasher;

use super::Idle;

/// What a function near the root of a stack says about a goroutine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// `net/http.(*conn).serve`: has a connection of HTTP/1, or one that HTTP/2 took over.
    Connection,
    /// The `runHandler` of HTTP/2: serves one request.
    RunHandler,
    /// `net/http.serverHandler.ServeHTTP`: calls the handler.
    Handler,
    /// `net/http.(*ServeMux).ServeHTTP`: calls the handler that a pattern names.
    Mux,
    /// `google.golang.org/grpc.(*Server).handleStream`: serves one call.
    Stream,
    /// What `(*conn).serve` calls while it has no request: it waits for the next one, or reads its head.
    Awaits,
    /// Serves nothing, whatever it waits for.
    Idle(Idle),
}

/// By role, the functions that have it. Those of HTTP/2 are in `net/http` twice over: as a copy of `golang.org/x/net` up
/// to Go 1.26, as a package of its own from 1.27 on.
const ROLES: [(Role, &[&str]); 9] = [
    (Role::Connection, &["net/http.(*conn).serve"]),
    (
        Role::RunHandler,
        &[
            "net/http.(*http2serverConn).runHandler",
            "net/http/internal/http2.(*serverConn).runHandler",
            "golang.org/x/net/http2.(*serverConn).runHandler",
        ],
    ),
    (Role::Handler, &["net/http.serverHandler.ServeHTTP"]),
    (Role::Mux, &["net/http.(*ServeMux).ServeHTTP"]),
    (Role::Awaits, &["net/http.(*conn).readRequest", "bufio.(*Reader).Peek"]),
    (Role::Stream, &["google.golang.org/grpc.(*Server).handleStream"]),
    (Role::Idle(Idle::Accepting), &["internal/poll.(*FD).Accept"]),
    (
        Role::Idle(Idle::Transport),
        &[
            "net/http.(*connReader).backgroundRead",
            "net/http.(*http2serverConn).readFrames",
            "net/http.(*http2serverConn).serve",
            "net/http.(*http2ClientConn).readLoop",
            "net/http.(*persistConn).readLoop",
            "net/http.(*persistConn).writeLoop",
            "net/http/internal/http2.(*serverConn).readFrames",
            "net/http/internal/http2.(*serverConn).serve",
            "net/http/internal/http2.(*ClientConn).readLoop",
            "golang.org/x/net/http2.(*serverConn).readFrames",
            "golang.org/x/net/http2.(*serverConn).serve",
            "golang.org/x/net/http2.(*ClientConn).readLoop",
            "google.golang.org/grpc/internal/transport.(*http2Server).HandleStreams",
            "google.golang.org/grpc/internal/transport.(*http2Server).keepalive",
            "google.golang.org/grpc/internal/transport.(*http2Client).reader",
            "google.golang.org/grpc/internal/transport.(*http2Client).keepalive",
            "google.golang.org/grpc/internal/transport.(*loopyWriter).run",
            // `(*Server).ServeHTTP`: a handler of `net/http` that moves the bytes of a call, which another goroutine serves.
            "google.golang.org/grpc/internal/transport.(*serverHandlerTransport).HandleStreams",
            "google.golang.org/grpc/internal/transport.(*serverHandlerTransport).runStream",
        ],
    ),
    (
        Role::Idle(Idle::Worker),
        &[
            "google.golang.org/grpc.(*Server).serverWorker",
            "database/sql.(*DB).connectionOpener",
            "database/sql.(*DB).connectionCleaner",
        ],
    ),
];

/// Functions between one with a role and the next, which are called by way of a table or a closure.
const BETWEEN: [&str; 13] = [
    "net/http.Handler.ServeHTTP-fm",
    "net/http.initALPNRequest.ServeHTTP",
    "net/http.(*initALPNRequest).ServeHTTP",
    "net/http.(*serverHandler).ServeHTTP",
    "net/http.http2Handler.ServeHTTP",
    "net/http.(*http2Handler).ServeHTTP",
    "net/http/internal/http2.Handler.ServeHTTP-fm",
    "net/http.HandlerFunc.ServeHTTP",
    "net/http.(*HandlerFunc).ServeHTTP",
    "google.golang.org/grpc.(*Server).serveStreams.func1.1",
    "google.golang.org/grpc.(*Server).serveStreams.func2.1",
    "google.golang.org/grpc.(*Server).serveStreams.func2.2",
    "google.golang.org/grpc.(*Server).serveStreams.func3.1",
];

/// A function, and how large its frame is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Framed {
    pub(super) func: Func,
    pub(super) size: u64,
}

impl Framed {
    pub(super) fn of(binary: &GoBinary, func: Func) -> Option<Framed> {
        Some(Framed { func, size: binary.frame_size(&func)?.into() })
    }
}

/// The functions of one program that have a role.
#[derive(Debug)]
pub(super) struct Anchors {
    /// In order of address.
    functions: Vec<(Func, Role)>,
    /// Return addresses that were looked up lately, each in the one place that it can have, with the role found.
    looked_up: Vec<Cell<(u64, Option<Role>)>>,
    /// Functions with a role and those between them, with a frame: whose frames are looked for from the root.
    pub(super) framed: Vec<Framed>,
    /// Functions that say nothing of where a goroutine was that stopped in them: it was interrupted.
    pub(super) preempted: Vec<Func>,
}

/// Return addresses of which the role is remembered.
const LOOKED_UP: usize = 1 << 8;

/// Where a goroutine stops that a signal interrupted (`runtime/preempt.go`).
const PREEMPTED: [&str; 3] = ["runtime.asyncPreempt", "runtime.asyncPreempt.abi0", "runtime.asyncPreempt2"];

impl Anchors {
    /// Looks them up.
    pub(super) fn find(binary: &GoBinary) -> Anchors {
        let names: Vec<&str> = ROLES.iter().flat_map(|(_, names)| names.iter().copied()).chain(BETWEEN).collect();
        let roles = ROLES.iter().flat_map(|(role, names)| names.iter().map(move |_| Some(*role)));
        let roles: Vec<Option<Role>> = roles.chain(BETWEEN.map(|_| None)).collect();
        let found: Vec<(Func, Option<Role>)> = binary
            .all_funcs_named(&names)
            .into_iter()
            .map(|(at, func)| (func, roles.get(at).copied().flatten()))
            .collect();
        let is_passed = |role: &Option<Role>| {
            !matches!(role, Some(Role::Mux | Role::Awaits | Role::Idle(Idle::Accepting | Idle::Transport)))
        };
        let framed = found.iter().filter(|(_, role)| is_passed(role));
        let framed = framed.filter_map(|(func, _)| Framed::of(binary, *func)).collect();
        let mut functions: Vec<(Func, Role)> =
            found.iter().filter_map(|(func, role)| Some((*func, (*role)?))).collect();
        functions.sort_by_key(|(func, _)| func.entry);
        let preempted = binary.all_funcs_named(&PREEMPTED).into_iter().map(|(_, func)| func).collect();
        let looked_up = vec![Cell::new((u64::MAX, None)); LOOKED_UP];
        Anchors { functions, looked_up, framed, preempted }
    }

    /// Whether the program has any function that serves requests.
    pub(super) fn serve_anything(&self) -> bool {
        self.functions.iter().any(|(_, role)| matches!(role, Role::Connection | Role::RunHandler | Role::Stream))
    }

    /// Whether the program has gRPC's server.
    pub(super) fn serve_calls(&self) -> bool {
        self.functions.iter().any(|(_, role)| *role == Role::Stream)
    }

    /// The role of the function that made the call before the return address `vaddr`.
    pub(super) fn role(&self, vaddr: u64) -> Option<Role> {
        let place = self.looked_up.get((vaddr ^ vaddr >> 8) as usize % LOOKED_UP);
        if let Some((known, role)) = place.map(Cell::get)
            && known == vaddr
        {
            return role;
        }
        let role = self.find_role(vaddr);
        place.into_iter().for_each(|place| place.set((vaddr, role)));
        role
    }

    fn find_role(&self, vaddr: u64) -> Option<Role> {
        let call = vaddr.wrapping_sub(1);
        let after = self.functions.partition_point(|(func, _)| func.entry <= call);
        let (func, role) = self.functions.get(after.checked_sub(1)?)?;
        func.contains(call).then_some(*role)
    }

    /// The role of the function that starts at `vaddr`.
    pub(super) fn role_of_entry(&self, vaddr: u64) -> Option<Role> {
        let at = self.functions.binary_search_by_key(&vaddr, |(func, _)| func.entry).ok()?;
        self.functions.get(at).map(|(_, role)| *role)
    }
}

/// What goroutines with the same start function do, found out once for each.
#[derive(Debug, Default)]
pub(super) struct Roots {
    known: HashMap<u64, Option<Root>, FxBuildHasher>,
}

/// A start function that calls one with a role.
#[derive(Clone, Copy, Debug)]
pub(super) struct Root {
    pub(super) framed: Framed,
    pub(super) role: Role,
}

/// Start functions that are remembered.
const MAX_ROOTS: usize = 1 << 14;
/// The most code of a start function that is searched for calls. `go c.serve(ctx)` makes one of about 100 bytes.
const MAX_CODE: usize = 2048;

impl Roots {
    /// What goroutines that were started at link-time address `start` do. `None` when nothing is known: they may serve
    /// requests all the same, by ways that only their stacks show.
    pub(super) fn root(&mut self, binary: &GoBinary, anchors: &Anchors, start: u64) -> Option<Root> {
        if self.known.len() >= MAX_ROOTS {
            self.known.clear();
        }
        *self.known.entry(start).or_insert_with(|| {
            let func = binary.func_at(start).filter(|func| func.entry == start)?;
            let role = anchors.role_of_entry(start).or_else(|| called(binary, anchors, &func))?;
            Some(Root { framed: Framed::of(binary, func)?, role })
        })
    }
}

/// The role of a function that `func` calls by its address.
fn called(binary: &GoBinary, anchors: &Anchors, func: &Func) -> Option<Role> {
    let mut roles = binary.calls(func, MAX_CODE).filter_map(|target| anchors.role_of_entry(target));
    roles.find(|role| *role != Role::Awaits)
}
