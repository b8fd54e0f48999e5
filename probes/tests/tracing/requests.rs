//! Services log what they served, when, and what its handlers did meanwhile.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fgspy_fixtures::requests::{Load, LoggedRequest, Service};
use fgspy_fixtures::{Toolchain, Variant, build, fetch_modules, skip, toolchains};
use fgspy_probes::{CLASSES, HEADERS, Limits, OneRequest, Options, Trace, Tracer, class, filter, plan, sites};
use fgspy_profile::Protocol;

use crate::target::runtime;

/// Requests that are enough to tell.
const ENOUGH: usize = 3000;
/// How long they may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// What some of the service's handlers take longer than, and others do not.
const SLOW_NS: u64 = 1_000_000;

/// What was traced of a service, and what it says itself.
struct Compared {
    traced: Vec<OneRequest>,
    logged: Vec<LoggedRequest>,
    from_ns: u64,
    until_ns: u64,
    trace: Trace,
    filtered: u64,
    /// Times that memory could not be read.
    unreadable: u64,
}

impl Compared {
    /// What was logged while it was traced, each with the one request that it is, but those whose end nobody saw.
    fn pairs(&self) -> Result<Vec<(&OneRequest, &LoggedRequest)>> {
        let mut by_goroutine: HashMap<u64, Vec<&OneRequest>> = HashMap::new();
        for one in &self.traced {
            by_goroutine.entry(one.goid).or_default().push(one);
        }
        let (mut pairs, mut unseen) = (Vec::new(), 0);
        let unended = self.trace.unended() + self.trace.open().count() as u64;
        for said in &self.logged {
            let (start, end) = (said.start as u64, said.end as u64);
            if start < self.from_ns || end > self.until_ns {
                continue;
            }
            let of_goroutine = by_goroutine.get(&said.goroutine).map_or(&[][..], Vec::as_slice);
            let around: Vec<_> = of_goroutine.iter().filter(|one| one.begin_ns <= start && end <= one.end_ns).collect();
            unseen += u64::from(around.is_empty());
            ensure!(around.len() <= 1 && unseen <= unended, "{} requests around {said:?}", around.len());
            pairs.extend(around.first().map(|one| (**one, said)));
        }
        Ok(pairs)
    }
}

/// Traces a service under load until enough requests of it are over.
fn traced(toolchain: &Toolchain, variant: Variant, options: Options, enough: usize, slow_ns: u64) -> Result<Compared> {
    let service = Service::start(&build("requests", toolchain, variant)?, &[], &[])?;
    let newest = build("requests", &toolchains::newest()?, Variant::Plain)?;
    let load = |service: &Service| {
        let ways = service.addresses.iter().filter(|(way, _)| way.as_str() != "upstream");
        Load::start(&newest, ways, &["-clients=8"])
    };
    compared(service, load, options, enough, slow_ns)
}

fn compared(
    mut service: Service,
    load: impl FnOnce(&Service) -> Result<Load>,
    options: Options,
    enough: usize,
    slow_ns: u64,
) -> Result<Compared> {
    let pid = service.fixture.pid();
    let runtime = runtime(pid)?;
    let mut tracer = Tracer::start(&plan(pid, &runtime, &sites::sites(&runtime.binary), options))?;
    tracer.set_slow(slow_ns)?;
    let load = load(&service)?;
    let (mut trace, mut traced) = (Trace::new(Limits::default()), Vec::new());
    let (from_ns, deadline) = (tracer.start_ns(), Instant::now() + PATIENCE);
    while traced.len() < enough {
        ensure!(Instant::now() < deadline, "only {} requests: {:?}", traced.len(), tracer.counts()?);
        tracer.poll(&mut |event| traced.extend(trace.take(event)));
        std::thread::sleep(Duration::from_millis(5));
    }
    let until_ns = fgspy_probes::monotonic_ns();
    load.end()?;
    let logged = service.log()?;
    tracer.poll(&mut |event| traced.extend(trace.take(event)));
    let counts = tracer.counts()?;
    ensure!((counts.lost, counts.full, counts.malformed) == (0, 0, 0), "{counts:?}");
    ensure!(trace.unknown() == 0 && trace.dropped() == 0, "{} unknown", trace.unknown());
    let (filtered, unreadable) = (counts.filtered, counts.unreadable);
    Ok(Compared { traced, logged, from_ns, until_ns, trace, filtered, unreadable })
}

