//! Counting tests from what their runners print.

/// How many tests passed, failed and were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Passed.
    pub(super) passed: u64,
    /// Failed.
    pub(super) failed: u64,
    /// Ignored by the runner or skipped by the test.
    pub(super) skipped: u64,
}

impl Counts {
    /// Adds what a line says, if it is the last line of a test program:
    /// `test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s`.
    pub(super) fn read(&mut self, line: &str) {
        let Some((_, result)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else {
            return;
        };
        for part in result.split("; ") {
            match part.split_once(' ').map(|(number, what)| (number.parse::<u64>(), what)) {
                Some((Ok(number), "passed")) => self.passed += number,
                Some((Ok(number), "failed")) => self.failed += number,
                Some((Ok(number), "ignored")) => self.skipped += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_the_programs_of_a_run() {
        let mut counts = Counts::default();
        for line in [
            "running 5 tests",
            "test a ... ok",
            "test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s",
            "test result: FAILED. 10 passed; 2 failed; 3 ignored; 0 measured; 7 filtered out; finished in 61.00s",
        ] {
            counts.read(line);
        }
        assert_eq!(counts, Counts { passed: 14, failed: 2, skipped: 4 });
    }
}
