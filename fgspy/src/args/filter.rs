//! Filters from the command line.

use fgspy_profile::{Filter, State, WaitClass};

use crate::args::FilterArgs;

/// The filter that the arguments describe.
pub(crate) fn build(args: &FilterArgs) -> Filter {
    let FilterArgs { state, wait, focus, ignore, goroutine, label, request, trace, no_idle } = args.clone();
    Filter { states: state, wait, focus, ignore, goroutines: goroutine, labels: label, request, trace, no_idle }
}

/// The state that a word on the command line stands for.
pub(crate) fn state(word: &str) -> Result<State, String> {
    if word == "off-cpu" {
        return Ok(State::RunningOffCpu);
    }
    match State::from_word(word) {
        Some(state) => Ok(state),
        None if WaitClass::ALL.iter().any(|class| class.word() == word) => {
            Err(format!("`{word}` is something to wait for, not a state; use --wait {word}"))
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
