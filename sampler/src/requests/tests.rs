//! Who works for which request, and how much is kept of each.

use fgspy_goroutines::request::Protocol;

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
    Newcomer { goid, parent, absent_ns: Some(absent_ns) }
}

#[test]
fn what_a_request_starts_works_for_it_and_so_do_those_it_starts() {
    let mut requests = Requests::default();
    let first = requests.serves((CONNECTION, 0), &request(1), false, 1..2);
    assert_eq!(requests.serves((CONNECTION, 0), &request(1), false, 2..3), first);
    assert_eq!(requests.serves((CONNECTION, 0), &request(1), false, 3..4), first);
    assert_eq!(requests.adopt(newcomer(20, CONNECTION, 3), 4, |_| 4), first);
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
    assert_eq!(requests.adopt(newcomer(21, CONNECTION, 4), 5, |_| 5), None, "{looked_for_first}");
    assert_eq!(requests.adopt(newcomer(21, CONNECTION, 5), 6, |_| 6), second);
    assert_eq!(requests.adopt(newcomer(22, CONNECTION, 5), 6, |_| 5), None, "who started it was not looked at");
    let unknown = Newcomer { goid: 22, parent: CONNECTION, absent_ns: None };
    assert_eq!(requests.adopt(unknown, 6, |_| 6), None);
    requests.rests(CONNECTION);
    assert_eq!(requests.adopt(newcomer(23, CONNECTION, 6), 7, |_| 7), None, "it serves nothing");
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
    assert_eq!(requests.adopt(Newcomer { goid: 20, parent: CONNECTION, absent_ns: None }, 5, |_| 5), id);
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
