//! The goroutine profile made from outside equals the one that the program itself makes.

use fgspy_fixtures::pprof::{Mapping, read};
use fgspy_fixtures::{Toolchain, toolchains};

use crate::server::Server;
use crate::target::{KINDS, Target, pprof};

/// What a text says of each group of goroutines, sorted, but for the main goroutine: it reads its standard input when we
/// look, and writes the profile when it looks itself.
fn groups(text: &str, separator: &str) -> Vec<String> {
    let is_group = |part: &&str| part.contains(" main.") || part.contains("\tmain.");
    let is_main = |part: &str| part.contains("main.main+") || part.contains("main.main /");
    let mut groups: Vec<String> =
        text.split(separator).filter(is_group).filter(|part| !is_main(part)).map(Into::into).collect();
    groups.sort();
    groups
}

/// The profile without its first line, how many goroutines there are; and that number.
fn body(text: &str) -> (&str, &str) {
    let (head, body) = text.split_once('\n').unwrap();
    (head.strip_prefix("goroutine profile: total ").unwrap(), body)
}

/// Without the program counters: those of inlined calls are the runtime's own invention (since Go 1.21).
fn without_addresses(text: &str) -> String {
    let mut kept = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        kept += &match words[..] {
            [count, "@", ..] => count.to_owned(),
            ["#", address, function, place] if address.starts_with("0x") => {
                format!("\t{} {place}", function.rsplit_once('+').unwrap().0)
            }
            _ => line.to_owned(),
        };
        kept.push('\n');
    }
    kept
}

fn toolchain(minor: u32) -> Toolchain {
    toolchains::get(minor).unwrap()
}

#[test]
fn the_text_is_the_runtimes_own_to_the_letter_where_nothing_is_inlined() {
    for minor in [19, 23, 27] {
        let mut target = Target::spawn(&toolchain(minor), &["-gcflags=all=-l"], &[]);
        let server = Server::of(target.fixture.pid());
        let (own, ours) = (target.asked("text"), server.text("/debug/pprof/goroutine?debug=1"));
        let ((own_total, own), (total, ours)) = (body(&own), body(&ours));
        assert_eq!(total, own_total, "Go 1.{minor}");
        let (own, ours) = (groups(own, "\n\n"), groups(ours, "\n\n"));
        assert_eq!(own.len(), KINDS, "Go 1.{minor}: {own:#?}");
        assert_eq!(ours, own, "Go 1.{minor}");
    }
}

#[test]
fn the_text_has_the_runtimes_own_functions_and_lines_with_inlining() {
    for minor in [19, 21, 22, 23, 24, 25, 26, 27] {
        let mut target = Target::spawn(&toolchain(minor), &["-ldflags=-s -w"], &[]);
        let server = Server::of(target.fixture.pid());
        let (own, ours) = (target.asked("text"), server.text("/debug/pprof/goroutine?debug=1"));
        let [own, ours] = [own, ours].map(|text| groups(&without_addresses(body(&text).1), "\n\n"));
        assert_eq!(own.len(), KINDS, "Go 1.{minor}: {own:#?}");
        assert_eq!(ours, own, "Go 1.{minor}");
    }
}

#[test]
fn go_tool_pprof_shows_the_same_for_both() {
    const SEPARATOR: &str = "-----------+-------------------------------------------------------\n";
    for minor in [19, 27] {
        let mut target = Target::spawn(&toolchain(minor), &[], &[]);
        let server = Server::of(target.fixture.pid());
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("own.pb.gz");
        std::fs::write(&own, from_hexadecimal(target.asked("pprof").trim())).unwrap();
        // Since Go 1.21 its own profile has type arguments where everything else prints three dots.
        let own = pprof(&["-traces", "-lines", own.to_str().unwrap()]).replace("[go.shape.string]", "[...]");
        let ours = pprof(&["-traces", "-lines", &server.url("/debug/pprof/goroutine")]);
        let (own, ours) = (groups(&own, SEPARATOR), groups(&ours, SEPARATOR));
        assert_eq!(own.len(), KINDS, "Go 1.{minor}: {own:#?}");
        assert_eq!(ours, own, "Go 1.{minor}");
    }
}

/// The reader takes Go's own profile, so that it is no stricter than Go; and what both say of the executable is the same.
#[test]
fn every_reader_takes_our_profiles_and_the_mapping_is_that_of_the_programs_own() {
    let variants: [&[&str]; 2] = [&["-ldflags=-s -w"], &["-buildmode=pie"]];
    for (minor, arguments) in [19, 24, 27].into_iter().flat_map(|minor| variants.map(|arguments| (minor, arguments))) {
        let mut target = Target::spawn(&toolchain(minor), arguments, &[]);
        let server = Server::of(target.fixture.pid());
        let name = format!("Go 1.{minor} {arguments:?}");
        let own = read(&from_hexadecimal(target.asked("pprof").trim())).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        for path in ["/debug/pprof/goroutine", "/debug/fgprof?seconds=0.2", "/debug/pprof/profile?seconds=0.2"] {
            let ours = read(&server.get(path).body).unwrap_or_else(|error| panic!("{name} {path}: {error:?}"));
            let ([ours, ..], [own, ..]) = (&ours.mappings[..], &own.mappings[..]) else { panic!("{name} {path}") };
            let place = |mapping: &Mapping| (mapping.start, mapping.limit, mapping.offset, mapping.file.clone());
            assert_eq!(place(ours), place(own), "{name} {path}");
            assert_eq!(ours.has, [true; 4]);
            // Where the linker wrote no GNU build id, as Go's own did not before 1.24, Go's profile has none, and ours has Go's.
            if own.build_id.is_empty() {
                assert!(minor < 24 && ours.build_id.split('/').count() == 4, "{name} {path}: {ours:?}");
            } else {
                assert_eq!(ours.build_id, own.build_id, "{name} {path}");
            }
        }
    }
}

fn from_hexadecimal(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
