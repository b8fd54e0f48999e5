//! Writes `bench/TRUTH.md`.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::Result;

use super::comparison::Compared;
use super::timekeeper::PROGRAMS;
use super::tracing::Traced;
use super::verdict::{Coverage, coverage};
use super::{Plan, table};
use crate::machine::{self, Circumstances};
use fgspy_fixtures::workspace;

/// What was found.
pub(super) struct Results<'a> {
    pub(super) plan: Plan,
    pub(super) go: &'a str,
    pub(super) compared: &'a [Compared],
    pub(super) traced: &'a [Traced],
}

/// Writes the report, and gives its path.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write(results: &Results<'_>) -> Result<PathBuf> {
    let folder = workspace::root().join("bench");
    fs::create_dir_all(&folder)?;
    let file = folder.join("TRUTH.md");
    fs::write(&file, text(results)?)?;
    Ok(file)
}

const INTRODUCTION: &str = "\
# Is it true?

Programs that keep accounts of where their goroutines spend their time (`fixtures/go/timekeeper`) are recorded, and the
profile is compared with the accounts of exactly the recorded time. A *cell* is the time of all goroutines in one function
(the leaf-most that the program keeps an account of), in one state or wait class where that is known too. Every number here
was written by `cargo xtask truth`.
";

const EXPLANATION: &str = "
*Intervals with the truth*: in how many recordings × cells the 95 % interval that fgspy states contains the truth; behind it
the share and its own 95 % interval (Wilson). *Rare* cells, of which a recording can see only a few observations, are not
judged: there an interval of this kind says nothing; nor are cells to which as much time may belong as there is in them and for
which fgspy says that it has no place. Less than that may be missing without being wrong. *Bias*: (estimate − truth) ÷ standard error, the mean over recordings and
its 95 % interval (Student). *Worst cell*: the one that is farthest off in standard errors, with how far its estimates are off
in parts of the truth, on average. *Without a place*: goroutine time whose stack fgspy says it does not know, and which is
therefore missing in the cells. *Six a tick* is as little as fgspy ever reads, on average: what is left where a tick alone takes
more than the budget. (Two seconds of it do not get to all ten thousand stacks of `parked`.) Samples add up to goroutines × time
in every recording, to the nanosecond";

const CELLS: &str = "
## Every cell

*Goroutines in it*: on average, in truth. *Standard error*: the one that fgspy states, on average. *Bias*: estimate − truth, in
parts of the truth. *In standard errors*: the sum of (estimate − truth) ÷ standard error over the root of the number of
recordings; beyond ±4.4 it is not chance. *While recorded*: how much more goroutine time there was in the cell, in truth, than in
as long a time without fgspy shortly before. fgspy looks at the beginning of a tick, and finds the program as it is without it;
what its tick does to the program, on these two CPUs, comes after that.
";

const TRACED: &str = "
## Against Go's own execution trace

Each program is recorded (every goroutine at every tick, the runtime's own too) while `runtime/trace` writes down every
transition; `go tool trace -d=parsed` then says how much goroutine time there was in each state in the very span that was
recorded. Goroutines on average. The trace calls *running* what has a thread, on a CPU or not, and *syscall* every system
call, also one that computes in the kernel.

| program | state | by the profile | by the trace | difference |
|---|---|--:|--:|--:|
";

fn text(results: &Results<'_>) -> Result<String> {
    let Results { plan, go, compared, traced } = results;
    let mut text = INTRODUCTION.to_owned();
    let command = format!("cargo xtask truth --runs {} --seconds {}", plan.runs, plan.duration.as_secs_f64());
    let programs = match traced.len() {
        all if all == PROGRAMS.len() => String::new(),
        _ => traced.iter().map(|traced| format!(" {}", traced.program)).collect(),
    };
    let circumstances = Circumstances::now(&machine::commit(), &[go], None).describe();
    writeln!(text, "\nMeasured with `{command}{programs}`, {circumstances}\n\n{}", table::HEAD)?;
    for row in *compared {
        writeln!(text, "{}", table::line(row))?;
    }
    write!(text, "{EXPLANATION}")?;
    match compared.iter().map(|row| row.not_added_up).sum::<u32>() {
        0 => writeln!(text, ".")?,
        wrong => writeln!(text, ", **but for {wrong} of them**.")?,
    }
    for mode in super::Mode::ALL {
        let of_mode = compared.iter().filter(|row| row.mode == mode).flat_map(|row| &row.cells);
        let Coverage { covered, of } = coverage(of_mode);
        writeln!(text, "\nAll programs, {}: {}.", mode.name(), table::covered(Coverage { covered, of }))?;
    }
    let wrong: Vec<String> = compared.iter().flat_map(Compared::wrong).collect();
    if !wrong.is_empty() {
        writeln!(text, "\nWrong beyond chance:\n\n- {}", wrong.join("\n- "))?;
    }
    writeln!(text, "{CELLS}\n{}", table::CELL_HEAD)?;
    for row in *compared {
        for cell in &row.cells {
            writeln!(text, "{}", table::cell(row, cell))?;
        }
    }
    write!(text, "{TRACED}")?;
    for traced in *traced {
        for state in &traced.states {
            writeln!(text, "{}", table::traced(&traced.program, state))?;
        }
    }
    Ok(text)
}