/// Each request that a service logged while it was traced was seen once, as what it was, from before its handler began
/// until after it had ended.
pub(crate) fn all_are_seen(toolchain: &Toolchain, variant: Variant) -> Result<()> {
    let compared = traced(toolchain, variant, Options::default(), ENOUGH, 0)?;
    compared.traced.iter().try_for_each(adds_up)?;
    are_those_logged(toolchain, &compared)
}

fn are_those_logged(toolchain: &Toolchain, compared: &Compared) -> Result<()> {
    let (mut with_ids, mut without_some) = (0, 0);
    let pairs = compared.pairs()?;
    for (one, said) in &pairs {
        ensure!(one.method == said.method && one.path == said.path, "{one:?} is {said:?}");
        let (any, missing) = agree(one, said)?;
        (with_ids, without_some) = (with_ids + u64::from(any), without_some + u64::from(missing));
    }
    println!("{}: {} compared, {with_ids} with ids", toolchain.version, pairs.len());
    ensure!(pairs.len() >= ENOUGH / 2, "only {} to compare", pairs.len());
    // A probe cannot wait for a page that is not there, and says so.
    let unreadable = compared.unreadable;
    ensure!(
        without_some <= unreadable,
        "headers of {without_some} requests are missing, {unreadable} could not be read"
    );
    // Sums are those of the list.
    let count: u64 = compared.trace.routes().values().map(|route| route.durations.count()).sum();
    ensure!(count == compared.traced.len() as u64, "{count} of {}", compared.traced.len());
    Ok(())
}

/// Checks the ids that were read against those that the handler saw; says whether there were any, and whether one was not read.
fn agree(one: &OneRequest, said: &LoggedRequest) -> Result<(bool, bool)> {
    let ids = &said.ids;
    let truth = [&ids.traceparent, &ids.b3, &ids.x_b3_traceid, &ids.x_b3_spanid, &ids.uber_trace_id, &ids.x_request_id];
    let (mut any, mut missing) = (false, false);
    for ((value, truth), name) in one.headers.values.iter().zip(truth).zip(HEADERS) {
        // At most 64 bytes are kept; headers beyond the eighth group of their map are not found.
        let kept = truth.as_bytes().get(..64).unwrap_or(truth.as_bytes());
        ensure!(value.is_empty() || value == kept, "{name}: {:?} is {truth}", String::from_utf8_lossy(value));
        let many = said.path.starts_with("/headers/");
        missing |= !many && value.is_empty() && !truth.is_empty();
        any |= !value.is_empty();
    }
    Ok((any, missing))
}

/// The states of a request's goroutine fill the time that it took.
fn adds_up(one: &OneRequest) -> Result<()> {
    let (sum, took) = (one.own_ns.iter().sum::<u64>(), one.duration_ns());
    ensure!(sum == took, "{sum} ns of {took} ns: {one:?}");
    ensure!(one.own_ns.iter().skip(CLASSES - 5).all(|time| *time == 0), "{one:?}");
    Ok(())
}

/// Handlers of known routes did what these are named for, as long as they say themselves.
pub(crate) fn states_are_those_of_the_handlers(toolchain: &Toolchain, variant: Variant) -> Result<()> {
    let Compared { traced, logged, from_ns, until_ns, .. } = traced(toolchain, variant, Options::default(), ENOUGH, 0)?;
    for (route, words, said_as) in
        [("/sleep", &["sleep"][..], "sleep"), ("/lock", &["mutex", "sync"], "lock"), ("/channel", &["chan"], "channel")]
    {
        let time = |wanted: &dyn Fn(&str) -> bool| -> u64 {
            let of_route = traced.iter().filter(|one| one.path.starts_with(route));
            let inside = of_route.filter(|one| one.begin_ns >= from_ns && one.end_ns <= until_ns);
            let times = inside.flat_map(|one| one.own_ns.iter().zip(0u8..));
            times.filter(|(_, number)| wanted(class(*number).word())).map(|(time, _)| *time).sum()
        };
        let (seen, ready) = (time(&|word| words.contains(&word)), time(&|word| word == "runnable"));
        let whole = |said: &&LoggedRequest| said.start as u64 >= from_ns && said.end as u64 <= until_ns;
        let of_route = || logged.iter().filter(|said| said.path.starts_with(route)).filter(whole);
        let said: i64 = of_route().filter_map(|said| said.spent.get(said_as)).sum();
        let outside = time(&|_| true) as f64 - of_route().map(|said| said.end - said.start).sum::<i64>() as f64;
        println!("{} {route}: {} ms of {} ms", toolchain.version, seen / 1_000_000, said / 1_000_000);
        // What a handler takes for its wait has the time in it for which it was ready to go on. Outside of it, in the service's own
        // book and in net/http, its goroutine may wait as well.
        let said = said as f64;
        ensure!(
            seen as f64 <= said * 1.05 + outside.max(0.0) && (seen + ready) as f64 >= said * 0.95,
            "{route}: {seen} ns, it says {said} ns"
        );
    }
    Ok(())
}

