//! What the kernel tells us about threads on a CPU.

/// The user-mode registers that unwinding a Go thread needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// Program counter.
    pub pc: u64,
    /// Stack pointer.
    pub sp: u64,
    /// Frame pointer (`rbp`, `x29`).
    pub fp: u64,
    /// Link register (`x30`); 0 on amd64.
    pub lr: u64,
    /// The register that holds the current g in Go code: `r14` (amd64, Go 1.17 on), `x28` (arm64). In code that is not
    /// Go's it holds anything.
    pub g: u64,
}

/// One on-CPU sample of one thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuSample {
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// Thread id, in the target's own PID namespace (what `m.procid` holds).
    pub tid: u32,
    /// User registers; `None` when the kernel had none to give.
    pub registers: Option<Registers>,
    /// User call chain by frame pointers, leaf first: `[0]` is the program counter, the rest are return addresses. It
    /// lacks the caller of a frameless leaf; `stack` is there to repair that. It ends early where the kernel could not
    /// read a frame, and both chains together after `kernel.perf_event_max_stack` frames, 127 by default.
    pub user_chain: Vec<u64>,
    /// Kernel call chain, leaf first; empty where kernel sampling is not permitted or the thread was in user mode.
    pub kernel_chain: Vec<u64>,
    /// The first bytes of the user stack, from `registers.sp` up.
    pub stack: Vec<u8>,
}

/// A thread left or reached a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// Thread id, in the target's own PID namespace.
    pub tid: u32,
    /// `true` when the thread was put on a CPU, `false` when it was taken off.
    pub on_cpu: bool,
    /// When taken off: it still wanted to run (preempted, throttled), rather than going to sleep by itself.
    pub preempted: bool,
}
