//! Records a program many times and compares each profile with the program's accounts.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fgspy_goroutines::GoProcess;
use fgspy_profile::Profile;
use fgspy_sampler::{Ended, Live, Progress, Stop, record_profile};

use super::Plan;
use super::accounts::{Totals, spent};
use super::cell::{Cell, Outcome};
use super::mode::Mode;
use super::places::Places;
use super::timekeeper::Timekeeper;

/// How a program's profiles in one mode compare with the truth.
pub(super) struct Compared {
    pub(super) program: String,
    pub(super) mode: Mode,
    /// The cells that the program keeps accounts of, each with an outcome for each recording.
    pub(super) cells: Vec<Cell>,
    /// Recordings whose samples did not add up to goroutines × time.
    pub(super) not_added_up: u32,
    /// CPU time that fgspy used, in parts of a core, over all recordings.
    pub(super) cpu: f64,
    /// Late ticks, in parts of all ticks.
    pub(super) late: f64,
    /// Time that the profiles say they have no place for, in parts of all goroutine time: it is missing in every cell.
    pub(super) unplaced: f64,
}

impl Compared {
    /// What is wrong beyond chance.
    pub(super) fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.not_added_up > 0 {
            wrong.push(format!("the samples of {} recordings do not add up", self.not_added_up));
        }
        wrong.extend(super::verdict::wrong(&self.cells));
        wrong.iter().map(|what| format!("{}, {}: {what}", self.program, self.mode.name())).collect()
    }
}

/// Records a program in all modes in turn, again and again.
///
/// # Errors
/// When the program or a recording ends before its time.
pub(super) fn compare(binary: &Path, program: &str, modes: &[Mode], plan: Plan) -> Result<Vec<Compared>> {
    let mut keeper = Timekeeper::start(binary, program)?;
    let mut sums: Vec<Sum> = modes.iter().map(|_| Sum::new(&keeper)).collect();
    for _ in 0..plan.runs {
        let alone = alone(&mut keeper, plan.duration)?;
        for (&mode, sum) in modes.iter().zip(&mut sums) {
            let (profile, totals) =
                record(&mut keeper, mode, plan.duration).with_context(|| format!("{program}, {}", mode.name()))?;
            sum.add(&keeper, &profile, &totals, &alone)?;
        }
    }
    Ok(modes.iter().zip(sums).map(|(&mode, sum)| sum.compared(program, mode)).collect())
}

/// Goroutine time in each account, in parts of the time, while nobody records.
fn alone(keeper: &mut Timekeeper, duration: Duration) -> Result<Vec<f64>> {
    keeper.ask()?;
    let from = keeper.answer()?;
    thread::sleep(duration);
    keeper.ask()?;
    let to = keeper.answer()?;
    let (from_ns, to_ns) = (from.unix_ns, to.unix_ns);
    let spent = spent(&[from, to], from_ns, to_ns)?;
    Ok(spent.iter().map(|spent| spent / (to_ns - from_ns) as f64).collect())
}

/// How long before the end of a recording the accounts are asked for, so that they are known on both sides of the end.
const BEFORE_END: Duration = Duration::from_millis(50);

/// Records a program, and gives its accounts at some moments from before the start of the recording to after its end.
fn record(keeper: &mut Timekeeper, mode: Mode, duration: Duration) -> Result<(Profile, Vec<Totals>)> {
    let target = GoProcess::open(keeper.pid())?;
    keeper.ask()?;
    let mut totals = vec![keeper.answer()?];
    let mut asked = 0;
    let mut trouble = Ok(());
    let mut progress = |progress: &Progress, _: &Live<'_>| {
        // After the first tick, shortly before the last and after it: only asked for here, so that no tick has to wait.
        let moments = [Duration::ZERO, duration.saturating_sub(BEFORE_END), duration];
        let due = moments.iter().filter(|moment| progress.elapsed >= **moment).count();
        while asked < due && trouble.is_ok() {
            trouble = keeper.ask();
            asked += 1;
        }
    };
    let (profile, ended) = record_profile(target, mode.options(duration), &Stop::new(), &mut progress);
    trouble?;
    ensure!(ended == Ended::Duration, "the recording ended by {ended:?}");
    for _ in 0..asked {
        totals.push(keeper.answer()?);
    }
    Ok((profile, totals))
}

/// What adds up over the recordings in one mode.
struct Sum {
    cells: Vec<Cell>,
    not_added_up: u32,
    own_cpu_ns: u64,
    duration_ns: u64,
    late_ticks: u64,
    ticks: u64,
    unplaced_ns: u64,
    total_ns: u64,
}

impl Sum {
    fn new(keeper: &Timekeeper) -> Sum {
        let cells = keeper.legend.iter().map(|entry| Cell { name: entry.name(), outcomes: Vec::new() }).collect();
        Sum {
            cells,
            not_added_up: 0,
            own_cpu_ns: 0,
            duration_ns: 0,
            late_ticks: 0,
            ticks: 0,
            unplaced_ns: 0,
            total_ns: 0,
        }
    }

    /// `alone`: what there is in each account without a recording, in parts of the time.
    fn add(&mut self, keeper: &Timekeeper, profile: &Profile, totals: &[Totals], alone: &[f64]) -> Result<()> {
        let start = i64::try_from(profile.start_unix_ns)?;
        let accounts = spent(totals, start, start + i64::try_from(profile.duration_ns)?)?;
        let places = Places::new(profile, &keeper.legend);
        for (cell, entry) in self.cells.iter_mut().zip(&keeper.legend) {
            let sum = |of: &[f64]| {
                let accounts = entry.accounts.iter().map(|&account| of.get(account).copied());
                accounts.sum::<Option<f64>>().context("an account that does not exist")
            };
            let samples = profile.samples.iter().filter(|sample| places.belongs(sample, entry));
            let unplaced = profile.samples.iter().filter(|sample| places.may_belong(sample, entry));
            cell.outcomes.push(Outcome {
                truth_ns: sum(&accounts)?,
                alone_ns: sum(alone)? * profile.duration_ns as f64,
                estimate_ns: samples.map(|sample| sample.time_ns as f64).sum(),
                unplaced_ns: unplaced.map(|sample| sample.time_ns as f64).sum(),
                error_ns: profile.standard_error_ns(&|sample| places.belongs(sample, entry)),
                duration_ns: profile.duration_ns as f64,
            });
        }
        let accounting = &profile.accounting;
        self.not_added_up += u32::from(profile.total_time() != accounting.expected_ns);
        self.own_cpu_ns += accounting.own_cpu_ns;
        self.duration_ns += profile.duration_ns;
        self.late_ticks += accounting.late_ticks;
        self.ticks += accounting.ticks;
        self.unplaced_ns += accounting.unplaced_ns;
        self.total_ns += profile.total_time();
        Ok(())
    }

    fn compared(self, program: &str, mode: Mode) -> Compared {
        Compared {
            program: program.to_owned(),
            mode,
            cells: self.cells,
            not_added_up: self.not_added_up,
            cpu: self.own_cpu_ns as f64 / self.duration_ns as f64,
            late: self.late_ticks as f64 / self.ticks as f64,
            unplaced: self.unplaced_ns as f64 / self.total_ns as f64,
        }
    }
}