/// Calls of gRPC, in all the ways that they can be served, each once: what goroutines of net/http do for them is part of them.
pub(crate) fn calls_are_seen(minor: u32, name: &str) -> Result<()> {
    let toolchain = toolchains::get(minor)?;
    if let Err(error) = fetch_modules("grpc", &toolchain) {
        skip(name, &format!("{error:#}"));
        return Ok(());
    }
    let binary = build("grpc", &toolchain, Variant::Stripped)?;
    let service = Service::start(&binary, &[], &[])?;
    let load = |service: &Service| Load::start(&binary, &service.addresses, &["-clients=8"]);
    let Compared { traced, logged, from_ns, until_ns, unreadable, .. } =
        compared(service, load, Options::default(), ENOUGH, 0)?;
    let calls: Vec<&OneRequest> = traced.iter().filter(|one| !one.path.is_empty()).collect();
    ensure!(calls.iter().all(|one| one.protocol == Protocol::Grpc && one.route == one.path), "{calls:?}");
    let mut by_listener: HashMap<&str, [usize; 2]> = HashMap::new();
    for said in logged.iter().filter(|said| said.start as u64 >= from_ns && said.end as u64 <= until_ns) {
        let around = |one: &OneRequest| one.begin_ns <= said.start as u64 && said.end as u64 <= one.end_ns;
        let is_carrier = matches!(said.listener.as_str(), "net/http" | "x/net");
        if is_carrier {
            let own = calls.iter().find(|one| one.goid == said.goroutine && around(one));
            ensure!(own.is_none(), "{own:?} is there beside the call");
            // Of a call with headers, the request of net/http has brought them.
            if !said.ids.traceparent.starts_with("00-") {
                continue;
            }
        }
        let is_it = |one: &OneRequest| match is_carrier {
            true => one.headers.values[0] == said.ids.traceparent.as_bytes(),
            false => one.goid == said.goroutine,
        };
        let mut around = calls.iter().filter(|one| is_it(one) && around(one));
        let found = around.next();
        ensure!(around.next().is_none(), "two calls around {said:?}");
        if let Some(one) = found {
            ensure!(one.path == said.path, "{one:?} is {said:?}");
            adds_up(one)?;
        }
        by_listener.entry(&said.listener).or_default()[usize::from(found.is_none())] += 1;
    }
    println!("found and missed: {by_listener:?}");
    let is_seen = |(listener, [found, missed]): (&&str, &[usize; 2])| {
        // A probe cannot wait for a page that is not there, and says so.
        let may_miss = if listener.contains('/') { unreadable } else { 0 };
        *found > 50 && *missed as u64 <= may_miss
    };
    ensure!(by_listener.len() == 6 && by_listener.iter().all(is_seen), "{by_listener:?}");
    Ok(())
}

/// Only what was asked for is told, and what it is, is decided before anything is sent.
pub(crate) fn filters_are_the_kernel_s(toolchain: &Toolchain, variant: Variant) -> Result<()> {
    let filter = filter::filter(Some("^GET /(sleep|lock)"), None, None)?;
    let options = Options { filter, ..Options::default() };
    let Compared { traced, filtered, logged, from_ns, until_ns, .. } = traced(toolchain, variant, options, 200, 0)?;
    let is_wanted =
        |method: &str, path: &str| method == "GET" && (path.starts_with("/sleep") || path.starts_with("/lock"));
    ensure!(traced.iter().all(|one| is_wanted(&one.method, &one.path)), "{:?}", traced.first());
    ensure!(filtered > 0, "nothing was left out");
    let inside = |said: &&LoggedRequest| said.start as u64 >= from_ns && said.end as u64 <= until_ns;
    let wanted = logged.iter().filter(inside).filter(|said| is_wanted(&said.method, &said.path)).count();
    ensure!(traced.len() >= wanted, "{} of {wanted}", traced.len());
    let one = traced.first().context("none")?;
    adds_up(one)
}

