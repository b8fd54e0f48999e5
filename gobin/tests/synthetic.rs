//! Every format of executable that exists, made by hand, with everything about it known.

mod common;

use common::synthetic::{Recipe, TEXT};
use fgspy_gobin::{Arch, Error, GoBinary, PclntabVersion, SourceFrame};

fn parse(recipe: Recipe) -> GoBinary {
    GoBinary::parse(Box::new(recipe.build())).unwrap_or_else(|error| panic!("{recipe:?}: {error}"))
}

fn frames(binary: &GoBinary, vaddr: u64) -> Vec<SourceFrame<'_>> {
    let mut frames = Vec::new();
    binary.source_frames(vaddr, &mut frames);
    frames
}

/// (function, file, line, start line, inlined) of the frames at an address.
fn places(binary: &GoBinary, vaddr: u64) -> Vec<(String, String, u32, u32, bool)> {
    let frames = frames(binary, vaddr).into_iter();
    frames.map(|f| (f.function.into_owned(), f.file.into_owned(), f.line, f.start_line, f.inlined)).collect()
}

#[test]
fn can_be_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&parse(Recipe::plain(27)));
}

#[test]
fn functions_and_lines_of_every_format() {
    for recipe in Recipe::all() {
        let binary = parse(recipe);
        let q = recipe.quantum();
        let starts = recipe.minor >= 20;
        let place = |function: &str, file: &str, line, start: u32, inlined| {
            (function.to_owned(), file.to_owned(), line, if starts { start } else { 0 }, inlined)
        };
        assert_eq!(places(&binary, TEXT), [place("main.outer", "outer.go", 10, 8, false)], "{recipe:?}");
        let inlined = [place("main.inner", "inner.go", 6, 5, true), place("main.outer", "outer.go", 10, 8, false)];
        assert_eq!(places(&binary, TEXT + 32 * q), inlined, "{recipe:?}");
        assert_eq!(places(&binary, TEXT + 64 * q - 1), inlined, "{recipe:?}");
        let func1 = [place("main.outer.func1", "outer.go", 0, 9, false)];
        assert_eq!(places(&binary, TEXT + 64 * q), func1, "{recipe:?}");
        assert_eq!(places(&binary, TEXT - 1), [], "{recipe:?}");
        assert_eq!(places(&binary, TEXT + 96 * q), [], "{recipe:?}");
    }
}

#[test]
fn stack_sizes_of_every_format() {
    for recipe in Recipe::all() {
        let binary = parse(recipe);
        let q = recipe.quantum();
        assert_eq!(binary.sp_delta(TEXT), Some(0), "{recipe:?}");
        assert_eq!(binary.sp_delta(TEXT + 4 * q - 1), Some(0), "{recipe:?}");
        assert_eq!(binary.sp_delta(TEXT + 4 * q), Some(24), "{recipe:?}");
        assert_eq!(binary.sp_delta(TEXT + 64 * q - 1), Some(24), "{recipe:?}");
        assert_eq!(binary.sp_delta(TEXT + 96 * q), None, "{recipe:?}");
    }
}

#[test]
fn facts_of_every_format() {
    for recipe in Recipe::all() {
        let binary = parse(recipe);
        let version = binary.version().unwrap();
        assert_eq!(version.text, format!("go1.{}.3", recipe.minor), "{recipe:?}");
        assert_eq!(binary.is_pie(), recipe.pie);
        assert_eq!(binary.arch(), if recipe.arm64 { Arch::Arm64 } else { Arch::Amd64 });
        assert!(binary.pclntab_version().fits_minor(recipe.minor));
        let module = binary.module();
        assert_eq!((module.text, module.minpc), (TEXT, TEXT), "{recipe:?}");
        assert_eq!((module.etext, module.maxpc), (TEXT + 96 * recipe.quantum(), module.etext), "{recipe:?}");
        assert_eq!(module.gofunc.is_some(), recipe.minor >= 18, "{recipe:?}");
        assert_eq!(binary.read_ptr(module.vaddr), Some(module.pclntab), "{recipe:?}");
        assert_eq!(binary.build_info().is_some(), recipe.build_info, "{recipe:?}");
        if let Some(info) = binary.build_info() {
            assert_eq!(info.path, "example.com/cmd", "{recipe:?}");
            assert_eq!(info.main, Some(("example.com".to_owned(), "(devel)".to_owned())));
            assert_eq!(info.deps, [("x.org/y".to_owned(), "v1.2.3".to_owned())]);
            assert_eq!(info.settings, [("-compiler".to_owned(), "gc".to_owned())]);
        }
    }
}

