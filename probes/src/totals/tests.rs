use crate::{RUNNING, SYSCALL};

use super::*;

fn begin(number: u64, goid: u64, time_ns: u64, path: &str) -> Event {
    Event::RequestBegin {
        time_ns,
        g: goid << 10,
        goid,
        parent: None,
        request: number,
        site: SiteKind::HttpBegin,
        method: b"GET".to_vec(),
        path: path.as_bytes().to_vec(),
    }
}

fn end(number: u64, goid: u64, begin_ns: u64, time_ns: u64, pattern: &str) -> Event {
    let mut own_ns = [0; CLASSES];
    own_ns[usize::from(RUNNING)] = time_ns - begin_ns - 10;
    own_ns[usize::from(SYSCALL)] = 10;
    Event::RequestEnd {
        time_ns,
        begin_ns,
        g: goid << 10,
        goid,
        request: number,
        how: EndReason::Marked,
        own_ns,
        children_ns: [1; CLASSES],
        children: 2,
        transitions: 3,
        route: pattern.as_bytes().to_vec(),
    }
}

fn blocked(request: Option<u64>, since_ns: u64, time_ns: u64) -> Event {
    let stack = vec![1, 2, 3];
    Event::Blocked { time_ns, since_ns, g: 1, goid: 1, class: 7, reason: 9, by: Some(4), request, stack }
}

#[test]
fn requests_are_added_up_by_route() {
    let mut trace = Trace::new(Limits::default());
    for number in 1..=100 {
        let start = number * 1000;
        assert!(trace.take(begin(number, 7, start, &format!("/orders/{number}"))).is_none());
        let one = trace.take(end(number, 7, start, start + 100 + number, "")).expect("it ends");
        assert_eq!((one.route.as_str(), one.duration_ns()), ("GET /orders/{id}", 100 + number));
    }
    let route = &trace.routes()["GET /orders/{id}"];
    assert_eq!((route.durations.count(), route.durations.longest()), (100, 200));
    assert_eq!((route.children, route.transitions, route.children_ns[0]), (200, 300, 100));
    assert_eq!(route.by_class[usize::from(SYSCALL)].sum(), 1000);
    assert_eq!(route.by_class[5].count(), 0);
    assert_eq!(trace.slowest()[0].number, 100);
    assert!(trace.slowest().is_sorted_by(|a, b| a.duration_ns() >= b.duration_ns()));
    assert_eq!((trace.open().count(), trace.dropped(), trace.unknown()), (0, 0, 0));
}

#[test]
fn a_pattern_is_the_route() {
    let mut trace = Trace::new(Limits::default());
    trace.take(begin(1, 7, 0, "/users/ann"));
    let one = trace.take(end(1, 7, 0, 50, "/users/{name}")).expect("it ends");
    assert_eq!(one.route, "GET /users/{name}");
}

#[test]
fn waits_belong_to_the_route_of_their_request() {
    let mut trace = Trace::new(Limits::default());
    trace.take(begin(1, 7, 0, "/a"));
    trace.take(blocked(Some(1), 10, 30));
    trace.take(blocked(Some(1), 40, 45));
    trace.take(blocked(None, 0, 100));
    trace.take(end(1, 7, 0, 50, ""));
    let places = trace.places();
    assert_eq!(places.len(), 2);
    assert_eq!((places[0].route.as_deref(), places[0].total_ns, places[0].count), (None, 100, 1));
    assert_eq!((places[1].route.as_deref(), places[1].total_ns, places[1].count), (Some("GET /a"), 25, 2));
    assert_eq!((places[1].longest_ns, places[1].woken), (20, 2));
}

#[test]
fn waits_of_who_was_started_for_a_request_are_told_from_its_own() {
    let mut trace = Trace::new(Limits::default());
    trace.take(begin(1, 7, 0, "/a"));
    for (by, until_ns) in [(7, 20), (8, 35), (9, 40)] {
        let mut wait = blocked(Some(1), 10, until_ns);
        if let Event::Blocked { goid, .. } = &mut wait {
            *goid = by;
        }
        trace.take(wait);
    }
    let places = |trace: &Trace| -> Vec<_> {
        trace.places().iter().map(|place| (place.route.clone(), place.by_child, place.count, place.total_ns)).collect()
    };
    // Until the request is over its route is not known, nor whose child that is.
    assert_eq!(places(&trace), [(None, false, 3, 65)]);
    trace.take(end(1, 7, 0, 50, ""));
    let route = || Some("GET /a".to_owned());
    assert_eq!(places(&trace), [(route(), true, 2, 55), (route(), false, 1, 10)]);
}

/// A goroutine that works for request 1 changes its state.
fn transition(goid: u64, time_ns: u64, (from, to): (u8, u8), class: u8) -> Event {
    Event::Transition {
        time_ns,
        g: 0,
        goid,
        from,
        to,
        class,
        reason: 0,
        by: None,
        request: Some(1),
        start_pc: 0,
        tid: 0,
    }
}

