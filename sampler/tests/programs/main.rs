//! Programs that nobody here wrote: Debian's Prometheus, etcd and Caddy, PyPI's Caddy, and the `go` command while it
//! compiles the standard library. Each is recorded while it works, then made to print its own stacks, and fgspy must
//! have read the same.

#[path = "../truth/compare.rs"]
#[allow(dead_code)] // what it has for the zoo, these programs do not announce
mod compare;
mod load;
mod recorded;
mod startup;
mod still;
mod target;

use anyhow::{Context, Result};
use fgspy_fixtures::{Program, skip};
use libtest_mimic::{Arguments, Failed, Trial};

use target::Target;

fn main() {
    if let Some(pid) = startup::asked_for() {
        return startup::measure(pid);
    }
    let arguments = Arguments::from_args();
    let mut trials: Vec<Trial> = Program::ALL
        .into_iter()
        .map(|program| {
            trial(program.name(), move || match program.binary() {
                Ok(_) => is_read_right(Target::program(program)?),
                Err(error) => {
                    skip(&format!("program {}", program.name()), &format!("{error:#}"));
                    Ok(())
                }
            })
        })
        .collect();
    trials.push(trial("go-build", || is_read_right(Target::go_build()?)));
    trials.push(trial("start-up", startup::is_frugal));
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(name: &str, test: impl FnOnce() -> Result<()> + Send + 'static) -> Trial {
    Trial::test(name, move || test().map_err(|error| Failed::from(format!("{error:#}"))))
}

fn is_read_right(target: Target) -> Result<()> {
    recorded::while_it_works(&target).context("recorded")?;
    still::goroutines_equal_their_dump(target).context("dumped")
}
