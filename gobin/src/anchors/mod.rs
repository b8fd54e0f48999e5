//! Addresses of runtime variables, found without symbols.
//!
//! A stripped executable keeps the names of functions (pclntab) but not of variables. The code of a few small runtime
//! functions says where the variables are. The patterns hold for Go 1.17 to 1.27 on amd64 and arm64, with and without
//! optimisation, PIE, cgo and `-race`; `tests/anchors_real.rs` compares them with the symbols of real executables.
//!
//! All addresses are link-time addresses.

mod allgs;
mod scheduler;
mod wait_reasons;

pub use allgs::{AllGs, AllGsFunction, allgs};
pub use scheduler::{AllM, AllP, allm, allp, pidle};
pub use wait_reasons::{WaitReasons, wait_reasons};

use crate::GoBinary;

/// Where the runtime's variables are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchors {
    /// The list of all goroutines.
    pub allgs: AllGs,
    /// The texts of the wait reasons.
    pub wait_reasons: Option<WaitReasons>,
    /// The list of all p's.
    pub allp: Option<AllP>,
    /// The list of all m's.
    pub allm: Option<AllM>,
    /// `runtime.sched.pidle`. The variable `runtime.sched` is [`pidle`](crate::layout::SchedLayout::pidle) bytes before.
    pub pidle: Option<u64>,
}

/// Why the goroutines of an executable cannot be found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// None of the functions that are known to use the list of goroutines exists and has the expected form.
    #[error(
        "cannot find the runtime's list of goroutines: neither runtime.forEachGRace, runtime.atomicAllG nor \
         runtime.forEachG has a known form; a newer fgspy may know this Go release"
    )]
    NoAllGs,
    /// The code of a function and the symbol table say different things, so one of them is not understood.
    #[error("runtime.{variable} is at {code:#x} by the runtime's code, but at {symbol:#x} by the symbol table")]
    Disagree {
        /// Name of the variable, without its package.
        variable: &'static str,
        /// Address by disassembly.
        code: u64,
        /// Address by symbol.
        symbol: u64,
    },
}

/// Functions that [`find`] looks at.
const FUNCTIONS: [&str; 7] = [
    "runtime.forEachGRace",
    "runtime.atomicAllG",
    "runtime.forEachG",
    "runtime.waitReason.String",
    "runtime.gcMarkTinyAllocs",
    "runtime.mcommoninit",
    "runtime.pidleget",
];

/// Finds the runtime's variables in an executable.
///
/// # Errors
///
/// When the list of goroutines cannot be found, or when the executable has a symbol table that contradicts what was
/// found. Without the other variables a goroutine can still be read, so their absence is no error.
pub fn find(binary: &GoBinary) -> Result<Anchors, Error> {
    let arch = binary.arch();
    let functions: Vec<_> = binary.funcs_named(&FUNCTIONS).into_iter().flatten().collect();
    // A closure over names rather than positions: which function is missing does not shift the others.
    let in_function = |name: &str| {
        let func = functions.iter().find(|func| binary.func_name(func) == name)?;
        Some((binary.code(func)?, func.entry))
    };
    let found = AllGsFunction::ALL.into_iter().find_map(|function| {
        let (code, entry) = in_function(function.name())?;
        allgs(arch, function, &code, entry)
    });
    let anchors = Anchors {
        allgs: found.ok_or(Error::NoAllGs)?,
        wait_reasons: in_function("runtime.waitReason.String").and_then(|(code, at)| wait_reasons(arch, &code, at)),
        allp: in_function("runtime.gcMarkTinyAllocs").and_then(|(code, at)| allp(arch, &code, at)),
        allm: in_function("runtime.mcommoninit").and_then(|(code, at)| allm(arch, &code, at)),
        pidle: in_function("runtime.pidleget").and_then(|(code, at)| pidle(arch, &code, at)),
    };
    compare_with_symbols(binary, &anchors)?;
    Ok(anchors)
}

