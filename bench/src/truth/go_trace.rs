//! Goroutine time by state in an execution trace of Go's, as `go tool trace -d=parsed` prints it (Go 1.23 and newer,
//! `internal/trace/event.go`).

use std::collections::HashMap;
use std::io::BufRead;

use anyhow::{Context, Result, ensure};

/// The states of a goroutine in a trace that a profile has too (`internal/trace.GoState`).
pub(super) const STATES: [&str; 4] = ["Running", "Runnable", "Syscall", "Waiting"];

/// Goroutine time in each of [`STATES`], in nanoseconds, from one moment of Unix time to another.
///
/// The trace must hold a log event of category `unix` whose message is the Unix time at which it was made, before the first
/// of the moments.
///
/// # Errors
/// When there is no such event, or the lines are not understood.
pub(super) fn time_by_state(lines: impl BufRead, from_unix_ns: i64, to_unix_ns: i64) -> Result<[u64; STATES.len()]> {
    let mut window = None;
    let mut early = Vec::new();
    let mut goroutines = Goroutines::default();
    for line in lines.lines() {
        let line = line?;
        if let Some(transition) = Transition::parse(&line)? {
            match window {
                Some(window) => goroutines.add(transition, window),
                // What the span is in the trace's time is not known yet.
                None => early.push(transition),
            }
        } else if let (None, Some(offset)) = (window, unix_offset(&line)?) {
            let span = (from_unix_ns - offset, to_unix_ns - offset);
            window = Some(span);
            early.drain(..).for_each(|transition| goroutines.add(transition, span));
        }
    }
    let window = window.context("the trace does not say what time it was")?;
    ensure!(window.0 >= goroutines.first.unwrap_or(i64::MAX), "the trace begins after the span");
    Ok(goroutines.finish(window))
}

/// A goroutine goes from one state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Transition {
    time: i64,
    goroutine: u64,
    from: Option<usize>,
    /// The former state is not known because the trace had not met the goroutine yet.
    met: bool,
    to: Option<usize>,
}

impl Transition {
    /// The transition in a line such as
    /// `M=13041 P=0 G=1 StateTransition Time=12839464661312 GoID=6 NotExist->Runnable Reason=""`; those of processors have a
    /// `ProcID` and are passed over.
    fn parse(line: &str) -> Result<Option<Transition>> {
        if !line.starts_with("M=") {
            return Ok(None);
        }
        let mut words = line.split(' ').skip_while(|word| *word != "StateTransition").skip(1);
        let (Some(time), Some(goroutine), Some(states)) = (words.next(), words.next(), words.next()) else {
            return Ok(None);
        };
        let Some(goroutine) = goroutine.strip_prefix("GoID=") else { return Ok(None) };
        let unclear = || format!("a transition that is not understood: {line}");
        let time = time.strip_prefix("Time=").with_context(unclear)?.parse().with_context(unclear)?;
        let (from, to) = states.split_once("->").with_context(unclear)?;
        let state = |name: &str| STATES.iter().position(|state| *state == name);
        let is_known = |name: &str| state(name).is_some() || ["Undetermined", "NotExist"].contains(&name);
        ensure!(is_known(from) && is_known(to), unclear());
        let goroutine = goroutine.parse().with_context(unclear)?;
        Ok(Some(Transition { time, goroutine, from: state(from), met: from == "Undetermined", to: state(to) }))
    }
}

/// Unix time less the trace's time, from a line such as `… Log Time=12839464690176 Task=0 Category="unix" Message="1795…"`.
fn unix_offset(line: &str) -> Result<Option<i64>> {
    let Some((before, message)) = line.split_once(" Category=\"unix\" Message=\"") else { return Ok(None) };
    let unclear = || format!("a time that is not understood: {line}");
    let time = before.split(' ').find_map(|word| word.strip_prefix("Time=")).with_context(unclear)?;
    let unix: i64 = message.trim_end_matches('"').parse().with_context(unclear)?;
    Ok(Some(unix - time.parse::<i64>().with_context(unclear)?))
}

