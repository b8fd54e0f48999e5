//! `fgspy report`: a recording in another format.

use std::fs::File;
use std::io::BufReader;

use anyhow::Context;
use fgspy_export::summary;
use fgspy_profile::{apply, recording};

use crate::args::ReportArgs;
use crate::filter;
use crate::output::{self, Output};

/// Reads a recording and writes it in another format.
pub(crate) fn run(args: &ReportArgs) -> anyhow::Result<()> {
    let filter = filter::build(&args.filter)?;
    let name = args.recording.display();
    let file = File::open(&args.recording).with_context(|| format!("{name} cannot be opened"))?;
    let profile =
        recording::read(BufReader::new(file)).with_context(|| format!("{name} is not a recording of fgspy"))?;
    let (path, format) = output::choose(args.output.as_deref(), args.format, summary::program(&profile))?;
    if let Some(path) = Output::prepare(&path, format)?.write(&apply(&profile, &filter))? {
        eprintln!(
            "Wrote {} to {}\n  open it with: {}",
            format.name(),
            path.display(),
            output::how_to_open(&path, format)
        );
    }
    Ok(())
}
