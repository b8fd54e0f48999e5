//! Who works for which request, and how much is kept of each.

use fgspy_goroutines::request::{Trace, TraceId, TraceSource, job_of_trace};

use super::*;

fn request(identity: u64) -> Request {
    Request {
        identity: Identity(identity),
        protocol: Protocol::Http1,
        method: None,
        path: None,
        route: None,
        trace: None,
        request_id: None,
    }
}

const CONNECTION: u64 = 7;

fn newcomer(goid: u64, parent: u64, absent_ns: u64) -> Newcomer {
    Newcomer { goid, parent, absent_ns: Some(absent_ns), seen_ns: absent_ns + 1 }
}

#[test]
fn what_a_request_starts_works_for_it_and_so_do_those_it_starts() {
    let mut requests = Requests::default();
    let first = requests.serves((CONNECTION, 0), &request(1), false, 1..2);
    assert_eq!(requests.serves((CONNECTION, 0), &request(1), false, 2..3), first);
    assert_eq!(requests.serves((CONNECTION, 0), &request(1), false, 3..4), first);
    assert_eq!(requests.adopt(newcomer(20, CONNECTION, 3), 4, |_| 4), None, "its parent may have been read before it");
    assert_eq!(requests.adopt(newcomer(20, CONNECTION, 3), 5, |_| 5), first);
    assert_eq!(requests.adopt(newcomer(21, 20, 3), 4, |_| 4), first, "a grandchild");
    requests.ended(20);
    let second = requests.serves((CONNECTION, 0), &request(2), false, 4..5);
    assert_ne!(first, second);
    assert_eq!(requests.adopt(newcomer(22, 20, 5), 6, |_| 6), first, "the child of one that has ended");
    assert_eq!((requests.of_heir(21), requests.of_heir(CONNECTION)), (first, None));
    assert_eq!(requests.adopt(newcomer(23, 99, 5), 6, |_| 6), None, "its parent is nobody's");
}

#[test]
fn who_may_have_been_started_for_another_request_is_nobody_s() {
    let mut requests = Requests::default();
    requests.serves((CONNECTION, 0), &request(1), false, 1..2);
    let second = requests.serves((CONNECTION, 0), &request(2), false, 3..4);
    assert_eq!(requests.adopt(newcomer(20, CONNECTION, 3), 4, |_| 4), None, "started between ticks 3 and 4");
    let looked_for_first = "it may be looked for, be started, and request 2 begin, all within tick 4";
    assert_eq!(requests.adopt(newcomer(21, CONNECTION, 4), 6, |_| 6), None, "{looked_for_first}");
    assert_eq!(requests.adopt(newcomer(21, CONNECTION, 5), 7, |_| 7), second);
    assert_eq!(requests.adopt(newcomer(22, CONNECTION, 5), 7, |_| 6), None, "who started it was not looked at");
    let unknown = Newcomer { goid: 22, parent: CONNECTION, absent_ns: None, seen_ns: 5 };
    assert_eq!(requests.adopt(unknown, 7, |_| 7), None);
    requests.rests(CONNECTION);
    assert_eq!(requests.adopt(newcomer(23, CONNECTION, 6), 8, |_| 8), None, "it serves nothing");
}

#[test]
fn a_job_is_that_one_s_who_started_the_others() {
    for (worker, child, parents) in [(9, 7, true), (7, 9, true), (7, 9, false)] {
        for order in [[worker, child], [child, worker]] {
            let mut requests = Requests::default();
            for goid in order {
                let parent = if goid == worker { 1 } else { worker };
                let job = Request { path: Some(format!("of {goid}")), ..request(1) };
                requests.works_on((goid, goid as u32), parents.then_some(parent), &job, 0..1);
            }
            let seen = requests.get(RequestId(0)).unwrap();
            assert_eq!((seen.goid, seen.request.path.clone()), (worker, Some(format!("of {worker}"))));
        }
    }
}

