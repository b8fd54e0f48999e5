//! Small profiles with known content.

use fgspy_profile::{
    Accounting, Builder, Idle, LocationId, NewRequest, Profile, Protocol, SampleKey, Serving, Sighting, Span, State,
    Target, Weight,
};

pub(crate) const MS: u64 = 1_000_000;

/// A sample, by words.
#[derive(Clone, Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) stack: &'a [&'a str],
    pub(crate) goid: u64,
    pub(crate) state: State,
    pub(crate) reason: &'a str,
    pub(crate) labels: &'a [(&'a str, &'a str)],
    pub(crate) count: u64,
    pub(crate) time_ns: u64,
}

pub(crate) fn target() -> Target {
    Target {
        pid: 4242,
        executable: "/srv/shop".into(),
        command: vec!["shop".into(), "-v".into()],
        go_version: "go1.27.3".into(),
        build_id: "b1d".into(),
        arch: "amd64".into(),
        text: (0x1000, 0x9000, 0x400),
    }
}

/// Of `main.main → main.price (main.sum inlined)`, `main.main → lock`, and a frame without an address.
pub(crate) fn shop() -> Profile {
    let mut b = Builder::new(target(), 1_790_000_000_000_000_000);
    let main = b.function("main.main", "/src/main.go", 10);
    let price = b.function("example.com/shop/cart.(*Cart).Price", "/src/cart/cart.go", 20);
    let sum = b.function("example.com/shop/cart.sum", "/src/cart/cart.go", 40);
    let lock = b.function("sync.(*Mutex).Lock", "/go/sync/mutex.go", 60);
    // In the order of first use, in which some versions of pprof number them anew.
    let sum = b.location(0x3000, &[(sum, 42), (price, 22)]);
    let main = b.location(0x2000, &[(main, 12)]);
    let lock = b.location(0x4000, &[(lock, 61)]);
    let price = b.location(0x3010, &[(price, 24)]);
    let outside = {
        let function = b.function("libc.read", "", 0);
        b.location(0x7f00_0000_0000, &[(function, 0)])
    };
    let unseen = b.synthetic("[running: no perf_event permission]");
    let none = b.labels(&[]);
    let acme = b.labels(&[("tenant", "acme"), ("state", "gold"), ("empty", "")]);
    let mutex = b.string("sync.Mutex.Lock");
    let key = |stack, goid, state, wait_reason, labels| SampleKey {
        stack,
        goid,
        state,
        wait_reason,
        labels,
        creator: (goid > 1).then_some(main),
        serving: Serving::Unknown,
    };
    let computing = b.stack(&[sum, main]);
    let locking = b.stack(&[lock, price, main]);
    let calling = b.stack(&[outside, main]);
    let unseen = b.stack(&[unseen]);
    b.add(key(computing, 1, State::Running, None, acme), 30, 300 * MS);
    b.add(key(locking, 2, State::Waiting, Some(mutex), none), 50, 500 * MS);
    b.add(key(locking, 3, State::Waiting, Some(mutex), none), 10, 100 * MS);
    b.add(key(calling, 2, State::Syscall, None, none), 5, 50 * MS);
    b.add_weight(
        key(unseen, 4, State::Running, None, none),
        Weight { count: 4, time_ns: 40 * MS, variance_us2: 9_000_000 },
    );
    b.add(key(computing, 3, State::RunningOffCpu, None, none), 1, 10 * MS);
    let accounting = Accounting {
        rate_hz: 100.0,
        ticks: 50,
        late_ticks: 1,
        squared_intervals_us2: 5_000_000_000,
        accepted: 100,
        proven: 60,
        changed: 2,
        torn: 1,
        broken: 3,
        unmapped: 4,
        spread_ns: 100 * MS,
        unplaced_ns: 40 * MS,
        cpu_samples: 34,
        cpu_samples_lost: 5,
        expected_ns: 1_000 * MS,
        goroutine_ticks: 109,
        own_cpu_ns: 7 * MS,
        first_look_ns: 2 * MS,
        max_cpu: Some(0.01),
        remarks: vec!["no permission for perf_event_open".into()],
    };
    b.finish(500 * MS, accounting)
}