#[test]
fn steps_are_those_of_the_goroutine_that_serves() {
    let mut trace = Trace::new(Limits { steps: 2, ..Limits::default() });
    trace.take(begin(1, 7, 0, "/a"));
    let step = |goid, time_ns, class| transition(goid, time_ns, (2, 4), class);
    trace.take(step(7, 5, 4));
    trace.take(step(8, 6, 5)); // started for it
    trace.take(step(7, 7, 0)); // one too many
    let one = trace.take(end(1, 7, 0, 50, "")).expect("it ends");
    assert_eq!(one.steps, [Step { time_ns: 0, class: RUNNING }, Step { time_ns: 5, class: 4 }]);
    assert_eq!(trace.dropped(), 1);
}

#[test]
fn who_waits_and_is_not_woken_was_at_work() {
    let mut trace = Trace::new(Limits::default());
    trace.take(begin(1, 7, 0, "/a"));
    let step = |time_ns, from, to, class| transition(7, time_ns, (from, to), class);
    trace.take(step(5, 2, 4, 10)); // for the collector
    trace.take(step(9, 4, 2, RUNNING));
    trace.take(step(20, 2, 4, 7));
    trace.take(step(30, 4, 1, 1));
    let one = trace.take(end(1, 7, 0, 50, "")).expect("it ends");
    let steps: Vec<_> = one.steps.iter().map(|step| (step.time_ns, step.class)).collect();
    assert_eq!(steps, [(0, RUNNING), (5, RUNNING), (20, 7), (30, 1)]);
}

#[test]
fn whose_end_nobody_saw_has_no_duration() {
    let mut trace = Trace::new(Limits::default());
    trace.take(begin(1, 7, 0, "/a"));
    trace.take(blocked(Some(1), 10, 30));
    let mut unseen = end(1, 7, 0, 5_000_000, "/a");
    if let Event::RequestEnd { how, .. } = &mut unseen {
        *how = EndReason::NextRequest;
    }
    assert!(trace.take(unseen).is_none());
    assert_eq!((trace.unended(), trace.unknown(), trace.open().count()), (1, 0, 0));
    assert!(trace.routes().is_empty() && trace.slowest().is_empty());
    assert_eq!((trace.places()[0].route.as_deref(), trace.places()[0].total_ns), (None, 20));
}

#[test]
fn what_is_too_much_is_counted() {
    let limits = Limits { routes: 2, slowest: 1, open: 3, places: 1, ..Limits::default() };
    let mut trace = Trace::new(limits);
    for number in 1..=5 {
        trace.take(begin(number, number, 0, &format!("/{}", ["a", "b", "c", "d", "e"][number as usize - 1])));
    }
    assert_eq!((trace.open().count(), trace.dropped()), (3, 2));
    for number in 1..=5 {
        trace.take(end(number, number, 0, 100, ""));
    }
    assert_eq!(trace.unknown(), 2);
    assert_eq!(trace.routes().keys().collect::<Vec<_>>(), ["(other routes)", "GET /a", "GET /b"]);
    assert_eq!(trace.slowest().len(), 1);
}

#[test]
fn ids_are_of_the_request_that_is_served() {
    let mut trace = Trace::new(Limits::default());
    let ids = |request, id: &str| {
        let mut headers = Headers::default();
        headers.values[5] = id.as_bytes().to_vec();
        Event::RequestIds { request, headers }
    };
    trace.take(begin(1, 7, 0, "/a"));
    trace.take(begin(2, 8, 0, "/a"));
    trace.take(ids(2, "second"));
    trace.take(ids(3, "nobody's"));
    let id = |one: Option<OneRequest>| one.expect("it ends").headers.values[5].clone();
    assert_eq!(id(trace.take(end(1, 7, 0, 50, ""))), b"");
    assert_eq!(id(trace.take(end(2, 8, 0, 50, ""))), b"second");
}

#[test]
fn slow_is_what_would_be_among_the_slowest() {
    let mut trace = Trace::new(Limits { slowest: 2, ..Limits::default() });
    let mut take = |number, duration_ns| {
        trace.take(begin(number, 7, 0, "/a"));
        trace.take(end(number, 7, 0, duration_ns, ""));
        trace.slow_from_ns()
    };
    assert_eq!([(1, 50), (2, 20), (3, 30), (4, 25), (5, 90)].map(|(number, ns)| take(number, ns)), [0, 20, 30, 30, 50]);
    assert_eq!(Trace::new(Limits { slowest: 0, ..Limits::default() }).slow_from_ns(), 0);
}

