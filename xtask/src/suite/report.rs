//! What ran, what was skipped, and how long it took.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::runner::Told;

/// The record of a run, told at its end.
pub(super) struct Report {
    began: Instant,
    stages: Vec<(&'static str, Duration, Result<()>)>,
    tests: Told,
    skips: PathBuf,
}

impl Report {
    /// A record that will also tell the skips noted in the file `skips`.
    pub(super) fn new(skips: PathBuf) -> Report {
        Report { began: Instant::now(), stages: Vec::new(), tests: Told::default(), skips }
    }

    /// Runs one stage and notes how it went; `None` when it failed.
    pub(super) fn stage<T>(&mut self, name: &'static str, stage: impl FnOnce() -> Result<T>) -> Option<T> {
        eprintln!("\n=== {name}");
        let began = Instant::now();
        let (value, result) = match stage() {
            Ok(value) => (Some(value), Ok(())),
            Err(error) => {
                eprintln!("{name} failed: {error:#}");
                (None, Err(error))
            }
        };
        self.stages.push((name, began.elapsed(), result));
        value
    }

    /// Adds the tests that a stage ran.
    pub(super) fn add(&mut self, told: Told) {
        self.tests = told;
    }

    /// Prints what failed tests said, then the summary, and says whether nothing failed. Its last line is `N passed, N failed, N skipped`: a stage other
    /// than the tests counts as one.
    pub(super) fn finish(self) -> bool {
        let skipped: BTreeSet<String> =
            fs::read_to_string(&self.skips).unwrap_or_default().lines().map(str::to_owned).collect();
        let _ = fs::remove_file(&self.skips);
        let Told { mut counts, failures } = self.tests;
        counts.skipped += skipped.len() as u64;

        if !failures.lines.is_empty() {
            println!("\n=== failures");
            failures.lines.iter().for_each(|line| println!("{line}"));
        }
        println!("\n=== summary");
        for (name, took, result) in &self.stages {
            let verdict = match result {
                Ok(()) => "ok".to_owned(),
                Err(error) => format!("FAILED: {}", error.to_string().lines().next().unwrap_or_default()),
            };
            println!("{name:<24} {:>7.1} s  {verdict}", took.as_secs_f64());
            match (*name == "tests", result) {
                (false, Ok(())) => counts.passed += 1,
                (false, Err(_)) => counts.failed += 1,
                // Tests that do not even compile, or a program that crashed, leave no count.
                (true, Err(_)) => counts.failed = counts.failed.max(1),
                (true, Ok(())) => {}
            }
        }
        println!("{:<24} {:>7.1} s", "all", self.began.elapsed().as_secs_f64());
        for line in &skipped {
            println!("skipped: {line}");
        }
        println!("{} passed, {} failed, {} skipped", counts.passed, counts.failed, counts.skipped);
        counts.failed == 0
    }
}
