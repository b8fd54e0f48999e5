//! The layout table, parsed.

use std::sync::LazyLock;

use serde::Deserialize;

use super::requests::{ContextLayout, HttpLayout, MapsLayout, RequestFields, TablesLayout};
use super::structs::{
    BucketLayout, GLayout, GobufLayout, HmapLayout, LabelListLayout, LabelsLayout, MLayout, McacheLayout,
    ModuleDataLayout, PLayout, PStatus, SchedLayout, SudogLayout,
};
use super::{FuncIds, Layout};
use crate::{Arch, GoVersion};

/// The layout of exactly one release.
pub(super) struct Known {
    pub(super) version: GoVersion,
    pub(super) arch: Arch,
    pub(super) layout: Layout,
}

/// Oldest release first.
static TABLE: LazyLock<Vec<Known>> = LazyLock::new(|| {
    // Part of this program, not input: `every_entry_is_whole` below reads it.
    parse(include_str!("../../layouts.toml")).unwrap_or_else(|problem| panic!("layouts.toml: {problem}"))
});

pub(super) fn all(arch: Arch) -> impl DoubleEndedIterator<Item = &'static Known> {
    TABLE.iter().filter(move |known| known.arch == arch)
}

pub(super) fn find(version: &GoVersion, arch: Arch) -> Option<&'static Known> {
    let same_minor = || all(arch).filter(|k| (k.version.major, k.version.minor) == (version.major, version.minor));
    same_minor().rfind(|known| known.version <= *version).or_else(|| same_minor().next())
}

pub(super) fn newest(arch: Arch) -> &'static Known {
    all(arch).next_back().expect("layouts.toml has no entry for an architecture")
}

#[derive(Deserialize)]
struct File {
    layout: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    go: Vec<String>,
    arch: Vec<String>,
    g: GLayout,
    gobuf: GobufLayout,
    m: MLayout,
    p: PLayout,
    mcache: McacheLayout,
    pstatus: PStatus,
    schedt: SchedLayout,
    moduledata: ModuleDataLayout,
    sudog: SudogLayout,
    hmap: Option<HmapLayout>,
    bmap: Option<BucketLayout>,
    map: Option<TablesLayout>,
    labels: Option<LabelListLayout>,
    http: HttpLayout,
    http2: Option<RequestFields>,
    context: ContextLayout,
    #[serde(rename = "waitReason")]
    wait_reason: WaitReason,
    #[serde(rename = "funcID")]
    func_ids: FuncIds,
}

#[derive(Deserialize)]
struct WaitReason {
    count: u32,
}

impl Entry {
    fn layout(&self) -> Option<Layout> {
        let maps = match (self.map, self.hmap, self.bmap) {
            (Some(tables), None, None) => MapsLayout::Tables(tables),
            (None, Some(hmap), Some(bucket)) => MapsLayout::Buckets(hmap, bucket),
            _ => return None,
        };
        let labels = match (self.labels, maps) {
            (Some(list), MapsLayout::Tables(_)) => LabelsLayout::List(list),
            (None, MapsLayout::Buckets(hmap, bucket)) => LabelsLayout::Map(hmap, bucket),
            _ => return None,
        };
        Some(Layout {
            g: self.g,
            gobuf: self.gobuf,
            m: self.m,
            p: self.p,
            mcache: self.mcache,
            p_status: self.pstatus,
            sched: self.schedt,
            moduledata: self.moduledata,
            sudog: self.sudog,
            labels,
            maps,
            http: self.http,
            http2: self.http2,
            context: self.context,
            wait_reasons: self.wait_reason.count,
            func_ids: self.func_ids,
        })
    }
}