/// A call of gRPC, number 2 of goroutine 8, that comes with request 1 of HTTP/2, of goroutine 7.
fn carried() -> [Event; 4] {
    let path = "/shop.Orders/Get";
    let mut call = begin(2, 8, 120, path);
    if let Event::RequestBegin { site, parent, method, .. } = &mut call {
        (*site, *parent, *method) = (SiteKind::GrpcBegin, Some(7), b"POST".to_vec());
    }
    let (mut of_call, mut of_http) = (end(2, 8, 120, 190, ""), end(1, 7, 100, 200, "/"));
    let times = |pairs: &[(u8, u64)]| {
        let mut times = [0; CLASSES];
        pairs.iter().for_each(|(class, time)| times[usize::from(*class)] = *time);
        times
    };
    let select = crate::number(fgspy_profile::Class::Select);
    if let Event::RequestEnd { own_ns, children, children_ns, .. } = &mut of_call {
        (*own_ns, *children, *children_ns) = (times(&[(RUNNING, 30), (SYSCALL, 40)]), 1, times(&[(SYSCALL, 5)]));
    }
    if let Event::RequestEnd { own_ns, children, children_ns, .. } = &mut of_http {
        (*own_ns, *children, *children_ns) = (times(&[(RUNNING, 28), (select, 72)]), 1, times(&[(RUNNING, 3)]));
    }
    let mut http = begin(1, 7, 100, path);
    if let Event::RequestBegin { method, .. } = &mut http {
        *method = b"POST".to_vec();
    }
    [http, call, of_call, of_http]
}

#[test]
fn a_call_of_grpc_that_came_through_http_is_one_request_whichever_ends_first() {
    let [http, call, of_call, of_http] = carried();
    for ends in [[&of_call, &of_http], [&of_http, &of_call]] {
        let mut trace = Trace::new(Limits::default());
        assert!(trace.take(http.clone()).is_none() && trace.take(call.clone()).is_none());
        assert_eq!(trace.open().map(|one| one.number).collect::<Vec<u64>>(), [2]);
        let mut headers = Headers::default();
        headers.values[0] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_vec();
        trace.take(Event::RequestIds { request: 1, headers });
        // The goroutine of net/http waits for the other, and that for a lock.
        let mut waits = [blocked(Some(1), 130, 180), blocked(Some(2), 130, 160)];
        for (wait, number) in waits.iter_mut().zip([7, 8]) {
            if let Event::Blocked { goid, .. } = wait {
                *goid = number;
            }
        }
        waits.into_iter().for_each(|wait| assert!(trace.take(wait).is_none()));
        assert!(trace.take(ends[0].clone()).is_none());
        assert_eq!(trace.open().count(), 1);
        let one = trace.take(ends[1].clone()).expect("both are over");
        assert_eq!((one.protocol, one.route.as_str(), one.goid), (Protocol::Grpc, "/shop.Orders/Get", 8));
        assert_eq!((one.begin_ns, one.end_ns, one.own_ns.iter().sum::<u64>()), (100, 200, 100));
        assert_eq!(
            (one.own_ns[usize::from(RUNNING)], one.own_ns[usize::from(SYSCALL)]),
            (58, 40),
            "2 of select are left"
        );
        assert!(one.headers.values[0].starts_with(b"00-"), "they are those of the request of HTTP/2");
        assert_eq!((one.children, one.children_ns.iter().sum::<u64>()), (1, 8));
        let route = &trace.routes()["/shop.Orders/Get"];
        assert_eq!((trace.routes().len(), route.durations.count(), trace.open().count()), (1, 1, 0));
        let places = trace.places();
        assert_eq!(places.iter().map(|place| (place.count, place.total_ns)).collect::<Vec<_>>(), [(1, 30)]);
        assert_eq!((trace.unknown(), trace.unended(), trace.dropped()), (0, 0, 0));
    }
}

#[test]
fn a_call_whose_other_half_is_lost_is_counted_all_the_same() {
    let [http, call, of_call, mut of_http] = carried();
    // The end of the other was not seen.
    if let Event::RequestEnd { how, .. } = &mut of_http {
        *how = EndReason::NextRequest;
    }
    let mut trace = Trace::new(Limits::default());
    [http.clone(), call.clone(), of_call.clone()].into_iter().for_each(|event| assert!(trace.take(event).is_none()));
    let one = trace.take(of_http).expect("the call is over");
    assert_eq!((one.begin_ns, one.end_ns, one.protocol), (120, 190, Protocol::Grpc));
    // The beginning of the other was not seen.
    let mut trace = Trace::new(Limits::default());
    trace.take(call.clone());
    assert!(trace.take(of_call.clone()).is_some_and(|one| one.duration_ns() == 70));
    // A request of gRPC that was started by who serves another path is another one.
    let mut other = http;
    if let Event::RequestBegin { path, .. } = &mut other {
        *path = b"/start".to_vec();
    }
    let mut trace = Trace::new(Limits::default());
    [other, call].into_iter().for_each(|event| assert!(trace.take(event).is_none()));
    assert!(trace.take(of_call).is_some());
    assert_eq!(trace.open().count(), 1);
}
