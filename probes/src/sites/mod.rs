//! Where to put probes that cost little.
//!
//! What a uprobe costs is decided by the instruction under it. The kernel emulates a few on the spot: pushes, no-operations,
//! jumps and calls (`arch/x86/kernel/uprobes.c`: `push_setup_xol_ops`, `branch_setup_xol_ops`). All others it must step through
//! out of line, with a second trap, which on some machines takes ten times as long. So a probe at a function goes to the
//! first instruction of its prologue that is emulated and at which the arguments are still in their registers.
//!
//! # What changes the status of a goroutine
//!
//! `runtime.casgstatus` sees every transition between running, runnable and waiting, births and ends, threads of C that
//! become goroutines (`needm`, `dropm`), and the copy of a stack that has grown (`_Gcopystack`). Nothing else stores a status,
//! but these compare and swap by themselves (`runtime/proc.go`, unless another file is named; 1.17 to 1.27):
//!
//! | since | what | what is seen of it |
//! |---|---|---|
//! | 1.17 | the scan bit while a stack is scanned (`castogscanstatus`, `casfrom_Gscanstatus`) | nothing; it is no state of its own |
//! | 1.17 | preemption for a scan (`casGToPreemptScan`, then `casGFromPreempted`) | the first, which is called as `casgstatus` is; it waits from then on until it is woken, as in Go's own trace |
//! | 1.22 | coroutines, that is `iter.Pull` (`coro.go`, `coroswitch_m`): one goroutine goes from running to waiting, another back | `coroswitch` and what calls `coroexit`, from which that is called, have sites of their own (from 1.23 on); if the stack of one is scanned at that moment (or, from 1.24 on, in a `synctest` bubble) `casgstatus` sees it besides |
//! | 1.26 | system calls and calls of C: `reentersyscall` and `exitsyscall` | both functions have sites of their own |
//! | 1.26 | a goroutine that was found to be leaked waits again (`mgcmark.go`) | nothing; waiting to leaked is seen |
//!
//! Up to 1.25 `reentersyscall` and `exitsyscall` call `casgstatus` at each system call: `exitsyscallfast` and the monitor's
//! `retake` change the status of p's only. From 1.26 on each call passes both once, at their entries. A bubble, and a
//! scan at that moment, make them call `casgstatus` besides: the same transition once more. A call that blocks from the start
//! (`entersyscallblock`) enters by `casgstatus` only, and leaves by `exitsyscall` like all. Without a p to go on with,
//! `exitsyscallNoP` has `casgstatus` make it runnable, from running.
//!
//! # What is not seen of requests
//!
//! A handler that panics passes no function that marks its end. (One that `golang.org/x/net/http2` calls without a
//! `net/http.Server` (`h2c`, or `ServeConn` with a handler) passes no `serverHandler.ServeHTTP`, but `runHandler`. Where that is
//! the one in `net/http`, the pattern that a mux finds is not known.)

mod breakpoints;
mod functions;
mod instruction;

pub use breakpoints::without_breakpoint;

use fgspy_gobin::{Arch, Func, GoBinary};
use functions::{FUNCTIONS, Function};

pub use crate::SiteKind;

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

/// Why a program has no site of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Missing {
    /// What its functions look like is known for amd64 only.
    #[error("not known for this processor")]
    Architecture,
    /// Where `casgstatus` sees it as well.
    #[error("not needed before Go 1.26")]
    Unneeded,
    /// It does not do such things, or something was inlined.
    #[error("the program has no such function")]
    Function,
    /// The function is there, but its code is not in the file, or is none.
    #[error("the function's code cannot be read")]
    Code,
}

/// The sites of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sites {
    /// Those it has, in the order of [`SiteKind::ALL`]. A kind may have several: all of them are needed.
    pub found: Vec<Site>,
    /// The kinds it has none of, in the same order.
    pub missing: Vec<(SiteKind, Missing)>,
}

/// The first minor version of Go whose system calls `casgstatus` does not see.
const OWN_SYSCALLS: u16 = 26;

/// What `golang.org/x/net/http2` has in a program if it serves by the HTTP/2 in `net/http`.
const X_NET_SHELL: &str = "golang.org/x/net/http2.(*Server).serveConn";

/// The sites of a program, those for states of goroutines first. Kinds that it does not have are missing.
pub fn sites(binary: &GoBinary) -> Vec<Site> {
    find(binary).found
}

/// The sites of a program, and why it has none of the other kinds.
pub fn find(binary: &GoBinary) -> Sites {
    let mut sites = Sites::default();
    for function in &FUNCTIONS {
        match of_kind(binary, function) {
            Ok(found) => sites.found.extend(found),
            Err(why) => sites.missing.push((function.kind, why)),
        }
    }
    sites
}

fn of_kind(binary: &GoBinary, function: &Function) -> Result<Vec<Site>, Missing> {
    if binary.arch() != Arch::Amd64 {
        return Err(Missing::Architecture);
    }
    let own_syscalls = binary.version().is_none_or(|version| version.at_least(1, OWN_SYSCALLS));
    if matches!(function.kind, SiteKind::SyscallEnter | SiteKind::SyscallExit) && !own_syscalls {
        return Err(Missing::Unneeded);
    }
    // Else `serverHandler.ServeHTTP` is enough.
    if function.kind == SiteKind::InnerBegin && binary.func_named(X_NET_SHELL).is_none() {
        return Err(Missing::Function);
    }
    let there = function.names.iter().zip(binary.funcs_named(function.names));
    let there: Vec<_> = there.filter_map(|(name, func)| Some((name, func?))).collect();
    if there.is_empty() {
        return Err(Missing::Function);
    }
    there.into_iter().map(|(name, func)| site(binary, function, name, &func).ok_or(Missing::Code)).collect()
}

fn site(binary: &GoBinary, function: &Function, name: &str, func: &Func) -> Option<Site> {
    let code = binary.code(func)?;
    let place = instruction::choose(&code, func.entry, function.registers)?;
    let executable = binary.segments().iter().filter(|segment| segment.is_executable());
    Some(Site {
        kind: function.kind,
        function: name.to_owned(),
        vaddr: place.vaddr,
        file_offset: executable.filter_map(|segment| segment.file_offset(place.vaddr, 1)).next()?,
        instruction: format!("{:?}", place.mnemonic).to_lowercase(),
        cost: if place.emulated { Cost::Emulated } else { Cost::SingleStepped },
        may_repeat: place.may_repeat,
    })
}
