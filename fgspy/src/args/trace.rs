//! The command line of `fgspy trace`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::runtime::RuntimeArgs;
use super::values::{duration, pid};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fgspy trace -p $(pidof checkout) -d 5s                 exact times of all requests, by route
  fgspy trace -p 4711 --route 'GET /orders/{id}'         only one route; other requests cost less
  fgspy trace -p 4711 --trace 4bf92f3577b34da6           only one trace
  fgspy trace -p 4711 --states off                       only when requests begin and end
  fgspy trace -p 4711 -d 1s -f perfetto -o t.pftrace     every change of state, for ui.perfetto.dev
  fgspy trace -p 4711 -f pprof -o blocked.pb.gz          where goroutines waited, for go tool pprof

Unlike `record` and `requests`, this command puts probes into the program: each change of a
goroutine's state costs the program about a microsecond. It needs Linux 6.10, CAP_BPF and
CAP_PERFMON (root has both).")]
pub(crate) struct TraceArgs {
    /// Process to trace
    #[arg(short, long, value_name = "PID", value_parser = pid, allow_negative_numbers = true)]
    pub(crate) pid: u32,

    #[command(flatten)]
    pub(crate) runtime: RuntimeArgs,

    /// Stop after this time, such as 10s, 500ms or 2m. Default: at Ctrl-C, or when the target ends
    #[arg(short, long, value_name = "TIME", value_parser = duration, allow_negative_numbers = true)]
    pub(crate) duration: Option<Duration>,

    /// File to write, `-` for standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// What to write
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = TraceFormat::Table)]
    pub(crate) format: TraceFormat,

    /// Only requests whose method and path (`GET /orders/17`) match
    #[arg(long, value_name = "REGEX", conflicts_with = "route")]
    pub(crate) request: Option<String>,

    /// Only requests that match this pattern of net/http.ServeMux: `GET /orders/{id}`
    #[arg(long, value_name = "PATTERN")]
    pub(crate) route: Option<String>,

    /// Only requests of this trace: its id, or its first digits
    #[arg(long, value_name = "ID", value_parser = trace_id)]
    pub(crate) trace: Option<String>,

    /// Whether to trace the states of goroutines. With `off`, only the beginning and the end of requests are traced, by two probes
    /// each
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = States::On)]
    pub(crate) states: States,

    /// Record the stack of waits that take at least this time
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1ms", allow_negative_numbers = true)]
    pub(crate) block_threshold: Duration,

    /// Remove the probes when they cost the target more than this share of ONE core, or of the quota of its cgroup if that is less
    #[arg(long, value_name = "PERCENT", value_parser = percent, default_value = "50%", allow_negative_numbers = true)]
    pub(crate) max_overhead: f64,

    /// Set probes also at instructions that the kernel has to single-step, which may cost ten times as much
    #[arg(long)]
    pub(crate) allow_slow_probes: bool,

    /// How many routes, and how many of the slowest requests, to list
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) limit: usize,
}

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TraceFormat {
    /// Routes, where they waited, and the slowest requests
    Table,
    /// One JSON object per line: for each request, route and place
    Json,
    /// Every state of every goroutine in time, for ui.perfetto.dev. Until it is complete, the file is called FILE.partial
    Perfetto,
    /// Where goroutines waited, for go tool pprof
    Pprof,
    /// The same as a flame graph
    Flamegraph,
}

/// Whether to follow states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum States {
    /// Every change
    On,
    /// None
    Off,
}

/// The most digits of a trace id.
const MAX_DIGITS: usize = 32;

fn trace_id(text: &str) -> Result<String, String> {
    let is_id = (1..=MAX_DIGITS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id { Ok(text.to_ascii_lowercase()) } else { Err("a trace id is 1 to 32 hexadecimal digits".into()) }
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    match number.parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent.is_finite() => Ok(percent / 100.0),
        _ => Err(format!("`{text}` is not a percentage above 0; write 20%")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages() {
        assert_eq!(percent("20%"), Ok(0.2));
        assert_eq!(percent("150"), Ok(1.5));
        for bad in ["", "0", "-1%", "x", "inf", "nan"] {
            assert!(percent(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn trace_ids() {
        assert_eq!(trace_id("4BF9"), Ok("4bf9".to_owned()));
        for bad in ["", "xyz", "4bf92f3577b34da6a3ce929d0e0e47361"] {
            assert!(trace_id(bad).is_err(), "{bad}");
        }
    }
}
