//! Tests against real processes. The program runs the tests, or, told so by an environment variable, is itself the
//! process that a test looks at.

mod child;
mod denied;
mod facts;
mod held;
mod identity;
mod live;
mod namespaces;
mod snapshot;
mod spawn;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

#[global_allocator]
static ALLOCATOR: live::CountingAllocator = live::CountingAllocator;

type Test = fn() -> Result<(), Failed>;

/// A test that any machine can run.
fn test(name: &str, run: Test) -> Trial {
    Trial::test(name, run)
}

/// A test that needs something of the machine; where that is missing it is listed as ignored, and why.
fn test_if(name: &str, missing: Option<&str>, run: Test) -> Trial {
    match missing {
        None => Trial::test(name, run),
        Some(why) => Trial::test(format!("{name} (skipped: {why})"), run).with_ignored_flag(true),
    }
}

fn main() -> ExitCode {
    if let Some(role) = std::env::var_os(spawn::ROLE) {
        return child::run(&role.to_string_lossy());
    }
    let trials = [
        live::tests(),
        identity::tests(),
        facts::tests(),
        held::tests(),
        denied::tests(),
        namespaces::tests(),
        snapshot::tests(),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials.into_iter().flatten().collect()).exit_code()
}
