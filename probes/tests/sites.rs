//! Real programs have their probe sites, and all of them are cheap.

use fgspy_fixtures::{Toolchain, Variant, build, fetch_modules, matrix, skip, toolchains};
use fgspy_gobin::GoBinary;
use fgspy_probes::sites::{Cost, Missing, Site, SiteKind, Sites, find};

/// The sites of a fixture program, and its file.
fn of(program: &str, toolchain: &Toolchain, variant: Variant) -> (Sites, Vec<u8>) {
    let file = std::fs::read(build(program, toolchain, variant).unwrap()).unwrap();
    let binary = GoBinary::parse(Box::new(file.clone())).unwrap();
    let sites = find(&binary);
    for site in &sites.found {
        let func = binary.func_named(&site.function).unwrap();
        let (version, word, at) = (&toolchain.version, variant.word(), site.vaddr - func.entry);
        println!("{version} {word} {}: {} at +{at}", site.function, site.instruction);
    }
    (sites, file)
}

/// The instruction is emulated, and the file has it where the site says.
fn check(name: &str, site: &Site, file: &[u8]) {
    let at = usize::try_from(site.file_offset).unwrap();
    let code = &file[at..at + 6];
    assert_eq!(site.cost, Cost::Emulated, "{name}: {site:?}");
    let is_there = match site.instruction.as_str() {
        "push" => code[0] == 0x55,
        "nop" => code[0] == 0x90 || code[..2] == [0x66, 0x90],
        "call" => code[0] == 0xe8,
        "jmp" => matches!(code[0], 0xe9 | 0xeb),
        // The name of a jump with a condition begins with a j.
        name => name.starts_with('j') && matches!(code, [0x70..=0x7f, ..] | [0x0f, 0x80..=0x8f, ..]),
    };
    assert!(is_there, "{name}: {site:?} is at {code:x?}");
    // Only the check is passed twice by one call: jbe after cmp rsp, [r14+16] (or r12).
    let is_check = site.instruction == "jbe" && file[at - 3..at] == [0x3b, 0x66, 0x10];
    assert_eq!(site.may_repeat, is_check, "{name}: {site:?}");
}

/// The kinds that have sites, in order.
fn kinds(sites: &Sites) -> Vec<SiteKind> {
    sites.found.iter().map(|site| site.kind).collect()
}

#[test]
fn servers_of_all_versions_have_cheap_sites() {
    for (toolchain, variant) in matrix().unwrap() {
        let name = format!("{} {}", toolchain.version, variant.word());
        let (sites, file) = of("requests", &toolchain, variant);
        // The other one is for who is stopped to be scanned.
        let mut expected = vec![SiteKind::CasStatus; 2];
        let absent = [
            SiteKind::CoroSwitch,
            SiteKind::CoroExit,
            SiteKind::Http2Begin,
            SiteKind::InnerBegin,
            SiteKind::GrpcBegin,
            SiteKind::GrpcEnd,
        ];
        let mut missing = absent.map(|kind| (kind, Missing::Function)).to_vec();
        if toolchain.minor >= 26 {
            expected.extend([SiteKind::SyscallEnter, SiteKind::SyscallExit]);
        } else {
            let unneeded = [SiteKind::SyscallEnter, SiteKind::SyscallExit].map(|kind| (kind, Missing::Unneeded));
            missing.splice(0..0, unneeded);
        }
        expected.extend([SiteKind::HttpBegin, SiteKind::HttpEnd, SiteKind::Http2End]);
        assert_eq!(kinds(&sites), expected, "{name}");
        assert_eq!(sites.missing, missing, "{name}");
        sites.found.iter().for_each(|site| check(&name, site, &file));
    }
}

#[test]
fn coroutines_have_cheap_sites() {
    for (toolchain, variant) in matrix().unwrap().into_iter().filter(|(toolchain, _)| toolchain.minor >= 23) {
        let name = format!("{} {}", toolchain.version, variant.word());
        let (sites, file) = of("transitions", &toolchain, variant);
        for kind in [SiteKind::CoroSwitch, SiteKind::CoroExit] {
            let of_kind: Vec<_> = sites.found.iter().filter(|site| site.kind == kind).collect();
            assert_eq!(of_kind.len(), 1, "{name}: {kind:?}");
            check(&name, of_kind[0], &file);
        }
    }
}

#[test]
fn grpc_has_cheap_sites() {
    let newest = toolchains::newest().unwrap();
    if let Err(error) = fetch_modules("grpc", &newest) {
        return skip("grpc_has_cheap_sites", &format!("{error:#}"));
    }
    let variants = [Variant::Plain, Variant::Stripped, Variant::PieStripped].map(|variant| (newest.clone(), variant));
    let before = toolchains::get(26).unwrap();
    for (toolchain, variant) in variants.into_iter().chain([(before, Variant::Plain)]) {
        let (sites, file) = of("grpc", &toolchain, variant);
        let name = format!("grpc {} {}", toolchain.version, variant.word());
        let of_kind = |kind| -> Vec<&str> {
            sites.found.iter().filter(|site| site.kind == kind).map(|site| site.function.as_str()).collect()
        };
        assert_eq!(of_kind(SiteKind::GrpcBegin), ["google.golang.org/grpc.(*Server).handleStream"], "{name}");
        // One for each of the ways that calls come in.
        let ends = ["http2Server", "serverHandlerTransport"]
            .map(|transport| format!("google.golang.org/grpc/internal/transport.(*{transport}).writeStatus"));
        assert_eq!(of_kind(SiteKind::GrpcEnd), ends, "{name}");
        // golang.org/x/net has an HTTP/2 of its own up to Go 1.26, and a shell of that of net/http from 1.27 on.
        let shell = toolchain.minor >= 27;
        let (kind, other) = if shell {
            (SiteKind::InnerBegin, SiteKind::Http2Begin)
        } else {
            (SiteKind::Http2Begin, SiteKind::InnerBegin)
        };
        let package = if shell { "net/http/internal/http2" } else { "golang.org/x/net/http2" };
        assert_eq!(of_kind(kind), [format!("{package}.(*serverConn).runHandler")], "{name}");
        let absent = [SiteKind::CoroSwitch, SiteKind::CoroExit, other].map(|kind| (kind, Missing::Function));
        assert_eq!(sites.missing, absent, "{name}");
        sites.found.iter().for_each(|site| check(&name, site, &file));
    }
}
