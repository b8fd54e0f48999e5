//! What the probes take from the target, beside what it may use.

use std::time::{Duration, Instant};

use fgspy_memory::{Allowance, Process};

/// How often it is found out what the probes take.
const RECKON: Duration = Duration::from_millis(250);
/// How often it is found out what the target may use: a quota can be changed while it runs.
const ASK: Duration = Duration::from_secs(1);

/// Says when the probes cost more than allowed.
pub(super) struct Governor {
    /// Of one core, or of what the target may use if that is less.
    max_overhead: f64,
    allowance: Allowance,
    asked: Instant,
    reckoned: Instant,
    cost_ns: f64,
}

impl Governor {
    pub(super) fn new(max_overhead: f64, process: &Process) -> Governor {
        let now = Instant::now();
        Governor { max_overhead, allowance: process.allowance(), asked: now, reckoned: now, cost_ns: 0.0 }
    }

    /// What the target may use, as was last known.
    pub(super) fn allowance(&self) -> Allowance {
        self.allowance
    }

    /// Whether it is time to call [`Governor::excess`].
    pub(super) fn is_due(&self) -> bool {
        self.reckoned.elapsed() >= RECKON
    }

    /// What the probes took since this was last called, in parts of one core, if that is more than allowed. `cost_ns` is what
    /// they have taken in all.
    pub(super) fn excess(&mut self, cost_ns: f64, process: &Process) -> Option<f64> {
        if self.asked.elapsed() >= ASK {
            (self.allowance, self.asked) = (process.allowance(), Instant::now());
        }
        let share = (cost_ns - self.cost_ns) / 1e9 / self.reckoned.elapsed().as_secs_f64().max(1e-9);
        (self.reckoned, self.cost_ns) = (Instant::now(), cost_ns);
        (share > self.max_overhead * base(self.allowance)).then_some(share)
    }
}

/// What `--max-overhead` is a share of, in CPUs: one core, or what the target may use where that is less.
pub(super) fn base(allowance: Allowance) -> f64 {
    allowance.least().map_or(1.0, |least| least.min(1.0))
}

/// `0.20 CPUs, the quota of its cgroup`: what the target may use. `None` if it is not known.
pub(super) fn words(allowance: Allowance) -> Option<String> {
    let least = allowance.least()?;
    Some(match allowance.quota {
        Some(quota) if quota <= least => format!("{quota:.2} CPUs, the quota of its cgroup"),
        _ if least == 1.0 => "1 CPU, by its affinity or cpuset".to_owned(),
        _ => format!("{least:.0} CPUs"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowance(quota: Option<f64>, cpus: Option<usize>) -> Allowance {
        Allowance { quota, cpus }
    }

    #[test]
    fn the_limit_is_a_share_of_one_core_or_of_less() {
        for (allowed, expected) in [
            (allowance(Some(0.2), Some(2)), 0.2),
            (allowance(Some(1.5), Some(64)), 1.0),
            (allowance(None, Some(1)), 1.0),
            (allowance(None, None), 1.0),
        ] {
            assert_eq!(base(allowed), expected, "{allowed:?}");
        }
    }

    #[test]
    fn what_a_target_may_use_is_said_with_its_reason() {
        for (allowed, expected) in [
            (allowance(Some(0.2), Some(2)), Some("0.20 CPUs, the quota of its cgroup")),
            (allowance(Some(4.0), Some(1)), Some("1 CPU, by its affinity or cpuset")),
            (allowance(None, Some(64)), Some("64 CPUs")),
            (allowance(None, None), None),
        ] {
            assert_eq!(words(allowed).as_deref(), expected, "{allowed:?}");
        }
    }
}