#[test]
fn what_http2_starts_needs_no_such_care() {
    let mut requests = Requests::default();
    let http2 = Request { protocol: Protocol::Http2, ..request(1) };
    let id = requests.serves((CONNECTION, 0), &http2, true, 4..5);
    assert_eq!(requests.adopt(Newcomer { goid: 20, parent: CONNECTION, absent_ns: None, seen_ns: 5 }, 5, |_| 5), id);
}

#[test]
fn time_lines_are_bounded_and_the_longest_requests_keep_theirs() {
    let mut requests = Requests::default();
    let many = (MAX_ALL_SPANS / MAX_SPANS + 2) as u64;
    for number in 0..many {
        let id = requests.serves((number, 0), &request(number), false, 0..1).unwrap();
        for piece in 0..2 * MAX_SPANS as u64 {
            let span = RawSpan {
                from_ns: piece,
                to_ns: number + piece,
                goid: number,
                state: State::Running,
                wait_reason: None,
            };
            requests.span(id, span);
        }
    }
    let seen = requests.into_seen();
    assert!(seen.iter().map(|seen| seen.spans.len()).sum::<usize>() <= MAX_ALL_SPANS);
    assert_eq!(seen.last().unwrap().spans.len(), MAX_SPANS);
    assert!(seen[0].spans.is_empty() && seen[0].last_ns == 2 * MAX_SPANS as u64 - 1);
}

fn call(identity: u64) -> Request {
    Request { protocol: Protocol::Grpc, path: Some("/shop.Orders/Get".to_owned()), ..request(identity) }
}

/// A goroutine of HTTP/2, and the one that it starts for the call of gRPC.
const CARRIER: u64 = 8;
const HANDLER: u64 = 9;

#[test]
fn a_call_of_grpc_that_came_through_http_is_one_request_whoever_is_seen_first() {
    let serves = |requests: &mut Requests, (goid, parent, identity): (u64, u64, u64), tick: u64| {
        requests.serves_once((goid, goid as u32), Some(parent), &call(identity), true, tick..tick + 1)
    };
    let (carried, handled) = ((CARRIER, CONNECTION, 1), (HANDLER, CARRIER, 2));
    for order in [[carried, handled], [handled, carried]] {
        let mut requests = Requests::default();
        let id = serves(&mut requests, order[0], 1);
        assert!(id.is_some());
        assert_eq!(serves(&mut requests, order[1], 2), id, "{order:?}");
        assert_eq!(order.map(|one| serves(&mut requests, one, 3)), [id, id], "{order:?}");
        assert_eq!((requests.len(), requests.get(id.unwrap()).unwrap().goid), (1, HANDLER), "{order:?}");
        assert_eq!([CARRIER, HANDLER].map(|goid| requests.of_life(goid)), [id, id], "{order:?}");
        assert_eq!(requests.adopt(newcomer(20, CARRIER, 3), 4, |_| 4), id, "what either starts works for it");
    }
}

#[test]
fn calls_of_one_transport_are_not_one() {
    let mut requests = Requests::default();
    let ids = [1, 2].map(|identity| {
        requests.serves_once((20 + identity, 0), Some(CONNECTION), &call(identity), true, identity..identity + 1)
    });
    assert_ne!(ids[0], ids[1], "started by the goroutine that reads for all of them");
    // One that serves another path is no part of the request of whom started it.
    let inner = Request { path: Some("/shop.Orders/Put".to_owned()), ..call(3) };
    let inner = requests.serves_once((30, 0), Some(21), &inner, true, 3..4);
    assert!(inner.is_some() && inner != ids[0]);
}

fn traced(identity: u64, trace: u128) -> Request {
    let trace = Trace { trace_id: TraceId(trace), span_id: None, source: TraceSource::Traceparent };
    Request { trace: Some(trace), ..request(identity) }
}

fn serves(requests: &mut Requests, goid: u64, request: &Request, at: u64) -> RequestId {
    requests.serves_once((goid, goid as u32), None, request, false, at..at + 1).unwrap()
}

