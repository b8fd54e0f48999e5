//! The closing words of a recording: what it is, how well it went, where it is, how to open it.

use std::fmt::Write;
use std::path::Path;

use fgspy_export::{Format, summary};
use fgspy_profile::{Class, Profile};
use fgspy_sampler::Ended;

use crate::output::how_to_open;

/// What to say after a recording.
pub(crate) fn closing(profile: &Profile, ended: Ended, written: Option<(&Path, Format)>) -> String {
    let mut text = String::new();
    match ended {
        Ended::Duration | Ended::Stopped => {}
        Ended::TargetExited => text += "The target exited; this is what was recorded until then.\n",
        Ended::TargetReplaced => {
            text += "The target replaced its program by another (exec); this is what was recorded until then.\n";
        }
        Ended::Denied => {
            text += "The kernel stopped letting us read the target; this is what was recorded until then.\n"
        }
    }
    let accounting = &profile.accounting;
    let seconds = profile.duration_ns as f64 / 1e9;
    let total = profile.total_time();
    let observations = accounting.accepted + accounting.changed + accounting.broken + accounting.unmapped;
    let _ = writeln!(
        text,
        "{observations} samples of {} goroutines stand for {} of goroutine time in {} ({} goroutines on average).",
        profile.goroutines(),
        summary::time(total),
        summary::time(profile.duration_ns),
        summary::average(profile.average_goroutines()),
    );
    let _ = writeln!(text, "  {}", shares(profile));
    let _ = writeln!(
        text,
        "  {:.1} ticks a second of {} asked for, {} late; {} of the samples rejected ({} moved while read, {} broken, {} \
         unreadable); fgspy used {} of a core.",
        accounting.ticks as f64 / seconds.max(1e-9),
        accounting.rate_hz,
        accounting.late_ticks,
        summary::percent(observations - accounting.accepted, observations),
        accounting.changed,
        accounting.broken,
        accounting.unmapped,
        summary::percent(accounting.own_cpu_ns, profile.duration_ns),
    );
    if accounting.late_ticks * 10 > accounting.ticks {
        let _ = writeln!(
            text,
            "  More than a tenth of the ticks came late: the machine is busy, or there are more goroutines than can be \
             read {} times a second here.\n  Times still add up, but details are coarser. A lower --rate helps.",
            accounting.rate_hz
        );
    }
    for remark in &accounting.remarks {
        let _ = writeln!(text, "  Note: {remark}");
    }
    if let Some((path, format)) = written {
        let _ = writeln!(
            text,
            "Wrote {} to {}\n  open it with: {}",
            format.name(),
            path.display(),
            how_to_open(path, format)
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
            let share = summary::percent(*time, total);
            match 100.0 * error / total as f64 {
                points if points < 0.05 => format!("{} {share}", class.word()),
                points => format!("{} {share} ±{points:.1}", class.word()),
            }
        })
        .collect();
    parts.join(" · ")
}
