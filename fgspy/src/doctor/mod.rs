//! `fgspy doctor`: what works here, what does not, what follows from it, and the command that fixes it.

mod check;
mod executable;
mod host;
mod machine;
mod process;
mod text;

use std::io::{self, IsTerminal, Write};

use crate::args::DoctorArgs;
use crate::output::profile_file::OutputError;

use check::Section;

/// Prints what was found. Returns the exit code: 0 if everything essential works, else what `fgspy record` would return.
pub(crate) fn run(args: &DoctorArgs) -> anyhow::Result<u8> {
    let sections = match (args.pid, &args.binary) {
        (Some(pid), _) => process::examine(pid),
        (None, Some(path)) => vec![executable::examine_file(path)],
        (None, None) => vec![machine::examine()],
    };
    let mut out = io::stdout().lock();
    let text = text::render(&sections, in_colour());
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(OutputError::to_stdout)?;
    Ok(sections.iter().find_map(Section::exit_code).unwrap_or(0))
}

/// Colours are for terminals, and not for everybody (<https://no-color.org>).
fn in_colour() -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    io::stdout().is_terminal() && set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}
