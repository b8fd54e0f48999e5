//! A recording gives each moment to the right request.
//!
//! A service under load logs which goroutine served which request when, and which goroutines that started. Each request of
//! a profile must be one of these, each of its samples a goroutine's that worked for it, each piece of its time line within
//! the time that it took; and the times of all requests of a route must add up to what the service measured itself.

mod places;

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use fgspy_fixtures::requests::{Load, LoggedRequest, Service, by_goroutine};
use fgspy_fixtures::{Toolchain, Variant, build, toolchains};
use fgspy_goroutines::GoProcess;
use fgspy_perf::monotonic_ns;
use fgspy_profile::{Known, Phase, Profile, Request, Sample, Serving, Sighting};
use fgspy_sampler::{Ended, Options, Reading, Stop, record_profile};
use libtest_mimic::{Arguments, Failed, Trial};

/// Long enough for some hundred requests of each route.
const LENGTH: Duration = Duration::from_secs(4);
/// A moment is known to about two ticks.
const TWO_TICKS: i64 = 2 * 10_101_011;

/// What is to be shown with one version of Go.
type Test = Box<dyn FnOnce(&Toolchain) -> Result<()> + Send>;

fn main() {
    let arguments = Arguments::from_args();
    let toolchains = toolchains::required().expect("the required toolchains can be had");
    let ends = [toolchains.first().cloned(), toolchains.last().cloned()];
    // Not a budget: how much that leaves to read depends on the machine.
    let readings = [("everything", Reading::Everything), ("lots", Reading::Share { probability: 0.05 })];
    let trials = ends.into_iter().flatten().flat_map(|toolchain| {
        let trial = |name: &str, test: Test| {
            let toolchain = toolchain.clone();
            let name = format!("{name}::{}", toolchain.version);
            Trial::test(name, move || test(&toolchain).map_err(|error| Failed::from(format!("{error:#}"))))
        };
        let at_full_speed = readings.map(|(name, reading)| {
            trial(name, Box::new(move |toolchain| times_are_those_of_the_requests(toolchain, reading)))
        });
        let places = [("everything", Reading::Everything), ("a-budget", Reading::Budget { max_cpu: 0.01 })];
        let places = places.map(|(name, reading)| {
            let test = move |toolchain: &Toolchain| stacks_are_under_their_requests(toolchain, reading);
            trial(&format!("places-{name}"), Box::new(test))
        });
        let others = [
            trial("calm", Box::new(nearly_all_is_known)),
            trial("intervals", Box::new(intervals_have_the_truth)),
            trial("late", Box::new(late_ticks_make_no_slow_requests)),
        ];
        let others = others.into_iter().chain(places);
        at_full_speed.into_iter().chain(others).collect::<Vec<_>>()
    });
    // One after the other: each wants the processors for itself.
    libtest_mimic::run(&Arguments { test_threads: Some(1), ..arguments }, trials.collect()).exit();
}

/// A recording of a service under load, and what the service says.
fn recorded(
    toolchain: &Toolchain,
    reading: Reading,
    serve: &[&str],
    load: &[&str],
    after_tick: &mut dyn FnMut(),
) -> Result<(Profile, Vec<LoggedRequest>, i64)> {
    let mut service = Service::start(&build("requests", toolchain, Variant::Stripped)?, serve, &[])?;
    let client = build("requests", &toolchains::newest()?, Variant::Plain)?;
    let mut load = Load::start(&client, &service.addresses, load)?;
    let target = GoProcess::open(service.fixture.pid())?;
    let options = Options { duration: Some(LENGTH), reading, ..Options::default() };
    let (profile, ended) = record_profile(target, options, &Stop::new(), &mut |_, _| after_tick());
    ensure!(ended == Ended::Duration, "the recording ended by {ended:?}");
    load.must_run()?;
    load.end()?;
    let log = service.log()?;
    let began = began(&profile)?;
    let truth = Truth::new(&log);
    let served = truth.served(&profile, began)?;
    every_sample_is_its_request_s(&profile, &served)?;
    places::every_function_is_under_its_route(&profile, &served, true)?;
    no_secret_is_kept(&profile)?;
    Ok((profile, log, began))
}