#[test]
fn who_has_labels_of_a_request_s_trace_works_for_it() {
    let mut requests = Requests::default();
    let (job, other) = (job_of_trace(TraceId(5)), job_of_trace(TraceId(6)));
    assert_eq!(requests.part(job), Part::OfNone);
    let first = serves(&mut requests, CONNECTION, &traced(1, 5), 1);
    assert_eq!((requests.part(job), requests.part(other)), (Part::Of(first), Part::OfNone));
    // A second one of the same trace: it is not known whose its goroutines are.
    serves(&mut requests, CONNECTION, &traced(2, 5), 3);
    assert_eq!(requests.part(job), Part::OfOne);
}

#[test]
fn labels_are_those_of_the_request_on_whose_goroutine_they_were_first_seen() {
    let mut requests = Requests::default();
    let (span, left, shared) = (Identity(50), Identity(51), Identity(52));
    let first = serves(&mut requests, CONNECTION, &request(1), 1);
    requests.is_labelled(CONNECTION, first, span);
    let second = serves(&mut requests, CONNECTION, &request(2), 2);
    requests.is_labelled(CONNECTION, second, span);
    assert_eq!(requests.part(span), Part::Of(first), "the second one had not set its own yet");
    requests.is_labelled_still(left);
    requests.is_labelled(CONNECTION, second, left);
    assert_eq!(requests.part(left), Part::OfOne, "they were there before it began");
    let third = serves(&mut requests, 30, &request(3), 2);
    requests.is_labelled(CONNECTION, second, shared);
    requests.is_labelled(30, third, shared);
    assert_eq!(requests.part(shared), Part::OfOne);
}

#[test]
fn a_job_that_was_seen_before_its_request_becomes_part_of_it() {
    let mut requests = Requests::default();
    let labels = |identity| Request { protocol: Protocol::Labels, ..request(identity) };
    let [early, alone, shared] = [60, 61, 62]
        .map(|identity| requests.works_on((identity, 0), Some(CONNECTION), &labels(identity), 0..1).unwrap());
    requests.span(early, RawSpan { from_ns: 2, to_ns: 9, goid: 60, state: State::Waiting, wait_reason: None });
    let (first, second) =
        (serves(&mut requests, CONNECTION, &request(1), 3), serves(&mut requests, 30, &request(2), 3));
    // By the labels of who serves it; by being started for it.
    requests.is_labelled(CONNECTION, first, Identity(60));
    requests.is_labelled(CONNECTION, first, Identity(62));
    requests.is_labelled(30, second, Identity(62));
    assert_eq!(
        [early, alone, shared, first].map(|id| requests.whole(id)),
        [Some(first), Some(alone), None, Some(first)]
    );
    let parts = requests.parts();
    assert_eq!(parts, HashMap::from([(early, Some(first)), (shared, None)]));
    let request = requests.get(first).unwrap();
    assert_eq!((request.goid, request.first_ns, request.spans.len()), (CONNECTION, 2, 1));
    requests.is_no_job(61, second, Identity(61));
    assert_eq!(requests.whole(alone), Some(second), "it was its goroutine's, which was started for a request");
}

#[test]
fn a_request_that_was_not_seen_to_match_has_the_pattern_of_its_kind() {
    let get = |identity, path: &str, route: Option<&str>| Request {
        method: Some("GET".to_owned()),
        path: Some(path.to_owned()),
        route: route.map(str::to_owned),
        ..request(identity)
    };
    let mut requests = Requests::default();
    let early = serves(&mut requests, 20, &get(1, "/orders/17", None), 1);
    let other = serves(&mut requests, 21, &get(2, "/users/17", None), 1);
    let matched = serves(&mut requests, 22, &get(3, "/orders/18", Some("/orders/{order}")), 1);
    // It had been asked for already.
    assert_ne!(requests.route(early), requests.route(matched));
    requests.find_routes();
    assert_eq!(requests.route(early), requests.route(matched));
    assert_eq!(requests.get(early).unwrap().route(), "GET /orders/{order}");
    assert_eq!(requests.get(other).unwrap().route(), "GET /users/{id}");
}
