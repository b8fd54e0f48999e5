//! Which functions have something to tell.

use iced_x86::Register;

use super::SiteKind;

/// The functions of one kind.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) kind: SiteKind,
    /// Those that are it in one version or another, or in one way of serving or another.
    pub(super) names: &'static [&'static str],
    /// Where the arguments are that must be there. The goroutine's own register (R14) always must.
    pub(super) registers: &'static [Register],
}

/// All of them, in the order of the kinds.
pub(super) const FUNCTIONS: [Function; 12] = [
    Function {
        kind: SiteKind::CasStatus,
        // Both (gp *g, oldval, newval uint32).
        names: &["runtime.casgstatus", "runtime.casGToPreemptScan"],
        registers: &[Register::RAX, Register::RBX, Register::RCX],
    },
    Function { kind: SiteKind::SyscallEnter, names: &["runtime.reentersyscall"], registers: &[] },
    Function { kind: SiteKind::SyscallExit, names: &["runtime.exitsyscall"], registers: &[] },
    // (c *coro)
    Function { kind: SiteKind::CoroSwitch, names: &["runtime.coroswitch"], registers: &[Register::RAX] },
    Function {
        kind: SiteKind::CoroExit,
        // What `corostart` defers: `coroexit(c)`, which is inlined there. A closure: RDX has its address, and c comes second.
        names: &["runtime.corostart.deferwrap1"],
        registers: &[Register::RDX],
    },
    Function {
        kind: SiteKind::HttpBegin,
        names: &["net/http.serverHandler.ServeHTTP"],
        // (sh serverHandler, rw ResponseWriter, req *Request): one word, two, one.
        registers: &[Register::RDI],
    },
    Function {
        kind: SiteKind::Http2Begin,
        names: &["golang.org/x/net/http2.(*serverConn).runHandler"],
        // (sc *serverConn, rw *responseWriter, req *Request, handler func): one word each.
        registers: &[Register::RCX],
    },
    Function {
        kind: SiteKind::InnerBegin,
        names: &["net/http/internal/http2.(*serverConn).runHandler"],
        // The same, of a *ServerRequest.
        registers: &[Register::RCX],
    },
    Function { kind: SiteKind::HttpEnd, names: &["net/http.(*response).finishRequest"], registers: &[] },
    Function {
        kind: SiteKind::Http2End,
        names: &[
            "net/http.(*http2responseWriter).handlerDone",
            "net/http/internal/http2.(*responseWriter).handlerDone",
            "golang.org/x/net/http2.(*responseWriter).handlerDone",
        ],
        registers: &[],
    },
    Function {
        kind: SiteKind::GrpcBegin,
        names: &["google.golang.org/grpc.(*Server).handleStream"],
        // (s *Server, t ServerTransport, stream): one word, two, one.
        registers: &[Register::RDI],
    },
    Function {
        kind: SiteKind::GrpcEnd,
        // Of a connection of its own, and of a handler of net/http; exported in older releases of the module.
        names: &[
            "google.golang.org/grpc/internal/transport.(*http2Server).writeStatus",
            "google.golang.org/grpc/internal/transport.(*http2Server).WriteStatus",
            "google.golang.org/grpc/internal/transport.(*serverHandlerTransport).writeStatus",
            "google.golang.org/grpc/internal/transport.(*serverHandlerTransport).WriteStatus",
        ],
        registers: &[],
    },
];
