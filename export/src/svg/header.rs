//! What stands above and below the boxes: what this is, how to read it, the legend, and what the user has to know.

use std::fmt::Write;

use fgspy_profile::{Profile, units};

use super::boxes::Boxes;
use super::measures::{LEGEND_TOP, MARGIN};
use crate::summary;
use crate::text::xml;

/// Title and lead: two lines above the legend.
pub(super) fn title(profile: &Profile, title: Option<&str>) -> String {
    let target = &profile.target;
    let facts = format!("pid {} · {} · recorded {}", target.pid, target.go_version, summary::start(profile));
    let total = profile.total_time();
    let goroutines = profile.average_goroutines();
    let mut lead = format!("{} of goroutine time.", units::time(total));
    if profile.duration_ns > 0 {
        lead = format!(
            "Wall-clock time of {}: {} goroutines on average, together {lead}",
            units::time(profile.duration_ns),
            units::average(goroutines),
        );
    }
    let mut more = String::new();
    if (1..=total).contains(&profile.duration_ns) {
        let one = xml(&units::percent(profile.duration_ns, total));
        more = format!(" One goroutine that was there all the time is {one} of the width.");
    }
    format!(
        "<text class=\"title\" x=\"{MARGIN}\" y=\"32\">{}<tspan class=\"lead muted facts\" dx=\"12\" font-weight=\"400\">{}</tspan></text>\n\
         <text class=\"lead\" x=\"{MARGIN}\" y=\"55\">{}<tspan class=\"more\">{more}</tspan></text>\n",
        xml(title.unwrap_or(summary::program(profile))),
        xml(&facts),
        xml(&lead),
    )
}

/// The legend, in the order in which the classes stand in the first row of boxes, as rows of chips within `width`; and
/// where it ends.
pub(super) fn legend(profile: &Profile, width: f64) -> Result<(String, f64), std::fmt::Error> {
    let total = profile.total_time();
    let errors = profile.class_errors();
    let mut out = String::from("<g id=\"legend\">\n");
    let (mut x, mut y) = (MARGIN, LEGEND_TOP);
    for (class, time) in profile.by_class().into_iter().filter(|&(_, time)| time > 0) {
        let (share, span) = (xml(&units::percent(time, total)), units::time(time));
        // The script measures and places the chips anew; this is the estimate for where none runs.
        let room = 34.0 + 7.0 * (class.word().len() + share.len() + span.len() + 2) as f64;
        if x + room > width && x > MARGIN {
            (x, y) = (MARGIN, y + 24.0);
        }
        let n = class.index();
        let error = errors.get(n).map_or(0.0, |&(_, error)| error);
        let error = xml(&units::percent(error as u64, total));
        writeln!(
            out,
            "<g class=\"chip\" data-class=\"{n}\" transform=\"translate({x:.0} {y:.0})\"><title>{}: {}. {share} ± {error} of the time, with a confidence of 95%.</title>\
             <rect class=\"hit\" width=\"{room:.0}\" height=\"22\" rx=\"5\"/>\
             <rect class=\"a{n}\" x=\"6\" y=\"4\" width=\"14\" height=\"14\" rx=\"3\"/>\
             <text x=\"26\" y=\"15\"><tspan class=\"word\">{}</tspan> {share} <tspan class=\"muted\">{span}</tspan></text></g>",
            class.word(),
            xml(class.meaning()),
            class.word(),
        )?;
        x += room;
    }
    out.push_str("</g>\n");
    Ok((out, y + 24.0))
}

/// How remarks begin that are no warnings: of some requests it is always unknown which they were.
const NO_ALARM: &str = "requests: ";

/// What is known of requests and the remarks of the recording, below the legend; and how high they are.
pub(super) fn remarks(profile: &Profile) -> Result<(String, f64), std::fmt::Error> {
    let mut out = String::new();
    let mut y = 0.0;
    if let Some(requests) = summary::requests(profile) {
        y += 18.0;
        writeln!(
            out,
            "<text class=\"lead\" x=\"{MARGIN}\" y=\"{}\">{}</text>",
            y - 4.0,
            xml(&units::capitalised(&requests))
        )?;
    }
    for remark in &profile.accounting.remarks {
        y += 18.0;
        let class = if remark.starts_with(NO_ALARM) { "lead" } else { "remark" };
        writeln!(out, "<text class=\"{class}\" x=\"{MARGIN}\" y=\"{}\">Note: {}</text>", y - 4.0, xml(remark))?;
    }
    Ok((out, y))
}

/// How the profile came about, below the boxes; and how high that is.
pub(super) fn foot(profile: &Profile, boxes: &Boxes) -> Result<(String, f64), std::fmt::Error> {
    let mut lines = Vec::new();
    if boxes.left_out > 0 {
        lines.push(format!(
            "{} boxes are too narrow to be shown even when zoomed in; stacks that end in them stand for {}, {} of all",
            boxes.left_out,
            units::time(boxes.left_out_time),
            units::percent(boxes.left_out_time, boxes.total),
        ));
    }
    let told = |line: &String| line.starts_with("remark: ") || Some(line) == summary::requests(profile).as_ref();
    lines.extend(summary::lines(profile).into_iter().filter(|line| !told(line)));
    let mut out = String::new();
    let mut y = 0.0;
    for line in lines {
        y += 15.0;
        writeln!(out, "<text class=\"foot\" x=\"{MARGIN}\" y=\"{y}\">{}</text>", xml(&line))?;
    }
    Ok((out, y))
}
