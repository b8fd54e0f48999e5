//! Requests through the builder, filters, merging and routes.

use fgspy_profile::{
    Accounting, Builder, Class, Filter, Idle, NewRequest, Profile, Protocol, SampleKey, Serving, Span, State, Target,
    apply, merge,
};
use regex::Regex;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Samples of 1, 2, 4, … ns: of a request and of its child, of another request of the same trace, of a gRPC call, of a
/// server's goroutine with nothing to do, of one that serves nothing, and of one of which it is not known.
fn profile(start_unix_ns: u64) -> Profile {
    let mut b = Builder::new(Target::default(), start_unix_ns);
    let (reason, stack, labels) = (b.string("select"), b.stack(&[]), b.labels(&[]));
    let span = Span { from_ns: 5, to_ns: 9, goid: 7, state: State::Waiting, wait_reason: Some(reason) };
    let get = NewRequest { method: "GET", path: "/orders/17?q=1", trace_id: TRACE, ..NewRequest::default() };
    let first = b.request(NewRequest { first_ns: 3, last_ns: 9, goid: 7, spans: vec![span], ..get.clone() });
    let second = b.request(NewRequest { method: "PUT", pattern: "/orders/", ..get });
    let rpc = b.request(NewRequest { protocol: Protocol::Grpc, path: "/shop.Orders/Get", ..NewRequest::default() });
    let [first, second, rpc] = [first, second, rpc].map(Serving::Request);
    let unused = NewRequest { method: "GET", path: "/unused", ..NewRequest::default() };
    b.request(unused);
    let seen = [first, first, second, rpc, Serving::Idle(Idle::Worker), Serving::Nothing, Serving::Unknown];
    for (index, serving) in seen.into_iter().enumerate() {
        let goid = 7 + index as u64;
        let (state, wait_reason) = if goid == 8 { (State::Running, None) } else { (State::Waiting, Some(reason)) };
        b.add(SampleKey { stack, goid, state, wait_reason, labels, creator: None, serving }, 1, 1 << index);
    }
    b.finish(100, Accounting::default())
}

/// The routes of the requests.
fn routes(profile: &Profile) -> Vec<&str> {
    profile.requests.iter().map(|request| profile.string(request.route)).collect()
}

#[test]
fn requests_have_routes() {
    assert_eq!(routes(&profile(0)), ["GET /orders/{id}", "PUT /orders/", "/shop.Orders/Get", "GET /unused"]);
    let p = profile(0);
    let lines: Vec<String> = p.requests.iter().map(|request| p.request_line(request)).collect();
    assert_eq!(lines, ["GET /orders/17?q=1", "PUT /orders/17?q=1", "/shop.Orders/Get", "GET /unused"]);
}

#[test]
fn a_rule_of_the_user_gives_other_routes() {
    let mut p = profile(0);
    let strings = p.strings.clone();
    p.reroute(&Regex::new("^(?:GET|PUT) (/[a-z]+/1)").unwrap());
    assert_eq!(routes(&p), ["/orders/1", "/orders/1", "/shop.Orders/Get", "GET /unused"]);
    assert_eq!(p.strings[..strings.len()], strings, "what is there stays where it is");
    assert_eq!(p.strings[strings.len()..], ["/orders/1"], "each string once");
    // It matches neither a query nor, here, anything.
    p.reroute(&Regex::new("q=1").unwrap());
    assert_eq!(routes(&p), routes(&profile(0)));
    assert_eq!(p.strings.len(), strings.len() + 1);
}

#[test]
fn merged_requests_stay_apart_and_their_times_count_from_the_new_start() {
    let both = merge(&profile(1_000), &profile(1_500));
    assert_eq!(both.start_unix_ns, 1_000);
    let times: Vec<_> = both.requests.iter().map(|request| (request.first_ns, request.last_ns)).collect();
    assert_eq!(times, [(3, 9), (0, 0), (0, 0), (503, 509), (500, 500), (500, 500)]);
    assert_eq!((both.requests[3].spans[0].from_ns, both.requests[3].spans[0].to_ns), (505, 509));
    let reason = both.requests[3].spans[0].wait_reason.unwrap();
    assert_eq!(both.string(reason), "select");
    assert_eq!(routes(&both)[..3], routes(&both)[3..]);
    let totals = both.serving_totals().unwrap();
    assert_eq!((totals.requests, totals.routes, totals.request_ns), (6, 3, 2 * 0b1111));
    // What serves no request agrees, and is added up.
    assert_eq!(both.samples.len(), 2 * 7 - 3);
}

fn kept(filter: Filter) -> (Vec<u64>, usize, String) {
    let whole = profile(0);
    let part = apply(&whole, &filter);
    let remark = part.accounting.remarks.last().cloned().unwrap_or_default();
    (part.samples.iter().map(|sample| sample.time_ns).collect(), part.requests.len(), remark)
}

