//! How many instructions the recording loop needs for a goroutine, counted by callgrind on a recorded snapshot.
//!
//! A count does not depend on how busy the machine is: the same program on the same snapshot needs the same number each
//! time. What is kept from the time before is the baseline. The snapshot is taken anew, and its addresses alone change the
//! count by some per cent: where a few per cent matter, let the example `loop` of both versions replay one snapshot.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use fgspy_fixtures::Fixture;
use serde::{Deserialize, Serialize};

use super::markdown::Table;
use super::{Bench, go, report};
use fgspy_fixtures::workspace;

/// Ticks of the two runs; their difference is what ticks cost once all is known.
const TICKS: [u32; 2] = [100, 200];
/// How much is read: the name, and the argument of the example `loop`.
const READINGS: [(&str, &str); 2] = [("everything", "everything"), ("one in a hundred", "0.01")];

/// What was counted.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Data {
    goroutines: f64,
    counts: Vec<Count>,
    /// What was kept from the time before, by the same names.
    before: Vec<Count>,
}

/// Instructions of one way of reading.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Count {
    reading: String,
    per_tick: f64,
    per_goroutine_tick: f64,
}

/// Counts.
///
/// # Errors
/// When valgrind is missing, or something does not build or run.
pub(super) fn measure(bench: &Bench) -> Result<Data> {
    ensure!(
        Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success()),
        "valgrind is needed to count instructions: apt-get install valgrind"
    );
    let example = workspace::release(&["--package", "fgspy-sampler", "--example", "loop"])?;
    let folder = tempfile::tempdir()?;
    let snapshot = folder.path().join("snapshot");
    let fixture = Fixture::spawn(&go::program(&bench.newest, "scale")?, ["-parked", "1000"])?;
    fixture.freeze()?;
    let pid = fixture.pid().to_string();
    workspace::run(Command::new(&example).args(["record", &pid]).arg(&snapshot))?;
    drop(fixture);
    let mut goroutines = 0.0;
    let mut counts = Vec::new();
    for (name, argument) in READINGS {
        let [few, many] = TICKS.map(|ticks| count(&example, &snapshot, ticks, argument));
        let ((few, few_ticks), (many, many_ticks)) = (few?, many?);
        let ticks = f64::from(TICKS[1] - TICKS[0]);
        goroutines = (many_ticks - few_ticks) / ticks;
        counts.push(Count {
            reading: name.to_owned(),
            per_tick: (many - few) / ticks,
            per_goroutine_tick: (many - few) / (many_ticks - few_ticks),
        });
    }
    let before =
        report::kept::<Data>(&workspace::root().join("bench"), "instructions").map_or(Vec::new(), |kept| kept.counts);
    Ok(Data { goroutines, counts, before })
}

/// Instructions of the loop, and goroutine-ticks.
fn count(example: &Path, snapshot: &Path, ticks: u32, reading: &str) -> Result<(f64, f64)> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args([
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
        "--toggle-collect=fgspy_sampler::replay::replay*",
    ]);
    let output = valgrind.arg(example).arg("replay").arg(snapshot).args([&ticks.to_string(), reading]).output()?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        bail!("valgrind failed: {out}{err}");
    }
    let said = || format!("valgrind and the loop said something else than expected: {out}{err}");
    let instructions = err.lines().find_map(|line| line.split_once("Collected :")).with_context(said)?.1;
    let goroutine_ticks = out.split_once(" goroutine-ticks").with_context(said)?.0;
    Ok((instructions.trim().parse().with_context(said)?, goroutine_ticks.trim().parse().with_context(said)?))
}

/// The section of the report.
pub(super) fn render(data: &Data) -> String {
    let mut table = Table::new(&["reading", "instructions per tick", "per goroutine and tick", "change"]);
    for count in &data.counts {
        let before = data.before.iter().find(|before| before.reading == count.reading);
        table.row(&[
            count.reading.clone(),
            format!("{:.0}", count.per_tick),
            format!("{:.1}", count.per_goroutine_tick),
            before.map_or("-".to_owned(), |before| super::markdown::change(count.per_tick / before.per_tick)),
        ]);
    }
    format!(
        "The recording loop on a snapshot of {:.0} goroutines that stand still, under callgrind. *Change*: since the \
         count before, on another snapshot, which alone makes a difference of some per cent.\n\n{}",
        data.goroutines,
        table.finish()
    )
}
