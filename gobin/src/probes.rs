//! Where to put probes that cost little.
//!
//! What a uprobe costs is decided by the instruction under it. The kernel emulates a few on the spot: pushes, no-operations,
//! jumps and calls (`arch/x86/kernel/uprobes.c`: `push_setup_xol_ops`, `branch_setup_xol_ops`). All others it must step through
//! out of line, with a second trap, which on some machines takes ten times as long. So a probe at a function goes to the
//! first instruction of its prologue that is emulated and at which the arguments are still in their registers.
//!
//! # What changes the status of a goroutine
//!
//! `runtime.casgstatus` sees every transition between running, runnable and waiting, births and ends. It does not see
//! (`runtime/proc.go`):
//! - system calls from Go 1.26 on: `reentersyscall` and `exitsyscall` compare and swap by themselves. Each call passes both
//!   once (cgo calls too), but those that block from the start (`entersyscallblock`), which enter by `casgstatus`.
//! - the scan bit (`castogscanstatus`, `casfrom_Gscanstatus`): while a stack is scanned; no state of its own.
//! - preemption for a stack scan (`casGToPreemptScan`, `casGFromPreempted`): seen when the goroutine is made runnable again.
//! - stack copies up to Go 1.18 or so (`casgcopystack`): at once over.

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register,
};

use crate::{Arch, Func, GoBinary};

/// The longest prologue that is looked at, in bytes.
const PROLOGUE: usize = 64;

/// What happens at a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SiteKind {
    /// `runtime.casgstatus(gp, old, new)`: a goroutine changes its status.
    CasStatus,
    /// A goroutine enters a system call, where `casgstatus` does not see that.
    SyscallEnter,
    /// It comes back.
    SyscallExit,
    /// `net/http` calls a handler.
    HttpBegin,
    /// A handler of HTTP/1 has returned.
    HttpEnd,
    /// A handler of HTTP/2 has returned.
    Http2End,
    /// gRPC serves a call.
    GrpcBegin,
    /// It writes the call's status: the last that it does for it.
    GrpcEnd,
}

/// By kind: the functions that are it in one version or another, the registers in which their arguments are needed, and
/// whether a program of Go's has it in any case.
const FUNCTIONS: [(SiteKind, &[&str], &[Register]); 8] = [
    (SiteKind::CasStatus, &["runtime.casgstatus"], &[Register::RAX, Register::RBX, Register::RCX]),
    (SiteKind::SyscallEnter, &["runtime.reentersyscall"], &[]),
    (SiteKind::SyscallExit, &["runtime.exitsyscall"], &[]),
    (SiteKind::HttpBegin, &["net/http.serverHandler.ServeHTTP"], &[Register::RDI]),
    (SiteKind::HttpEnd, &["net/http.(*response).finishRequest"], &[]),
    (
        SiteKind::Http2End,
        &[
            "net/http.(*http2responseWriter).handlerDone",
            "net/http/internal/http2.(*responseWriter).handlerDone",
            "golang.org/x/net/http2.(*responseWriter).handlerDone",
        ],
        &[],
    ),
    (SiteKind::GrpcBegin, &["google.golang.org/grpc.(*Server).handleStream"], &[Register::RDI]),
    (
        SiteKind::GrpcEnd,
        &[
            "google.golang.org/grpc/internal/transport.(*http2Server).writeStatus",
            "google.golang.org/grpc/internal/transport.(*http2Server).WriteStatus",
            "google.golang.org/grpc/internal/transport.(*serverHandlerTransport).writeStatus",
            "google.golang.org/grpc/internal/transport.(*serverHandlerTransport).WriteStatus",
        ],
        &[],
    ),
];

/// The first minor version of Go whose system calls `casgstatus` does not see.
const OWN_SYSCALLS: u16 = 26;

impl SiteKind {
    /// All of them.
    pub const ALL: [SiteKind; 8] = [
        SiteKind::CasStatus,
        SiteKind::SyscallEnter,
        SiteKind::SyscallExit,
        SiteKind::HttpBegin,
        SiteKind::HttpEnd,
        SiteKind::Http2End,
        SiteKind::GrpcBegin,
        SiteKind::GrpcEnd,
    ];

    /// A word for it.
    pub const fn word(self) -> &'static str {
        match self {
            SiteKind::CasStatus => "status",
            SiteKind::SyscallEnter => "syscall begins",
            SiteKind::SyscallExit => "syscall ends",
            SiteKind::HttpBegin => "HTTP request begins",
            SiteKind::HttpEnd => "HTTP/1 request ends",
            SiteKind::Http2End => "HTTP/2 request ends",
            SiteKind::GrpcBegin => "gRPC call begins",
            SiteKind::GrpcEnd => "gRPC call ends",
        }
    }
}

/// What the kernel does with the instruction under a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// It emulates it: one trap.
    Emulated,
    /// It steps through it out of line: two traps.
    SingleStepped,
}

/// Where to put a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// What it is for.
    pub kind: SiteKind,
    /// The function.
    pub function: String,
    /// Link-time address of the instruction.
    pub vaddr: u64,
    /// Its place in the file.
    pub file_offset: u64,
    /// The instruction: `push`.
    pub instruction: String,
    /// What it costs.
    pub cost: Cost,
    /// It may be passed twice by one call: the function begins again when its stack has grown.
    pub may_repeat: bool,
}

/// The sites of a program, those for states of goroutines first. Kinds that it does not have are missing.
pub fn sites(binary: &GoBinary) -> Vec<Site> {
    if binary.arch() != Arch::Amd64 {
        return Vec::new();
    }
    let own_syscalls = binary.version().is_none_or(|version| version.minor >= OWN_SYSCALLS);
    let mut sites = Vec::new();
    for (kind, names, registers) in FUNCTIONS {
        if matches!(kind, SiteKind::SyscallEnter | SiteKind::SyscallExit) && !own_syscalls {
            continue;
        }
        for (name, func) in names.iter().zip(binary.funcs_named(names)) {
            sites.extend(func.and_then(|func| site(binary, kind, name, &func, registers)));
        }
    }
    sites
}

