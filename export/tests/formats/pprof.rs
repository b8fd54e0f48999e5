//! The pprof contract, field by field.

use fgspy_export::Format;
use fgspy_export::pprof::proto;
use fgspy_profile::{Profile, State};

use crate::all::decode;
use crate::common::{MS, Seen, profile, running, shop, waiting, written};

/// What is written of `profile`, which every consumer takes.
pub(crate) fn pprof(profile: &Profile) -> proto::Profile {
    let file = written(profile, Format::Pprof);
    fgspy_fixtures::pprof::read(&file).unwrap();
    decode(&file)
}

fn string(pprof: &proto::Profile, id: i64) -> &str {
    &pprof.string_table[usize::try_from(id).unwrap()]
}

fn value_type(pprof: &proto::Profile, value: &proto::ValueType) -> String {
    format!("{}/{}", string(pprof, value.r#type), string(pprof, value.unit))
}

/// Names of the frames leaf first, values, labels.
pub(crate) fn samples(pprof: &proto::Profile) -> Vec<(String, Vec<i64>, String)> {
    let function = |id: u64| pprof.function.iter().find(|function| function.id == id).unwrap();
    let location = |id: u64| pprof.location.iter().find(|location| location.id == id).unwrap();
    let describe = |sample: &proto::Sample| {
        let lines = sample.location_id.iter().flat_map(|&id| &location(id).line);
        let frames: Vec<String> =
            lines.map(|l| format!("{}:{}", string(pprof, function(l.function_id).name), l.line)).collect();
        let labels: Vec<String> = sample
            .label
            .iter()
            .map(|label| format!("{}={}", string(pprof, label.key), string(pprof, label.str)))
            .collect();
        (frames.join("<"), sample.value.clone(), labels.join(" "))
    };
    pprof.sample.iter().map(describe).collect()
}

#[test]
fn samples_are_added_up_over_goroutines_and_labelled() {
    let p = pprof(&shop());
    let ms = |value: i64| value * MS as i64;
    let lock = "sync.(*Mutex).Lock:61<example.com/shop/cart.(*Cart).Price:24<main.main:12";
    let sum = "example.com/shop/cart.sum:42<example.com/shop/cart.(*Cart).Price:22<main.main:12";
    let expected: [(&str, Vec<i64>, &str); 5] = [
        (sum, vec![30, ms(300), ms(300), 0], "state=running label.state=gold tenant=acme"),
        (lock, vec![60, ms(600), 0, ms(600)], "state=waiting wait_reason=sync.Mutex.Lock"),
        ("libc.read:0<main.main:12", vec![5, ms(50), 0, ms(50)], "state=syscall"),
        ("[running: no perf_event permission]:0", vec![4, ms(40), ms(40), 0], "state=running"),
        (sum, vec![1, ms(10), 0, ms(10)], "state=running off cpu"),
    ];
    assert_eq!(samples(&p), expected.map(|(stack, values, labels)| (stack.to_owned(), values, labels.to_owned())));
}

#[test]
fn the_head_is_what_readers_expect() {
    let p = pprof(&shop());
    let types: Vec<String> = p.sample_type.iter().map(|value| value_type(&p, value)).collect();
    assert_eq!(types, ["samples/count", "time/nanoseconds", "cpu/nanoseconds", "offcpu/nanoseconds"]);
    assert_eq!(string(&p, p.default_sample_type), "time");
    assert_eq!(value_type(&p, &p.period_type.unwrap()), "wallclock/nanoseconds");
    assert_eq!((p.period, p.time_nanos, p.duration_nanos), (10_000_000, 1_790_000_000_000_000_000, 500_000_000));
    assert_eq!(p.string_table[0], "");
    let mut unique = p.string_table.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), p.string_table.len(), "a string is in the table twice");
    let comments: Vec<&str> = p.comment.iter().map(|&id| string(&p, id)).collect();
    assert_eq!(comments, fgspy_export::summary::lines(&shop()));
}

