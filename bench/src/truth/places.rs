//! Which samples of a profile belong to which cell.

use std::collections::HashSet;

use fgspy_profile::{Profile, Sample};

use super::timekeeper::Entry;

/// For each stack of a profile, the functions that distinguish cells.
pub(super) struct Places<'a> {
    profile: &'a Profile,
    /// The leaf-most function that any cell names.
    leaves: Vec<Option<&'a str>>,
    /// The first function of the program's own: the one that the goroutine was started with.
    roots: Vec<Option<&'a str>>,
    /// The profile says that it does not know the place, nor is one of the functions started there.
    without: Vec<bool>,
}

/// How the names of frames begin that stand for a place that is not known (`fgspy_sampler::profile`).
const NOT_KNOWN: [&str; 2] = ["[its stack", "[running"];

impl<'a> Places<'a> {
    pub(super) fn new(profile: &'a Profile, legend: &[Entry]) -> Places<'a> {
        let places = legend.iter().filter(|entry| !entry.started);
        let named: HashSet<&str> = places.flat_map(|entry| &entry.functions).map(String::as_str).collect();
        let stacks = (0..profile.stacks.len()).map(|stack| fgspy_profile::StackId(stack as u32));
        let is_not_known = |name: &str| NOT_KNOWN.iter().any(|begin| name.starts_with(begin));
        let (leaves, roots): (Vec<Option<&str>>, _) = stacks
            .clone()
            .map(|stack| {
                let leaf = profile.frames(stack).map(|frame| frame.name).find(|name| named.contains(name));
                let root = profile.frames(stack).rev().map(|frame| frame.name).find(|name| name.starts_with("main."));
                (leaf, root)
            })
            .unzip();
        let without = stacks.zip(&leaves).map(|(stack, leaf)| {
            leaf.is_none() && profile.frames(stack).next().is_some_and(|frame| is_not_known(frame.name))
        });
        let without = without.collect();
        Places { profile, leaves, roots, without }
    }

    /// Whether a sample belongs to the cell of `entry`.
    pub(super) fn belongs(&self, sample: &Sample, entry: &Entry) -> bool {
        let functions = if entry.started { &self.roots } else { &self.leaves };
        let function = functions.get(sample.stack.index()).copied().flatten();
        function.is_some_and(|function| entry.functions.iter().any(|wanted| wanted == function))
            && self.is_of_class(sample, entry)
    }

    /// Whether a sample may belong to the cell of `entry`, because the profile does not know where it is.
    pub(super) fn may_belong(&self, sample: &Sample, entry: &Entry) -> bool {
        let is_without = self.without.get(sample.stack.index()).copied().unwrap_or(false);
        is_without && !entry.started && self.is_of_class(sample, entry)
    }

    fn is_of_class(&self, sample: &Sample, entry: &Entry) -> bool {
        entry.classes.is_empty() || entry.classes.iter().any(|word| word == sample.class(self.profile).word())
    }
}

#[cfg(test)]
mod tests {
    use fgspy_profile::{Builder, SampleKey, Serving, State, Target};

    use super::*;

    fn entry(function: &str, classes: &[&str], started: bool) -> Entry {
        let classes = classes.iter().map(|class| class.to_string()).collect();
        Entry { functions: vec![function.to_owned()], classes, started, accounts: vec![] }
    }

    #[test]
    fn a_sample_belongs_to_its_leafmost_named_function_its_class_and_its_start() {
        let mut builder = Builder::new(Target::default(), 0);
        // Leaf first; `main.work` is named by no cell, and `main.outer` is not leaf-most.
        let names = ["time.Sleep", "main.work", "main.inner", "main.outer", "main.start", "runtime.main"];
        let locations: Vec<_> = names.iter().map(|name| builder.synthetic(name)).collect();
        let stack = builder.stack(&locations);
        let (labels, reason) = (builder.labels(&[]), builder.string("sleep"));
        for (state, wait_reason) in [(State::Waiting, Some(reason)), (State::Running, None)] {
            let key =
                SampleKey { stack, goid: 1, state, wait_reason, labels, creator: None, serving: Serving::Unknown };
            builder.add(key, 1, 10);
        }
        let profile = builder.finish(10, Default::default());
        let cells = [
            (entry("main.inner", &[], false), [true, true]),
            (entry("main.inner", &["sleep"], false), [true, false]),
            (entry("main.inner", &["running", "running off cpu"], false), [false, true]),
            (entry("main.outer", &[], false), [false, false]),
            (entry("main.start", &[], true), [true, true]),
            (entry("main.inner", &[], true), [false, false]),
        ];
        let legend: Vec<Entry> = cells.iter().map(|(entry, _)| entry.clone()).collect();
        let places = Places::new(&profile, &legend);
        for (entry, expected) in &cells {
            let found: Vec<bool> = profile.samples.iter().map(|sample| places.belongs(sample, entry)).collect();
            assert_eq!(found, expected, "{entry:?}");
            assert!(profile.samples.iter().all(|sample| !places.may_belong(sample, entry)));
        }
    }

    #[test]
    fn what_has_no_place_may_be_anywhere_in_its_class() {
        let mut builder = Builder::new(Target::default(), 0);
        let locations = ["[its stack was not read]", "main.start"].map(|name| builder.synthetic(name));
        let (stack, labels, reason) = (builder.stack(&locations), builder.labels(&[]), builder.string("sleep"));
        let (state, wait_reason, serving) = (State::Waiting, Some(reason), Serving::Unknown);
        builder.add(SampleKey { stack, goid: 1, state, wait_reason, labels, creator: None, serving }, 1, 10);
        let profile = builder.finish(10, Default::default());
        let may =
            |entry: Entry| Places::new(&profile, std::slice::from_ref(&entry)).may_belong(&profile.samples[0], &entry);
        assert!(may(entry("main.inner", &[], false)) && may(entry("main.inner", &["sleep"], false)));
        assert!(!may(entry("main.inner", &["running"], false)), "its class is known");
        assert!(!may(entry("main.start", &[], true)), "where it was started is known");
    }
}
