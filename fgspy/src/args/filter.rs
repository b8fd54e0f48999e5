//! Filters of samples.

use clap::Args;
use fgspy_profile::{Filter, LabelMatch, State, WaitClass};
use regex::Regex;

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Filters")]
pub(crate) struct FilterArgs {
    /// Only time in these states: running, off-cpu (preempted by the kernel: its thread waits for a CPU), runnable, syscall, waiting
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = state)]
    pub(crate) state: Vec<State>,

    /// Only waits with these reasons: a class (chan, select, mutex, sync, network, sleep, gc, other) or a wait reason of the
    /// Go runtime
    #[arg(long, value_name = "REASON", value_delimiter = ',')]
    pub(crate) wait: Vec<String>,

    /// Only stacks with a function that matches
    #[arg(long, value_name = "REGEX")]
    pub(crate) focus: Option<Regex>,

    /// No stacks with a function that matches
    #[arg(long, value_name = "REGEX")]
    pub(crate) ignore: Option<Regex>,

    /// Only these goroutines
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub(crate) goroutine: Vec<u64>,

    /// Only goroutines with this runtime/pprof label
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) label: Vec<LabelMatch>,

    /// Only time in requests whose route (`GET /orders/{id}`) or method and path (`GET /orders/17`) matches
    #[arg(long, value_name = "REGEX")]
    pub(crate) request: Option<Regex>,

    /// Only time in requests of this trace, or with a label that names it: its id, or at least the first 8 digits
    #[arg(long, value_name = "ID")]
    pub(crate) trace: Option<String>,

    /// Leave out goroutines of servers that serve no request: accept loops, idle connections and workers
    #[arg(long)]
    pub(crate) no_idle: bool,
}

impl FilterArgs {
    /// As profiles are filtered.
    pub(crate) fn filter(&self) -> Filter {
        let FilterArgs { state, wait, focus, ignore, goroutine, label, request, trace, no_idle } = self.clone();
        Filter { states: state, wait, focus, ignore, goroutines: goroutine, labels: label, request, trace, no_idle }
    }
}

/// The state that a word on the command line stands for.
pub(crate) fn state(word: &str) -> Result<State, String> {
    if word == "off-cpu" {
        return Ok(State::RunningOffCpu);
    }
    match State::from_word(word) {
        Some(state) => Ok(state),
        None if WaitClass::ALL.iter().any(|class| class.word() == word) => {
            Err(format!("`{word}` is a class of waits, not a state; use --wait {word}"))
        }
        None => Err(format!("there is no state `{word}`; there are running, off-cpu, runnable, syscall and waiting")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_by_the_words_of_the_help_and_of_the_output() {
        for word in ["off-cpu", "running off cpu", "running-off-cpu"] {
            assert_eq!(state(word), Ok(State::RunningOffCpu));
        }
        assert_eq!(state("waiting"), Ok(State::Waiting));
        assert!(state("mutex").unwrap_err().ends_with("use --wait mutex"));
        assert!(state("idle").unwrap_err().starts_with("there is no state `idle`"));
    }
}
