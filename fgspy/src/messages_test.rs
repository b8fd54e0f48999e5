//! The messages and exit codes of failures.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use fgspy_goroutines::TargetError;
use fgspy_memory::{Denial, OpenError, ReadError};
use fgspy_sampler::Ended;

use crate::ending;
use crate::exit::Failure;
use crate::output::error::OutputError;
use crate::output::profile_file::{ChoiceError, RescueError};
use crate::trace::probe_check::{NotHit, SlowProbes};

fn full() -> io::Error {
    io::Error::from_raw_os_error(28)
}

#[test]
fn failures() {
    let path = || PathBuf::from("out/x.svg");
    let failed = || OutputError::Failed { path: path(), source: full() };
    let denied = OpenError::PermissionDenied { pid: 7, owner: 0, ours: 1000, reason: Denial::OtherUser };
    let not_go = TargetError::NotGo { pid: 7, path: "/bin/sh".to_owned(), source: fgspy_gobin::Error::NotGo };
    let not_found = io::Error::from(io::ErrorKind::NotFound);
    let saved = RescueError::Saved { failed: failed(), saved: "/tmp/fgspy-7-x.fgspy".into() };
    let lost = RescueError::Lost { failed: failed(), tried: vec!["\n  /tmp/x.fgspy: full".to_owned()] };
    let (traced, used) = (Duration::from_secs(3), Duration::from_millis(2900));
    let no_code = NotHit::NotThere { pid: 7, exe: "/srv/app".into(), unset: 2, all: 5 };
    let too_large = fgspy_probes::filter::filter(Some("("), None, None).unwrap_err();
    let failures: Vec<Failure> = vec![
        OpenError::NoSuchProcess { pid: 7 }.into(),
        OpenError::Exited { pid: 7 }.into(),
        OpenError::KernelThread { pid: 7 }.into(),
        OpenError::Hidden { pid: 7 }.into(),
        denied.into(),
        not_go.into(),
        ReadError::TargetGone.into(),
        ending::nothing(Ended::Duration).into(),
        ending::nothing(Ended::TargetExited).into(),
        ending::nothing(Ended::TargetReplaced).into(),
        ending::nothing(Ended::Denied).into(),
        ChoiceError::Stdout.into(),
        ChoiceError::Ending { path: "x.png".into() }.into(),
        OutputError::Unwritable { path: "/".into(), cause: io::ErrorKind::IsADirectory.into() }.into(),
        Failure::from(OutputError::Unwritable { path: "/no/such/x.svg".into(), cause: not_found })
            .context("nothing was recorded"),
        failed().into(),
        OutputError::to_stdout(full()).into(),
        saved.into(),
        lost.into(),
        SlowProbes("runtime.casgstatus".to_owned()).into(),
        no_code.into(),
        NotHit::Never { traced, used, there: true }.into(),
        NotHit::Never { traced, used, there: false }.into(),
        Failure::from(too_large).context("the selection of requests is invalid"),
    ];
    let lines = failures.iter().map(|failure| format!("{}  {}\n", failure.status().code(), failure.message()));
    insta::assert_snapshot!("failures", lines.collect::<String>());
}
