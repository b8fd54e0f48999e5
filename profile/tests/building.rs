//! The builder, totals, merge and filter on small profiles with known content.

use fgspy_profile::{
    Accounting, Builder, Class, Filter, LabelMatch, LabelMatchError, Profile, SampleKey, Serving, State, Target, apply,
    merge,
};
use regex::Regex;

/// `main.main → main.work`, of which `main.inner` is inlined into `main.work`.
fn builder() -> Builder {
    Builder::new(Target { pid: 42, executable: "/bin/app".into(), ..Target::default() }, 1_000)
}

#[derive(Clone, Copy)]
struct Seen {
    leaf: &'static str,
    goid: u64,
    state: State,
    reason: &'static str,
    labels: &'static [(&'static str, &'static str)],
    time_ns: u64,
}

const SEEN: [Seen; 5] = [
    Seen {
        leaf: "net.read",
        goid: 7,
        state: State::Waiting,
        reason: "IO wait",
        labels: &[("t", "acme")],
        time_ns: 500,
    },
    Seen { leaf: "main.sum", goid: 7, state: State::Running, reason: "", labels: &[("t", "acme")], time_ns: 300 },
    Seen { leaf: "net.read", goid: 8, state: State::Waiting, reason: "IO wait", labels: &[], time_ns: 40 },
    Seen { leaf: "sync.lock", goid: 9, state: State::Waiting, reason: "sync.Mutex.Lock", labels: &[], time_ns: 60 },
    Seen { leaf: "main.sum", goid: 9, state: State::RunningOffCpu, reason: "", labels: &[("t", "b")], time_ns: 100 },
];

fn profile(seen: &[Seen]) -> Profile {
    let mut b = builder();
    let root = b.function("main.main", "main.go", 3);
    let root = b.location(0x1000, &[(root, 5)]);
    for seen in seen {
        let leaf = b.function(seen.leaf, "leaf.go", 1);
        let leaf = b.location(0x2000 + u64::from(seen.leaf.as_bytes()[5]), &[(leaf, 2)]);
        let key = SampleKey {
            stack: b.stack(&[leaf, root]),
            goid: seen.goid,
            state: seen.state,
            wait_reason: (!seen.reason.is_empty()).then(|| b.string(seen.reason)),
            labels: b.labels(seen.labels),
            creator: Some(root),
            serving: Serving::Unknown,
        };
        b.add(key, 1, seen.time_ns);
    }
    b.finish(250, Accounting { rate_hz: 99.0, ticks: 10, ..Accounting::default() })
}

/// Everything about a sample, without the ids.
#[derive(Debug, PartialEq)]
struct Told {
    stack: String,
    goid: u64,
    activity: (State, String),
    labels: Vec<(String, String)>,
    count: u64,
    time_ns: u64,
}

fn samples(profile: &Profile) -> Vec<Told> {
    let tell = |sample: &fgspy_profile::Sample| Told {
        stack: profile.frames(sample.stack).map(|frame| frame.name).collect::<Vec<_>>().join("<"),
        goid: sample.goid,
        activity: (sample.state, profile.wait_reason(sample).to_owned()),
        labels: profile.labels(sample.labels).map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        count: sample.count,
        time_ns: sample.time_ns,
    };
    profile.samples.iter().map(tell).collect()
}

fn times(profile: &Profile) -> Vec<u64> {
    profile.samples.iter().map(|sample| sample.time_ns).collect()
}

#[test]
fn equal_things_get_equal_ids_and_the_empty_ones_are_zero() {
    let mut b = builder();
    assert_eq!(b.string("").0, 0);
    assert_eq!(b.labels(&[]).0, 0);
    assert_eq!((b.string("a").0, b.string("b").0, b.string("a").0), (1, 2, 1));
    let f = b.function("f", "f.go", 1);
    let g = b.function("g", "f.go", 9);
    assert_ne!(f, g);
    assert_eq!(f, b.function("f", "f.go", 1));
    assert_eq!(b.location_at(16), None);
    let at = b.location(16, &[(g, 10), (f, 2)]);
    assert_eq!(b.location(16, &[(g, 10), (f, 2)]), at);
    assert_eq!(b.location_at(16), Some(at));
    let synthetic = b.synthetic("[running: no perf_event permission]");
    assert_eq!(b.synthetic("[running: no perf_event permission]"), synthetic);
    assert_eq!(b.location_at(0), None);
    assert_eq!(b.stack(&[at, synthetic]), b.stack(&[at, synthetic]));
    assert_ne!(b.stack(&[at, synthetic]), b.stack(&[synthetic, at]));
    assert_eq!(b.labels(&[("k", "v"), ("a", "b")]), b.labels(&[("a", "b"), ("k", "v")]));
}

