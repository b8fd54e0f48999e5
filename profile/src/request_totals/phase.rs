//! What a request was doing, in as few words as a table has columns.

use crate::Class;

/// What a request was doing: [`Class`], folded into what explains why a request is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// On a CPU.
    OnCpu,
    /// Ready, but nobody ran it: it waited for a processor of the Go scheduler, or its thread for a CPU.
    Runnable,
    /// Waits for the network poller: sockets, pipes.
    Network,
    /// Waits for a mutex, a wait group, a condition or a semaphore.
    Lock,
    /// Waits for a channel, in a `select` or without.
    Channel,
    /// In `time.Sleep`.
    Sleep,
    /// In a system call or a C call.
    Syscall,
    /// Anything else: it helps the garbage collector, for instance.
    Other,
}

impl Phase {
    /// The number of phases.
    pub const COUNT: usize = 8;

    /// All of them, in the order in which users read them.
    pub const ALL: [Phase; Phase::COUNT] = [
        Phase::OnCpu,
        Phase::Runnable,
        Phase::Network,
        Phase::Lock,
        Phase::Channel,
        Phase::Sleep,
        Phase::Syscall,
        Phase::Other,
    ];

    /// The phase that a class is part of.
    pub const fn of(class: Class) -> Phase {
        match class {
            Class::Running => Phase::OnCpu,
            Class::Runnable | Class::RunningOffCpu => Phase::Runnable,
            Class::Network => Phase::Network,
            Class::Mutex | Class::Sync => Phase::Lock,
            Class::Chan | Class::Select => Phase::Channel,
            Class::Sleep => Phase::Sleep,
            Class::Syscall => Phase::Syscall,
            Class::Gc | Class::Other => Phase::Other,
        }
    }

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Phase::OnCpu => "on-CPU",
            Phase::Runnable => "runnable",
            Phase::Network => "network",
            Phase::Lock => "lock",
            Phase::Channel => "channel",
            Phase::Sleep => "sleep",
            Phase::Syscall => "syscall",
            Phase::Other => "other",
        }
    }

    /// The name of a field for it, in JSON.
    pub const fn key(self) -> &'static str {
        match self {
            Phase::OnCpu => "on_cpu",
            _ => self.word(),
        }
    }

    /// Its place in [`Phase::ALL`], for tables of totals.
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_is_in_its_place_and_has_a_class() {
        for (index, phase) in Phase::ALL.into_iter().enumerate() {
            assert_eq!(phase.index(), index);
            assert!(Class::ALL.into_iter().any(|class| Phase::of(class) == phase), "{}", phase.word());
        }
    }
}