/// A profile of samples as `seen`, each frame at an address of its own.
pub(crate) fn profile(seen: &[Seen<'_>]) -> Profile {
    let mut b = Builder::new(target(), 0);
    for seen in seen {
        let mut locations: Vec<LocationId> = seen
            .stack
            .iter()
            .map(|name| {
                let function = b.function(name, &format!("{name}.go"), 1);
                b.location(0x2000 + u64::from(function.0), &[(function, 2)])
            })
            .collect();
        locations.reverse();
        let key = SampleKey {
            stack: b.stack(&locations),
            goid: seen.goid,
            state: seen.state,
            wait_reason: (!seen.reason.is_empty()).then(|| b.string(seen.reason)),
            labels: b.labels(seen.labels),
            creator: None,
            serving: Serving::Unknown,
        };
        b.add(key, seen.count, seen.time_ns);
    }
    b.finish(1_000 * MS, Accounting::default())
}

pub(crate) fn running<'a>(stack: &'a [&'a str], time_ns: u64) -> Seen<'a> {
    Seen { stack, goid: 1, state: State::Running, reason: "", labels: &[], count: 1, time_ns }
}

pub(crate) fn waiting<'a>(stack: &'a [&'a str], reason: &'a str, time_ns: u64) -> Seen<'a> {
    Seen { stack, goid: 1, state: State::Waiting, reason, labels: &[], count: 1, time_ns }
}

pub(crate) fn written(profile: &Profile, format: fgspy_export::Format) -> Vec<u8> {
    let mut out = Vec::new();
    fgspy_export::write(profile, format, &mut out).unwrap();
    out
}

pub(crate) fn text(profile: &Profile, format: fgspy_export::Format) -> String {
    String::from_utf8(written(profile, format)).unwrap()
}

/// The trace of the first request of [`service`].
pub(crate) const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A service whose requests are known: two samples of a request, one of another on the same route, one of another route,
/// one of a gRPC call, two idle ones, one that serves nothing, one of which it is not known. Times are 1, 2, 4, … 256 ms.
pub(crate) fn service() -> Profile {
    let mut b = Builder::new(target(), 1_790_000_000_000_000_000);
    let main = b.synthetic("main");
    let read = b.string("IO wait");
    let order = NewRequest { method: "GET", path: "/orders/17", pattern: "GET /orders/{id}", ..NewRequest::default() };
    let span = Span { from_ns: 10, to_ns: 30, goid: 7, state: State::Waiting, wait_reason: Some(read) };
    let (trace_id, span_id) = (TRACE, "00f067aa0ba902b7");
    let sighting = Some(Sighting { absent_ns: Some(9), first_ns: 15, last_ns: 35, gone_ns: Some(50) });
    let (goid, first_ns, last_ns, spans) = (7, 10, 40, vec![span]);
    let first = NewRequest { trace_id, span_id, goid, first_ns, last_ns, sighting, spans, ..order.clone() };
    let second = NewRequest { path: "/orders/18", goid: 8, ..order.clone() };
    let rpc = NewRequest {
        protocol: Protocol::Grpc,
        method: "POST",
        path: "/shop.Orders/Get",
        request_id: "r-1",
        ..NewRequest::default()
    };
    let post = NewRequest { protocol: Protocol::Http2, method: "POST", path: "/login", ..NewRequest::default() };
    let requests = [first, second, post, rpc].map(|new| Serving::Request(b.request(new)));
    let serving = [
        requests[0],
        requests[0],
        requests[1],
        requests[2],
        requests[3],
        Serving::Idle(Idle::Connection),
        Serving::Idle(Idle::Accepting),
        Serving::Nothing,
        Serving::Unknown,
    ];
    let (stack, none) = (b.stack(&[main]), b.labels(&[]));
    // The first has labels that we would give it too, with other values.
    let own = b.labels(&[("http.route", "mine"), ("trace_id", "theirs"), ("idle", "never"), ("span_id", "")]);
    for (index, serving) in serving.into_iter().enumerate() {
        let (state, wait_reason) = if index == 1 { (State::Running, None) } else { (State::Waiting, Some(read)) };
        let labels = if index == 0 { own } else { none };
        b.add(SampleKey { stack, goid: 7, state, wait_reason, labels, creator: None, serving }, 1, MS << index);
    }
    b.finish(500 * MS, Accounting::default())
}
