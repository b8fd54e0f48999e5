//! Something that was looked at, and what was found.

use crate::exit::Failure;

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// It works.
    Ok,
    /// fgspy works without it, but shows less.
    Warn,
    /// fgspy does not work without it. `fgspy record` would end with this exit code.
    Fail(u8),
}

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) mark: Mark,
    /// What it is about, in a word or two.
    pub(super) topic: &'static str,
    /// What was found.
    pub(super) finding: String,
    /// What follows from it for the user.
    pub(super) consequence: Option<String>,
    /// What helps: commands where there are some, the simplest first.
    pub(super) remedies: Vec<String>,
}

impl Check {
    pub(super) fn ok(topic: &'static str, finding: impl Into<String>) -> Check {
        Check { mark: Mark::Ok, topic, finding: finding.into(), consequence: None, remedies: Vec::new() }
    }

    pub(super) fn warn(topic: &'static str, finding: impl Into<String>) -> Check {
        Check { mark: Mark::Warn, ..Check::ok(topic, finding) }
    }

    /// What makes fgspy useless here. The first line of the error is the finding, the others are remedies: so are the
    /// messages of all errors about targets.
    pub(super) fn fail(topic: &'static str, failure: &Failure) -> Check {
        let text = failure.message();
        let mut lines = text.lines().map(str::trim);
        let finding = lines.next().unwrap_or_default();
        let remedies = lines.map(|line| line.strip_prefix("or: ").unwrap_or(line));
        Check { mark: Mark::Fail(failure.status().code()), ..Check::ok(topic, finding) }.fix(remedies)
    }

    pub(super) fn so(mut self, consequence: impl Into<String>) -> Check {
        self.consequence = Some(consequence.into());
        self
    }

    pub(super) fn fix(mut self, remedies: impl IntoIterator<Item = impl Into<String>>) -> Check {
        self.remedies.extend(remedies.into_iter().map(Into::into));
        self
    }
}

/// Several checks under one heading.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) title: String,
    pub(super) checks: Vec<Check>,
}

impl Section {
    /// That of the first check that failed.
    pub(super) fn exit_code(&self) -> Option<u8> {
        self.checks.iter().find_map(|check| match check.mark {
            Mark::Fail(code) => Some(code),
            Mark::Ok | Mark::Warn => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_taken_apart() {
        let error = Failure::from(fgspy_memory::OpenError::Hidden { pid: 7 });
        let check = Check::fail("process", &error);
        assert_eq!(check.mark, Mark::Fail(5));
        assert_eq!(check.finding, "process 7 exists, but /proc hides it (mount option hidepid)");
        let remedies = ["run as root: sudo fgspy ...", "sudo mount -o remount,hidepid=0 /proc"];
        assert_eq!(check.remedies, remedies);
        let section = Section { title: String::new(), checks: vec![Check::warn("a", "b"), check] };
        assert_eq!(section.exit_code(), Some(5));
    }
}
