//! The summary after a recording: what was recorded, how well that went, and the file.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use fgspy_export::{Format, summary};
use fgspy_profile::{Class, Profile, units};
use fgspy_sampler::Ended;

use crate::ending;
use crate::output::profile_file::written;

/// What to say after a recording: `whole` is all of it, `shown` the part that the filter keeps.
pub(crate) fn closing(whole: &Profile, shown: &Profile, ended: Ended, file: Option<(&Path, Format)>) -> String {
    let mut text = String::new();
    if let Some(sentence) = ending::early_sentence(ended) {
        let _ = writeln!(text, "{sentence}");
    }
    if shown.samples.is_empty() {
        text += &nothing_left(whole);
    } else {
        text += &extent(shown);
    }
    text += &quality(shown);
    for remark in &shown.accounting.remarks {
        let _ = writeln!(text, "  Note: {remark}");
    }
    if let Some((path, format)) = file {
        text += &written(path, format);
    }
    text.truncate(text.trim_end().len());
    text
}

/// How much a profile holds, and of what.
fn extent(profile: &Profile) -> String {
    format!(
        "{} samples of {} goroutines stand for {} of goroutine time in {} ({} goroutines on average).\n  {}\n{}",
        profile.samples.iter().map(|sample| sample.count).sum::<u64>(),
        profile.goroutines(),
        units::time(profile.total_time()),
        units::time(profile.duration_ns),
        units::average(profile.average_goroutines()),
        shares(profile),
        requests(profile),
    )
}

/// What is known of requests, and what the time of each route is made of.
fn requests(profile: &Profile) -> String {
    let Some(line) = summary::requests(profile) else { return String::new() };
    let routes = summary::routes(profile).into_iter().map(|route| format!("    {route}\n"));
    format!("  {}.\n{}", units::capitalised(&line), routes.collect::<String>())
}

/// How many routes to name, those with the most time.
const MAX_ROUTES: usize = 20;

/// The message if the filter kept nothing: it lists what there is, so that a mistyped word can be corrected.
fn nothing_left(whole: &Profile) -> String {
    let reasons: BTreeSet<&str> = whole.samples.iter().map(|sample| whole.wait_reason(sample)).collect();
    let reasons: Vec<&str> = reasons.into_iter().filter(|reason| !reason.is_empty()).collect();
    let mut text = format!(
        "Nothing that was recorded matches the filter. All of it:\n{}  wait reasons: {}\n",
        extent(whole),
        reasons.join(", ")
    );
    let routes = whole.by_route();
    let names: Vec<&str> = routes.iter().take(MAX_ROUTES).map(|route| whole.string(route.route)).collect();
    if !names.is_empty() {
        let more = if routes.len() > MAX_ROUTES { ", …" } else { "" };
        let _ = writeln!(text, "  routes: {}{more}", names.join(", "));
    }
    text
}

/// How well the recording went.
fn quality(profile: &Profile) -> String {
    let accounting = &profile.accounting;
    let seconds = profile.duration_ns as f64 / 1e9;
    let (rejected, observations) = (accounting.rejected(), accounting.observations());
    let (steady_ns, first_look) = match accounting.max_cpu {
        // What the budget is about; the first look is not.
        Some(_) => (
            accounting.own_cpu_ns.saturating_sub(accounting.first_look_ns),
            format!(", and {} to read everything once at the start", units::time(accounting.first_look_ns)),
        ),
        None => (accounting.own_cpu_ns, String::new()),
    };
    let mut text = format!(
        "  {:.1} ticks a second of {} asked for, {} late; {} of the stacks read were rejected ({} changed while read, {} torn, {} broken, {} unreadable).\n  {}; fgspy used {} of a core{}.\n",
        accounting.ticks as f64 / seconds.max(1e-9),
        accounting.rate_hz,
        accounting.late_ticks,
        units::percent(rejected, observations),
        accounting.changed,
        accounting.torn,
        accounting.broken,
        accounting.unmapped,
        units::capitalised(&summary::reading(accounting)),
        units::percent(steady_ns, profile.duration_ns),
        first_look,
    );
    if let Some(excess) = summary::over_budget(profile) {
        let _ = writeln!(text, "  {excess}");
    }
    if accounting.late_ticks * 10 > accounting.ticks {
        let _ = writeln!(
            text,
            "  More than a tenth of the ticks came late: the machine is busy, or a tick reads too much for {} ticks a \
             second.\n  Times still add up, but with less detail. A lower --rate or --max-cpu helps.",
            accounting.rate_hz
        );
    }
    text
}

/// Where the time went, in one line: the classes with the most of it, with half the width of the 95 % interval where it
/// can be seen at this precision.
fn shares(profile: &Profile) -> String {
    let total = profile.total_time();
    let mut classes: Vec<(Class, u64, f64)> = profile
        .by_class()
        .into_iter()
        .zip(profile.class_errors())
        .map(|((class, time), (_, error))| (class, time, error))
        .filter(|(_, time, _)| *time > 0)
        .collect();
    classes.sort_by_key(|&(_, time, _)| std::cmp::Reverse(time));
    let parts: Vec<String> = classes
        .iter()
        .map(|(class, time, error)| {
            let share = units::percent(*time, total);
            match 100.0 * error / total as f64 {
                points if points < 0.05 => format!("{} {share}", class.word()),
                points => format!("{} {share} ±{points:.1}", class.word()),
            }
        })
        .collect();
    parts.join(" · ")
}