#[test]
fn locations_lie_in_the_mapping_or_outside() {
    let p = pprof(&shop());
    let [mapping] = p.mapping.as_slice() else { panic!("{:?}", p.mapping) };
    assert_eq!(
        (mapping.id, mapping.memory_start, mapping.memory_limit, mapping.file_offset),
        (1, 0x1000, 0x9000, 0x400)
    );
    assert_eq!((string(&p, mapping.filename), string(&p, mapping.build_id)), ("/srv/shop", "b1d"));
    assert!(mapping.has_functions && mapping.has_filenames && mapping.has_line_numbers && mapping.has_inline_frames);
    let locations: Vec<_> = p.location.iter().map(|l| (l.id, l.address, l.mapping_id, l.line.len())).collect();
    assert_eq!(
        locations,
        [
            (1, 0x3000, 1, 2),
            (2, 0x2000, 1, 1),
            (3, 0x4000, 1, 1),
            (4, 0x3010, 1, 1),
            (5, 0x7f00_0000_0000, 0, 1),
            (6, 0, 0, 1)
        ]
    );
    let mut unknown = shop();
    unknown.target.text = (0, 0, 0);
    let mappings: Vec<u64> = pprof(&unknown).location.iter().map(|location| location.mapping_id).collect();
    assert_eq!(mappings, [1, 1, 1, 1, 1, 0], "all code is the program's, what has no address is not code");
}

#[test]
fn ids_follow_each_other_where_entries_of_a_table_are_left_out() {
    let seen = [running(&["main", "a"], 10), running(&["main", "left", "out"], 10), running(&["b", "main"], 10)];
    let mut p = profile(&seen);
    p.samples.remove(1);
    let p = pprof(&p);
    assert_eq!(p.location.iter().map(|location| location.id).collect::<Vec<u64>>(), [1, 2, 3]);
    assert_eq!(p.function.iter().map(|function| function.id).collect::<Vec<u64>>(), [1, 2, 3]);
    let stacks: Vec<String> = samples(&p).into_iter().map(|(stack, ..)| stack).collect();
    assert_eq!(stacks, ["a:2<main:2", "main:2<b:2"]);
}

#[test]
fn functions_have_files_and_first_lines() {
    let p = pprof(&shop());
    let functions: Vec<_> = p
        .function
        .iter()
        .map(|f| (f.id, string(&p, f.name), f.system_name == f.name, string(&p, f.filename), f.start_line))
        .collect();
    assert_eq!(
        functions,
        [
            (1, "main.main", true, "/src/main.go", 10),
            (2, "example.com/shop/cart.(*Cart).Price", true, "/src/cart/cart.go", 20),
            (3, "example.com/shop/cart.sum", true, "/src/cart/cart.go", 40),
            (4, "sync.(*Mutex).Lock", true, "/go/sync/mutex.go", 60),
            (5, "libc.read", true, "", 0),
            (6, "[running: no perf_event permission]", true, "", 0),
        ]
    );
}

#[test]
fn only_what_the_stacks_use_is_in_the_file() {
    let p = profile(&[running(&["main", "kept"], 10), waiting(&["main", "gone"], "select", 10)]);
    let filter = fgspy_profile::Filter { states: vec![State::Running], ..Default::default() };
    let p = pprof(&fgspy_profile::apply(&p, &filter));
    assert_eq!((p.location.len(), p.function.len(), p.sample.len()), (2, 2, 1));
    assert!(!p.string_table.contains(&"gone".to_owned()));
    // A location that only a creator uses is in the profile's table, but in no stack.
    let mut created = profile(&[running(&["main"], 10), running(&["creator"], 10)]);
    created.samples[0].creator = created.stacks[1].first().copied();
    created.samples.truncate(1);
    assert_eq!(pprof(&created).location.len(), 1);
}

#[test]
fn labels_of_the_target_do_not_pass_for_ours() {
    let labels = [("wait_reason", "patience"), ("state", "new"), ("label.state", "old"), ("route", "GET /{id}")];
    let p = pprof(&profile(&[Seen { labels: &labels, ..waiting(&["f"], "select", 10) }]));
    assert_eq!(
        samples(&p)[0].2,
        "state=waiting wait_reason=select label.state=old route=GET /{id} label.label.state=new label.wait_reason=patience"
    );
}

#[test]
fn labels_without_a_key_or_a_value_are_left_out() {
    let p = pprof(&profile(&[Seen { labels: &[("", "nameless"), ("valueless", "")], ..running(&["f"], 10) }]));
    assert_eq!(samples(&p)[0].2, "state=running");
}

#[test]
fn numbers_beyond_pprofs_are_its_largest() {
    let p = pprof(&profile(&[running(&["f"], u64::MAX)]));
    assert_eq!(p.sample[0].value, [1, i64::MAX, i64::MAX, 0]);
    assert_eq!(p.period, 0, "no rate, no period");
}
