//! What the runners of failed tests say, to be told again at the end: a log may have been cut by then.

/// A test program says no more than so many lines at the end.
const MOST: usize = 120;

/// The reports of failed tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Failures {
    /// Those of test programs that have ended.
    pub(super) lines: Vec<String>,
    /// That of the program that runs, once it has begun.
    current: Option<Vec<String>>,
}

impl Failures {
    /// Takes a line. A report goes from the first `failures:` of a test program to its `test result:`; it begins with what
    /// the tests said, and ends with their names.
    pub(super) fn read(&mut self, line: &str) {
        if line.starts_with("test result: ") || line.starts_with("running ") {
            self.lines.extend(self.current.take().into_iter().flat_map(shortened));
        } else if let Some(current) = &mut self.current {
            current.push(line.to_owned());
        } else if line == "failures:" {
            self.current = Some(Vec::new());
        }
    }
}

/// The beginning of a long report, where its cause is, and its end, where the names are.
fn shortened(mut report: Vec<String>) -> Vec<String> {
    if report.len() > MOST {
        let left_out = report.len() - MOST;
        report.splice(MOST / 2..MOST / 2 + left_out, [format!("[{left_out} lines left out]")]);
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Vec<String> {
        let mut failures = Failures::default();
        lines.iter().for_each(|line| failures.read(line));
        failures.lines
    }

    #[test]
    fn reports_of_failed_tests_are_kept_and_nothing_else() {
        let lines = [
            "running 2 tests",
            "test a ... ok",
            "test b ... FAILED",
            "failures:",
            "---- b ----",
            "no b",
            "failures:",
            "    b",
            "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out",
            "test c ... ok",
            "test result: ok. 1 passed; 0 failed",
        ];
        assert_eq!(read(&lines), ["---- b ----", "no b", "failures:", "    b"]);
    }

    #[test]
    fn a_long_report_keeps_its_beginning_and_its_end() {
        let mut lines = vec!["failures:"];
        lines.extend(["first"].into_iter().chain(std::iter::repeat_n("more", 1000)).chain(["last"]));
        lines.push("test result: FAILED. 0 passed; 1 failed");
        let kept = read(&lines);
        assert_eq!((kept.len(), &*kept[0], &*kept[MOST]), (MOST + 1, "first", "last"));
        assert_eq!(kept[MOST / 2], "[882 lines left out]");
    }
}
