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

/// Fails if a function stands under a route that does not call it, or under none that serves anything.
pub(super) fn every_function_is_under_its_route(profile: &Profile, served: &[&LoggedRequest]) -> Result<Placed> {
    let mut placed = Placed::default();
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
        anyhow::bail!("{function} ({:?}, {} observations) is under {under}: {stack:?}", sample.state, sample.count);
    }
    let share = placed.right_ns as f64 / (placed.right_ns + placed.without_ns).max(1) as f64;
    eprintln!(
        "{} observations in functions of one route, none under another, {:.2} % under it",
        placed.observations,
        100.0 * share
    );
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

/// Each route ran as long as its handlers' threads did, within the error that is said.
pub(super) fn routes_run_as_long_as_their_threads(
    profile: &Profile,
    served: &[&LoggedRequest],
    log: &[LoggedRequest],
    began: i64,
) -> Result<()> {
    let ended = began + profile.duration_ns as i64;
    let mut truth: BTreeMap<&str, f64> = BTreeMap::new();
    for logged in log.iter().filter(|logged| logged.start < ended && logged.end > began) {
        let within =
            (logged.end.min(ended) - logged.start.max(began)) as f64 / (logged.end - logged.start).max(1) as f64;
        let used = logged.spent.get("cpu").copied().unwrap_or(0) as f64;
        *truth.entry(logged.route.as_str()).or_default() += used * within;
    }
    let mut misses = Vec::new();
    for (route, used) in truth.into_iter().filter(|(_, used)| *used > 0.0) {
        // What net/http runs for a request the handler does not count. Where it ran may not have been seen.
        let of_route = |sample: &Sample| {
            let logged = sample.serving.request().and_then(|id| served.get(id.index()));
            sample.state == State::Running
                && logged.is_some_and(|logged| logged.route == route)
                && (owner(profile, sample).is_some() || has_no_place(profile, sample))
        };
        let seen: u64 = profile.samples.iter().filter(|sample| of_route(sample)).map(|sample| sample.time_ns).sum();
        let error = profile.standard_error_ns(&of_route);
        let line = format!(
            "{route}: ran {:.3} ± {:.3} s, in truth {:.3} s",
            seen as f64 / 1e9,
            1.96 * error / 1e9,
            used / 1e9
        );
        eprintln!("{line}");
        if (seen as f64 - used).abs() > 1.96 * error + 0.05 * used {
            misses.push(line);
        }
    }
    ensure!(misses.len() <= 1, "{}", misses.join("; "));
    Ok(())
}
