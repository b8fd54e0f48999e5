//! What `--max-cpu` and `--max-memory` mean.

use fgspy_sampler::Reading;

/// The least memory that is any use.
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
        Some(_) => Err(format!("{} MiB is the least that can be worked with", MIN_MEMORY >> 20)),
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
