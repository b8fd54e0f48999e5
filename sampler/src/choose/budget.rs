//! How many goroutines may be read at the next tick.

/// How much of a budget that was not used (or was overdrawn) is remembered: one second of it.
const MEMORY_S: f64 = 1.0;
/// What is saved or owed is spent or paid back over about this long.
const HORIZON_S: f64 = 0.25;
/// Weight of the newest measurement in the running means.
const NEWEST: f64 = 0.1;
/// As many goroutines as this are read at a tick, on average, even when there is no budget left, or nothing would ever be
/// learned.
pub(crate) const FEWEST: f64 = 6.0;
/// What reading one goroutine is taken to cost before it was measured, in nanoseconds.
const FIRST_COST_NS: f64 = 1500.0;

/// Holds fgspy's CPU time to a share of one core by choosing how many goroutines are read at a tick. The rate of ticks is
/// not touched.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Parts of one core.
    max_cpu: f64,
    /// Nanoseconds saved, or owed if below 0.
    balance_ns: f64,
    /// Of a tick without its reads, in nanoseconds.
    fixed_ns: f64,
    /// Of one read.
    read_ns: f64,
}

/// What one tick cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    /// CPU time of the whole tick since the end of the one before, in nanoseconds.
    pub(crate) whole_ns: u64,
    /// Of that, for reading goroutines, if it was measured.
    pub(crate) reading_ns: Option<u64>,
    /// Goroutines read.
    pub(crate) reads: u64,
    /// Length of the tick by the clock.
    pub(crate) interval_ns: u64,
}

impl Budget {
    /// A budget of `max_cpu` parts of one core. It starts with a second's worth saved.
    pub(crate) fn new(max_cpu: f64) -> Budget {
        Budget { max_cpu, balance_ns: max_cpu * MEMORY_S * 1e9, fixed_ns: 0.0, read_ns: FIRST_COST_NS }
    }

    /// How many goroutines to read at a tick of `period_ns`, on average.
    pub(crate) fn reads(&self, period_ns: f64) -> f64 {
        let due = self.max_cpu * period_ns + self.balance_ns * (period_ns / (HORIZON_S * 1e9)).min(1.0);
        ((due - self.fixed_ns) / self.read_ns.max(1.0)).max(FEWEST)
    }

    /// Learns from a tick.
    pub(crate) fn settle(&mut self, spent: Spent) {
        let Spent { whole_ns, reading_ns, reads, interval_ns } = spent;
        let memory_ns = self.max_cpu * MEMORY_S * 1e9;
        let earned = self.max_cpu * interval_ns as f64;
        self.balance_ns = (self.balance_ns + earned - whole_ns as f64).clamp(-memory_ns, memory_ns);
        let towards = |mean: f64, new: f64| mean + NEWEST * (new - mean);
        let Some(reading_ns) = reading_ns else { return };
        self.fixed_ns = towards(self.fixed_ns, whole_ns.saturating_sub(reading_ns) as f64);
        if reads > 0 {
            self.read_ns = towards(self.read_ns, reading_ns as f64 / reads as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs ticks of 10 ms that cost 20 µs and `read_ns` for each read; gives the share of a core that was used in the
    /// last half, and the mean number of reads.
    fn simulate(max_cpu: f64, read_ns: f64, wanted: f64) -> (f64, f64) {
        let mut budget = Budget::new(max_cpu);
        let (mut used, mut reads_made) = (0.0, 0.0);
        for tick in 0..2000 {
            let reads = budget.reads(1e7).min(wanted).floor();
            let reading = reads * read_ns;
            if tick >= 1000 {
                used += 20_000.0 + reading;
                reads_made += reads;
            }
            budget.settle(Spent {
                whole_ns: 20_000 + reading as u64,
                reading_ns: Some(reading as u64),
                reads: reads as u64,
                interval_ns: 10_000_000,
            });
        }
        (used / 1e10, reads_made / 1000.0)
    }

    #[test]
    fn the_budget_is_used_up_and_not_exceeded() {
        for (max_cpu, read_ns) in [(0.01, 200.0), (0.01, 5000.0), (0.05, 500.0), (0.5, 150.0)] {
            let (used, reads) = simulate(max_cpu, read_ns, f64::INFINITY);
            assert!((used / max_cpu - 1.0).abs() < 0.02, "{used} of {max_cpu}");
            assert!((reads * read_ns / ((max_cpu * 1e7) - 20_000.0) - 1.0).abs() < 0.05, "{reads} reads");
        }
    }

    #[test]
    fn what_is_not_needed_is_not_used() {
        let (used, reads) = simulate(0.01, 200.0, 50.0);
        assert_eq!(reads, 50.0);
        assert!((used - 0.003).abs() < 1e-6, "{used}");
    }

    #[test]
    fn something_is_read_whatever_it_costs() {
        assert_eq!(simulate(0.001, 1e6, f64::INFINITY).1, FEWEST);
    }
}
