//! Files are read by those that they are for.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::process::Command;

use serde_json::Value;

use crate::common::{fgspy, folder, newest, run};
use crate::{may_trace, service};

/// Holds a file to Chrome's trace event format as Perfetto reads it: slices of a track do not overlap, arrows have both
/// ends, what begins ends.
#[test]
fn perfetto() {
    let Some(_turn) = may_trace("perfetto") else { return };
    let (service, load) = service();
    let mut command = fgspy();
    command.args(["trace", "-p", &service.fixture.pid().to_string(), "-d", "500ms", "-f", "perfetto"]);
    let output = run(command).succeeded().stdout;
    load.end().unwrap();
    let file: Value = serde_json::from_slice(&output).unwrap();
    let events = file["traceEvents"].as_array().unwrap();
    let (mut named, mut slices) = (HashSet::new(), BTreeMap::<u64, Vec<(f64, f64)>>::new());
    let (mut arrows, mut requests) = (HashMap::<u64, [usize; 2]>::new(), HashMap::<u64, Vec<f64>>::new());
    for event in events {
        let at = || event["ts"].as_f64().unwrap();
        let number = |name: &str| event[name].as_u64().unwrap();
        match event["ph"].as_str().unwrap() {
            "M" if event["name"] == "thread_name" => assert!(named.insert(number("tid")), "named twice: {event}"),
            "M" => assert_eq!(event["name"], "process_name"),
            "X" => {
                let dur = event["dur"].as_f64().unwrap();
                assert!(dur >= 0.0 && at() >= 0.0, "{event}");
                slices.entry(number("tid")).or_default().push((at(), at() + dur));
            }
            "s" => arrows.entry(number("id")).or_default()[0] += 1,
            "f" => arrows.entry(number("id")).or_default()[1] += 1,
            "b" | "e" => requests.entry(number("id")).or_default().push(at()),
            other => panic!("{other}"),
        }
    }
    assert!(arrows.len() > 100 && arrows.values().all(|ends| *ends == [1, 1]));
    assert!(requests.len() > 100 && requests.values().all(|ends| matches!(ends[..], [begin, end] if begin <= end)));
    for (tid, slices) in &mut slices {
        assert!(named.contains(tid), "goroutine {tid} has no name");
        slices.sort_by(|a, b| a.0.total_cmp(&b.0));
        // A nanosecond is lost to the rounding of microseconds.
        assert!(slices.windows(2).all(|pair| pair[0].1 <= pair[1].0 + 1e-3), "slices of goroutine {tid} overlap");
    }
}

#[test]
fn pprof_is_read_by_go_tool_pprof() {
    let Some(_turn) = may_trace("pprof_is_read_by_go_tool_pprof") else { return };
    let ((service, load), folder) = (service(), folder());
    let path = folder.path().join("blocked.pb.gz");
    let mut command = fgspy();
    command.args(["trace", "-p", &service.fixture.pid().to_string(), "-d", "1s", "-f", "pprof", "-o"]).arg(&path);
    run(command).succeeded();
    load.end().unwrap();
    fgspy_fixtures::pprof::read(&std::fs::read(&path).unwrap()).unwrap();
    let pprof = |arguments: &[&str]| {
        let output = Command::new(newest().go()).args(["tool", "pprof"]).args(arguments).arg(&path).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let top = pprof(&["-top", "-sample_index=time", "-nodecount=400", "-tagfocus=http.route=GET /lock"]);
    assert!(top.contains("main.lock") && !top.contains("main.sleep"), "{top}");
    let all = pprof(&["-top", "-sample_index=time", "-nodecount=400"]);
    assert!(all.contains("main.sleep") && all.contains("[waits shorter than 1.00 ms]"), "{all}");
}
