//! Real programs have their probe sites, and all of them are cheap.

use fgspy_fixtures::{Variant, build, fetch_modules, skip, toolchains};
use fgspy_gobin::GoBinary;
use fgspy_gobin::probes::{Cost, Site, SiteKind, sites};

/// The sites of a fixture program, and its file.
fn of(program: &str, toolchain: &fgspy_fixtures::Toolchain, variant: Variant) -> (Vec<Site>, Vec<u8>) {
    let file = std::fs::read(build(program, toolchain, variant).unwrap()).unwrap();
    (sites(&GoBinary::parse(Box::new(file.clone())).unwrap()), file)
}

#[test]
fn servers_of_all_versions_have_cheap_sites() {
    for toolchain in toolchains::required().unwrap() {
        for variant in [Variant::Plain, Variant::Stripped] {
            let (sites, file) = of("requests", &toolchain, variant);
            let kinds: Vec<SiteKind> = sites.iter().map(|site| site.kind).collect();
            let mut expected = vec![SiteKind::CasStatus];
            if toolchain.minor >= 26 {
                expected.extend([SiteKind::SyscallEnter, SiteKind::SyscallExit]);
            }
            expected.extend([SiteKind::HttpBegin, SiteKind::HttpEnd, SiteKind::Http2End]);
            assert_eq!(kinds, expected, "{}", toolchain.version);
            for site in sites {
                let at = site.file_offset as usize;
                let bytes = [file[at], file[at + 1]];
                println!("{} {}: {} {}", toolchain.version, site.function, site.instruction, site.may_repeat);
                assert_eq!(site.cost, Cost::Emulated, "{}: {site:?}", toolchain.version);
                match site.instruction.as_str() {
                    "push" => assert_eq!(bytes[0], 0x55, "{site:?}"),
                    "nop" => assert!(matches!(bytes, [0x90 | 0x66, _] | [0x0f, 0x1f]), "{site:?}"),
                    "jbe" => assert!(matches!(bytes, [0x76, _] | [0x0f, 0x86]), "{site:?}"),
                    _ => panic!("{site:?}"),
                }
            }
        }
    }
}

#[test]
fn grpc_has_cheap_sites() {
    let toolchain = toolchains::newest().unwrap();
    if let Err(error) = fetch_modules("grpc", &toolchain) {
        return skip("grpc_has_cheap_sites", &format!("{error:#}"));
    }
    let (sites, _) = of("grpc", &toolchain, Variant::Stripped);
    for kind in [SiteKind::GrpcBegin, SiteKind::GrpcEnd] {
        let of_kind: Vec<&Site> = sites.iter().filter(|site| site.kind == kind).collect();
        assert!(!of_kind.is_empty() && of_kind.iter().all(|site| site.cost == Cost::Emulated), "{of_kind:?}");
    }
}