#[test]
fn inlined_calls_are_frames_of_their_own() {
    let mut b = builder();
    let inner = b.function("main.inner", "a.go", 30);
    let outer = b.function("main.outer", "a.go", 20);
    let root = b.function("main.main", "a.go", 10);
    let leaf = b.location(0x10, &[(inner, 31), (outer, 21)]);
    let root = b.location(0x20, &[(root, 11)]);
    let stack = b.stack(&[leaf, root]);
    let p = b.finish(0, Accounting::default());
    let frames: Vec<(&str, u32, u32, u64, bool)> =
        p.frames(stack).map(|f| (f.name, f.start_line, f.line, f.address, f.inlined)).collect();
    assert_eq!(
        frames,
        [("main.inner", 30, 31, 0x10, true), ("main.outer", 20, 21, 0x10, false), ("main.main", 10, 11, 0x20, false)]
    );
    let root_first: Vec<&str> = p.frames(stack).rev().map(|frame| frame.name).collect();
    assert_eq!(root_first, ["main.main", "main.outer", "main.inner"]);
}

#[test]
fn a_location_without_lines_still_has_a_name() {
    let mut b = builder();
    let at = b.location(0x99, &[]);
    let stack = b.stack(&[at]);
    let p = b.finish(0, Accounting::default());
    assert_eq!(p.frames(stack).map(|f| (f.name, f.address)).collect::<Vec<_>>(), [("[unknown]", 0x99)]);
}

#[test]
fn the_first_of_two_labels_with_one_key_stays() {
    let mut b = builder();
    let set = b.labels(&[("k", "first"), ("a", "1"), ("k", "second")]);
    let p = b.finish(0, Accounting::default());
    assert_eq!(p.labels(set).collect::<Vec<_>>(), [("a", "1"), ("k", "first")]);
}

#[test]
fn what_agrees_adds_up_and_sums_saturate() {
    let mut b = builder();
    let at = b.synthetic("x");
    let stack = b.stack(&[at]);
    let labels = b.labels(&[]);
    let key = SampleKey {
        stack,
        goid: 1,
        state: State::Running,
        wait_reason: None,
        labels,
        creator: None,
        serving: Serving::Unknown,
    };
    b.add(key, 1, 10);
    b.add(SampleKey { goid: 2, ..key }, 1, 1);
    b.add(key, 2, 20);
    assert_eq!(b.sample_count(), 2);
    b.add(SampleKey { goid: 2, ..key }, u64::MAX, u64::MAX);
    let p = b.finish(0, Accounting::default());
    let got: Vec<_> = p.samples.iter().map(|s| (s.goid, s.count, s.time_ns)).collect();
    assert_eq!(got, [(1, 3, 30), (2, u64::MAX, u64::MAX)]);
    assert_eq!(p.total_time(), u64::MAX);
}

#[test]
fn totals_are_those_of_the_samples() {
    let p = profile(&SEEN);
    assert_eq!(p.total_time(), 1_000);
    assert_eq!(p.goroutines(), 3);
    assert_eq!(p.average_goroutines(), 4.0);
    assert_eq!(
        p.by_state(),
        [
            (State::Running, 300),
            (State::RunningOffCpu, 100),
            (State::Runnable, 0),
            (State::Syscall, 0),
            (State::Waiting, 600)
        ]
    );
    let nonzero: Vec<_> = p.by_class().into_iter().filter(|&(_, time)| time > 0).collect();
    assert_eq!(
        nonzero,
        [(Class::Running, 300), (Class::RunningOffCpu, 100), (Class::Mutex, 60), (Class::Network, 540)]
    );
    assert_eq!(Profile::default().average_goroutines(), 0.0);
}

#[test]
fn without_goroutines_only_goroutines_and_creators_are_forgotten() {
    let mut seen = SEEN.to_vec();
    seen.push(Seen { goid: 11, ..SEEN[2] });
    let collapsed = profile(&seen).without_goroutines();
    let got: Vec<_> = collapsed.iter().map(|s| (s.goid, s.creator, s.count, s.time_ns)).collect();
    assert_eq!(got, [(0, None, 1, 500), (0, None, 1, 300), (0, None, 2, 80), (0, None, 1, 60), (0, None, 1, 100)]);
}

#[test]
fn merging_adds_up_what_agrees_and_keeps_the_rest() {
    let a = profile(&SEEN[..3]);
    let b = profile(&SEEN[1..]);
    let both = merge(&a, &b);
    assert_eq!(times(&both), [500, 600, 80, 60, 100]);
    assert_eq!(both.total_time(), a.total_time() + b.total_time());
    assert_eq!((both.duration_ns, both.accounting.ticks, both.accounting.rate_hz), (500, 20, 99.0));
    assert_eq!(both.accounting.remarks, Vec::<String>::new());
    let mut whole = samples(&profile(&SEEN));
    for (index, double) in [(1, 2), (2, 2)] {
        whole[index].count *= double;
        whole[index].time_ns *= double;
    }
    assert_eq!(samples(&both), whole);
}