/// Of nearly all time of goroutines that serve requests it is known of which, where the machine has time to look.
fn nearly_all_is_known(toolchain: &Toolchain) -> Result<()> {
    let load = ["-clients=8", "-rate=10"];
    let (profile, log, _) = recorded(toolchain, Reading::Everything, &["-delay=20ms"], &load, &mut || {})?;
    for (protocol, known, all) in known(&profile, &log) {
        ensure!(all > 1.0, "{protocol}: {all} s are too little to tell");
        ensure!(known >= 0.985 * all, "{protocol}: only {:.2} % are known", 100.0 * known / all);
    }
    Ok(())
}

/// Functions of one route are under that route, where one connection serves all routes in turn; and they run as long as the
/// service says.
fn stacks_are_under_their_requests(toolchain: &Toolchain, reading: Reading) -> Result<()> {
    let paths = format!("-paths={}", OWN_PATHS.join(","));
    let (profile, log, began) =
        recorded(toolchain, reading, &["-cpu=2ms"], &["-clients=2", "-rate=12", &paths], &mut || {})?;
    let truth = Truth::new(&log);
    let served = truth.served(&profile, began)?;
    let placed = places::every_function_is_under_its_route(&profile, &served, false)?;
    ensure!(placed.observations > 30, "{} observations are too few to tell", placed.observations);
    // Under a budget the error of one function of one route is known too roughly.
    match reading {
        Reading::Everything => places::routes_run_as_long_as_their_threads(&profile, &served, &log, began),
        _ => Ok(()),
    }
}

/// See `fixtures/go/requests/own.go`.
const OWN_PATHS: [&str; 6] = ["/own/brief", "/own/long", "/own/naps", "/own/kernel", "/own/deep", "/own/maps"];

/// The intervals that are printed of a route's shares have the truth as often as they say.
fn intervals_have_the_truth(toolchain: &Toolchain) -> Result<()> {
    let mut service = Service::start(&build("requests", toolchain, Variant::Stripped)?, &["-delay=20ms"], &[])?;
    let client = build("requests", &toolchains::newest()?, Variant::Plain)?;
    let mut load = Load::start(&client, &service.addresses, &["-clients=4", "-rate=8", "-paths=/mixed"])?;
    let mut profiles = Vec::new();
    for number in 0..SHORT_RECORDINGS {
        let few = Reading::Budget { max_cpu: 0.005 };
        let reading = if number % 2 == 0 { Reading::Everything } else { few };
        let options = Options { duration: Some(SHORT), reading, ..Options::default() };
        let target = GoProcess::open(service.fixture.pid())?;
        profiles.push(record_profile(target, options, &Stop::new(), &mut |_, _| {}).0);
        load.must_run()?;
    }
    load.end()?;
    // Half the time it waits for a lock, and half it sleeps; what net/http does for it takes no time to speak of.
    let (mut time, mut lock, mut sleep) = (0.0, 0.0, 0.0);
    for logged in service.log()?.iter().filter(|logged| logged.route == "/mixed") {
        let spent = |way: &str| logged.spent.get(way).copied().unwrap_or(0) as f64;
        (time, lock, sleep) = (time + (logged.end - logged.start) as f64, lock + spent("lock"), sleep + spent("sleep"));
    }
    let mut misses = [Vec::new(), Vec::new()];
    for (number, profile) in profiles.iter().enumerate() {
        let routes = profile.route_breakdowns(&profile.request_breakdowns());
        let [route] = routes.as_slice() else { anyhow::bail!("{} routes were seen", routes.len()) };
        for (phase, truth) in [(Phase::Lock, lock / time), (Phase::Sleep, sleep / time)] {
            let said = route.own.phase(phase);
            let (low, share, high, observations) = (said.low, said.share, said.high, route.own.observations);
            let line = format!(
                "{number} {phase:?}: {low:.3} … {share:.3} … {high:.3}, in truth {truth:.3}, {observations} observations"
            );
            eprintln!("{line}");
            if !(low..=high).contains(&truth) {
                misses[number % 2].push(line);
            }
        }
    }
    let [of_all, of_few] = misses;
    eprintln!("of {SHORT_RECORDINGS} intervals {} miss the truth, under a budget {}", of_all.len(), of_few.len());
    // A twentieth may; of ten recordings, each with two intervals that miss it together, four do so once in a thousand times.
    for misses in [of_all, of_few] {
        ensure!(misses.len() < 8, "too many intervals miss the truth: {misses:#?}");
    }
    Ok(())
}

/// Recordings from which it is told whether intervals are right, and how long they are.
const SHORT_RECORDINGS: usize = 20;
const SHORT: Duration = Duration::from_millis(700);

