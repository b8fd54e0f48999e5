//! Values of options: parsers with their error messages.

use std::time::Duration;

use fgspy_export::Format;

/// The highest rate: a tick must leave time to read something.
const MAX_RATE_HZ: f64 = 10_000.0;
/// The lowest rate: one tick an hour.
const MIN_RATE_HZ: f64 = 1.0 / 3600.0;

pub(crate) fn pid(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("`{text}` is not a process id; `pgrep -a NAME` lists those of a program"))
}

pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| format!("`{text}` is not a number of ticks a second"))?;
    if (MIN_RATE_HZ..=MAX_RATE_HZ).contains(&rate) {
        Ok(rate)
    } else {
        Err(format!("the rate must be above 0 and at most {MAX_RATE_HZ} ticks a second; 99 is a good choice"))
    }
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds_each = match unit {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("`{unit}` is not a unit of time; write 500ms, 10s, 2m or 1h")),
    };
    let number: f64 = number.parse().map_err(|_| format!("`{text}` is not a time; write 500ms, 10s, 2m or 1h"))?;
    let time =
        Duration::try_from_secs_f64(number * seconds_each).map_err(|_| format!("`{text}` is too long or negative"))?;
    if time.is_zero() { Err("the time must be longer than 0".into()) } else { Ok(time) }
}

pub(crate) fn format(text: &str) -> Result<Format, String> {
    Format::from_name(text)
        .ok_or_else(|| format!("there is no format `{text}`; there are {}", Format::ALL.map(Format::name).join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_ids() {
        assert_eq!(pid("4711"), Ok(4711));
        for bad in ["", "-1", "abc", "4294967296", "1 2"] {
            assert!(pid(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times() {
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("10"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for bad in ["", "0", "-1s", "10x", "s", "1e99h", "nan"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates() {
        assert_eq!(rate("99"), Ok(99.0));
        assert_eq!(rate("0.5"), Ok(0.5));
        for bad in ["0", "-1", "100000", "fast", "nan", "inf"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }
}
