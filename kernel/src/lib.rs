//! Kernel facilities: on-CPU samples by `perf_event_open` (under construction).

mod sample;

pub use sample::{CpuSample, Registers, Switch};
