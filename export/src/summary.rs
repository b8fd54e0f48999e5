//! How a recording came about and how well it went, in sentences.

use std::time::{Duration, UNIX_EPOCH};

use fgspy_profile::units::{average, percent, time};
use fgspy_profile::{Accounting, Phase, PhaseTime, Profile, RouteBreakdown};

/// The name of the executable without its folders; `?` if it has none.
pub fn program(profile: &Profile) -> &str {
    match profile.target.executable.rsplit('/').next() {
        None | Some("") => "?",
        Some(name) => name,
    }
}

/// How the profile came about: what was profiled and when, how well it went, and everything the user has to know.
///
/// Few lines, because `go tool pprof` puts them above every report.
pub fn lines(profile: &Profile) -> Vec<String> {
    let (target, how) = (&profile.target, &profile.accounting);
    let total = profile.total_time();
    let seconds = profile.duration_ns as f64 / 1e9;
    let achieved = if seconds > 0.0 { how.ticks as f64 / seconds } else { 0.0 };
    let mut stand_for = format!("the samples stand for {}", time(total));
    if how.expected_ns > 0 {
        stand_for += &format!(", {} of what there should be", percent(total, how.expected_ns));
    }
    let mut lines = vec![
        format!(
            "fgspy {}: {} of pid {} ({}, {} {}) from {}",
            env!("CARGO_PKG_VERSION"),
            time(profile.duration_ns),
            target.pid,
            target.executable,
            target.go_version,
            target.arch,
            start(profile),
        ),
        format!(
            "{} goroutines, {} on average; {stand_for}",
            profile.goroutines(),
            average(profile.average_goroutines())
        ),
    ];
    // What was traced has no ticks.
    if how.ticks > 0 || how.rate_hz > 0.0 {
        lines.extend(sampling(how, total, achieved));
    }
    if let Some(line) = requests(profile) {
        let routes = routes(profile).into_iter().map(|route| format!("route {route}"));
        lines.splice(2..2, std::iter::once(line).chain(routes));
    }
    lines.extend(how.remarks.iter().map(|remark| format!("remark: {remark}")));
    lines
}

/// How sampling went.
fn sampling(how: &Accounting, total: u64, achieved: f64) -> [String; 2] {
    [
        format!(
            "{} ticks a second of {}, {} late; {} observations, {} more moved while they were read, {} have a torn stack, \
             {} a broken one, {} were unreadable; {} on-CPU samples, {} more lost",
            number(achieved),
            number(how.rate_hz),
            how.late_ticks,
            how.accepted,
            how.changed,
            how.torn,
            how.broken,
            how.unmapped,
            how.cpu_samples,
            how.cpu_samples_lost,
        ),
        format!(
            "place inferred for {} of the time, unknown for {}; {}; fgspy used {} of CPU time",
            percent(how.spread_ns, total),
            percent(how.unplaced_ns, total),
            reading(how),
            time(how.own_cpu_ns),
        ),
    ]
}

/// What is known of requests, in a line: `requests: 1234 seen on 7 routes; …`. Nothing if nobody looked for any, or the
/// program is no server.
pub fn requests(profile: &Profile) -> Option<String> {
    let totals = profile.serving_totals().filter(|totals| totals.request_ns > 0 || totals.idle_ns > 0)?;
    let share = |time| percent(time, profile.total_time());
    let seen = match (totals.requests, totals.routes) {
        (0, _) => "none was seen".to_owned(),
        (requests, 1) => format!("{requests} seen on 1 route"),
        (requests, routes) => format!("{requests} seen on {routes} routes"),
    };
    Some(format!(
        "requests: {seen}; {} of goroutine time in requests, {} idle connections and workers, {} unknown",
        share(totals.request_ns),
        share(totals.idle_ns),
        share(totals.unknown_ns),
    ))
}

/// Routes that have a line of their own, those with the most time.
const MAX_ROUTES: usize = 5;
/// What a route spends less of its time on than this is left out.
const LEAST_SHARE: f64 = 0.005;

