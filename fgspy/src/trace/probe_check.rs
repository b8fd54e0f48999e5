//! Whether the probes can be hit at all, and were.

use std::path::PathBuf;
use std::time::Duration;

use fgspy_goroutines::GoProcess;
use fgspy_probes::sites::Site;
use fgspy_profile::units;

use crate::args::trace::States;
use crate::exit::{ExitStatus, Failure, Status};

/// CPU time that a Go program cannot use without changing the state of a goroutine: it is accounted in steps of 10 ms, and idle
/// threads of the runtime use a little.
const MUCH: Duration = Duration::from_millis(50);

/// The probes do not see what the process does.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotHit {
    /// They are not in its code.
    #[error(
        "process {pid} does not run the code in which the probes were set: {unset} of {all} are not in its memory. Its code is not \
         mapped from the file {}, for example because the program moved it to huge pages when it started. `fgspy record` and \
         `fgspy requests` need no probes",
        exe.display()
    )]
    NotThere {
        /// The process.
        pid: u32,
        /// Its executable.
        exe: PathBuf,
        /// Probes that are not there.
        unset: usize,
        /// All of them.
        all: usize,
    },
    /// They were never hit, although it was at work.
    #[error(
        "the probes were hit 0 times in {} although the process used {} of CPU time: {}", units::time(as_ns(*traced)), units::time(as_ns(*used)),
        if *there {
            "they are in its code, but it executed none of them. It may run C code, or one loop that is not preempted"
        } else {
            "its code is not mapped from the file in which the probes were set"
        }
    )]
    Never {
        /// For how long.
        traced: Duration,
        /// What it used meanwhile.
        used: Duration,
        /// Whether they are in its code.
        there: bool,
    },
}

impl ExitStatus for NotHit {
    fn status(&self) -> Status {
        Status::Other
    }
}

/// There is nowhere to put a probe.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0} can only be probed at an instruction that the kernel has to single-step, which may slow the program down tenfold; \
     use --allow-slow-probes to accept that"
)]
pub(crate) struct SlowProbes(pub(crate) String);

impl ExitStatus for SlowProbes {
    fn status(&self) -> Status {
        Status::Usage
    }
}

fn as_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Makes sure that the probes are in the code that the target runs.
pub(super) fn must_be_there(target: &GoProcess, sites: &[Site]) -> Result<(), Failure> {
    let unset = fgspy_probes::sites::without_breakpoint(&target.runtime, &target.memory, sites)?.len();
    if unset == 0 {
        return Ok(());
    }
    let (pid, exe) = (target.process.pid(), target.process.exe_path().to_owned());
    Err(NotHit::NotThere { pid, exe, unset, all: sites.len() }.into())
}

/// What is wrong if the probes were hit `hits` times in `traced`. `used` is the CPU time of the target meanwhile; `there`, whether they were
/// in its code at the end. Where states are not followed there is nothing to hit without requests.
pub(super) fn finding(hits: u64, traced: Duration, states: States, used: Duration, there: bool) -> Option<NotHit> {
    let none = hits == 0 && used >= MUCH && (states == States::On || !there);
    none.then_some(NotHit::Never { traced, used, there })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_hit_is_a_finding_where_the_process_was_at_work() {
        let (traced, much, little) = (Duration::from_secs(3), Duration::from_millis(2900), Duration::from_millis(40));
        let said =
            |hits, states, used, there| finding(hits, traced, states, used, there).map(|found| found.to_string());
        let never = said(0, States::On, much, false).unwrap();
        let words = "the probes were hit 0 times in 3.00 s although the process used 2.90 s of CPU time: its code is not mapped from the file";
        assert!(never.starts_with(words), "{never}");
        assert!(said(0, States::On, much, true).unwrap().contains("It may run C code"));
        assert!(said(0, States::Off, much, false).is_some());
        for (hits, states, used, there) in
            [(1, States::On, much, true), (0, States::On, little, true), (0, States::Off, much, true)]
        {
            assert_eq!(said(hits, states, used, there), None);
        }
    }
}