/// `runtime.sched` is left out: where `pidle` lies in it is the layout's business.
fn compare_with_symbols(binary: &GoBinary, anchors: &Anchors) -> Result<(), Error> {
    let AllGs { found_in, allglen, allgptr } = anchors.allgs;
    let goroutines = match found_in {
        AllGsFunction::ForEachGRace | AllGsFunction::AtomicAllG => [("allglen", allglen), ("allgptr", allgptr)],
        AllGsFunction::ForEachG => [("allgs", allgptr); 2],
    };
    let others = [
        anchors.wait_reasons.map(|found| ("waitReasonStrings", found.strings)),
        anchors.allp.map(|found| ("allp", found.ptr)),
        anchors.allm.map(|found| ("allm", found.head)),
    ];
    let found: Vec<_> = goroutines.into_iter().chain(others.into_iter().flatten()).collect();
    let names: Vec<_> = found.iter().map(|(variable, _)| format!("runtime.{variable}")).collect();
    let symbols = binary.symbols(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for ((variable, code), symbol) in found.into_iter().zip(symbols) {
        match symbol {
            Some(symbol) if symbol.addr != code => {
                return Err(Error::Disagree { variable, code, symbol: symbol.addr });
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Arch, snippets};

    #[test]
    fn the_list_of_goroutines_in_real_code() {
        let mut found = Vec::new();
        for binary in snippets::all() {
            for function in AllGsFunction::ALL {
                let Some((code, entry)) = binary.code(function.name()) else { continue };
                let Some(list) = allgs(binary.arch, function, &code, entry) else { continue };
                let expected = match function {
                    AllGsFunction::ForEachG => {
                        (binary.variables["runtime.allgs"] + 8, binary.variables["runtime.allgs"])
                    }
                    _ => (binary.variables["runtime.allglen"], binary.variables["runtime.allgptr"]),
                };
                assert_eq!((list.allglen, list.allgptr), expected, "{}", binary.name);
                found.push(function);
            }
        }
        // Two of the ten are not optimised.
        let count = |function| found.iter().filter(|found| **found == function).count();
        assert_eq!(AllGsFunction::ALL.map(count), [8, 2, 10]);
    }

    #[test]
    fn the_other_variables_in_real_code() {
        for binary in snippets::all() {
            let (arch, name) = (binary.arch, binary.name);
            let address = |variable: &str| binary.variables[variable];
            let (code, entry) = binary.code("runtime.waitReason.String").unwrap();
            let expected =
                WaitReasons { strings: address("runtime.waitReasonStrings"), count: binary.layout().wait_reasons };
            assert_eq!(wait_reasons(arch, &code, entry), Some(expected), "{name}");
            let Some((code, entry)) = binary.code("runtime.gcMarkTinyAllocs") else { continue };
            let ptr = address("runtime.allp");
            assert_eq!(allp(arch, &code, entry), Some(AllP { ptr, len: ptr + 8 }), "{name}");
            let (code, entry) = binary.code("runtime.mcommoninit").unwrap();
            let expected = AllM { head: address("runtime.allm"), link: binary.layout().m.alllink };
            assert_eq!(allm(arch, &code, entry), Some(expected), "{name}");
            let (code, entry) = binary.code("runtime.pidleget").unwrap();
            let expected = address("runtime.sched") + u64::from(binary.layout().sched.pidle);
            assert_eq!(pidle(arch, &code, entry), Some(expected), "{name}");
        }
    }

    /// A function cut short anywhere, or another function, gives nothing rather than something wrong.
    #[test]
    fn what_is_not_as_expected_is_refused() {
        for binary in snippets::all() {
            let Some((code, entry)) = binary.code("runtime.forEachGRace") else { continue };
            let Some(whole) = allgs(binary.arch, AllGsFunction::ForEachGRace, &code, entry) else { continue };
            for len in 0..code.len() {
                let cut = allgs(binary.arch, AllGsFunction::ForEachGRace, &code[..len], entry);
                assert!(cut.is_none_or(|cut| cut == whole), "{} cut to {len} bytes", binary.name);
            }
            assert_eq!(allgs(binary.arch, AllGsFunction::ForEachG, &code, entry), None);
            assert_eq!(wait_reasons(binary.arch, &code, entry), None);
            assert_eq!(allm(binary.arch, &code, entry), None);
            let (code, entry) = binary.code("runtime.mcall").unwrap();
            assert_eq!(allgs(binary.arch, AllGsFunction::ForEachGRace, &code, entry), None);
        }
    }

    proptest! {
        #[test]
        fn any_code_is_survived(code in proptest::collection::vec(any::<u8>(), 0..400), vaddr in any::<u64>()) {
            for arch in [Arch::Amd64, Arch::Arm64] {
                for function in AllGsFunction::ALL {
                    allgs(arch, function, &code, vaddr);
                }
                wait_reasons(arch, &code, vaddr);
                allp(arch, &code, vaddr);
                allm(arch, &code, vaddr);
                pidle(arch, &code, vaddr);
            }
        }
    }
}
