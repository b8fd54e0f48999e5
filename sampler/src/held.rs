//! Whether something kept the target from running while it was recorded.

use std::time::Duration;

use fgspy_memory::{Held, Process};

/// How often it is looked at. A look costs some ten reads of small files.
const PERIOD_NS: u64 = Duration::from_secs(1).as_nanos() as u64;

/// What the looks at a target have found.
#[derive(Debug, Default)]
pub(crate) struct HeldWatch {
    looks: u32,
    held_looks: u32,
    /// What held it when it was last found held.
    found: Option<Held>,
    /// It was held at the last look.
    is_held: bool,
    next_ns: u64,
}

impl HeldWatch {
    /// Looks at the target if it is time to, or if `last`.
    pub(crate) fn look(&mut self, process: &Process, now_ns: u64, last: bool) {
        if now_ns >= self.next_ns || last {
            self.next_ns = now_ns.saturating_add(PERIOD_NS);
            self.add(process.held());
        }
    }

    fn add(&mut self, held: Option<Held>) {
        self.looks += 1;
        self.held_looks += u32::from(held.is_some());
        self.is_held = held.is_some();
        self.found = held.or(self.found.take());
    }

    /// What held the target at all looks.
    pub(crate) fn throughout(&self) -> Option<&Held> {
        self.found.as_ref().filter(|_| self.held_looks == self.looks)
    }

    /// What the user should know of it.
    pub(crate) fn remark(&self) -> Option<String> {
        let held = self.found.as_ref()?;
        if self.held_looks == self.looks {
            return Some(held.to_string());
        }
        let mut text = format!(
            "process {} was {} at {} of {} looks, one a second: its running and runnable goroutines could not run then",
            held.pid,
            held.by.words(),
            self.held_looks,
            self.looks
        );
        if self.is_held {
            text += &format!("; it still is. To continue it: {}", held.remedy());
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use fgspy_memory::Holder;

    use super::*;

    fn after(looks: &[bool]) -> HeldWatch {
        let mut watch = HeldWatch::default();
        looks.iter().for_each(|held| watch.add(held.then_some(Held { pid: 7, by: Holder::Signal })));
        watch
    }

    #[test]
    fn what_holds_a_target_is_told_from_what_did() {
        assert_eq!(after(&[false, false]).remark(), None);
        assert_eq!(after(&[false, false]).throughout(), None);
        let whole = after(&[true, true]);
        assert_eq!(
            whole.remark().as_deref(),
            Some("process 7 is stopped by a signal: none of it runs. To continue it: kill -CONT 7")
        );
        assert!(whole.throughout().is_some());
        let part = "process 7 was stopped by a signal at 1 of 2 looks, one a second: its running and runnable goroutines \
                    could not run then";
        assert_eq!(after(&[true, false]).remark().as_deref(), Some(part));
        assert_eq!(after(&[true, false]).throughout(), None);
        let still = format!("{part}; it still is. To continue it: kill -CONT 7");
        assert_eq!(after(&[false, true]).remark(), Some(still));
    }
}
