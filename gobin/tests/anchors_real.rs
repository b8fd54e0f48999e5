//! Finds the runtime's variables and offsets in real executables, and compares with their symbols and the layout table.
//!
//! `FGSPY_TEST_BINARIES` names the executables (colon-separated); without it the tests say so and do nothing.

mod common;

use fgspy_gobin::GoBinary;
use fgspy_gobin::anchors::{self, AllGsFunction};
use fgspy_gobin::calibrate::{self, CodeCalibration};
use fgspy_gobin::layout::Layout;

fn for_each_binary(test: &str, check: impl Fn(&str, &GoBinary)) {
    for path in common::test_binaries(test) {
        check(&path.display().to_string(), &common::open(&path));
    }
}

fn layout(name: &str, binary: &GoBinary) -> Layout {
    let version = binary.version().unwrap_or_else(|| panic!("{name}: unknown Go version"));
    Layout::for_version(version, binary.arch()).unwrap_or_else(|| panic!("{name}: no layout for {version}"))
}

#[test]
fn variables_are_where_the_symbols_say() {
    for_each_binary("variables_are_where_the_symbols_say", |name, binary| {
        // `find` itself compares with the symbols.
        let found = anchors::find(binary).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_ne!(found.allgs.found_in, AllGsFunction::ForEachG, "{name}: a better function exists");
        let layout = layout(name, binary);
        let reasons = found.wait_reasons.unwrap_or_else(|| panic!("{name}: wait reasons"));
        assert_eq!(reasons.count, layout.wait_reasons, "{name}");
        let allm = found.allm.unwrap_or_else(|| panic!("{name}: allm"));
        assert_eq!(allm.link, layout.m.alllink, "{name}");
        let allp = found.allp.unwrap_or_else(|| panic!("{name}: allp"));
        assert_eq!(allp.len, allp.ptr + 8, "{name}");
        let sched = found.pidle.unwrap_or_else(|| panic!("{name}: pidle")) - u64::from(layout.sched.pidle);
        let names = ["allglen", "allgptr", "allp", "allm", "sched", "waitReasonStrings"];
        let symbols = binary.symbols(&names.map(|name| format!("runtime.{name}")).each_ref().map(String::as_str));
        let code = [found.allgs.allglen, found.allgs.allgptr, allp.ptr, allm.head, sched, reasons.strings];
        for ((name_of, symbol), code) in names.iter().zip(symbols).zip(code) {
            // Stripped executables have none.
            if let Some(symbol) = symbol {
                assert_eq!(symbol.addr, code, "{name}: runtime.{name_of}");
            }
        }
    });
}

/// Where the better functions would be missing.
#[test]
fn the_fallback_finds_the_same_list() {
    for_each_binary("the_fallback_finds_the_same_list", |name, binary| {
        let func = binary.func_named("runtime.forEachG").unwrap_or_else(|| panic!("{name}: no runtime.forEachG"));
        let code = binary.code(&func).unwrap();
        let found = anchors::allgs(binary.arch(), AllGsFunction::ForEachG, &code, func.entry);
        let found = found.unwrap_or_else(|| panic!("{name}: runtime.forEachG has no known form"));
        if let Some(symbol) = binary.symbol("runtime.allgs") {
            assert_eq!((found.allgptr, found.allglen), (symbol.addr, symbol.addr + 8), "{name}");
        }
    });
}

#[test]
fn the_texts_of_wait_reasons_are_there() {
    for_each_binary("the_texts_of_wait_reasons_are_there", |name, binary| {
        let reasons = anchors::find(binary).unwrap().wait_reasons.unwrap();
        let text = |index: u32| {
            let at = reasons.strings + u64::from(index) * 16;
            let (address, len) = (binary.read_ptr(at).unwrap(), binary.read_ptr(at + 8).unwrap());
            // An empty string may have any address.
            let bytes =
                if len == 0 { Vec::new() } else { binary.read_vaddr(address, len as usize).unwrap().into_owned() };
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!(text(0), "", "{name}");
        assert_eq!(text(2), "IO wait", "{name}");
        let all: Vec<_> = (0..reasons.count).map(text).collect();
        for expected in ["chan receive", "select", "sleep", "sync.Cond.Wait", "GC worker (idle)"] {
            assert!(all.iter().any(|text| text == expected), "{name}: {expected} in {all:?}");
        }
    });
}

#[test]
fn the_code_agrees_with_the_table() {
    for_each_binary("the_code_agrees_with_the_table", |name, binary| {
        let code = CodeCalibration::of(binary);
        assert_eq!(calibrate::compare(&layout(name, binary), &code), [], "{name}");
        // Everything but m.p, whose function is not in every program.
        let known: Vec<_> = code.known().map(|(field, _)| field).filter(|field| *field != "m.p").collect();
        assert_eq!(known.len(), 10, "{name}: only {known:?}");
        if code.m_p.is_none() {}
    });
}
