//! Stacks and the requests that they are shown under are of the same moment.
//!
//! Handlers call functions that belong to one route only ([`OWNERS`]). Such a function under another route, another request
//! of whose log nothing says so, or under an idle connection, is wrong. How long each route runs the service itself knows, by
//! the CPU time of its threads.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use fgspy_profile::{Profile, Sample, Serving, State};

use super::LoggedRequest;

/// Functions of the fixtures, and the routes whose handlers call them (`fixtures/go/requests`, `fixtures/go/grpc`).
const OWNERS: &[(&str, &[&str])] = &[
    ("main.ownBrief", &["/own/brief"]),
    ("main.ownLong", &["/own/long"]),
    ("main.ownNaps", &["/own/naps"]),
    ("main.ownNap", &["/own/naps"]),
    ("main.ownKernel", &["/own/kernel"]),
    ("main.ownDeep", &["/own/deep"]),
    ("main.ownMaps", &["/own/maps"]),
    ("main.file", &["/file", "/fgspy.Shop/File"]),
    ("main.upload", &["/upload"]),
    ("main.upstream", &["/upstream"]),
    ("main.stream", &["/stream"]),
    ("main.mixed", &["/mixed"]),
    ("main.deep", &["/deep"]),
    ("main.forgotten", &["/forgotten"]),
    ("main.hijack", &["/hijack"]),
    ("main.fanOut", &["/fan-out", "/fgspy.Shop/FanOut"]),
    ("main.late", &["/late"]),
    ("main.timeout", &["/timeout"]),
    ("main.timedOut", &["/timed-out"]),
    ("main.lock", &["/lock", "/mixed", "/fgspy.Shop/Lock"]),
    ("main.cpu", &["/cpu", "/mixed", "/fgspy.Shop/Compute"]),
    ("main.watch", &["/fgspy.Shop/Watch"]),
    ("main.chat", &["/fgspy.Shop/Chat"]),
];

/// Time of functions that belong to one route.
#[derive(Debug, Default)]
pub(super) struct Placed {
    pub(super) observations: u64,
    right_ns: u64,
    /// Without a request.
    without_ns: u64,
}

/// Of so many observations, one may be under another request at full speed, where connections go from one request to the next
/// many times between two ticks, and memory is used again at once; one sample is spread over several. (In a loop of these tests
/// 10 of 326,000 were.) Elsewhere none may.
const AT_FULL_SPEED: u64 = 400;

/// Fails if a function stands under a route that does not call it, or under none that serves anything.
pub(super) fn every_function_is_under_its_route(
    profile: &Profile,
    served: &[&LoggedRequest],
    is_at_full_speed: bool,
) -> Result<Placed> {
    let mut placed = Placed::default();
    let mut wrong = Vec::new();
    for sample in &profile.samples {
        let Some((function, owners)) = owner(profile, sample) else { continue };
        placed.observations += sample.count;
        let under = match sample.serving {
            Serving::Request(id) => match served.get(id.index()) {
                Some(logged) if owners.contains(&logged.route.as_str()) => {
                    placed.right_ns += sample.time_ns;
                    continue;
                }
                logged => format!("{logged:?}"),
            },
            Serving::Idle(idle) => format!("{idle:?}"),
            Serving::Nothing | Serving::Unknown => {
                placed.without_ns += sample.time_ns;
                continue;
            }
        };
        let stack: Vec<&str> = profile.frames(sample.stack).map(|frame| frame.name).collect();
        let (state, count) = (sample.state, sample.count);
        wrong.push(format!("{function} ({state:?}, {count} observations) is under {under}: {stack:?}"));
    }
    let share = placed.right_ns as f64 / (placed.right_ns + placed.without_ns).max(1) as f64;
    eprintln!(
        "{} observations in functions of one route, {} under another, {:.2} % under it",
        placed.observations,
        wrong.len(),
        100.0 * share
    );
    let may_be_wrong = if is_at_full_speed { placed.observations.div_ceil(AT_FULL_SPEED) } else { 0 };
    ensure!(wrong.len() as u64 <= may_be_wrong, "{}", wrong.join("\n"));
    Ok(placed)
}

fn has_no_place(profile: &Profile, sample: &Sample) -> bool {
    profile.frames(sample.stack).next().is_some_and(|leaf| leaf.name.starts_with("[running"))
}

fn owner<'a>(profile: &'a Profile, sample: &Sample) -> Option<(&'a str, &'static [&'static str])> {
    let mut names = profile.frames(sample.stack).map(|frame| frame.name);
    names.find_map(|name| {
        let (_, routes) = OWNERS.iter().find(|(function, _)| {
            name.strip_prefix(function).is_some_and(|rest| rest.is_empty() || rest.starts_with(".func"))
        })?;
        Some((name, *routes))
    })
}

/// Routes ran about as long as their handlers' threads did. Bursts that are shorter than a tick are seen too rarely on a machine
/// whose CPUs are busy: a tick that is due in one may come after it.
pub(super) fn routes_run_as_long_as_their_threads(
    profile: &Profile,
    served: &[&LoggedRequest],
    log: &[LoggedRequest],
    began: i64,
) -> Result<()> {
    let ended = began + profile.duration_ns as i64;
    let mut truth: BTreeMap<&str, f64> = BTreeMap::new();
    for logged in log.iter().filter(|logged| logged.start < ended && logged.end > began) {
        let within = (logged.end.min(ended) - logged.start.max(began)) as f64;
        let part = within / (logged.end - logged.start).max(1) as f64;
        let used = logged.spent.get("cpu").copied().unwrap_or(0) as f64;
        *truth.entry(logged.route.as_str()).or_default() += used * part;
    }
    let (mut all, mut all_in_truth) = (0.0, 0.0);
    for (route, used) in truth.into_iter().filter(|(_, used)| *used > 0.0) {
        // What net/http runs for a request the handler does not count. Where it ran may not have been seen.
        let of_route = |sample: &&Sample| {
            let logged = sample.serving.request().and_then(|id| served.get(id.index()));
            sample.state == State::Running
                && logged.is_some_and(|logged| logged.route == route)
                && (owner(profile, sample).is_some() || has_no_place(profile, sample))
        };
        let seen: u64 = profile.samples.iter().filter(of_route).map(|sample| sample.time_ns).sum();
        let error = profile.standard_error_ns(&|sample: &Sample| of_route(&sample));
        eprintln!("{route}: ran {:.3} ± {:.3} s, in truth {:.3} s", seen as f64 / 1e9, 1.96 * error / 1e9, used / 1e9);
        (all, all_in_truth) = (all + seen as f64, all_in_truth + used);
    }
    let line = format!("all ran {:.3} s, in truth {:.3} s", all / 1e9, all_in_truth / 1e9);
    eprintln!("{line}");
    ensure!(all > 0.5 * all_in_truth && all < 1.25 * all_in_truth, "{line}");
    Ok(())
}
