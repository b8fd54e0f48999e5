//! The recording file: round trips, damage, and files made to do harm.

use std::io::{Read, Write};

use fgspy_profile::recording::{Error, Limits, read, read_limited, write};
use fgspy_profile::replicates::{Part, REPLICATES};
use fgspy_profile::{
    Accounting, Builder, Filter, Idle, LabelSetId, LocationId, NewRequest, Profile, Protocol, Request, RequestId,
    SampleKey, Serving, Sighting, Span, StackId, State, StringId, Target, Tree, Weight, apply, merge,
};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use proptest::prelude::*;

fn profile() -> Profile {
    let target = Target {
        pid: 4242,
        executable: "/srv/checkout".into(),
        command: vec!["checkout".into(), "-listen=:8080".into()],
        go_version: "go1.27.3".into(),
        build_id: "abc/def".into(),
        arch: "amd64".into(),
        text: (0x40_1000, 0x9f_0000, 0x1000),
    };
    let mut b = Builder::new(target, 1_760_000_000_000_000_000);
    let inner = b.function("main.(*Cart).price", "cart.go", 10);
    let outer = b.function("main.handle", "cart.go", 40);
    let leaf = b.location(0x40_2000, &[(inner, 12), (outer, 44)]);
    let unknown = b.synthetic("[running: no perf_event permission]");
    let stacks = [b.stack(&[leaf]), b.stack(&[unknown, leaf]), b.stack(&[])];
    let reason = b.string("chan receive");
    let span = |from_ns, wait_reason| Span { from_ns, to_ns: from_ns + 9, goid: 3, state: State::Waiting, wait_reason };
    let serving = [
        Serving::Unknown,
        Serving::Nothing,
        Serving::Idle(Idle::Connection),
        Serving::Request(b.request(NewRequest {
            method: "GET",
            path: "/a/1",
            trace_id: "4bf9",
            ..NewRequest::default()
        })),
        Serving::Request(b.request(NewRequest {
            protocol: Protocol::Grpc,
            path: "/shop.Orders/Get",
            span_id: "00f0",
            request_id: "r-1",
            goid: 3,
            first_ns: 4,
            last_ns: 5,
            sighting: Some(Sighting { absent_ns: None, first_ns: 3, last_ns: 4, gone_ns: Some(6) }),
            spans: vec![span(1, None), span(2, Some(reason))],
            ..NewRequest::default()
        })),
    ];
    let labels = [b.labels(&[]), b.labels(&[("tenant", "Ünïcode \u{0}")])];
    for goid in 0..40u64 {
        let state = State::ALL[goid as usize % State::ALL.len()];
        let key = SampleKey {
            stack: stacks[goid as usize % stacks.len()],
            goid,
            state,
            wait_reason: (state == State::Waiting).then_some(reason),
            labels: labels[goid as usize % labels.len()],
            creator: (goid % 7 == 0).then_some(leaf),
            serving: serving[goid as usize % serving.len()],
        };
        b.add(key, goid, goid * 10_101_010);
        b.add_part(key, &std::array::from_fn(|index| goid as i64 * 10_101_010 * (index as i64 - 1)));
    }
    b.add_replicates(&[625_000_000; REPLICATES]);
    let accounting = Accounting {
        rate_hz: 99.0,
        ticks: 990,
        late_ticks: 1,
        squared_intervals_us2: 9_000_000_000,
        accepted: 39_000,
        proven: 30_000,
        changed: 2,
        torn: 1,
        broken: 3,
        unmapped: 4,
        spread_ns: 7,
        unplaced_ns: 8,
        cpu_samples: 5,
        cpu_samples_lost: 6,
        expected_ns: 400_000_000_000,
        goroutine_ticks: 39_600,
        own_cpu_ns: 70_000_000,
        first_look_ns: 1_000_000,
        max_cpu: Some(0.01),
        remarks: vec!["no permission for perf_event_open".into()],
    };
    b.finish(10_000_000_000, accounting)
}

fn written(profile: &Profile) -> Vec<u8> {
    let mut file = Vec::new();
    write(profile, &mut file).unwrap();
    file
}

/// A file with this body.
fn with_body(body: &[u8]) -> Vec<u8> {
    with_body_of(4, body)
}

fn with_body_of(version: u8, body: &[u8]) -> Vec<u8> {
    let mut file = b"fgspy\0".to_vec();
    file.extend([version, 0]);
    let mut gzip = GzEncoder::new(&mut file, Compression::fast());
    gzip.write_all(body).unwrap();
    gzip.finish().unwrap();
    file
}

fn body(file: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    GzDecoder::new(&file[8..]).read_to_end(&mut body).unwrap();
    body
}