/// Where the goroutines are, and the time that is over.
#[derive(Debug, Default)]
struct Goroutines {
    /// State, and since when.
    now: HashMap<u64, (usize, i64)>,
    spent: [u64; STATES.len()],
    first: Option<i64>,
}

impl Goroutines {
    fn add(&mut self, transition: Transition, window: (i64, i64)) {
        let Transition { time, goroutine, from, met, to } = transition;
        let first = *self.first.get_or_insert(time);
        // A goroutine that the trace meets has been in the state in which it is met since the trace began: it would have
        // been met when it left another.
        let since = if met { first } else { time };
        if let Some((state, since)) = self.now.remove(&goroutine) {
            debug_assert!(met || from == Some(state));
            self.spend(state, (since, time), window);
        }
        if let Some(to) = to {
            self.now.insert(goroutine, (to, since));
        }
    }

    fn spend(&mut self, state: usize, (since, until): (i64, i64), (from, to): (i64, i64)) {
        if let Some(spent) = self.spent.get_mut(state) {
            *spent += u64::try_from(until.min(to) - since.max(from)).unwrap_or(0);
        }
    }

    fn finish(mut self, window: (i64, i64)) -> [u64; STATES.len()] {
        for (state, since) in std::mem::take(&mut self.now).into_values() {
            self.spend(state, (since, window.1), window);
        }
        self.spent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "\
M=-1 P=-1 G=-1 Sync Time=1000 N=1 Trace=1000 Mono=1000 Wall=2026-11-23T10:52:56.905877515Z
M=7 P=-1 G=-1 StateTransition Time=1000 ProcID=0 Undetermined->Running Reason=\"\"
M=7 P=0 G=-1 StateTransition Time=1000 GoID=1 Undetermined->Running Reason=\"\"
Stack=
	main.main @ 0x4ac1f3
		/main.go:3

M=7 P=0 G=1 Log Time=1010 Task=0 Category=\"unix\" Message=\"1795431176905000010\"
M=7 P=0 G=1 StateTransition Time=1100 GoID=2 NotExist->Runnable Reason=\"\"
M=7 P=0 G=1 StateTransition Time=1150 GoID=1 Running->Syscall Reason=\"\"
M=7 P=0 G=1 StateTransition Time=1180 GoID=1 Syscall->Runnable Reason=\"\"
M=7 P=0 G=-1 StateTransition Time=1200 GoID=2 Runnable->Running Reason=\"\"
M=7 P=0 G=2 StateTransition Time=1300 GoID=2 Running->NotExist Reason=\"\"
M=7 P=0 G=-1 StateTransition Time=1400 GoID=3 Undetermined->Waiting Reason=\"\"
M=7 P=0 G=-1 StateTransition Time=1500 GoID=3 Waiting->Waiting Reason=\"\"
";

    fn times(from: i64, to: i64) -> [u64; 4] {
        let unix = 1_795_431_176_904_999_000;
        time_by_state(TRACE.as_bytes(), unix + from, unix + to).unwrap()
    }

    #[test]
    fn time_is_clipped_to_the_span_and_goes_back_to_the_start_for_those_met_later() {
        // Running: 1 for 150, 2 for 100. Runnable: 1 from 1180 on, 2 for 100. Waiting: 3 all the time.
        assert_eq!(times(1000, 2000), [250, 920, 30, 1000]);
        assert_eq!(times(1120, 1190), [30, 80, 30, 70]);
        assert_eq!(times(1600, 1700), [0, 100, 0, 100]);
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        let error = |text: &str| time_by_state(text.as_bytes(), 0, 1).unwrap_err().to_string();
        assert_eq!(error(""), "the trace does not say what time it was");
        assert!(error("M=1 P=1 G=1 StateTransition Time=x GoID=1 Running->Waiting").contains("not understood"));
        assert!(error("M=1 P=1 G=1 StateTransition Time=1 GoID=1 Running->Flying").contains("not understood"));
        let late = format!("{}\n{}", "M=1 P=1 G=1 StateTransition Time=9 GoID=1 NotExist->Running", LOG);
        assert_eq!(error(&late), "the trace begins after the span");
    }

    const LOG: &str = "M=1 P=1 G=1 Log Time=10 Task=0 Category=\"unix\" Message=\"10\"";
}