fn times_are_those_of_the_requests(toolchain: &Toolchain, reading: Reading) -> Result<()> {
    let (profile, log, began) = recorded(toolchain, reading, &[], &["-clients=8"], &mut || {})?;
    let truth = Truth::new(&log);
    let served = truth.served(&profile, began)?;
    known(&profile, &log);
    // Who is not read at each tick is taken to go on; what that adds to a request is taken from it on average.
    if reading == Reading::Everything && profile.accounting.late_ticks == 0 {
        spans_are_within_their_request(&profile, &served)?;
    }
    routes_take_their_time(&profile, &served, &log, began, reading)?;
    durations_are_within_their_bounds(&profile, &served)?;
    eprintln!("{}: {} requests recorded, {} logged", toolchain.version, profile.requests.len(), log.len());
    Ok(())
}

/// Every 20th tick keeps the sampler for 150 ms, so that the next one comes late. The time of the requests that it finds is not
/// known any worse for that: the duration of each is within its bounds, and none is taken for a slow one.
fn late_ticks_make_no_slow_requests(toolchain: &Toolchain) -> Result<()> {
    let mut ticks = 0u32;
    let mut after_tick = || {
        ticks += 1;
        if ticks.is_multiple_of(20) {
            std::thread::sleep(LATE);
        }
    };
    let load = ["-clients=4", "-rate=20"];
    let (profile, log, began) = recorded(toolchain, Reading::Everything, &["-delay=5ms"], &load, &mut after_tick)?;
    ensure!(profile.accounting.late_ticks >= 5, "only {} ticks came late", profile.accounting.late_ticks);
    let truth = Truth::new(&log);
    let served = truth.served(&profile, began)?;
    durations_are_within_their_bounds(&profile, &served)?;
    // That is what the late ticks would have made of them.
    let credited = |request: &Request| request.last_ns.saturating_sub(request.first_ns) as i64;
    let far = profile.requests.iter().zip(&served).filter(|(request, logged)| {
        credited(request) > logged.end.max(logged.left) - logged.start + LATE.as_nanos() as i64 / 2
    });
    let far = far.count();
    ensure!(far >= 5, "late ticks found {far} requests only");
    let times = profile.request_breakdowns();
    let wide = times.iter().filter(|time| time.length.known == Known::AtLeast).count();
    eprintln!("{} requests, of {far} the credit is far too much, of {wide} a lower bound is known", times.len());
    ensure!(
        times.len() - wide > times.len() / 2,
        "of most requests only a lower bound is known: {wide} of {}",
        times.len()
    );
    Ok(())
}

/// How late ticks are made to come.
const LATE: Duration = Duration::from_millis(150);
/// For so long a goroutine may have a request before its handler begins and after it has ended, on a machine that is busy with
/// something else: the log does not have that. A late tick would add more.
const SLACK: i64 = 100_000_000;

/// By so much an upper bound was once too low on a busy machine.
const UPPER_SLACK: i64 = 2_000_000;

/// The duration of each request is within the bounds that the profile has for it.
fn durations_are_within_their_bounds(profile: &Profile, served: &[&LoggedRequest]) -> Result<()> {
    let looked_at = profile.requests.iter().filter(|request| request.sighting.is_some()).count();
    ensure!(looked_at * 10 > profile.requests.len() * 9, "only {looked_at} of {} have looks", profile.requests.len());
    for (request, logged) in profile.requests.iter().zip(served) {
        // One that is only known from a goroutine that it started was not looked at itself.
        let Some(bounds) = request.sighting.map(Sighting::bounds) else { continue };
        let handled = logged.end - logged.start;
        let in_all = logged.end.max(logged.left) - logged.start + SLACK;
        let is_within = bounds.at_least_ns as i64 <= in_all
            && bounds.at_most_ns.is_none_or(|most| handled <= most as i64 + UPPER_SLACK);
        ensure!(is_within, "{bounds:?} of {:?} do not have {handled} ns: {logged:?}", request.sighting);
    }
    Ok(())
}

/// When the recording began, in nanoseconds of `CLOCK_MONOTONIC`, the clock of the service's log.
fn began(profile: &Profile) -> Result<i64> {
    let (monotonic, wall) = (monotonic_ns(), SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64);
    Ok((monotonic - (wall - profile.start_unix_ns)) as i64)
}

/// The service's log, by goroutine.
struct Truth<'a>(HashMap<u64, Vec<&'a LoggedRequest>>);

