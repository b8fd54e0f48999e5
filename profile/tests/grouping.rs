//! Other things at the root of stacks.

use fgspy_profile::{
    Accounting, Builder, GroupBy, Idle, NewRequest, Profile, Protocol, Sample, SampleKey, Serving, StackId, State,
    Target, group,
};

/// A sample of each kind, each of `main.f`, 1 ns, 2 ns and so on.
fn profile() -> Profile {
    let mut b = Builder::new(Target::default(), 0);
    let f = b.function("main.f", "f.go", 1);
    let at = b.location(0x10, &[(f, 2)]);
    let (inner, outer) = (b.function("main.inlined", "g.go", 5), b.function("main.outer", "g.go", 1));
    let creator = b.location(0x20, &[(inner, 6), (outer, 3)]);
    let get =
        NewRequest { method: "GET", path: "/orders/17", goid: 7, first_ns: 1_234_567_890, ..NewRequest::default() };
    let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let requests = [
        NewRequest { trace_id, request_id: "r-1", ..get.clone() },
        NewRequest { request_id: "r-1", path: "/health", ..get.clone() },
        get,
        NewRequest { protocol: Protocol::Grpc, path: "/shop.Orders/Get", trace_id, ..NewRequest::default() },
        NewRequest { trace_id, ..NewRequest::default() },
    ];
    let mut serving: Vec<Serving> = requests.map(|new| Serving::Request(b.request(new))).to_vec();
    serving.extend([Serving::Nothing, Serving::Unknown, Serving::Idle(Idle::Connection)]);
    let (stack, labels, chan) = (b.stack(&[at]), b.labels(&[]), b.string("chan receive"));
    for (index, serving) in serving.into_iter().enumerate() {
        let waits = index % 2 == 0;
        let (state, wait_reason) = if waits { (State::Waiting, Some(chan)) } else { (State::Running, None) };
        let creator = waits.then_some(creator);
        b.add(SampleKey { stack, goid: 7, state, wait_reason, labels, creator, serving }, 1, 1 << index);
    }
    b.finish(1, Accounting::default())
}

/// The stacks, root first, with the times of their samples.
fn stacks(profile: &Profile) -> Vec<(String, u64)> {
    let mut stacks: Vec<(String, u64)> = Vec::new();
    for sample in &profile.samples {
        let stack = profile.frames(sample.stack).rev().map(|frame| frame.name).collect::<Vec<_>>().join(";");
        match stacks.iter_mut().find(|(known, _)| *known == stack) {
            Some((_, time)) => *time += sample.time_ns,
            None => stacks.push((stack, sample.time_ns)),
        }
    }
    stacks
}

fn grouped(by: GroupBy) -> Vec<(String, u64)> {
    let (before, after) = (profile(), group(&profile(), by));
    let other = |profile: &Profile| -> Vec<Sample> {
        profile.samples.iter().map(|sample| Sample { stack: StackId(0), ..*sample }).collect()
    };
    assert_eq!(other(&before), other(&after), "only stacks change");
    assert_eq!(before.requests, after.requests);
    let mut strings = after.strings.clone();
    strings.sort();
    strings.dedup();
    assert_eq!(strings.len(), after.strings.len(), "a string is in the table twice");
    stacks(&after)
}

fn expect(by: GroupBy, expected: &[(&str, u64)]) {
    let expected: Vec<(String, u64)> =
        expected.iter().map(|(stack, time)| (format!("{stack};main.f"), *time)).collect();
    assert_eq!(grouped(by), expected);
}

#[test]
fn by_route() {
    expect(
        GroupBy::Route,
        &[
            ("GET /orders/{id}", 1 + 4),
            ("GET /health", 2),
            ("/shop.Orders/Get", 8),
            ("[route not read]", 16),
            ("[not in a request]", 32),
            ("[request not known]", 64),
            ("[idle: connection]", 128),
        ],
    );
}

#[test]
fn by_request() {
    let trace = "trace 4bf92f3577b34da6a3ce929d0e0e4736";
    expect(
        GroupBy::Request,
        &[
            (&format!("GET /orders/{{id}};{trace} /orders/17"), 1),
            ("GET /health;request r-1", 2),
            ("GET /orders/{id};goroutine 7 at 1.235 s /orders/17", 4),
            (&format!("/shop.Orders/Get;{trace}"), 8),
            (&format!("[route not read];{trace}"), 16),
            ("[not in a request]", 32),
            ("[request not known]", 64),
            ("[idle: connection]", 128),
        ],
    );
}

#[test]
fn by_state_and_creator() {
    expect(GroupBy::State, &[("[waiting: chan receive]", 0b0101_0101), ("[running]", 0b1010_1010)]);
    expect(GroupBy::Creator, &[("created by main.inlined", 0b0101_0101), ("[created by the runtime]", 0b1010_1010)]);
    let by_creator = group(&profile(), GroupBy::Creator);
    let root = by_creator.frames(by_creator.samples[0].stack).next_back().unwrap();
    assert_eq!((root.file, root.line, root.start_line, root.address), ("g.go", 6, 5, 0));
}

#[test]
fn words() {
    for by in GroupBy::ALL {
        assert_eq!(GroupBy::from_word(by.word()), Some(by));
    }
    assert_eq!(GroupBy::from_word("goroutine"), None);
}

#[test]
fn a_profile_put_together_wrongly_does_not_panic() {
    let mut wrong = profile();
    wrong.requests.clear();
    wrong.stacks.clear();
    wrong.locations.clear();
    wrong.strings.truncate(1);
    for by in GroupBy::ALL {
        assert_eq!(group(&wrong, by).total_time(), wrong.total_time());
    }
}