#[test]
fn finds_functions_by_name() {
    for recipe in Recipe::all() {
        let binary = parse(recipe);
        let names = ["runtime.goexit", "goexit", "main.outer", "", "main.inner", "main.outer.func1", "main.out"];
        let entries: Vec<_> =
            binary.funcs_named(&names).iter().map(|func| func.map(|func| func.entry - TEXT)).collect();
        let q = recipe.quantum();
        // main.inner is a name, but not that of a function.
        assert_eq!(entries, [Some(80 * q), None, Some(0), None, None, Some(64 * q), None], "{recipe:?}");
        let goexit = binary.func_named("runtime.goexit").unwrap();
        assert!(goexit.flags.is_top_frame() && !goexit.flags.writes_sp());
        assert_eq!(binary.func_name(&goexit), "runtime.goexit");
        assert_eq!(binary.funcs().map(|func| func.index).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(binary.code(&goexit).unwrap().len(), 16 * q as usize);
        assert_eq!(binary.symbol("runtime.goexit"), None);
    }
}

#[test]
fn the_wrapper_number_follows_the_release() {
    for (minor, number) in [(17, 22), (18, 21), (21, 21), (22, 22), (24, 22), (25, 23), (27, 23)] {
        for func_id in [number - 1, number, number + 1] {
            let mut bytes = Recipe::plain(minor).build();
            // main.outer.func1 is the only record with this name, this func_id and no arrays.
            let rest: &[u8] = if minor >= 20 { &[9, 0, 0, 0, 1, 0, 0, 0] } else { &[0, 0, 0, 0, 1, 0, 0, 0] };
            let record = [&22u32.to_le_bytes()[..], &[0; 8], &[22, 0, 0, 0].repeat(3), &[0; 4]].concat();
            let record = if minor >= 20 {
                [record, vec![0; 4], rest.to_vec()].concat()
            } else {
                [record, rest.to_vec()].concat()
            };
            let places: Vec<_> = memchr::memmem::find_iter(&bytes, &record).collect();
            assert_eq!(places.len(), 1, "Go 1.{minor}");
            bytes[places[0] + record.len() - 4] = func_id;
            let binary = GoBinary::parse(Box::new(bytes)).unwrap();
            let frame = &frames(&binary, TEXT + 64)[0];
            assert_eq!((frame.func_id, frame.wrapper), (func_id, func_id == number), "Go 1.{minor}");
        }
    }
}

fn error(bytes: Vec<u8>) -> Error {
    GoBinary::parse(Box::new(bytes)).err().expect("an error")
}

#[test]
fn old_releases_are_refused_by_name() {
    assert_eq!(error(Recipe::plain(16).build()), Error::TooOld { go: "go1.16.3".to_owned() });
    let stripped = Recipe { build_info: false, sections: false, ..Recipe::plain(16) };
    assert_eq!(error(stripped.build()), Error::TooOld { go: "go1.16.3".to_owned() });
    assert_eq!(error(Recipe::plain(15).build()), Error::TooOld { go: "go1.15.3".to_owned() });
    let stripped = Recipe { build_info: false, sections: false, ..Recipe::plain(15) };
    assert_eq!(error(stripped.build()), Error::TooOld { go: "Go 1.2 to 1.15".to_owned() });
}

#[test]
fn what_is_not_go_is_refused_with_the_reason() {
    assert_eq!(error(Vec::new()), Error::NotElf);
    assert_eq!(error(b"#!/bin/sh\nexec true\n".to_vec()), Error::NotElf);
    let changed = |at: usize, to: &[u8]| {
        let mut bytes = Recipe::plain(27).build();
        bytes[at..at + to.len()].copy_from_slice(to);
        bytes
    };
    assert_eq!(error(changed(4, &[1])), Error::Not64Bit { machine: 62 });
    assert_eq!(error(changed(5, &[2])), Error::BigEndian { machine: 62 << 8 });
    assert_eq!(error(changed(18, &[243])), Error::UnsupportedArch { machine: 243 });
    assert_eq!(error(changed(16, &[1])), Error::NotGo);
    assert_eq!(
        error(changed(56, &[0, 8])),
        Error::TooLarge { what: "number of program headers", value: 2048, limit: 256 }
    );
    assert_eq!(error(Recipe::plain(27).build()[..80].to_vec()), Error::Truncated { what: "program headers" });
    assert_eq!(error(Recipe::plain(27).build()[..0x2000].to_vec()), Error::NotGo);

    let mut packed = Recipe::plain(27).build()[..0x2000].to_vec();
    packed[0x300..0x304].copy_from_slice(b"UPX!");
    assert_eq!(error(packed), Error::Packed);

    let bytes = Recipe::plain(27).build();
    let header = memchr::memmem::find(&bytes, &0xffff_fff1u32.to_le_bytes()).unwrap();
    assert_eq!(error(changed(header, &[0xf2])), Error::UnknownPclntab { magic: 0xffff_fff2 });
    let binary = GoBinary::parse(Box::new(bytes)).unwrap();
    let module = (binary.module().vaddr - common::synthetic::BASE) as usize;
    let pclntab = binary.module().pclntab;
    assert_eq!(error(changed(module, &[1])), Error::NoModuleData { pclntab });
}

#[test]
fn an_embedded_executable_does_not_distract() {
    for (minor, sections) in [(19, true), (19, false), (27, true), (27, false)] {
        // Before the code there is room for the other program's table and module data.
        let mut bytes = Recipe { sections, ..Recipe::plain(minor) }.build();
        let other = &Recipe::plain(if minor == 19 { 27 } else { 19 }).build()[0x2000..];
        bytes[0xa00..0xa00 + other.len().min(0x600)].copy_from_slice(&other[..other.len().min(0x600)]);
        let binary = GoBinary::parse(Box::new(bytes)).unwrap();
        let expected = if minor == 19 { PclntabVersion::Go118 } else { PclntabVersion::Go120 };
        assert_eq!(binary.pclntab_version(), expected);
        assert_eq!(binary.version().unwrap().minor, minor);
    }
}