impl<'a> Truth<'a> {
    fn new(log: &'a [LoggedRequest]) -> Truth<'a> {
        Truth(by_goroutine(log))
    }

    /// For each request of the profile the one in the log.
    fn served(&self, profile: &Profile, began: i64) -> Result<Vec<&'a LoggedRequest>> {
        profile.requests.iter().map(|request| self.find(profile, request, began)).collect()
    }

    fn find(&self, profile: &Profile, request: &Request, began: i64) -> Result<&'a LoggedRequest> {
        let (method, path) = (profile.string(request.method), profile.string(request.path));
        let trace = profile.string(request.trace_id);
        let (first, last) = (began + request.first_ns as i64, began + request.last_ns as i64);
        let is_it = |logged: &LoggedRequest| {
            // What was not found in the headers is not wrong.
            let logged_trace = logged.ids.trace().map_or("", |(trace, _)| trace).trim_start_matches('0');
            let same_trace = trace.is_empty() || logged_trace == trace.trim_start_matches('0');
            let end = logged.end.max(logged.left);
            same_trace
                && logged.method == method
                && logged.path == path
                && logged.start - TWO_TICKS <= last
                && first <= end
        };
        let of_goroutine = self.0.get(&request.goid).into_iter().flatten();
        of_goroutine.copied().find(|logged| is_it(logged)).with_context(|| {
            let all = self.0.values().flatten();
            let of_trace: Vec<_> = all.filter(|logged| logged.ids.trace().is_some_and(|(id, _)| id == trace)).collect();
            format!(
                "goroutine {} served no {method} {path} of trace {trace:?} from {first} to {last}; the trace: {of_trace:?}; own: {:?}, spans {:?}",
                request.goid, self.0.get(&request.goid), request.spans
            )
        })
    }
}

/// Who spends time for a request serves it, or was started for it.
fn every_sample_is_its_request_s(profile: &Profile, served: &[&LoggedRequest]) -> Result<()> {
    let (mut own, mut of_children) = (0, 0);
    for sample in &profile.samples {
        let Serving::Request(id) = sample.serving else { continue };
        let logged = served.get(id.index()).context("a sample of a request that is not there")?;
        let is_child = logged.children.iter().any(|child| child.goroutine == sample.goid);
        // What net/http starts for a request (to read ahead, to connect to an upstream server) the service does not log.
        let mut names = profile.frames(sample.stack).map(|frame| frame.name);
        let root = names.rfind(|name| !name.starts_with("runtime."));
        if !is_child && logged.goroutine != sample.goid && root.is_none_or(|root| root.starts_with("net")) {
            continue;
        }
        ensure!(is_child || logged.goroutine == sample.goid, "goroutine {} has no part in {logged:?}", sample.goid);
        *(if is_child { &mut of_children } else { &mut own }) += sample.time_ns;
    }
    eprintln!("{:.2} s of those that serve, {:.2} s of those they started", own as f64 / 1e9, of_children as f64 / 1e9);
    ensure!(own > 0, "no request was seen");
    Ok(())
}

/// For each protocol, the seconds of goroutines that served requests which are known to be of one, and all but those that
/// are known to be of none.
fn known<'a>(profile: &Profile, log: &'a [LoggedRequest]) -> Vec<(&'a str, f64, f64)> {
    let protocols: HashMap<u64, &str> = log.iter().map(|logged| (logged.goroutine, logged.proto.as_str())).collect();
    let mut times: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for sample in &profile.samples {
        let Some(protocol) = protocols.get(&sample.goid) else { continue };
        let (known, all) = times.entry(protocol).or_default();
        let seconds = sample.time_ns as f64 / 1e9;
        match sample.serving {
            Serving::Request(_) => (*known, *all) = (*known + seconds, *all + seconds),
            // A connection of HTTP/1 serves nothing between two requests.
            Serving::Idle(_) => {}
            Serving::Nothing | Serving::Unknown => *all += seconds,
        }
    }
    for (protocol, (known, all)) in &times {
        eprintln!("{protocol}: of {all:.3} s {:.3} % are known", 100.0 * known / all);
    }
    times.into_iter().map(|(protocol, (known, all))| (protocol, known, all)).collect()
}