/// Those of one client, by the traces that it names.
pub(crate) fn a_trace_is_told_in_the_kernel(toolchain: &Toolchain, variant: Variant) -> Result<()> {
    const OF_ONE_CLIENT: &str = "0000000100000004";
    let filter = filter::filter(None, None, Some(OF_ONE_CLIENT))?;
    let options = Options { filter, ..Options::default() };
    let Compared { traced, filtered, logged, from_ns, until_ns, unreadable, .. } =
        traced(toolchain, variant, options, 50, 0)?;
    for one in &traced {
        let [traceparent, rest @ .., _] = &one.headers.values;
        let mut traces = rest.iter().map(Vec::as_slice).chain(traceparent.get(3..));
        ensure!(traces.any(|trace| trace.starts_with(OF_ONE_CLIENT.as_bytes())), "{one:?}");
    }
    ensure!(filtered > traced.len() as u64, "{filtered} were left out, {} not", traced.len());
    let mut missing = 0;
    for said in logged.iter().filter(|said| said.start as u64 >= from_ns && said.end as u64 <= until_ns) {
        let ids = &said.ids;
        let traceparent = ids.traceparent.get(3..).unwrap_or_default();
        let mut traces = [traceparent, &ids.b3, &ids.x_b3_traceid, &ids.uber_trace_id].into_iter();
        // Headers beyond the eighth group of their map are not found.
        let is_wanted = traces.any(|trace| trace.starts_with(OF_ONE_CLIENT)) && !said.path.starts_with("/headers/");
        let is_it = |one: &&OneRequest| {
            one.goid == said.goroutine && one.begin_ns <= said.start as u64 && said.end as u64 <= one.end_ns
        };
        missing += u64::from(is_wanted && !traced.iter().any(|one| is_it(&one)));
    }
    println!("{}: {} of the trace, {missing} missing", toolchain.version, traced.len());
    ensure!(missing <= unreadable, "{missing} are missing, {unreadable} could not be read");
    Ok(())
}

/// Without states, requests begin and end, and that is all; which they are is read at their end.
pub(crate) fn without_states_requests_begin_and_end(toolchain: &Toolchain, variant: Variant) -> Result<()> {
    let options = Options { states: false, ids_of_slow: true, ..Options::default() };
    let compared = traced(toolchain, variant, options, ENOUGH, 0)?;
    let is_bare = |one: &OneRequest| one.own_ns == [0; CLASSES] && one.steps.len() == 1;
    ensure!(compared.traced.iter().all(is_bare), "{:?}", compared.traced.first());
    are_those_logged(toolchain, &compared)
}

/// Which request it is, is read of slow ones only, if that is asked for.
pub(crate) fn ids_are_of_slow_requests(toolchain: &Toolchain, variant: Variant) -> Result<()> {
    let options = Options { states: false, ids_of_slow: true, ..Options::default() };
    let compared = traced(toolchain, variant, options, ENOUGH, SLOW_NS)?;
    // Of HTTP/2 they are read at the beginning.
    let one_by_one = |(_, said): &&(&OneRequest, &LoggedRequest)| ["http1", "tls1"].contains(&said.listener.as_str());
    let (mut fast, mut slow, mut missing) = (0, 0, 0);
    for (one, said) in compared.pairs()?.iter().filter(one_by_one) {
        let (any, is_missing) = agree(one, said)?;
        if one.duration_ns() < SLOW_NS {
            ensure!(!any, "{one:?} is not slow");
            fast += 1;
        } else {
            slow += u64::from(any);
            missing += u64::from(is_missing);
        }
    }
    println!("{}: {fast} fast, {slow} slow with ids, {missing} without", toolchain.version);
    ensure!(fast > 50 && slow > 50 && missing <= compared.unreadable, "{fast} fast, {slow} slow, {missing} missing");
    Ok(())
}