/// Uses everything in a profile that a reader promises to be usable.
fn use_all(profile: &Profile) {
    let tree = Tree::new(profile);
    tree.children(profile);
    merge(profile, profile);
    apply(profile, &Filter { wait: vec!["chan".into()], ..Filter::default() });
    profile.without_goroutines();
    profile.class_errors();
}

#[test]
fn what_is_written_is_read() {
    let profile = profile();
    let file = written(&profile);
    assert!(file.starts_with(b"fgspy\0\x04\0\x1f\x8b"));
    assert_eq!(read(file.as_slice()).unwrap(), profile);
    let empty = Builder::new(Target::default(), 0).finish(0, Accounting::default());
    assert_eq!(read(written(&empty).as_slice()).unwrap(), empty);
}

/// A profile, and the bytes of its head and of its tables before the samples, which are the same in all versions.
fn small() -> (Profile, Vec<u8>) {
    let mut b = Builder::new(Target { pid: 7, executable: "/a".into(), ..Target::default() }, 1);
    let f = b.function("f", "g.go", 3);
    let at = b.location(0x80, &[(f, 4)]);
    let key = SampleKey {
        stack: b.stack(&[at]),
        goid: 5,
        state: State::Waiting,
        wait_reason: Some(b.string("select")),
        labels: b.labels(&[("k", "v")]),
        creator: Some(at),
        serving: Serving::Unknown,
    };
    b.add_weight(key, Weight { count: 6, time_ns: 300, variance_us2: 11 });
    let accounting = Accounting { rate_hz: 1.0, ticks: 9, max_cpu: Some(1.0), ..Accounting::default() };
    let profile = b.finish(2, Accounting { remarks: vec!["r".into()], ..accounting });
    #[rustfmt::skip]
    let bytes = vec![
        7, 2, b'/', b'a', 0, 0, 0, 0, 0, 0, 0, // target
        1, 2, // start, duration
        0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // accounting
        1, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 1, 1, b'r', // budget, remarks
        6, 0, 1, b'f', 4, b'g', b'.', b'g', b'o', 6, b's', b'e', b'l', b'e', b'c', b't', 1, b'k', 1, b'v', // strings
        1, 1, 2, 3, // functions: name, file, line
        1, 0x80, 1, 1, 0, 4, // locations: address, lines
        1, 1, 0, // stacks
        2, 0, 1, 4, 5, // label sets
    ];
    (profile, bytes)
}

/// The layouts of versions 2 to 4, byte for byte: if this fails, recordings people have kept can no longer be read. Give
/// the new layout a new version, and go on reading these.
#[test]
fn the_layout_is_that_of_version_4_and_versions_2_and_3_are_still_read() {
    let (mut profile, mut head) = small();
    let s = StringId;
    let span = Span { from_ns: 3, to_ns: 4, goid: 6, state: State::Waiting, wait_reason: Some(s(3)) };
    let (method, path, pattern, route) = (s(1), s(2), s(3), s(4));
    let (trace_id, span_id, request_id, protocol) = (s(5), s(0), s(1), Protocol::Grpc);
    let (goid, first_ns, last_ns, sighting) = (5, 300, 8, None);
    let ids = Request {
        protocol,
        method,
        path,
        pattern,
        route,
        trace_id,
        span_id,
        request_id,
        goid,
        first_ns,
        last_ns,
        sighting,
        spans: vec![],
    };
    profile.requests = vec![ids.clone(), Request { spans: vec![span], ..ids }];
    profile.samples[0].serving = Serving::Request(RequestId(1));
    head.insert(23, 0); // after the late ticks: the squared intervals
    head.extend([1, 0, 5, 4, 1, 3, 1, 1, 0, 3, 1, 6, 0xac, 2, 11]); // samples
    let spans = [1, 1, 3, 4, 6, 4, 1, 3]; // request, from, to, goroutine, state, reason
    let request = [2, 1, 2, 3, 4, 5, 0, 1, 5, 0xac, 2, 8];
    let mut version_2 = [&head[..], &[2], &request, &request, &spans].concat();
    assert_eq!(read(with_body_of(2, &version_2).as_slice()).unwrap(), profile);
    let mut time_ns = [0; REPLICATES];
    (time_ns[0], time_ns[15]) = (-1, 300);
    profile.replicates.duration_ns[1] = 2;
    profile.replicates.parts = vec![Part { key: SampleKey { goid: 0, ..profile.samples[0].key() }, time_ns }];
    let mut replicates = [&[0, 4][..], &[0; 14]].concat(); // durations
    #[rustfmt::skip]
    replicates.extend([
        1, 0, 0, 4, 1, 3, 1, 1, 0, 3, 1, // times by replicate: what they have in common,
        1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xd8, 4, // and each
    ]);
    version_2.extend(&replicates);
    assert_eq!(read(with_body_of(3, &version_2).as_slice()).unwrap(), profile);
    profile.requests[1].sighting = Some(Sighting { absent_ns: Some(300), first_ns: 301, last_ns: 302, gone_ns: None });
    head.insert(27, 0); // after those that moved: the torn stacks
    let looks = [1, 1, 0xac, 2, 0xad, 2, 0xae, 2, 0]; // there are looks, and one before: absent, first, last, gone
    let version_4 = [&head[..], &[2], &request, &[0], &request, &looks, &spans, &replicates].concat();
    assert_eq!(body(&written(&profile)), version_4);
    assert_eq!(read(with_body(&version_4).as_slice()).unwrap(), profile);
    let words = [(Serving::Unknown, vec![0]), (Serving::Nothing, vec![1]), (Serving::Idle(Idle::Worker), vec![2, 3])];
    for (serving, bytes) in words {
        assert_eq!(postcard::to_stdvec(&serving).unwrap(), bytes);
    }
}

