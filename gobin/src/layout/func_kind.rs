//! Functions that traceback treats specially.

use serde::Deserialize;

/// Numbers of special functions in the function table (`internal/abi.FuncID`, `runtime.funcID` before Go 1.21).
///
/// They are renumbered between releases. [`FuncIds::kind`] translates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct FuncIds {
    normal: u8,
    abort: u8,
    asmcgocall: u8,
    async_preempt: u8,
    cgocallback: u8,
    corostart: Option<u8>,
    #[serde(rename = "debugCallV2")]
    debug_call: u8,
    gc_bg_mark_worker: u8,
    goexit: u8,
    gogo: u8,
    gopanic: u8,
    handle_async_event: u8,
    jmpdefer: Option<u8>,
    mcall: u8,
    morestack: u8,
    mstart: u8,
    panicwrap: u8,
    #[serde(rename = "rt0_go")]
    rt0_go: u8,
    #[serde(rename = "runtime_main")]
    runtime_main: u8,
    runfinq: Option<u8>,
    run_finalizers: Option<u8>,
    run_cleanups: Option<u8>,
    sigpanic: u8,
    systemstack: u8,
    #[serde(rename = "systemstack_switch")]
    systemstack_switch: u8,
    wrapper: u8,
}

/// What is special about a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FuncKind {
    /// Nothing.
    Normal,
    /// `runtime.abort`.
    Abort,
    /// `runtime.asmcgocall`: calls C on the thread's own stack.
    AsmCgoCall,
    /// `runtime.asyncPreempt`: was pushed onto the stack by a signal handler; its caller is exact, not a return address.
    AsyncPreempt,
    /// `runtime.cgocallback`: C calling Go.
    CgoCallback,
    /// `runtime.corostart`: root of an `iter.Pull` goroutine. Go 1.22 on.
    CoroStart,
    /// `runtime.debugCallV2`: pushed by a debugger.
    DebugCall,
    /// `runtime.gcBgMarkWorker`.
    GcBgMarkWorker,
    /// `runtime.goexit`: root of every goroutine's stack.
    Goexit,
    /// `runtime.gogo`.
    Gogo,
    /// `runtime.gopanic`.
    Gopanic,
    /// `runtime.handleAsyncEvent`.
    HandleAsyncEvent,
    /// `runtime.jmpdefer`: calls a deferred function. Go 1.17 only.
    JmpDefer,
    /// `runtime.mcall`: switches to the thread's g0 for good.
    Mcall,
    /// `runtime.morestack`: switches to the thread's g0 to grow a stack.
    Morestack,
    /// `runtime.mstart`: root of a g0's stack.
    Mstart,
    /// `runtime.panicwrap`.
    Panicwrap,
    /// `runtime.rt0_go`: root of the first thread's g0 stack.
    Rt0Go,
    /// `runtime.main`: root of goroutine 1.
    RuntimeMain,
    /// `runtime.runfinq`, `runtime.runFinalizers` from Go 1.25 on: runs the program's finalizers.
    RunFinalizers,
    /// `runtime.runCleanups`: runs the program's cleanups. Go 1.25 on.
    RunCleanups,
    /// `runtime.sigpanic`: was pushed onto the stack by a signal handler; its caller is exact, not a return address.
    Sigpanic,
    /// `runtime.systemstack`: runs a function on the thread's g0.
    Systemstack,
    /// `runtime.systemstack_switch`: where a goroutine in `systemstack` appears to be.
    SystemstackSwitch,
    /// Made by the compiler: method wrappers, equality and hash functions.
    Wrapper,
    /// A number that the layout does not know.
    Unknown(u8),
}

impl FuncIds {
    /// What function number `id` of the function table stands for.
    pub fn kind(&self, id: u8) -> FuncKind {
        let known = |number: Option<u8>| number == Some(id);
        match id {
            _ if id == self.normal => FuncKind::Normal,
            _ if id == self.wrapper => FuncKind::Wrapper,
            _ if id == self.abort => FuncKind::Abort,
            _ if id == self.asmcgocall => FuncKind::AsmCgoCall,
            _ if id == self.async_preempt => FuncKind::AsyncPreempt,
            _ if id == self.cgocallback => FuncKind::CgoCallback,
            _ if id == self.debug_call => FuncKind::DebugCall,
            _ if id == self.gc_bg_mark_worker => FuncKind::GcBgMarkWorker,
            _ if id == self.goexit => FuncKind::Goexit,
            _ if id == self.gogo => FuncKind::Gogo,
            _ if id == self.gopanic => FuncKind::Gopanic,
            _ if id == self.handle_async_event => FuncKind::HandleAsyncEvent,
            _ if id == self.mcall => FuncKind::Mcall,
            _ if id == self.morestack => FuncKind::Morestack,
            _ if id == self.mstart => FuncKind::Mstart,
            _ if id == self.panicwrap => FuncKind::Panicwrap,
            _ if id == self.rt0_go => FuncKind::Rt0Go,
            _ if id == self.runtime_main => FuncKind::RuntimeMain,
            _ if id == self.sigpanic => FuncKind::Sigpanic,
            _ if id == self.systemstack => FuncKind::Systemstack,
            _ if id == self.systemstack_switch => FuncKind::SystemstackSwitch,
            _ if known(self.jmpdefer) => FuncKind::JmpDefer,
            _ if known(self.corostart) => FuncKind::CoroStart,
            _ if known(self.runfinq) || known(self.run_finalizers) => FuncKind::RunFinalizers,
            _ if known(self.run_cleanups) => FuncKind::RunCleanups,
            _ => FuncKind::Unknown(id),
        }
    }
}
