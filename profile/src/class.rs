//! State and wait class in one: the words by which pictures are coloured and totals are listed.

use crate::{Profile, Sample, State, WaitClass};

/// What a goroutine was doing, as coarsely as a picture can show it: the state, and the wait class of those that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// [`State::Running`].
    Running,
    /// [`State::RunningOffCpu`].
    RunningOffCpu,
    /// [`State::Runnable`].
    Runnable,
    /// [`State::Syscall`].
    Syscall,
    /// [`WaitClass::Mutex`].
    Mutex,
    /// [`WaitClass::Sync`].
    Sync,
    /// [`WaitClass::Network`].
    Network,
    /// [`WaitClass::Chan`].
    Chan,
    /// [`WaitClass::Select`].
    Select,
    /// [`WaitClass::Sleep`].
    Sleep,
    /// [`WaitClass::Gc`].
    Gc,
    /// [`WaitClass::Other`].
    Other,
}

impl Class {
    /// The number of classes.
    pub const COUNT: usize = 12;

    /// All classes: first what uses or wants the machine, then what waits, the most telling waits before the idle ones.
    pub const ALL: [Class; Class::COUNT] = [
        Class::Running,
        Class::RunningOffCpu,
        Class::Runnable,
        Class::Syscall,
        Class::Mutex,
        Class::Sync,
        Class::Network,
        Class::Chan,
        Class::Select,
        Class::Sleep,
        Class::Gc,
        Class::Other,
    ];

    /// The class of a state and, for [`State::Waiting`], a wait reason in the runtime's own words.
    pub fn of(state: State, wait_reason: &str) -> Class {
        match state {
            State::Running => Class::Running,
            State::RunningOffCpu => Class::RunningOffCpu,
            State::Runnable => Class::Runnable,
            State::Syscall => Class::Syscall,
            State::Waiting => match WaitClass::of(wait_reason) {
                WaitClass::Chan => Class::Chan,
                WaitClass::Select => Class::Select,
                WaitClass::Mutex => Class::Mutex,
                WaitClass::Sync => Class::Sync,
                WaitClass::Network => Class::Network,
                WaitClass::Sleep => Class::Sleep,
                WaitClass::Gc => Class::Gc,
                WaitClass::Other => Class::Other,
            },
        }
    }

    /// The word for this class: the one of its state or of its wait class.
    pub const fn word(self) -> &'static str {
        match self {
            Class::Running => State::Running.word(),
            Class::RunningOffCpu => State::RunningOffCpu.word(),
            Class::Runnable => State::Runnable.word(),
            Class::Syscall => State::Syscall.word(),
            Class::Chan => WaitClass::Chan.word(),
            Class::Select => WaitClass::Select.word(),
            Class::Mutex => WaitClass::Mutex.word(),
            Class::Sync => WaitClass::Sync.word(),
            Class::Network => WaitClass::Network.word(),
            Class::Sleep => WaitClass::Sleep.word(),
            Class::Gc => WaitClass::Gc.word(),
            Class::Other => WaitClass::Other.word(),
        }
    }

    /// One line that says what this class means, for legends and help.
    pub const fn meaning(self) -> &'static str {
        match self {
            Class::Running => "on a CPU",
            Class::RunningOffCpu => {
                "has a thread and wants to run, but the kernel does not run it: throttled or starved"
            }
            Class::Runnable => "ready, waiting for a processor (P): scheduler latency",
            Class::Syscall => "in a system call or a C call",
            Class::Chan => "channel send or receive",
            Class::Select => "select, with or without cases",
            Class::Mutex => "sync.Mutex or sync.RWMutex",
            Class::Sync => "sync.WaitGroup, sync.Cond, a semaphore or a coroutine",
            Class::Network => "the network poller: sockets, pipes",
            Class::Sleep => "time.Sleep",
            Class::Gc => "the garbage collector: its assists and its idle workers",
            Class::Other => "anything else the runtime waits for",
        }
    }

    /// Its place in [`Class::ALL`], for tables of totals.
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl Sample {
    /// What the goroutine was doing, as pictures show it.
    pub fn class(&self, profile: &Profile) -> Class {
        Class::of(self.state, profile.wait_reason(self))
    }
}
