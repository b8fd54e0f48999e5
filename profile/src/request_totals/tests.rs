use super::*;
use crate::{Builder, NewRequest, SampleKey, Serving, Sighting, Span, State, Target};

/// Adds a sample of a goroutine for a request, at a place of its own for each name.
fn sample(builder: &mut Builder, place: &str, goid: u64, reason: &str, id: RequestId, (count, time_ns): (u64, u64)) {
    let function = builder.function(place, "", 0);
    let location = builder.location(0, &[(function, 0)]);
    let key = SampleKey {
        stack: builder.stack(&[location]),
        goid,
        state: if reason.is_empty() { State::Running } else { State::Waiting },
        wait_reason: (!reason.is_empty()).then(|| builder.string(reason)),
        labels: builder.labels(&[]),
        creator: None,
        serving: Serving::Request(id),
    };
    builder.add(key, count, time_ns);
}

fn span(from_ns: u64, to_ns: u64, goid: u64) -> Span {
    Span { from_ns, to_ns, goid, state: State::Running, wait_reason: None }
}

/// 100 ticks of 10 ns: one request of /a in the middle, that starts a goroutine which outlives it; one of /a throughout;
/// one of /b that was seen at one tick.
fn profile() -> Profile {
    let mut builder = Builder::new(Target::default(), 0);
    let mut request = |path, goid, first_ns, last_ns, spans| {
        builder.request(NewRequest { method: "GET", path, goid, first_ns, last_ns, spans, ..NewRequest::default() })
    };
    let middle = request("/a", 7, 100, 700, vec![span(100, 300, 7), span(200, 700, 8), span(300, 400, 7)]);
    let throughout = request("/a", 9, 0, 1000, Vec::new());
    let short = request("/b", 7, 500, 510, Vec::new());
    sample(&mut builder, "main.lock", 7, "sync.Mutex.Lock", middle, (20, 200));
    sample(&mut builder, "main.work", 7, "", middle, (10, 100));
    sample(&mut builder, "main.child", 8, "chan receive", middle, (50, 500));
    sample(&mut builder, "main.lock", 9, "sync.Mutex.Lock", throughout, (100, 1000));
    sample(&mut builder, "main.nap", 7, "sleep", short, (1, 10));
    builder.finish(1000, crate::Accounting { ticks: 100, ..Default::default() })
}

#[test]
fn a_request_s_own_time_and_that_of_what_it_started() {
    let times = profile().request_breakdowns();
    let by_phase = |sums: &[u64; Phase::COUNT]| -> Vec<(Phase, u64)> {
        Phase::ALL.into_iter().zip(*sums).filter(|(_, time)| *time > 0).collect()
    };
    assert_eq!(times.len(), 3);
    let [middle, throughout, short] = [&times[0], &times[1], &times[2]];
    assert_eq!((middle.id, middle.length.ns, middle.observations), (RequestId(0), 300, 30));
    assert_eq!((middle.began_before, middle.goes_on, middle.children), (false, false, 1));
    assert_eq!(by_phase(&middle.own_ns), [(Phase::OnCpu, 100), (Phase::Lock, 200)]);
    assert_eq!(by_phase(&middle.children_ns), [(Phase::Channel, 500)]);
    assert_eq!((throughout.length.ns, throughout.began_before, throughout.goes_on), (990, true, true));
    assert_eq!((short.length.ns, short.length.known, short.observations, short.children), (20, Known::AtMost, 1, 0));
    assert_eq!(by_phase(&short.own_ns), [(Phase::Sleep, 10)]);
}

#[test]
fn routes_add_their_requests_up() {
    let profile = profile();
    let routes = profile.route_breakdowns(&profile.request_breakdowns());
    let names: Vec<&str> = routes.iter().map(|route| profile.string(route.route)).collect();
    assert_eq!(names, ["GET /a", "GET /b"]);
    let (a, b) = (&routes[0], &routes[1]);
    assert_eq!((a.seen, a.seen_once, a.began_before, a.in_progress, a.whole), (2, 0, 1, 1, 1));
    assert_eq!((a.duration_ns, a.longest.ns, a.longest.known, a.at_least), (1290, 990, Known::AtLeast, 1));
    assert_eq!(a.in_flight(1000), 1.3);
    assert_eq!((a.own.goroutines, a.own.observations, a.own.time_ns), (2, 130, 1300));
    assert_eq!(a.own.phase(Phase::Lock).time_ns, 1200);
    assert_eq!(a.own.phase(Phase::OnCpu).share, 100.0 / 1300.0);
    assert_eq!((a.children.goroutines, a.children.time_ns), (1, 500));
    assert_eq!(a.children.phase(Phase::Channel).share, 1.0);
    assert_eq!((b.seen, b.seen_once, b.whole, b.own.time_ns), (1, 1, 1, 10));
    // One tick of one goroutine: it may have been in any phase as well.
    let sleep = b.own.phase(Phase::Sleep);
    assert!((sleep.low - 1.0 / (1.0 + 3.8416)).abs() < 1e-9 && sleep.high == 1.0, "{sleep:?}");
}

