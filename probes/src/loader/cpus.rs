//! How many CPUs there can ever be.

/// More CPUs than Linux supports anywhere (NR_CPUS is 8,192 at most).
const MAX_CPUS: usize = 8192;

/// How many CPUs the kernel calls possible: a map with a value for each CPU has as many values. Where the kernel does not
/// say, the most there can be: too much room does no harm.
pub(crate) fn possible() -> usize {
    let listed = std::fs::read_to_string("/sys/devices/system/cpu/possible").ok().and_then(|list| count(&list));
    listed.unwrap_or(MAX_CPUS)
}

/// The number of CPUs in a list in the kernel's format, such as `0-3,8`.
fn count(list: &str) -> Option<usize> {
    let ranges = list.trim().split(',').map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last && last < MAX_CPUS).then(|| last - first + 1)
    });
    ranges.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_of_a_list_are_counted() {
        assert_eq!(count("0-3,8\n"), Some(5));
        assert_eq!(count("0"), Some(1));
        for wrong in ["", "3-1", "0-99999999", "a", "0-"] {
            assert_eq!(count(wrong), None, "{wrong}");
        }
        assert!((1..=MAX_CPUS).contains(&possible()));
    }
}