#[test]
fn merging_another_process_says_so_and_keeps_colliding_addresses_apart() {
    let a = profile(&SEEN[..1]);
    let mut b = Builder::new(Target { pid: 43, executable: "/bin/other".into(), ..Target::default() }, 500);
    let other = b.function("other.main", "other.go", 1);
    let at = b.location(0x1000, &[(other, 2)]);
    let key = SampleKey {
        stack: b.stack(&[at]),
        goid: 1,
        state: State::Running,
        wait_reason: None,
        labels: b.labels(&[]),
        creator: None,
        serving: Serving::Unknown,
    };
    b.add(key, 1, 5);
    let both = merge(&a, &b.finish(10, Accounting::default()));
    assert_eq!(both.start_unix_ns, 500);
    assert_eq!(both.accounting.remarks, ["merged with a recording of another process: pid 43 (/bin/other)"]);
    let stacks: Vec<String> = samples(&both).into_iter().map(|sample| sample.stack).collect();
    assert_eq!(stacks, ["net.read<main.main", "other.main"]);
}

fn kept(filter: Filter) -> Vec<u64> {
    times(&apply(&profile(&SEEN), &filter))
}

#[test]
fn each_part_of_a_filter_keeps_what_it_says() {
    let label = |text: &str| vec![text.parse::<LabelMatch>().unwrap()];
    let all = [500, 300, 40, 60, 100];
    assert_eq!(kept(Filter::default()), all);
    assert_eq!(kept(Filter { states: vec![State::Running], ..Filter::default() }), [300]);
    assert_eq!(kept(Filter { states: vec![State::Running, State::RunningOffCpu], ..Filter::default() }), [300, 100]);
    assert_eq!(kept(Filter { wait: vec!["network".into()], ..Filter::default() }), [500, 40]);
    assert_eq!(kept(Filter { wait: vec!["sync.Mutex.Lock".into(), "select".into()], ..Filter::default() }), [60]);
    assert_eq!(kept(Filter { focus: Regex::new("^net").ok(), ..Filter::default() }), [500, 40]);
    assert_eq!(kept(Filter { focus: Regex::new("main.main").ok(), ..Filter::default() }), all);
    assert_eq!(kept(Filter { ignore: Regex::new("sum|lock").ok(), ..Filter::default() }), [500, 40]);
    assert_eq!(kept(Filter { goroutines: vec![8, 9], ..Filter::default() }), [40, 60, 100]);
    assert_eq!(kept(Filter { labels: label("t=acme"), ..Filter::default() }), [500, 300]);
    assert_eq!(kept(Filter { labels: label("t=~b|c"), ..Filter::default() }), [100]);
    assert_eq!(kept(Filter { labels: label("t=~acm"), ..Filter::default() }), [0u64; 0], "a regex must match all");
    assert_eq!(kept(Filter { labels: label("t="), ..Filter::default() }), [40, 60], "a missing label is empty");
}

#[test]
fn the_parts_of_a_filter_must_all_accept() {
    let filter =
        Filter { wait: vec!["network".into()], goroutines: vec![7], states: vec![State::Waiting], ..Filter::default() };
    assert_eq!(kept(filter), [500]);
    let contradiction = Filter { wait: vec!["network".into()], states: vec![State::Running], ..Filter::default() };
    assert_eq!(kept(contradiction), [0u64; 0]);
}

#[test]
fn a_filtered_profile_carries_only_its_own_tables_and_says_what_it_is() {
    let filter = Filter {
        wait: vec!["mutex".into()],
        focus: Regex::new("lock").ok(),
        labels: vec!["t=~|x".parse().unwrap()],
        ..Filter::default()
    };
    let seen = profile(&SEEN);
    let part = apply(&seen, &filter);
    assert_eq!(part.strings, ["", "sync.lock", "leaf.go", "main.main", "main.go", "sync.Mutex.Lock"]);
    assert_eq!((part.functions.len(), part.locations.len(), part.stacks.len()), (2, 2, 1));
    assert_eq!(
        part.accounting.remarks,
        ["filtered by wait=mutex focus=/lock/ label t=~|x: 6.0 % of the recorded time"]
    );
    let all = apply(&seen, &Filter::default());
    assert_eq!((samples(&all), &all.accounting), (samples(&profile(&SEEN)), &profile(&SEEN).accounting));
}

#[test]
fn a_label_condition_that_cannot_be_understood_says_why() {
    assert!(matches!("novalue".parse::<LabelMatch>(), Err(LabelMatchError::Form(_))));
    assert!(matches!("=x".parse::<LabelMatch>(), Err(LabelMatchError::Form(_))));
    let error = "k=~(".parse::<LabelMatch>().unwrap_err();
    assert!(error.to_string().contains("\"k=~(\"") && error.to_string().contains("unclosed group"), "{error}");
}

#[test]
fn a_profile_put_together_wrongly_does_not_panic() {
    let mut p = profile(&SEEN);
    p.strings.truncate(2);
    p.functions.truncate(1);
    p.stacks.truncate(1);
    p.label_sets.clear();
    p.locations.truncate(1);
    assert_eq!(p.total_time(), 1_000);
    assert_eq!(merge(&p, &p).total_time(), 2_000);
    assert!(fgspy_profile::Tree::new(&p).nodes[0].time() == 1_000);
    apply(&p, &Filter { focus: Regex::new("x").ok(), wait: vec!["chan".into()], ..Filter::default() });
}
