//! How much fgspy may use: `--max-cpu` and `--max-memory`.

use clap::Args;
use fgspy_sampler::{Options, Reading};

/// The share of a core that fgspy may use by default. A user who records ten seconds wants exact times: this reads every goroutine at
/// every tick in a program with some thousand of them. (For the cost see the part `scale` of bench/RESULTS.md.)
pub(crate) const DEFAULT_MAX_CPU: &str = "10%";

#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// The share of ONE core that fgspy may use, and once, at the start, one second's worth of it more. The default is enough to
    /// read each of some thousand goroutines at every tick, which takes 1% to 10% of a core. If the limit is too low for that,
    /// goroutines are sampled at random, and results are estimates with a stated error. 1% is a good choice for recording all
    /// day. A tick has a minimum cost; if that exceeds the limit, a note says so. `unlimited` reads every goroutine at every tick
    #[arg(long, value_name = "PERCENT", default_value = DEFAULT_MAX_CPU, value_parser = max_cpu, allow_negative_numbers = true)]
    pub(crate) max_cpu: Reading,

    /// The approximate memory that a recording may use, such as 512M or 2G. If goroutines come and go too fast for it, the
    /// recording no longer distinguishes them one by one
    #[arg(long, value_name = "BYTES", default_value = "512M", value_parser = max_memory, allow_negative_numbers = true)]
    pub(crate) max_memory: usize,
}

impl LimitArgs {
    /// As the sampler takes them.
    pub(crate) fn options(self) -> Options {
        Options { reading: self.max_cpu, max_memory: self.max_memory, ..Options::default() }
    }
}

/// The minimum of `--max-memory`.
const MIN_MEMORY: usize = 16 << 20;

/// A share of one core, in percent, or `unlimited`.
pub(crate) fn max_cpu(text: &str) -> Result<Reading, String> {
    if text == "unlimited" {
        return Ok(Reading::Everything);
    }
    let percent: Option<f64> = text.strip_suffix('%').unwrap_or(text).trim_end().parse().ok();
    match percent {
        Some(percent) if percent > 0.0 && percent <= 100.0 => Ok(Reading::Budget { max_cpu: percent / 100.0 }),
        _ => Err(format!("`{text}` is not a share of one core: above 0% and at most 100%, or `unlimited`")),
    }
}

/// A number of bytes, perhaps with one of the suffixes K, M, G.
pub(crate) fn max_memory(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => Some(1),
        "K" | "KB" | "KIB" => Some(1 << 10),
        "M" | "MB" | "MIB" => Some(1 << 20),
        "G" | "GB" | "GIB" => Some(1 << 30),
        _ => None,
    };
    match digits.parse::<usize>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor)) {
        Some(bytes) if bytes >= MIN_MEMORY => Ok(bytes),
        Some(_) => Err(format!("the minimum is {} MiB", MIN_MEMORY >> 20)),
        None => Err(format!("`{text}` is not a number of bytes such as 512M or 2G")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_a_core() {
        for (text, expected) in [("1%", 0.01), ("0.5", 0.005), ("100%", 1.0), ("5 %", 0.05)] {
            assert_eq!(max_cpu(text), Ok(Reading::Budget { max_cpu: expected }), "{text}");
        }
        assert_eq!(max_cpu("unlimited"), Ok(Reading::Everything));
        for text in ["", "0%", "-1%", "101%", "nan", "much", "%"] {
            assert!(max_cpu(text).unwrap_err().contains("share of one core"), "{text}");
        }
    }

    #[test]
    fn bytes() {
        assert_eq!(max_memory("512M"), Ok(512 << 20));
        assert_eq!(max_memory("2gib"), Ok(2 << 30));
        assert_eq!(max_memory("33554432"), Ok(32 << 20));
        assert!(max_memory("1M").unwrap_err().contains("16 MiB"));
        for text in ["", "M", "12X", "-5M", "99999999999G", "1.5G"] {
            assert!(max_memory(text).unwrap_err().contains("number of bytes"), "{text}");
        }
    }
}
