//! `fgspy requests`: where requests spend their time, by route and one by one.

mod findings;
mod json;
pub(crate) mod live_view;
mod notes;
mod tally;
pub(crate) mod telling;
mod text;
mod timeline;

#[cfg(test)]
mod tests;

use fgspy_memory::Process;
use fgspy_profile::Profile;
use fgspy_sampler::{Ended, GoProcess, Options, record_profile};

use crate::args::requests::RequestsArgs;
use crate::args::view::reroute;
use crate::output::report_file::Place;
use crate::terminal::{screen, style::Style};
use crate::{record, signals};
use findings::{Findings, Places};
use live_view::LiveView;

/// Routes and requests listed where nobody says otherwise.
const LISTED: usize = 10;
/// Requests in JSON where nobody says otherwise.
const LISTED_AS_JSON: usize = 100;
/// The width of a report that is not for a terminal, and the least and the greatest of one that is.
const COLUMNS: usize = 100;
const MIN_COLUMNS: usize = 40;
const MAX_COLUMNS: usize = 160;

/// Watches the requests of a process, and reports.
pub(crate) fn run(args: &RequestsArgs) -> anyhow::Result<()> {
    let requests = signals::requests()?;
    let process = Process::open(args.pid)?;
    let place = Place::prepare(args.output.as_deref())?;
    let target = GoProcess::attach(process)?;
    let options = Options {
        rate_hz: args.rate,
        duration: args.duration,
        requests: Some(args.choice.options()),
        ..args.limits.options()
    };
    let style = Style::of_stdout();
    let mut view = LiveView::new(args, live_view::title(&target.describe()), args.limit.unwrap_or(usize::MAX), style);
    let (mut profile, ended) =
        record_profile(target, options, &requests.stop, &mut |progress, live| view.update(progress, live));
    drop(view);
    if profile.samples.is_empty() {
        return Err(record::nothing(ended).into());
    }
    reroute(&mut profile, &args.choice.naming);
    write(args, &place, &profile, ended, style)
}

fn write(args: &RequestsArgs, place: &Place, profile: &Profile, ended: Ended, style: Style) -> anyhow::Result<()> {
    let places = if args.json { Places::Stacks } else { Places::Lines };
    let found = Findings::new(profile, &args.choice, args.sort, places);
    if args.json {
        let routes = args.limit.unwrap_or(usize::MAX);
        let requests = args.limit.unwrap_or(LISTED_AS_JSON);
        return Ok(place.write(|out| json::write(&found, ended, routes, requests, out))?);
    }
    let (columns, style) = match place.is_stdout() && screen::is_terminal() {
        true => (screen::size().0.clamp(MIN_COLUMNS, MAX_COLUMNS), style),
        false => (COLUMNS, Style::PLAIN),
    };
    let lines = text::lines(&found, ended, args.limit.unwrap_or(LISTED), columns, style);
    Ok(place.write(|out| lines.iter().try_for_each(|line| writeln!(out, "{line}")))?)
}
