//! `fgspy requests`: where requests spend their time, by route and one by one.

mod json;
mod live_view;
mod notes;
mod text;
mod timeline;

#[cfg(test)]
mod tests;

use fgspy_memory::Process;
use fgspy_profile::{Profile, RequestFindings, StackGrouping};
use fgspy_sampler::{Ended, Options, record_profile};

use crate::args::requests::RequestsArgs;
use crate::args::view::reroute;
use crate::exit::Failure;
use crate::output::destination::Destination;
use crate::terminal::style::Style;
use crate::terminal::{numbers, screen};
use crate::{ending, signals, watchdog};
use live_view::LiveView;

/// Routes and requests that a report lists unless `--limit` says otherwise.
const LISTED: usize = 10;
/// Requests that the JSON has unless `--limit` says otherwise.
const LISTED_AS_JSON: usize = 100;

/// Watches the requests of a process, and reports.
pub(crate) fn run(args: &RequestsArgs) -> Result<(), Failure> {
    let signals = signals::catch()?;
    watchdog::watch(signals.stop.clone(), args.duration)?;
    let process = Process::open(args.pid)?;
    let destination = Destination::prepare(args.output.as_deref())?;
    let target = args.runtime.attach(process)?;
    let options = Options {
        rate_hz: args.rate,
        duration: args.duration,
        requests: Some(args.selection.options()),
        ..args.limits.options()
    };
    let title = numbers::process(&fgspy_sampler::describe(&target));
    let mut view = LiveView::new(args, title, args.limit.unwrap_or(usize::MAX), Style::of_stdout());
    let (mut profile, ended) =
        record_profile(target, options, &signals.stop, &mut |progress, live| view.update(progress, live));
    drop(view);
    if profile.samples.is_empty() {
        return Err(ending::nothing(ended).into());
    }
    reroute(&mut profile, &args.selection.naming);
    if destination.may_wait() {
        signals.may_wait();
    }
    write(args, &destination, &profile, ended)
}

fn write(args: &RequestsArgs, destination: &Destination, profile: &Profile, ended: Ended) -> Result<(), Failure> {
    let grouping = if args.json { StackGrouping::Exact } else { StackGrouping::ByLine };
    let found = RequestFindings::new(profile, &args.selection.selection(), args.sort.into(), grouping);
    if args.json {
        let routes = args.limit.unwrap_or(usize::MAX);
        let requests = args.limit.unwrap_or(LISTED_AS_JSON);
        return Ok(destination.write(|out| json::write(&found, ended, routes, requests, out))?);
    }
    let (columns, style) = screen::report_format(destination.is_stdout());
    let lines = text::lines(&found, ended, args.limit.unwrap_or(LISTED), columns, style);
    Ok(destination.write(|out| lines.iter().try_for_each(|line| writeln!(out, "{line}")))?)
}
