//! What holds for all formats, and the choice among them.

use std::io::Read;
use std::path::Path;

use crate::common::{Seen, profile, running, shop, text, waiting, written};
use fgspy_export::pprof::proto;
use fgspy_export::{Format, summary};
use fgspy_profile::{Accounting, Builder, Profile, Target, units};
use flate2::read::GzDecoder;
use proptest::prelude::*;
use prost::Message;

#[test]
fn formats_have_names_and_endings() {
    for format in Format::ALL {
        assert_eq!(Format::from_name(format.name()), Some(format));
        assert_eq!(Format::from_path(Path::new(&format!("dir.json/x.{}", format.ending()))), Some(format));
    }
    let path = |name: &str| Format::from_path(Path::new(name));
    assert_eq!(path("a.pprof"), Some(Format::Pprof));
    assert_eq!(path("a.PB.GZ"), Some(Format::Pprof));
    assert_eq!(path("a.pb"), Some(Format::Pprof));
    assert_eq!(path("a.txt"), Some(Format::Folded));
    assert_eq!(path("/out/a.b.svg"), Some(Format::FlameGraph));
    for unknown in ["a.gz", "svg", "a.svgz", "a", "", "/", "..", "a.json/"] {
        assert_eq!(path(unknown), if unknown == "a.json/" { Some(Format::Json) } else { None }, "{unknown:?}");
    }
    assert_eq!(Format::from_name("svg"), None);
    assert_eq!(Format::from_name(""), None);
}

#[test]
fn the_same_profile_gives_the_same_bytes() {
    for format in Format::ALL {
        assert_eq!(written(&shop(), format), written(&shop(), format), "{format:?}");
    }
}

#[test]
fn nothing_at_all_can_be_written() {
    let built = Builder::new(Target::default(), 0).finish(0, Accounting::default());
    for profile in [Profile::default(), built] {
        for format in Format::ALL {
            written(&profile, format);
        }
        assert_eq!(text(&profile, Format::Folded), "");
        assert!(text(&profile, Format::FlameGraph).contains("There are no samples."));
        roxmltree::Document::parse(&text(&profile, Format::FlameGraph)).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text(&profile, Format::Json)).unwrap();
        assert_eq!(json["samples"], serde_json::json!([]));
        assert_eq!(decode(&written(&profile, Format::Pprof)).string_table[0], "");
    }
}

#[test]
fn a_profile_put_together_wrongly_can_be_written() {
    let mut p = shop();
    p.strings.truncate(3);
    p.functions.truncate(2);
    p.locations.truncate(2);
    p.stacks.truncate(2);
    p.label_sets.truncate(1);
    for format in Format::ALL {
        written(&p, format);
    }
}

#[test]
fn a_write_that_fails_is_reported() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::from_raw_os_error(28))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    for format in Format::ALL {
        let error = fgspy_export::write(&shop(), format, &mut Full).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{format:?}");
    }
}

#[test]
fn times_have_three_digits_and_a_unit() {
    let expected = [
        (0, "0 ns"),
        (999, "999 ns"),
        (1_000, "1.00 µs"),
        (12_345, "12.3 µs"),
        (999_400, "999 µs"),
        (999_600, "1.00 ms"),
        (9_996_000, "10.0 ms"),
        (1_500_000_000, "1.50 s"),
        (119_000_000_000, "119 s"),
        (120_000_000_000, "2.00 min"),
        (29_838_000_000_000, "8.29 h"),
        (u64::MAX, "5124096 h"),
    ];
    assert_eq!(expected.map(|(ns, _)| (ns, units::time(ns))), expected.map(|(ns, word)| (ns, word.to_owned())));
}

#[test]
fn shares_and_averages_have_the_digits_that_matter() {
    let percent = |part| units::percent(part, 100_000);
    assert_eq!(
        [0, 1, 5, 50, 94, 95, 62_123, 100_000].map(percent),
        ["0%", "<0.01%", "0.01%", "0.05%", "0.09%", "0.1%", "62.1%", "100.0%"]
    );
    assert_eq!(units::percent(1, 0), "0%");
    assert_eq!(
        [0.0, 0.041, 0.996, 52.34, 999.96, 18_230.4].map(units::average),
        ["0.00", "0.04", "1.0", "52.3", "1000", "18230"]
    );
}

#[test]
fn the_story_of_a_recording_leaves_nothing_out() {
    assert_eq!(
        summary::lines(&shop()),
        [
            concat!(
                "fgspy ",
                env!("CARGO_PKG_VERSION"),
                ": 500 ms of pid 4242 (/srv/shop, go1.27.3 amd64) from 2026-09-21T14:13:20Z"
            ),
            "4 goroutines, 2.0 on average; the samples stand for 1.00 s, 100.0% of what there should be",
            "100 ticks a second of 100, 1 late; 100 observations, 2 more moved while they were read, 1 have a torn stack, \
             3 a broken one, 4 were unreadable; 34 on-CPU samples, 5 more lost",
            "place inferred for 10.0% of the time, unknown for 4.0%; every goroutine was read at every tick; fgspy used 7.00 ms of CPU time",
            "remark: no permission for perf_event_open",
        ]
    );
}

pub(crate) fn decode(gzipped: &[u8]) -> proto::Profile {
    let mut bytes = Vec::new();
    GzDecoder::new(gzipped).read_to_end(&mut bytes).unwrap();
    proto::Profile::decode(bytes.as_slice()).unwrap()
}

/// Names as a hostile target may have them.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,20}",
        "[<>&;\"'\\]\\[\\x00-\\x20]{0,12}",
        any::<String>(),
        Just("]]></script><script>alert(1)</script>".to_owned()),
        Just("\u{202e}gnp.exe\n\r\t\u{0}\u{fffe}".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn names_of_any_kind_break_no_format(
        names in prop::collection::vec(name(), 3), reason in name(), key in name(), value in name(),
        title in name(), executable in name(),
    ) {
        let stack: Vec<&str> = names.iter().map(String::as_str).collect();
        let labels = [(key.as_str(), value.as_str())];
        let mut p = profile(&[
            Seen { labels: &labels, ..waiting(&stack, &reason, 700_000) },
            running(&stack[..2], 300_000),
        ]);
        p.target.executable = executable;
        p.accounting.remarks.push(reason.clone());

        let mut svg = Vec::new();
        let options = fgspy_export::svg::Options { title: Some(title), ..Default::default() };
        fgspy_export::svg::write(&p, &options, &mut svg).unwrap();
        let svg = String::from_utf8(svg).unwrap();
        let document = roxmltree::Document::parse(&svg).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(document.descendants().filter(|node| node.has_tag_name("script")).count(), 2);

        let folded = text(&p, Format::Folded);
        prop_assert_eq!(folded.lines().count(), 2);
        for line in folded.lines() {
            let (stack, number) = line.rsplit_once(' ').unwrap();
            prop_assert!(number == "700" || number == "300");
            prop_assert_eq!(stack.split(';').count(), if number == "700" { 4 } else { 3 });
            prop_assert!(stack.ends_with(']') && !stack.chars().any(char::is_control));
        }

        let json: serde_json::Value = serde_json::from_str(&text(&p, Format::Json)).unwrap();
        let frames: Vec<&str> = json["frames"].as_array().unwrap().iter().map(|f| f["function"].as_str().unwrap()).collect();
        prop_assert!(stack.iter().all(|name| frames.contains(name)));

        let pprof = decode(&written(&p, Format::Pprof));
        prop_assert!(stack.iter().all(|name| pprof.string_table.iter().any(|string| string == name)));
    }
}