fn parse(text: &str) -> Result<Vec<Known>, String> {
    let mut table = Vec::new();
    for entry in toml::from_str::<File>(text).map_err(|e| e.to_string())?.layout {
        let layout = entry.layout().ok_or("an entry must have either map and labels or hmap and bmap")?;
        for version in &entry.go {
            let version = GoVersion::parse(&format!("go{version}")).ok_or_else(|| format!("release {version}"))?;
            for arch in &entry.arch {
                let arch = match arch.as_str() {
                    "amd64" => Arch::Amd64,
                    "arm64" => Arch::Arm64,
                    other => return Err(format!("architecture {other}")),
                };
                table.push(Known { version: version.clone(), arch, layout });
            }
        }
    }
    table.sort_by(|a, b| a.version.cmp(&b.version));
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{FuncKind, status};

    fn layout(version: &str) -> Layout {
        Layout::for_version(&GoVersion::parse(version).unwrap(), Arch::Amd64).unwrap()
    }

    #[test]
    fn every_entry_is_whole() {
        for arch in [Arch::Amd64, Arch::Arm64] {
            let minors: Vec<_> = Layout::made_from(arch).map(|version| version.minor).collect();
            for minor in 17..=27 {
                assert!(minors.contains(&minor), "Go 1.{minor} on {arch:?}");
            }
        }
    }

    /// The table of the measured facts (DWARF of 1.19 and 1.21 to 1.27): another source than the generator.
    #[test]
    fn agrees_with_offsets_measured_from_dwarf() {
        // sched.bp, syscallpc, syscallbp, atomicstatus, goid, waitreason, trackingSeq, parentGoid, gopc, startpc, labels,
        // g size, m.procid, m.curg, m.p, p.m, p.runq
        #[rustfmt::skip]
        let measured: [(&str, [u32; 17]); 9] = [
            ("go1.17.13", [104, 120, 0, 144, 152, 176, 189, 0, 296, 312, 360, 392, 72, 192, 208, 56, 1528]),
            ("go1.19.8", [104, 120, 0, 144, 152, 176, 189, 0, 296, 312, 360, 392, 72, 192, 208, 56, 408]),
            ("go1.21.13", [104, 120, 0, 144, 152, 176, 188, 272, 280, 296, 344, 408, 72, 192, 208, 56, 408]),
            ("go1.22.10", [104, 120, 0, 144, 152, 176, 191, 272, 280, 296, 344, 424, 72, 192, 208, 56, 408]),
            ("go1.23.9", [104, 120, 128, 152, 160, 184, 199, 280, 288, 304, 352, 432, 72, 192, 208, 48, 400]),
            ("go1.24.11", [104, 120, 128, 152, 160, 184, 199, 280, 288, 304, 352, 440, 72, 192, 208, 48, 400]),
            ("go1.25.5", [96, 112, 120, 144, 152, 176, 191, 272, 280, 296, 344, 440, 64, 184, 200, 48, 400]),
            ("go1.26.6", [96, 112, 120, 144, 152, 176, 191, 280, 288, 304, 352, 456, 64, 184, 208, 48, 408]),
            ("go1.27.3", [96, 112, 120, 144, 152, 176, 191, 280, 288, 304, 352, 456, 64, 184, 208, 48, 408]),
        ];
        for (version, expected) in measured {
            let Layout { g, gobuf, m, p, .. } = layout(version);
            let found = [
                g.sched + gobuf.bp,
                g.syscallpc,
                g.syscallbp.unwrap_or(0),
                g.atomicstatus,
                g.goid,
                g.waitreason,
                g.tracking_seq.unwrap_or(0),
                g.parent_goid.unwrap_or(0),
                g.gopc,
                g.startpc,
                g.labels,
                g.size,
                m.procid,
                m.curg,
                m.p,
                p.m,
                p.runq,
            ];
            assert_eq!(found, expected, "{version}");
        }
    }

    #[test]
    fn status_numbers_are_those_of_every_release() {
        let table: toml::Table = include_str!("../../layouts.toml").parse().unwrap();
        for entry in table["layout"].as_array().unwrap() {
            let numbers = entry["status"].as_table().unwrap();
            for (name, number) in numbers {
                let expected = match name.as_str() {
                    "_Gidle" => status::IDLE,
                    "_Grunnable" => status::RUNNABLE,
                    "_Grunning" => status::RUNNING,
                    "_Gsyscall" => status::SYSCALL,
                    "_Gwaiting" => status::WAITING,
                    "_Gdead" => status::DEAD,
                    "_Gcopystack" => status::COPYSTACK,
                    "_Gpreempted" => status::PREEMPTED,
                    "_Gleaked" => status::LEAKED,
                    "_Gdeadextra" => status::DEADEXTRA,
                    "_Gscan" => status::SCAN,
                    other => panic!("unknown status {other}"),
                };
                assert_eq!(number.as_integer(), Some(i64::from(expected)), "{name}");
            }
            assert!(numbers.len() >= 9);
        }
    }

    #[test]
    fn a_release_takes_the_entry_of_its_minor_version() {
        for (asked, same_as) in [
            ("go1.19", "go1.19.8"),
            ("go1.21rc2", "go1.21.13"),
            ("go1.26.7", "go1.26.6"),
            ("go1.27.99-X:runtimesecret", "go1.27.3"),
        ] {
            assert_eq!(layout(asked), layout(same_as), "{asked}");
        }
        for unknown in ["go1.16.14", "devel go1.28-abc123", "go2.20"] {
            assert_eq!(Layout::for_version(&GoVersion::parse(unknown).unwrap(), Arch::Arm64), None, "{unknown}");
        }
        assert_eq!(Layout::newest(Arch::Amd64), layout("go1.27.3"));
    }

    #[test]
    fn special_functions_are_named_by_release() {
        let kind = |version: &str, id| layout(version).func_ids.kind(id);
        assert_eq!(kind("go1.17.13", 22), FuncKind::Wrapper);
        assert_eq!(kind("go1.19.8", 21), FuncKind::Wrapper);
        assert_eq!(kind("go1.19.8", 7), FuncKind::Goexit);
        assert_eq!(kind("go1.22.10", 9), FuncKind::Gogo);
        assert_eq!(kind("go1.22.10", 5), FuncKind::CoroStart);
        assert_eq!(kind("go1.24.11", 17), FuncKind::RunFinalizers);
        assert_eq!(kind("go1.25.5", 19), FuncKind::RunCleanups);
        assert_eq!(kind("go1.27.3", 0), FuncKind::Normal);
        assert_eq!(kind("go1.27.3", 200), FuncKind::Unknown(200));
    }

    #[test]
    fn labels_changed_shape_once() {
        assert!(
            matches!(layout("go1.23.9").labels, LabelsLayout::Map(hmap, bucket) if hmap.b == 9 && bucket.entries == 8)
        );
        let list = LabelListLayout { list: 0, key: 0, value: 16, size: 32 };
        assert_eq!(layout("go1.24.11").labels, LabelsLayout::List(list));
        assert_eq!(layout("go1.27.3").labels, LabelsLayout::List(list));
    }
}
