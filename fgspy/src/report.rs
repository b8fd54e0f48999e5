//! `fgspy report`: a recording in another format.

use std::fs::File;
use std::io::BufReader;

use fgspy_export::summary;
use fgspy_profile::recording;

use crate::args::report::ReportArgs;
use crate::args::view;
use crate::exit::{Context, Failure};
use crate::output::profile_file::{self, Output, written};
use crate::terminal::message::print_message;

/// Reads a recording and writes it in another format.
pub(crate) fn run(args: &ReportArgs) -> Result<(), Failure> {
    let name = args.recording.display();
    let file = File::open(&args.recording).with_context(|| format!("{name} cannot be opened"))?;
    let mut profile = recording::read(BufReader::new(file)).with_context(|| name.to_string())?;
    let (path, format) = profile_file::choose(args.output.as_deref(), args.format, summary::program(&profile))?;
    view::reroute(&mut profile, &args.view.route);
    let shown = view::view(&profile, &args.filter, &args.view);
    if shown.samples.is_empty() && !profile.samples.is_empty() {
        print_message("Nothing in the recording matches the filter.");
    }
    if let Some(path) = Output::prepare(&path, format)?.write(&shown)? {
        print_message(written(&path, format));
    }
    Ok(())
}