#[test]
fn filters_keep_requests_with_their_children_and_no_others() {
    let of_request = |regex: &str| {
        let (times, requests, remark) = kept(Filter { request: Regex::new(regex).ok(), ..Filter::default() });
        assert!(remark.starts_with(&format!("filtered by request=/{regex}/: ")), "{remark}");
        (times, requests)
    };
    assert_eq!(of_request("^GET /orders/\\{id\\}$"), (vec![1, 2], 1), "by route");
    assert_eq!(of_request("^PUT /orders/17"), (vec![4], 1), "by method and path");
    assert_eq!(of_request("(?i)^/shop\\.orders/"), (vec![8], 1));
    assert_eq!(of_request("/orders/|Orders"), (vec![1, 2, 4, 8], 3));
    assert_eq!(of_request("^$"), (vec![], 0), "what serves nothing matches nothing");

    let of_trace = |trace: &str| {
        let (times, requests, remark) = kept(Filter { trace: Some(trace.to_owned()), ..Filter::default() });
        assert!(remark.starts_with(&format!("filtered by trace={trace}: ")), "{remark}");
        (times, requests)
    };
    assert_eq!(of_trace(&TRACE.to_uppercase()), (vec![1, 2, 4], 2));
    assert_eq!(of_trace("4bf92f35"), (vec![1, 2, 4], 2));
    assert_eq!(of_trace("4bf92f3"), (vec![], 0), "too short to mean one");
    assert_eq!(of_trace(""), (vec![], 0));

    let (times, requests, remark) = kept(Filter { no_idle: true, ..Filter::default() });
    assert_eq!((times, requests), (vec![1, 2, 4, 8, 32, 64], 3));
    assert_eq!(remark, "filtered by no-idle: 87.4 % of the recorded time");

    let all =
        Filter { request: Regex::new("^GET ").ok(), trace: Some(TRACE.into()), no_idle: true, ..Filter::default() };
    let (times, requests, remark) = kept(Filter { states: vec![State::Running], ..all });
    assert_eq!((times, requests), (vec![2], 1));
    assert_eq!(
        remark,
        format!("filtered by state=running request=/^GET / trace={TRACE} no-idle: 1.6 % of the recorded time")
    );
}

#[test]
fn a_trace_may_stand_in_the_target_s_own_labels() {
    let mut b = Builder::new(Target::default(), 0);
    let stack = b.stack(&[]);
    let key = |labels| SampleKey {
        stack,
        goid: 1,
        state: State::Running,
        wait_reason: None,
        labels,
        creator: None,
        serving: Serving::Nothing,
    };
    for (index, labels) in [("trace_id", TRACE), ("trace_id", "4bf9"), ("tenant", TRACE)].into_iter().enumerate() {
        let labels = b.labels(&[labels]);
        b.add(key(labels), 1, 1 << index);
    }
    let whole = b.finish(1, Accounting::default());
    let trace = Some(TRACE.to_owned());
    let of = |filter: Filter| apply(&whole, &filter).samples.iter().map(|s| s.time_ns).collect::<Vec<_>>();
    assert_eq!(of(Filter { trace: trace.clone(), ..Filter::default() }), [1]);
    assert!(of(Filter { trace, request: Regex::new("").ok(), ..Filter::default() }).is_empty(), "there is no request");
}

#[test]
fn a_filter_keeps_routes_by_the_user_s_rule() {
    let mut whole = profile(0);
    whole.reroute(&Regex::new("/[a-z]+").unwrap());
    let part = apply(&whole, &Filter { request: Regex::new("^/orders$").ok(), ..Filter::default() });
    assert_eq!(routes(&part), ["/orders", "/orders"]);
    assert_eq!(part.requests[0].spans.len(), 1);
    assert_eq!(part.string(part.requests[0].spans[0].wait_reason.unwrap()), "select");
}

#[test]
fn sums_say_whose_time_is_whose() {
    let totals = profile(0).serving_totals().unwrap();
    assert_eq!((totals.requests, totals.routes), (3, 3), "those in which no time was spent do not count");
    assert_eq!((totals.request_ns, totals.idle_ns, totals.nothing_ns, totals.unknown_ns), (15, 16, 32, 64));
    assert_eq!(totals.by_idle_ns, Idle::ALL.map(|idle| (idle, if idle == Idle::Worker { 16 } else { 0 })));
    let mut unasked = profile(0);
    unasked.samples.iter_mut().for_each(|sample| sample.serving = Serving::Unknown);
    assert_eq!(unasked.serving_totals(), None);
    assert_eq!(Profile::default().serving_totals(), None);

    let p = profile(0);
    let by_route: Vec<_> = p.by_route().iter().map(|r| (p.string(r.route), r.requests, r.time_ns)).collect();
    assert_eq!(by_route, [("/shop.Orders/Get", 1, 8), ("PUT /orders/", 1, 4), ("GET /orders/{id}", 1, 3)]);
    let of_get = p.by_route()[2].by_class_ns;
    assert_eq!(
        (of_get[Class::Running.index()], of_get[Class::Select.index()]),
        ((Class::Running, 2), (Class::Select, 1))
    );
}

#[test]
fn without_goroutines_requests_stay_apart() {
    let p = merge(&profile(0), &profile(0));
    let times: Vec<u64> = p.without_goroutines().iter().map(|sample| sample.time_ns).collect();
    assert_eq!(times, [1, 2, 4, 8, 32, 64, 128, 1, 2, 4, 8]);
}

#[test]
fn words_are_different() {
    let serving = [Serving::Unknown, Serving::Nothing, Serving::Idle(Idle::Accepting)].map(Serving::word);
    assert_eq!(serving, ["unknown", "nothing", "idle"]);
    assert_eq!(Idle::ALL.map(Idle::word), ["accepting", "connection", "transport", "worker"]);
    let all = [Protocol::Http1, Protocol::Http2, Protocol::Grpc, Protocol::Labels];
    assert_eq!(all.map(Protocol::word), ["http/1", "http/2", "grpc", "labels"]);
}

#[test]
fn a_request_that_is_not_in_the_table_is_not_known() {
    let mut wrong = profile(0);
    wrong.requests.clear();
    let again = merge(&wrong, &wrong);
    assert_eq!(again.total_time(), 2 * wrong.total_time());
    assert!(again.samples.iter().all(|sample| sample.serving.request().is_none()));
    assert!(wrong.by_route().is_empty());
    assert_eq!(wrong.serving_totals().unwrap().request_ns, 15);
    apply(&wrong, &Filter { request: Regex::new("x").ok(), ..Filter::default() });
}
