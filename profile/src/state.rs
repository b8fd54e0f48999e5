//! What a goroutine was doing: the words that users see everywhere.

use serde::{Deserialize, Serialize};

/// What a goroutine was doing when it was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum State {
    /// On a CPU.
    Running,
    /// Has a thread and is to run, in Go, in the kernel or in C, but the kernel is not running that thread: it is throttled
    /// or starved, or sleeps in the runtime's own code.
    RunningOffCpu,
    /// Ready, waiting for a processor (P): scheduler latency.
    Runnable,
    /// In a system call or a C call.
    Syscall,
    /// Parked by the runtime, with a wait reason.
    Waiting,
}

impl State {
    /// All states, in the order in which users read them.
    pub const ALL: [State; 5] = [State::Running, State::RunningOffCpu, State::Runnable, State::Syscall, State::Waiting];

    /// The word for this state, as it stands in labels, filters and pictures.
    pub const fn word(self) -> &'static str {
        match self {
            State::Running => "running",
            State::RunningOffCpu => "running off cpu",
            State::Runnable => "runnable",
            State::Syscall => "syscall",
            State::Waiting => "waiting",
        }
    }

    /// The state with this word; hyphens and underscores may stand for spaces, as in `running-off-cpu`.
    pub fn from_word(word: &str) -> Option<State> {
        let word = word.trim().replace(['-', '_'], " ");
        State::ALL.into_iter().find(|state| state.word().eq_ignore_ascii_case(&word))
    }
}

/// The runtime's ~45 wait reasons folded into what a person thinks in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum WaitClass {
    /// Channel send or receive.
    Chan,
    /// `select`, with or without cases.
    Select,
    /// `sync.Mutex` and `sync.RWMutex` (on Go 1.19 and older these say only `semacquire`, which is [`WaitClass::Sync`]).
    Mutex,
    /// `sync.WaitGroup`, `sync.Cond`, semaphores, coroutines, `testing/synctest`.
    Sync,
    /// The network poller.
    Network,
    /// `time.Sleep`.
    Sleep,
    /// The garbage collector, its assists and its idle workers.
    Gc,
    /// Anything else the runtime waits for.
    Other,
}

impl WaitClass {
    /// All classes, in the order in which users read them.
    pub const ALL: [WaitClass; 8] = [
        WaitClass::Chan,
        WaitClass::Select,
        WaitClass::Mutex,
        WaitClass::Sync,
        WaitClass::Network,
        WaitClass::Sleep,
        WaitClass::Gc,
        WaitClass::Other,
    ];

    /// The word for this class, as it stands in filters and pictures.
    pub const fn word(self) -> &'static str {
        match self {
            WaitClass::Chan => "chan",
            WaitClass::Select => "select",
            WaitClass::Mutex => "mutex",
            WaitClass::Sync => "sync",
            WaitClass::Network => "network",
            WaitClass::Sleep => "sleep",
            WaitClass::Gc => "gc",
            WaitClass::Other => "other",
        }
    }

    /// The class of a wait reason, by the runtime's own text (`waitReasonStrings` in `runtime/runtime2.go`, Go 1.17–1.27).
    pub fn of(reason: &str) -> WaitClass {
        match reason {
            r if r.starts_with("chan ") => WaitClass::Chan,
            r if r.starts_with("select") => WaitClass::Select,
            r if r.starts_with("sync.Mutex") || r.starts_with("sync.RWMutex") => WaitClass::Mutex,
            r if r.starts_with("sync.") || r.starts_with("synctest.") => WaitClass::Sync,
            "semacquire" | "coroutine" => WaitClass::Sync,
            "IO wait" => WaitClass::Network,
            "sleep" => WaitClass::Sleep,
            r if ["GC", "gc ", "garbage", "finalizer", "cleanup", "flushing proc caches"]
                .iter()
                .any(|w| r.contains(w)) =>
            {
                WaitClass::Gc
            }
            _ => WaitClass::Other,
        }
    }
}