fn site(binary: &GoBinary, kind: SiteKind, name: &str, func: &Func, registers: &[Register]) -> Option<Site> {
    let code = binary.code(func)?;
    let place = choose(code.get(..PROLOGUE).unwrap_or(&code), func.entry, registers)?;
    let segment = binary.segments().iter().find(|segment| segment.file_offset(place.vaddr, 1).is_some())?;
    Some(Site {
        kind,
        function: name.to_owned(),
        vaddr: place.vaddr,
        file_offset: segment.file_offset(place.vaddr, 1)?,
        instruction: format!("{:?}", place.mnemonic).to_lowercase(),
        cost: if place.emulated { Cost::Emulated } else { Cost::SingleStepped },
        may_repeat: place.may_repeat,
    })
}

/// An instruction that was chosen.
#[derive(Clone, Copy, Debug)]
struct Place {
    vaddr: u64,
    mnemonic: Mnemonic,
    emulated: bool,
    may_repeat: bool,
}

/// The first instruction that is emulated, or the very first.
fn choose(code: &[u8], entry: u64, registers: &[Register]) -> Option<Place> {
    let mut info = InstructionInfoFactory::new();
    let (mut first, mut check) = (None, None);
    for insn in &mut Decoder::with_ip(64, code, entry, DecoderOptions::NONE) {
        if insn.is_invalid() {
            break;
        }
        let place = |emulated, may_repeat| Place { vaddr: insn.ip(), mnemonic: insn.mnemonic(), emulated, may_repeat };
        first = first.or(Some(place(false, false)));
        match insn.flow_control() {
            FlowControl::Next if is_push(&insn) || is_nop(&insn) => return Some(place(true, false)),
            FlowControl::Next => {}
            // The check of the stack's size is passed by all calls, by some of them twice: taken if there is no better.
            FlowControl::ConditionalBranch if check.is_none() && is_plain(&insn) => check = Some(place(true, true)),
            _ => break,
        }
        let written = info.info(&insn).used_registers().iter();
        let overwritten = written.filter(|used| !matches!(used.access(), OpAccess::Read | OpAccess::CondRead));
        if overwritten
            .map(|used| used.register().full_register())
            .any(|register| register == Register::R14 || registers.contains(&register))
        {
            break;
        }
    }
    check.or(first)
}

/// `push` of a general register, with no prefix but REX (`push_setup_xol_ops`).
fn is_push(insn: &Instruction) -> bool {
    insn.mnemonic() == Mnemonic::Push
        && insn.op0_kind() == OpKind::Register
        && insn.op0_register().is_gpr64()
        && insn.len() <= 2
}

/// `nop` of one byte, or of several (`0f 1f`), which the kernel takes for what they are (`branch_setup_xol_ops`) unless a
/// prefix other than 66 comes before.
fn is_nop(insn: &Instruction) -> bool {
    insn.mnemonic() == Mnemonic::Nop
        && !insn.has_lock_prefix()
        && !insn.has_rep_prefix()
        && !insn.has_repne_prefix()
        && insn.segment_prefix() == Register::None
}

/// A jump with no prefix: the kernel emulates `7x` and `0f 8x`.
fn is_plain(insn: &Instruction) -> bool {
    matches!(insn.len(), 2 | 6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chosen(code: &[u8], registers: &[Register]) -> (u64, bool, bool) {
        let place = choose(code, 0x1000, registers).unwrap();
        (place.vaddr - 0x1000, place.emulated, place.may_repeat)
    }

    #[test]
    fn a_push_at_the_entry_is_taken() {
        // push rbp; mov rbp, rsp
        assert_eq!(chosen(&[0x55, 0x48, 0x89, 0xe5], &[Register::RAX]), (0, true, false));
    }

    #[test]
    fn the_push_after_the_stack_check_is_better_than_the_check() {
        // cmp rsp, [r14+16]; jbe +32; push rbp
        let code = [0x49, 0x3b, 0x66, 0x10, 0x76, 0x20, 0x55, 0x48, 0x89, 0xe5];
        assert_eq!(chosen(&code, &[Register::RDI]), (6, true, false));
    }

    #[test]
    fn a_nop_in_the_prologue_is_taken_while_arguments_are_there() {
        // sub rsp, 64; mov [rsp+72], rax; nop; and the same with rax overwritten
        let code = [0x48, 0x83, 0xec, 0x40, 0x48, 0x89, 0x44, 0x24, 0x48, 0x90];
        assert_eq!(chosen(&code, &[Register::RAX]), (9, true, false));
        let code = [0x48, 0x83, 0xec, 0x40, 0x8b, 0x44, 0x24, 0x48, 0x90, 0xc3];
        assert_eq!(chosen(&code, &[Register::RAX]), (0, false, false));
        assert_eq!(chosen(&code, &[Register::RBX]), (8, true, false));
    }

    #[test]
    fn the_check_is_taken_where_there_is_nothing_else() {
        // cmp rsp, [r14+16]; jbe +32; sub rsp, 64; ret
        let code = [0x49, 0x3b, 0x66, 0x10, 0x76, 0x20, 0x48, 0x83, 0xec, 0x40, 0xc3];
        assert_eq!(chosen(&code, &[Register::RDI]), (4, true, true));
    }

    proptest! {
        #[test]
        fn any_bytes_will_do(code in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = choose(&code, 0x40_1000, &[Register::RAX, Register::RDI]);
        }
    }
}
