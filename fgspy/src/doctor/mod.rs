//! `fgspy doctor`: what works here, what does not, what follows from it, and the command that fixes it.

mod check;
mod executable;
mod host;
mod machine;
mod process;
mod text;

use std::io::{self, Write};

use fgspy_sampler::Stop;

use crate::args::doctor::DoctorArgs;
use crate::exit::Failure;
use crate::output::error::OutputError;
use crate::terminal::style::Style;
use crate::watchdog;

use check::Section;

/// Prints what was found. Returns the exit code: 0 if everything essential works, else what `fgspy record` would return.
pub(crate) fn run(args: &DoctorArgs) -> Result<u8, Failure> {
    watchdog::watch(Stop::new(), Some(watchdog::ONE_LOOK))?;
    let sections = match (args.pid, &args.binary) {
        (Some(pid), _) => process::examine(pid, &args.runtime),
        (None, Some(path)) => vec![executable::examine_file(path)],
        (None, None) => vec![machine::examine()],
    };
    let mut out = io::stdout().lock();
    let text = text::render(&sections, Style::of_stdout());
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(OutputError::to_stdout)?;
    Ok(sections.iter().find_map(Section::exit_code).unwrap_or(0))
}
