//! Filters from the command line.

use anyhow::{Context, bail};
use fgspy_profile::{Filter, State, WaitClass};
use regex::Regex;

use crate::args::FilterArgs;

/// The filter that the arguments describe.
pub(crate) fn build(args: &FilterArgs) -> anyhow::Result<Filter> {
    Ok(Filter {
        states: args.state.iter().map(|word| state(word)).collect::<anyhow::Result<_>>()?,
        wait: args.wait.clone(),
        focus: regex(args.focus.as_deref(), "--focus")?,
        ignore: regex(args.ignore.as_deref(), "--ignore")?,
        goroutines: args.goroutine.clone(),
        labels: args.label.iter().map(|label| label.parse()).collect::<Result<_, _>>()?,
    })
}

fn state(word: &str) -> anyhow::Result<State> {
    if word == "off-cpu" {
        return Ok(State::RunningOffCpu);
    }
    match State::ALL.into_iter().find(|state| state.word() == word) {
        Some(state) => Ok(state),
        None if WaitClass::ALL.iter().any(|class| class.word() == word) => {
            bail!("`{word}` is something to wait for, not a state; use --wait {word}")
        }
        None => bail!("there is no state `{word}`; there are running, off-cpu, runnable, syscall and waiting"),
    }
}

fn regex(pattern: Option<&str>, option: &str) -> anyhow::Result<Option<Regex>> {
    pattern
        .map(|pattern| Regex::new(pattern).with_context(|| format!("the pattern of {option} has an error")))
        .transpose()
}
