//! Tracing of real Go programs that know what they did.
//!
//! Everything needs CAP_BPF and CAP_PERFMON, and a kernel with multi-uprobe links; where that is refused, each test is
//! skipped by name and counted as ignored.

mod execution_trace;
mod older_requests;
mod requests;
mod services;
mod target;
mod transitions;

use fgspy_fixtures::{Program, Toolchain, Variant, skip, toolchains};
use fgspy_probes::measure_trap_cost;
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let refused = measure_trap_cost().err();
    let mut trials = Vec::new();
    let mut add = |name: String, test: Box<dyn FnOnce() -> anyhow::Result<()> + Send>| {
        if let Some(error) = &refused {
            skip(&name, &error.to_string());
        }
        let trial = Trial::test(name, move || test().map_err(|error| Failed::from(format!("{error:#}"))));
        trials.push(trial.with_ignored_flag(refused.is_some()));
    };
    for (number, toolchain) in
        toolchains::required().expect("the required toolchains can be had").into_iter().enumerate()
    {
        let variant = if number % 2 == 0 { Variant::Stripped } else { Variant::Pie };
        let name = |test: &str| format!("{test}::{}::{}", toolchain.version, variant.word());
        type Test = fn(&Toolchain, Variant) -> anyhow::Result<()>;
        for (test, function) in [
            ("transitions", transitions::all_are_seen as Test),
            ("execution_trace", execution_trace::agrees),
            ("requests", requests::all_are_seen),
            ("states", requests::states_are_those_of_the_handlers),
            ("filters", requests::filters_are_the_kernel_s),
            ("of_trace", requests::a_trace_is_told_in_the_kernel),
            ("without_states", requests::without_states_requests_begin_and_end),
            ("slow", requests::ids_are_of_slow_requests),
            ("earlier", older_requests::requests_are_found),
            ("gone", older_requests::a_target_is_gone),
            ("moved", older_requests::probes_are_not_in_code_that_was_moved),
        ] {
            let toolchain = toolchain.clone();
            add(name(test), Box::new(move || function(&toolchain, variant)));
        }
    }
    // Up to Go 1.26 golang.org/x/net has an HTTP/2 of its own.
    for minor in [26, 27] {
        let name = format!("grpc::go1.{minor}");
        add(name.clone(), Box::new(move || requests::calls_are_seen(minor, &name)));
    }
    // Those that offer Go's own execution trace.
    for program in [Program::Prometheus, Program::Caddy, Program::CaddyBin] {
        let name = format!("services::{}", program.name());
        add(name.clone(), Box::new(move || services::agree_with_their_own_trace(program, &name)));
    }
    libtest_mimic::run(&arguments, trials).exit();
}
