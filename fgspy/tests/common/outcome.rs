//! How a run of fgspy ended, and what it said.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// A run that has ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Outcome {
    /// Checks what holds for every run: it did not panic, and was not killed by a signal that nobody sent.
    pub(crate) fn new(status: ExitStatus, stdout: Vec<u8>, stderr: String) -> Outcome {
        assert!(!stderr.contains("panicked at") && status.code() != Some(101), "{status}\n{stderr}");
        assert_eq!(status.signal(), None, "{stderr}");
        Outcome { status, stdout, stderr }
    }

    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap()
    }

    /// It ended with exit code 0.
    pub(crate) fn succeeded(self) -> Outcome {
        assert_eq!(self.code(), 0, "{}", self.stderr);
        self
    }

    /// It failed with this exit code, wrote nothing to standard output, and said exactly this.
    pub(crate) fn failed(&self, code: i32, words: &str) {
        assert_eq!((self.code(), self.stderr.as_str()), (code, format!("fgspy: {words}\n").as_str()));
        assert!(self.stdout.is_empty());
    }

    /// It said this, among other things.
    pub(crate) fn says(&self, words: &str) {
        assert!(self.stderr.contains(words), "{words:?} is missing in:\n{}", self.stderr);
    }

    pub(crate) fn does_not_say(&self, words: &str) {
        assert!(!self.stderr.contains(words), "{words:?} is in:\n{}", self.stderr);
    }
}
