//! Running the fixture `timekeeper` and asking it for its accounts.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use fgspy_fixtures::Fixture;
use serde::Deserialize;

use super::accounts::Totals;

/// The programs that the fixture can be.
pub(super) const PROGRAMS: [&str; 9] =
    ["sleeps", "handoffs", "lives", "growth", "garbage", "bursts", "parked", "queue", "phases"];

/// What some accounts stand for: a cell that profile and truth both speak of.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Entry {
    /// Full names of functions.
    pub(super) functions: Vec<String>,
    /// Words of the classes; none of them means any.
    pub(super) classes: Vec<String>,
    /// Whether the functions are those that goroutines were started with, not those that they are in.
    pub(super) started: bool,
    /// The accounts that add up to this cell.
    pub(super) accounts: Vec<usize>,
}

impl Entry {
    /// Its name in tables.
    pub(super) fn name(&self) -> String {
        let functions: Vec<&str> =
            self.functions.iter().map(|name| name.strip_prefix("main.").unwrap_or(name)).collect();
        let started = if self.started { "started with " } else { "" };
        let classes = if self.classes.is_empty() { String::new() } else { format!(": {}", self.classes.join(" or ")) };
        format!("{started}{}{classes}", functions.join(" or "))
    }
}

/// A program that runs and keeps accounts.
pub(super) struct Timekeeper {
    fixture: Fixture,
    /// What there is to compare.
    pub(super) legend: Vec<Entry>,
}

impl Timekeeper {
    /// Starts a program and waits until its goroutines are where they should be.
    ///
    /// # Errors
    /// When it does not get there.
    pub(super) fn start(binary: &Path, program: &str) -> Result<Timekeeper> {
        let mut command = Command::new(binary);
        let fixture = Fixture::start(command.arg(program), |line| line == "ready")?;
        let legend = fixture.announced.first().context("no legend was announced")?;
        let legend = serde_json::from_str(legend).with_context(|| format!("the legend {legend}"))?;
        Ok(Timekeeper { fixture, legend })
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.fixture.pid()
    }

    /// Asks for the accounts as they are now, without waiting for the answer.
    ///
    /// # Errors
    /// When the program has ended.
    pub(super) fn ask(&mut self) -> Result<()> {
        self.fixture.tell("totals")
    }

    /// The answer to the first [`Timekeeper::ask`] that was not answered yet.
    ///
    /// # Errors
    /// When none comes in time.
    pub(super) fn answer(&mut self) -> Result<Totals> {
        let line = self.fixture.line()?;
        serde_json::from_str(&line).with_context(|| format!("the totals {line}"))
    }

    /// Lets Go write an execution trace to `file`.
    ///
    /// # Errors
    /// When the program has ended.
    pub(super) fn trace(&mut self, file: &Path) -> Result<()> {
        self.command(&format!("trace {}", file.display()), "tracing")
    }

    /// Ends the trace.
    ///
    /// # Errors
    /// When the program has ended.
    pub(super) fn untrace(&mut self) -> Result<()> {
        self.command("untrace", "traced")
    }

    fn command(&mut self, command: &str, answer: &str) -> Result<()> {
        self.fixture.tell(command)?;
        let line = self.fixture.line()?;
        ensure!(line == answer, "{command:?} was answered by {line:?}");
        Ok(())
    }
}