/// Recordings that people have kept.
#[test]
fn version_1_is_still_read() {
    let (profile, mut old) = small();
    old.extend([1, 0, 5, 4, 1, 3, 1, 1, 0, 6, 0xac, 2, 11]);
    assert_eq!(read(with_body_of(1, &old).as_slice()).unwrap(), profile);
    old.push(0);
    assert!(matches!(read(with_body_of(1, &old).as_slice()), Err(Error::TrailingBytes(1))));
}

#[test]
fn a_file_cut_anywhere_says_that_it_was_cut() {
    let file = written(&profile());
    for length in 1..file.len() {
        let got = read(&file[..length]);
        assert!(matches!(got, Err(Error::Truncated)), "{length} of {} bytes: {got:?}", file.len());
    }
    assert!(matches!(read(&b""[..]), Err(Error::NotARecording)));
}

#[test]
fn other_files_are_told_apart() {
    assert!(matches!(read(&b"\x1f\x8b\x08\0\0\0\0\0\0\0"[..]), Err(Error::NotARecording)));
    assert!(matches!(read(&b"{}"[..]), Err(Error::NotARecording)));
    let mut newer = written(&profile());
    newer[6] = 5;
    assert!(matches!(read(newer.as_slice()), Err(Error::Version { found: 5 })));
    newer[6] = 0;
    assert!(matches!(read(newer.as_slice()), Err(Error::Version { found: 0 })));
    let mut damaged = written(&profile());
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0xff;
    assert!(matches!(read(damaged.as_slice()), Err(Error::Compression(_) | Error::Encoding { .. } | Error::Truncated)));
    let mut longer = body(&written(&profile()));
    longer.push(0);
    assert!(matches!(read(with_body(&longer).as_slice()), Err(Error::TrailingBytes(1))));
}

#[test]
fn an_unreadable_file_reports_the_cause() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the disk is on fire"))
        }
    }
    assert_eq!(read(Broken).unwrap_err().to_string(), "the recording cannot be read: the disk is on fire");
    let file = written(&profile());
    let error = read((&file[..20]).chain(Broken)).unwrap_err();
    assert_eq!(error.to_string(), "the recording cannot be read: the disk is on fire");
}

#[test]
fn a_write_that_fails_reports_the_cause() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if bytes.len() > self.0 {
                return Err(std::io::Error::from_raw_os_error(28));
            }
            self.0 -= bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let length = written(&profile()).len();
    for room in 0..length {
        let error = write(&profile(), Full(room)).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "with room for {room} of {length} bytes: {error}");
    }
    write(&profile(), Full(length)).unwrap();
}

#[test]
fn limits_hold() {
    let file = written(&profile());
    let bytes = body(&file).len() as u64;
    let limits = Limits { bytes, ..Limits::default() };
    read_limited(file.as_slice(), limits).unwrap();
    let less = Limits { bytes: bytes - 1, ..limits };
    assert!(matches!(read_limited(file.as_slice(), less), Err(Error::TooLarge { limit }) if limit == bytes - 1));
    let p = profile();
    let entries = (p.strings.len() + p.functions.len() + p.locations.len() + p.stacks.len()) as u64
        + (p.label_sets.len() + p.samples.len() + p.requests.len() + 2 + p.replicates.parts.len()) as u64;
    read_limited(file.as_slice(), Limits { entries, ..limits }).unwrap();
    let error = read_limited(file.as_slice(), Limits { entries: entries - 1, ..limits }).unwrap_err();
    let parts = p.replicates.parts.len() as u64;
    assert!(matches!(error, Error::TooManyEntries { table: "replicate", found, .. } if found == parts), "{error:?}");
    read_limited(file.as_slice(), Limits { depth: 3, ..limits }).unwrap();
    let error = read_limited(file.as_slice(), Limits { depth: 2, ..limits }).unwrap_err();
    assert_eq!(error.to_string(), "the recording contradicts itself: stack 1 is 3 frames deep, more than 2");
}

