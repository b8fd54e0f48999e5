//! A profile as `--format json` has it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fgspy_fixtures::zoo::ZooKind;
use serde::Deserialize;

use super::report;

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Profile {
    pub(crate) duration_ns: u64,
    pub(crate) accounting: Accounting,
    pub(crate) frames: Vec<Frame>,
    pub(crate) stacks: Vec<Vec<usize>>,
    pub(crate) samples: Vec<Sample>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Accounting {
    pub(crate) ticks: u64,
    pub(crate) accepted: u64,
    pub(crate) goroutine_ticks: u64,
    pub(crate) changed: u64,
    pub(crate) broken: u64,
    pub(crate) unmapped: u64,
    pub(crate) expected_ns: u64,
    pub(crate) remarks: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Frame {
    pub(crate) function: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Sample {
    pub(crate) stack: usize,
    pub(crate) goroutine: u64,
    pub(crate) state: String,
    pub(crate) wait_reason: String,
    pub(crate) class: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) count: u64,
    pub(crate) time_ns: u64,
}

/// What there is to say of a sample, with its stack written out, so that samples of two profiles can be compared.
pub(crate) type Plain = (u64, String, String, BTreeMap<String, String>, Vec<String>, u64, u64);

impl Profile {
    pub(crate) fn parse(json: &[u8]) -> Profile {
        let profile: Profile = serde_json::from_slice(json).unwrap();
        profile.adds_up();
        profile
    }

    /// Reads a file written by `--format json`.
    pub(crate) fn read(path: &Path) -> Profile {
        Profile::parse(&std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    /// Reads a recording.
    pub(crate) fn of(recording: &Path) -> Profile {
        Profile::parse(&report(recording, &["--format", "json"]))
    }

    /// What holds for every profile that is not filtered: nothing got lost between observation and sample.
    fn adds_up(&self) {
        if self.accounting.remarks.iter().any(|remark| remark.starts_with("filtered by")) {
            return;
        }
        let Accounting { goroutine_ticks, expected_ns, .. } = self.accounting;
        assert_eq!(self.samples.iter().map(|s| s.count).sum::<u64>(), goroutine_ticks);
        assert_eq!(self.time(), expected_ns);
    }

    pub(crate) fn time(&self) -> u64 {
        self.samples.iter().map(|sample| sample.time_ns).sum()
    }

    /// The functions on a sample's stack, leaf first.
    pub(crate) fn functions(&self, sample: &Sample) -> Vec<&str> {
        self.stacks[sample.stack].iter().map(|&frame| self.frames[frame].function.as_str()).collect()
    }

    /// The goroutines that have a function on a stack.
    pub(crate) fn goroutines_in(&self, function: &str) -> BTreeSet<u64> {
        let with = self.samples.iter().filter(|sample| self.functions(sample).contains(&function));
        with.map(|sample| sample.goroutine).collect()
    }

    /// Checks that every goroutine of a zoo is there, with its function on a stack.
    pub(crate) fn has_all<'a>(&self, kinds: impl IntoIterator<Item = &'a ZooKind>) {
        for kind in kinds {
            let mut of_it = self.samples.iter().filter(|sample| sample.goroutine == kind.goid).peekable();
            assert!(of_it.peek().is_some(), "{kind:?} is missing");
            // Some are announced from where they start, with the function that starts all of them, which profiles leave
            // out.
            let found = of_it.any(|sample| self.functions(sample).contains(&kind.function.as_str()));
            assert!(found || kind.function == "runtime.goexit", "{kind:?} is elsewhere");
        }
    }

    /// The samples that satisfy a condition, in an order that does not depend on where they came from.
    pub(crate) fn plain(&self, wanted: impl Fn(&Sample) -> bool) -> Vec<Plain> {
        let wanted = self.samples.iter().filter(|sample| wanted(sample)).cloned();
        let mut plain: Vec<Plain> = wanted
            .map(|s| {
                let functions = self.functions(&s).into_iter().map(str::to_owned).collect();
                (s.goroutine, s.state, s.wait_reason, s.labels, functions, s.count, s.time_ns)
            })
            .collect();
        plain.sort();
        plain
    }
}
