//! What `go test -bench` prints.

/// Name and time of one line of results, in nanoseconds for one operation: `BenchmarkCodeMarshal-2  379  2982827 ns/op`.
/// The name comes without `Benchmark` and without the number of processors.
pub(super) fn parse(line: &str) -> Option<(String, f64)> {
    let mut words = line.strip_prefix("Benchmark")?.split_whitespace();
    let name = words.next()?;
    let processors = |end: &str| !end.is_empty() && end.bytes().all(|byte| byte.is_ascii_digit());
    let name = name.rsplit_once('-').filter(|(_, end)| processors(end)).map_or(name, |(name, _)| name);
    words.next()?.parse::<u64>().ok()?;
    let values: Vec<&str> = words.collect();
    let time = values.chunks_exact(2).find(|pair| pair[1] == "ns/op")?[0];
    Some((name.to_owned(), time.parse().ok().filter(|time| *time > 0.0)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_have_a_name_and_a_time() {
        let results = [
            (
                "BenchmarkCodeMarshal-2   \t     379\t   2982827 ns/op\t 650.55 MB/s\t 1941559 B/op",
                ("CodeMarshal", 2982827.0),
            ),
            ("BenchmarkMarshalBytes/32-2      \t  103048\t       293.3 ns/op", ("MarshalBytes/32", 293.3)),
            ("BenchmarkOne \t 1000000 \t 0.5020 ns/op", ("One", 0.502)),
            ("BenchmarkA-B-16 \t 1 \t 7.000 widgets \t 12 ns/op", ("A-B", 12.0)),
        ];
        for (line, (name, time)) in results {
            assert_eq!(parse(line), Some((name.to_owned(), time)), "{line}");
        }
    }

    #[test]
    fn other_lines_are_none() {
        for line in [
            "",
            "goos: linux",
            "PASS",
            "BenchmarkCodeMarshal-2",
            "BenchmarkCodeMarshal-2   \t",
            "BenchmarkX-2 \t 100 \t 12 B/op",
            "BenchmarkX-2 \t many \t 12 ns/op",
            "BenchmarkX-2 \t 100 \t 0 ns/op",
            "--- BENCH: BenchmarkX-2",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