#[test]
fn a_small_file_that_unpacks_to_much_is_refused_without_unpacking_it() {
    let bomb = with_body(&vec![0; 4 << 20]);
    assert!(bomb.len() < 20_000);
    let limits = Limits { bytes: 1 << 20, ..Limits::default() };
    assert!(matches!(read_limited(bomb.as_slice(), limits), Err(Error::TooLarge { .. })));
}

#[test]
fn a_table_that_claims_more_than_there_is_is_not_allocated_for() {
    let mut lie = postcard::to_stdvec(&(Target::default(), 0u64, 0u64, Accounting::default())).unwrap();
    lie.extend(postcard::to_stdvec(&(1u64 << 24)).unwrap());
    assert!(matches!(read(with_body(&lie).as_slice()), Err(Error::Encoding { part: "string", .. })));
    lie.truncate(lie.len() - 4);
    lie.extend(postcard::to_stdvec(&u64::MAX).unwrap());
    assert!(matches!(read(with_body(&lie).as_slice()), Err(Error::TooManyEntries { table: "string", .. })));
}

#[test]
fn every_index_is_checked() {
    let beyond = 1_000_000;
    let refused = |change: &dyn Fn(&mut Profile), message: &str| {
        let mut bad = profile();
        change(&mut bad);
        let error = read(written(&bad).as_slice()).unwrap_err();
        assert_eq!(error.to_string(), format!("the recording contradicts itself: {message}"));
    };
    refused(&|p| p.strings[0].push('x'), "string 0 is not the empty string");
    refused(&|p| p.strings.clear(), "string 0 is not the empty string");
    refused(&|p| p.label_sets[0].push((StringId(0), StringId(0))), "label set 0 is not the empty set");
    refused(&|p| p.accounting.rate_hz = f64::NAN, "the rate or the budget is not a number");
    refused(&|p| p.functions[1].name.0 = beyond, "function 1 points to string 1000000, but there are 15");
    refused(&|p| p.functions[0].file.0 = beyond, "function 0 points to string 1000000, but there are 15");
    refused(&|p| p.locations[1].lines.clear(), "location 1 has no lines");
    refused(&|p| p.locations[0].lines[1].function.0 = beyond, "location 0 points to function 1000000, but there are 3");
    refused(&|p| p.stacks[0][0] = LocationId(2), "stack 0 points to location 2, but there are 2");
    refused(&|p| p.label_sets[1][0].0 = StringId(beyond), "label set 1 points to string 1000000, but there are 15");
    refused(&|p| p.label_sets[1][0].1 = StringId(beyond), "label set 1 points to string 1000000, but there are 15");
    refused(&|p| p.samples[9].stack = StackId(3), "sample 9 points to stack 3, but there are 3");
    refused(&|p| p.samples[9].labels = LabelSetId(2), "sample 9 points to label set 2, but there are 2");
    refused(&|p| p.samples[9].wait_reason = Some(StringId(15)), "sample 9 points to string 15, but there are 15");
    refused(&|p| p.samples[9].creator = Some(LocationId(2)), "sample 9 points to location 2, but there are 2");
    refused(
        &|p| p.samples[9].serving = Serving::Request(RequestId(2)),
        "sample 9 points to request 2, but there are 2",
    );
    refused(&|p| p.replicates.parts[9].key.stack = StackId(3), "replicate 9 points to stack 3, but there are 3");
    refused(&|p| p.requests[1].route.0 = beyond, "request 1 points to string 1000000, but there are 15");
    refused(&|p| p.requests[0].trace_id.0 = 15, "request 0 points to string 15, but there are 15");
    refused(
        &|p| p.requests[1].spans[0].wait_reason = Some(StringId(15)),
        "request 1 points to string 15, but there are 15",
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn damaged_bodies_are_refused_or_usable(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = body(&written(&profile()));
        for (index, byte) in damage {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(profile) = read(with_body(&bytes).as_slice()) {
            use_all(&profile);
        }
    }

    #[test]
    fn random_bodies_are_refused_or_usable(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(profile) = read(with_body(&bytes).as_slice()) {
            use_all(&profile);
        }
    }

    #[test]
    fn random_files_are_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..400), magic in any::<bool>()) {
        if magic {
            bytes.splice(..0, *b"fgspy\0\x03\0");
        }
        prop_assert!(read(bytes.as_slice()).is_err());
    }
}
