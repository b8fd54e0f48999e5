//! What a service says of the goroutines that its requests started, and whether a profile agrees.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, bail, ensure};
use fgspy_fixtures::requests::{LoggedRequest, by_goroutine};
use fgspy_profile::{Profile, Request};

/// What became of the time of goroutines that requests of one route started.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    seconds: f64,
    found: f64,
    observations: u64,
}

/// What became of the time of all goroutines that requests started.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    by_route: BTreeMap<String, Share>,
    wrong: Vec<String>,
}

/// Compares a profile with the log of the service.
pub(crate) fn tally(profile: &Profile, log: &[LoggedRequest]) -> Result<Tally> {
    let goroutines = by_goroutine(log);
    let served: Result<Vec<Option<&LoggedRequest>>> =
        profile.requests.iter().map(|request| find(profile, &goroutines, request)).collect();
    let served = served?;
    let mut parents: HashMap<u64, &LoggedRequest> = HashMap::new();
    for logged in log {
        parents.extend(logged.children.iter().map(|child| (child.goroutine, logged)));
    }
    let mut tally = Tally::default();
    for sample in &profile.samples {
        let Some(logged) = parents.get(&sample.goid) else { continue };
        let said =
            sample.serving.request().map(|id| served.get(id.index()).context("a sample of no request")).transpose()?;
        // Which of the requests without a trace it is cannot be told.
        if logged.ids.trace().is_none() || matches!(said, Some(None)) {
            continue;
        }
        let share = tally.by_route.entry(logged.route.clone()).or_default();
        let seconds = sample.time_ns as f64 / 1e9;
        share.seconds += seconds;
        share.observations += sample.count;
        let Some(&Some(said)) = said else { continue };
        if std::ptr::eq(said, *logged) {
            share.found += seconds;
        } else {
            let text = format!(
                "{seconds} s of goroutine {}, which was started by {logged:?}, count for {said:?}",
                sample.goid
            );
            tally.wrong.push(text);
        }
    }
    Ok(tally)
}

/// The request of the log that a request of the profile is; `None` for one that has no trace.
fn find<'a>(
    profile: &Profile,
    goroutines: &HashMap<u64, Vec<&'a LoggedRequest>>,
    request: &Request,
) -> Result<Option<&'a LoggedRequest>> {
    let (path, trace) = (profile.string(request.path), profile.string(request.trace_id).trim_start_matches('0'));
    if trace.is_empty() {
        return Ok(None);
    }
    let is_it = |logged: &&LoggedRequest| {
        logged.path == path && logged.ids.trace().is_some_and(|(id, _)| id.trim_start_matches('0') == trace)
    };
    let mut of_goroutine = goroutines.get(&request.goid).into_iter().flatten().copied();
    of_goroutine
        .find(is_it)
        .map(Some)
        .with_context(|| format!("goroutine {} served no {path} of trace {trace}", request.goid))
}

impl Tally {
    pub(crate) fn print(&self, name: &str) {
        let (mut all, mut found, mut observations) = (0.0, 0.0, 0);
        for (route, share) in &self.by_route {
            eprintln!("{route:22} {:5.1} % of {:.3} s", 100.0 * share.found / share.seconds, share.seconds);
            (all, found, observations) = (all + share.seconds, found + share.found, observations + share.observations);
        }
        let wrong = self.wrong.len();
        eprintln!("{name}: {:.2} % of {all:.3} s, {observations} observations, {wrong} wrong", 100.0 * found / all);
    }

    /// Checks that nothing was given to another's request.
    pub(crate) fn ensure_right(&self) -> Result<()> {
        if let Some(first) = self.wrong.first() {
            bail!("{} are wrong; the first: {first}", self.wrong.len());
        }
        Ok(())
    }

    /// Checks that of the time of what requests of these routes started this part was found.
    pub(crate) fn ensure_found(&self, routes: &[String], part: f64) -> Result<()> {
        let shares = routes.iter().filter_map(|route| self.by_route.get(route));
        let (seconds, found) = shares.fold((0.0, 0.0), |sum, share| (sum.0 + share.seconds, sum.1 + share.found));
        ensure!(seconds > 1.0, "{seconds} s are too little to tell");
        ensure!(found >= part * seconds, "only {:.2} % were found", 100.0 * found / seconds);
        Ok(())
    }
}