/// What the time of the requests of each route is made of, and how sure that is, for the routes with the most of it:
/// `GET /orders/{id}: 0.67 in flight; lock 64.2% ±7.9 · network 29.9% ±7.6`. The errors are half the width of 95 % intervals.
pub fn routes(profile: &Profile) -> Vec<String> {
    let mut routes = profile.route_breakdowns(&profile.request_breakdowns());
    routes.retain(|route| route.own.time_ns > 0);
    routes.sort_by_key(|route| std::cmp::Reverse(route.own.time_ns));
    let line = |route: &RouteBreakdown| {
        let name = match profile.string(route.route) {
            "" => "[route not read]".to_owned(),
            name => one_line(name),
        };
        let in_flight = average(route.in_flight(profile.duration_ns));
        let mut phases: Vec<(Phase, PhaseTime)> = Phase::ALL.into_iter().zip(route.own.phases).collect();
        phases.retain(|(_, time)| time.share >= LEAST_SHARE);
        phases.sort_by_key(|(_, time)| std::cmp::Reverse(time.time_ns));
        let share = |(phase, time): &(Phase, PhaseTime)| {
            let points = 100.0 * (time.high - time.share).max(time.share - time.low);
            let error = if points < 0.05 { String::new() } else { format!(" ±{points:.1}") };
            format!("{} {}{error}", phase.word(), percent(time.time_ns, route.own.time_ns))
        };
        format!("{name}: {in_flight} in flight; {}", phases.iter().map(share).collect::<Vec<_>>().join(" · "))
    };
    routes.iter().take(MAX_ROUTES).map(line).collect()
}

/// A name from the target, without what could begin a line.
fn one_line(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// So many times what is allowed is too much to be an accident.
const OVER_BUDGET: f64 = 1.25;

/// How much was read of what there was: `every goroutine was read at every tick`.
pub fn reading(how: &Accounting) -> String {
    let reads = how.observations();
    if reads >= how.goroutine_ticks {
        return "every goroutine was read at every tick".to_owned();
    }
    let share = percent(reads, how.goroutine_ticks);
    match how.max_cpu {
        Some(max) => {
            format!("{share} of the goroutines were read at a tick, because of --max-cpu {}%", number(max * 100.0))
        }
        None => format!("{share} of the goroutines were read at a tick"),
    }
}

/// What to say if more was used than `--max-cpu` allows, and what helps: the least that a tick takes is taken whatever it is.
pub fn over_budget(profile: &Profile) -> Option<String> {
    let how = &profile.accounting;
    // A second's worth may be used at once.
    let allowed_ns = how.max_cpu? * (profile.duration_ns as f64 + 1e9);
    let used_ns = how.own_cpu_ns.saturating_sub(how.first_look_ns);
    let excess = used_ns as f64 / allowed_ns;
    if excess <= OVER_BUDGET {
        return None;
    }
    let rate = (how.rate_hz / excess).floor().max(1.0);
    Some(format!(
        "More than --max-cpu allows: a tick takes {} here, however little is read. --rate {rate} would fit.",
        time(used_ns / how.ticks.max(1)),
    ))
}

/// When the recording began: `2026-09-21T14:13:20Z`.
pub fn start(profile: &Profile) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_nanos(profile.start_unix_ns)).to_string()
}

/// A rate, without digits that say nothing.
fn number(value: f64) -> String {
    let rounded = (value * 10.0).round() / 10.0;
    format!("{rounded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_budget_is_said_with_the_rate_that_fits() {
        let profile = |max_cpu, own_cpu_ns| {
            let accounting = Accounting {
                rate_hz: 99.0,
                ticks: 990,
                max_cpu,
                own_cpu_ns,
                first_look_ns: 5_000_000,
                ..Accounting::default()
            };
            over_budget(&Profile { duration_ns: 10_000_000_000, accounting, ..Profile::default() })
        };
        // 10 s and the second that may be used at once, at 1 %, and a quarter more.
        assert_eq!(profile(Some(0.01), 142_000_000), None);
        assert_eq!(profile(None, 9_000_000_000), None);
        let said = "More than --max-cpu allows: a tick takes 400 µs here, however little is read. --rate 27 would fit.";
        assert_eq!(profile(Some(0.01), 401_000_000).as_deref(), Some(said));
        assert!(profile(Some(1e-6), 401_000_000).unwrap().ends_with("--rate 1 would fit."));
    }
}