/// What the goroutine of a request does for it does not take longer than the request.
fn spans_are_within_their_request(profile: &Profile, served: &[&LoggedRequest]) -> Result<()> {
    for (request, logged) in profile.requests.iter().zip(served) {
        for span in request.spans.iter().filter(|span| span.goid == request.goid) {
            let length = span.to_ns as i64 - span.from_ns as i64;
            let most = logged.end.max(logged.left) - logged.start + TWO_TICKS;
            ensure!(length <= most, "{span:?} is longer than {logged:?}");
        }
    }
    Ok(())
}

/// Nothing that the load sends as a secret is anywhere in the profile.
fn no_secret_is_kept(profile: &Profile) -> Result<()> {
    match profile.strings.iter().find(|text| text.contains("secret")) {
        Some(text) => anyhow::bail!("{text:?} is in the profile"),
        None => Ok(()),
    }
}

/// The time of the requests of each route, by the goroutines that serve them, is what the service says.
fn routes_take_their_time(
    profile: &Profile,
    served: &[&LoggedRequest],
    log: &[LoggedRequest],
    began: i64,
    reading: Reading,
) -> Result<()> {
    let ended = began + profile.duration_ns as i64;
    let mut truth: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for logged in log {
        let (from, to) = (logged.start.max(began), logged.end.max(logged.left).min(ended));
        if from < to {
            let (time, count) = truth.entry(logged.route.as_str()).or_default();
            (*time, *count) = (*time + (to - from) as f64, *count + 1.0);
        }
    }
    let mut seen: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for sample in &profile.samples {
        let Some((id, logged)) = sample.serving.request().and_then(|id| Some((id, served.get(id.index())?))) else {
            continue;
        };
        if profile.requests.get(id.index()).is_some_and(|request| request.goid == sample.goid) {
            let (time, variance) = seen.entry(logged.route.as_str()).or_default();
            (*time, *variance) = (*time + sample.time_ns as f64, *variance + sample.variance_us2 as f64 * 1e6);
        }
    }
    let interval = profile.duration_ns as f64 / profile.accounting.ticks.max(1) as f64;
    // Of the intervals that lots lead to, nineteen of twenty are promised to have the truth, however few found something.
    let (errors, may_miss) = if reading == Reading::Everything { (4.0, 0) } else { (1.96, MAY_MISS) };
    let mut wrong = Vec::new();
    let (mut all, mut all_in_truth, mut variance) = (0.0, 0.0, 0.0);
    for (route, (time, count)) in truth {
        let (seen, of_lots) = seen.get(route).copied().unwrap_or_default();
        // Each end of a request falls anywhere between two ticks: the error of each has the standard deviation of a
        // triangle over two ticks. To this comes what the profile says of the lots. Requests may be in step: then it is the
        // profile's own error. And up to 5 % stay without a request: while its goroutine is in the server, and the handler has
        // not begun or has ended.
        let is_of_route = |sample: &Sample| {
            let logged = sample.serving.request().and_then(|id| served.get(id.index()));
            logged.is_some_and(|logged| logged.route == route)
        };
        let in_step = profile.standard_error_ns(&is_of_route);
        let standard = (interval.powi(2) * count / 6.0 + of_lots).sqrt().max(in_step);
        let error = errors * standard;
        let line = format!("{route}: {:.3} s, in truth {:.3} ± {:.3} s", seen / 1e9, time / 1e9, error / 1e9);
        eprintln!("{line}");
        (all, all_in_truth, variance) = (all + seen, all_in_truth + time, variance + standard * standard);
        let is_off = |error: f64| seen > time + error || seen < 0.95 * time - error;
        ensure!(!is_off(FAR * standard), "{line}");
        if is_off(error) {
            wrong.push(line);
        }
    }
    let error = 4.0 * variance.sqrt();
    let line = format!("all: {:.3} s, in truth {:.3} ± {:.3} s", all / 1e9, all_in_truth / 1e9, error / 1e9);
    eprintln!("{line}");
    ensure!(all <= all_in_truth + error && all >= 0.95 * all_in_truth - error, "{line}");
    eprintln!("{} routes are off by more than {errors} standard errors: {}", wrong.len(), wrong.join("; "));
    ensure!(wrong.len() <= may_miss, "{}", wrong.join("; "));
    Ok(())
}

/// Of nineteen routes, more intervals of 95 % than these miss the truth once in seventy times. The intervals are wider than that:
/// in 30 recordings none missed it.
const MAY_MISS: usize = 3;
/// Nor is any of them so many standard errors off.
const FAR: f64 = 4.0;
