//! Jobs of a program that serves nothing, known by their labels.

use std::collections::HashMap;

use fgspy_fixtures::Fixture;
use serde::Deserialize;

use crate::common::{oldest_and_newest, program};
use crate::report::watch;

/// What the fixture says of a job.
#[derive(Debug, Deserialize)]
struct Job {
    trace: String,
    name: String,
    worker: u64,
    waiting: u64,
}

#[test]
fn jobs_are_requests_of_their_name() {
    for toolchain in oldest_and_newest() {
        let mut fixture = Fixture::spawn(&program("jobs", &toolchain), [""; 0]).unwrap();
        let report = watch(fixture.pid(), "2s");
        // Those that had begun before it ended are over soon.
        let jobs = loop {
            fixture.tell("").unwrap();
            let jobs: Vec<Job> = serde_json::from_str(&fixture.line().unwrap()).unwrap();
            let jobs: HashMap<String, Job> = jobs.into_iter().map(|job| (job.trace.clone(), job)).collect();
            if report.requests.iter().all(|request| jobs.contains_key(&request.trace_id)) {
                break jobs;
            }
        };
        assert!(report.requests.len() >= 20, "{report:?}");
        for request in &report.requests {
            let job = &jobs[&request.trace_id];
            assert_eq!(request.protocol, "labels");
            // Who has started whom, Go 1.19 does not say.
            let is_child = toolchain.version.starts_with("go1.19.") && request.goroutine == job.waiting;
            assert!(is_child || request.goroutine == job.worker, "{request:?}, {job:?}");
            // Without a name of its own it has that of the function that works on it.
            let function = if is_child { "main.waitForWork" } else { "main.consume" };
            let name = if job.name.is_empty() { function } else { &*job.name };
            assert_eq!(request.path, name, "{request:?}, {job:?}");
        }
        let mail = report.routes.iter().find(|route| route.route == "send-mail").unwrap();
        assert!(mail.seen >= 8, "{mail:?}");
        // Its worker sleeps, and the other goroutine waits for it.
        let share = |state: &str| mail.by_state.get(state).map_or(0.0, |share| share.share);
        assert!(share("sleep") + share("channel") > 0.9, "{mail:?}");
        assert!(share("sleep") > 0.9 || toolchain.version.starts_with("go1.19."), "{mail:?}");
    }
}