#[test]
fn places_are_in_order_of_their_time() {
    let profile = profile();
    let routes = profile.route_breakdowns(&profile.request_breakdowns());
    let places = |stacks: &[StackTime]| -> Vec<(String, Phase, u64)> {
        let leaf = |place: &StackTime| profile.frames(place.stack).next().unwrap().name.to_owned();
        stacks.iter().map(|place| (leaf(place), place.phase, place.time.time_ns)).collect()
    };
    let expected = [("main.lock".to_owned(), Phase::Lock, 1200), ("main.work".to_owned(), Phase::OnCpu, 100)];
    assert_eq!(places(&routes[0].own.stacks), expected);
    assert_eq!(places(&routes[0].children.stacks), [("main.child".to_owned(), Phase::Channel, 500)]);
}

#[test]
fn a_time_line_that_was_cut_does_not_cut_the_request() {
    let mut profile = profile();
    profile.requests[0].spans.truncate(1);
    assert_eq!(profile.request_breakdowns()[0].length.ns, 300, "by its goroutine's time");
    // An estimate of that may be too high: nobody worked for it any longer.
    profile.requests[0].last_ns = 350;
    assert_eq!(profile.request_breakdowns()[0].length.ns, 250);
}

#[test]
fn where_goroutines_are_not_kept_apart_all_time_is_the_request_s() {
    let mut profile = profile();
    profile.samples.iter_mut().for_each(|sample| sample.goid = 0);
    let times = profile.request_breakdowns();
    assert_eq!((times[0].children, times[0].observations, times[0].length.ns), (0, 80, 600));
    assert_eq!(profile.route_breakdowns(&times)[0].own.time_ns, 1800);
}

#[test]
fn a_request_takes_what_the_looks_say_and_not_what_is_credited() {
    let mut profile = profile();
    // The tick at which /b was seen came late: it is credited with the long interval, and took at most that.
    let late = Sighting { absent_ns: Some(495), first_ns: 700, last_ns: 700, gone_ns: Some(711) };
    profile.requests[2].sighting = Some(late);
    profile.samples.iter_mut().filter(|sample| sample.serving == Serving::Request(RequestId(2))).for_each(|sample| {
        sample.time_ns = 210;
    });
    let open = Sighting { absent_ns: None, first_ns: 4, last_ns: 996, gone_ns: None };
    profile.requests[1].sighting = Some(open);
    profile.accounting.rate_hz = 1e8;
    let times = profile.request_breakdowns();
    assert_eq!((times[2].length.ns, times[2].length.known, times[2].length.rank_ns), (216, Known::AtMost, 0));
    assert_eq!((times[1].length.ns, times[1].length.known), (992, Known::AtLeast));
    assert!(times[1].began_before && times[1].goes_on && !times[2].began_before && !times[2].goes_on);
    let routes = profile.route_breakdowns(&times);
    assert_eq!(routes[0].longest, times[1].length);
    // It stands for one tick in the mean: had the others not been missed, they would have seen as many.
    assert_eq!((routes[1].longest, routes[1].duration_ns), (times[2].length, 10));
}

#[test]
fn stacks_that_are_one_place_are_added_up() {
    let profile = profile();
    let routes = profile.route_breakdowns_by(&profile.request_breakdowns(), &mut |_| StackId(0));
    let places: Vec<_> = routes[0].own.stacks.iter().map(|at| (at.stack, at.phase, at.time)).collect();
    let phase = |phase| (StackId(0), phase, routes[0].own.phase(phase));
    assert_eq!(places, [phase(Phase::Lock), phase(Phase::OnCpu)]);
}
