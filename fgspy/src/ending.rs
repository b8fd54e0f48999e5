//! How a recording ended, in sentences.

use fgspy_sampler::Ended;
use thiserror::Error;

use crate::exit::{ExitStatus, Status};

/// The recording is empty.
#[derive(Debug, Error)]
#[error("nothing was recorded: {0}")]
pub(crate) struct NothingRecorded(&'static str);

impl ExitStatus for NothingRecorded {
    fn status(&self) -> Status {
        Status::NoProcess
    }
}

/// The error for a recording without a sample.
pub(crate) fn nothing(ended: Ended) -> NothingRecorded {
    NothingRecorded(match ended {
        Ended::Duration | Ended::Stopped => "the recording ended before the first tick; record longer, or raise --rate",
        Ended::TargetExited => "the target exited before the first tick",
        Ended::TargetReplaced => "the target replaced its program by another (exec) before the first tick",
        Ended::Denied => "the kernel denied access to the target",
    })
}

/// Why the recording ended before it was asked to, if it did: `the target exited`.
pub(crate) fn early(ended: Ended) -> Option<&'static str> {
    match ended {
        Ended::Duration | Ended::Stopped => None,
        Ended::TargetExited => Some("the target exited"),
        Ended::TargetReplaced => Some("the target replaced its program by another (exec)"),
        Ended::Denied => Some("the kernel denied access to the target"),
    }
}

/// The same as a sentence: `The target exited; this is what was recorded until then.`
pub(crate) fn early_sentence(ended: Ended) -> Option<String> {
    let reason = fgspy_profile::units::capitalised(early(ended)?);
    Some(format!("{reason}; this is what was recorded until then."))
}
