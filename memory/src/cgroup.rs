//! The control groups that a process is in, their CPU quota, and whether they are frozen (cgroups(7), the kernel's
//! Documentation/admin-guide/cgroup-v2.rst, Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst and
//! Documentation/scheduler/sched-bwc.rst).
//!
//! A quota may stand at every level of a hierarchy, and the least of them holds. What is read here are the kernel's
//! texts; whoever asks reads the files.

use std::path::{Component, Path, PathBuf};

use crate::text::{lines, number, words};

/// Levels of a hierarchy that are looked at; the kernel allows any number.
const MAX_LEVELS: usize = 64;

/// How the files of a hierarchy are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// A hierarchy of its own for each controller: `cpu.cfs_quota_us`, `cpu.cfs_period_us`.
    V1,
    /// One for all of them: `cpu.max`.
    V2,
}

/// A group that a process is in, by its path below the root of the reader's cgroup namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) version: Version,
    pub(crate) path: PathBuf,
}

/// Where a hierarchy, or the part of it below `root`, is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) version: Version,
    pub(crate) root: PathBuf,
    pub(crate) point: PathBuf,
}

/// The controller of CPU quotas.
pub(crate) const CPU: &[u8] = b"cpu";
/// The controller that freezes groups; in version 2 every group has its files.
pub(crate) const FREEZER: &[u8] = b"freezer";

/// The groups of `/proc/PID/cgroup` that `controller` may act on. On a system that mounts both versions there are two; only one
/// of them has the controller, and the other has no such file.
pub(crate) fn groups(text: &[u8], controller: &[u8]) -> Vec<Group> {
    let group = |line: &[u8]| {
        let mut parts = line.splitn(3, |&b| b == b':');
        let (id, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let version = match (number(id, 10)?, controllers) {
            (0, b"") => Version::V2,
            (_, names) if names.split(|&b| b == b',').any(|name| name == controller) => Version::V1,
            _ => return None,
        };
        // The kernel says so of a group that was removed while the process is in it.
        let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
        Some(Group { version, path: crate::procdir::path_of(path.to_vec()) })
    };
    lines(text).filter_map(group).collect()
}

/// The mounts of `/proc/PID/mountinfo` (proc_pid_mountinfo(5)) that show a hierarchy with `controller`.
pub(crate) fn mounts(text: &[u8], controller: &[u8]) -> Vec<Mount> {
    let mount = |line: &[u8]| {
        let mut fields = words(line);
        let (root, point) = (fields.nth(3)?, fields.next()?);
        // Optional fields, as many as there are, end in one that is a dash.
        let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
        let (kind, options) = (fields.next()?, fields.nth(1)?);
        let version = match kind {
            b"cgroup2" => Version::V2,
            b"cgroup" if options.split(|&b| b == b',').any(|option| option == controller) => Version::V1,
            _ => return None,
        };
        Some(Mount { version, root: unescaped(root), point: unescaped(point) })
    };
    lines(text).filter_map(mount).collect()
}

/// Blanks and backslashes are written as three octal digits.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let escaped = (first == b'\\').then(|| after.split_at_checked(3)).flatten();
        match escaped.and_then(|(digits, after)| Some((u8::try_from(number(digits, 8)?).ok()?, after))) {
            Some((byte, after)) => {
                bytes.push(byte);
                rest = after;
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    crate::procdir::path_of(bytes)
}

/// The folders of a group and of all above it that the mount shows, the innermost first. `None` if the group is not below
/// what is mounted.
pub(crate) fn folders(group: &Group, mount: &Mount) -> Option<Vec<PathBuf>> {
    if group.version != mount.version {
        return None;
    }
    let below = group.path.strip_prefix(&mount.root).ok()?;
    // A group outside of the namespace begins with `/..`: what is mounted does not show it, unless that begins so too.
    if !below.components().all(|part| matches!(part, Component::Normal(_))) {
        return None;
    }
    let levels = below.ancestors().take(MAX_LEVELS);
    Some(levels.map(|level| mount.point.join(level)).collect())
}

/// The least quota of the folders, in CPUs. `read` gives the content of a file, `None` where there is none.
pub(crate) fn least_quota(
    version: Version,
    folders: &[PathBuf],
    read: &dyn Fn(&Path) -> Option<Vec<u8>>,
) -> Option<f64> {
    let quota = |folder: &PathBuf| match version {
        Version::V2 => quota_v2(&read(&folder.join("cpu.max"))?),
        Version::V1 => quota_v1(&read(&folder.join("cpu.cfs_quota_us"))?, &read(&folder.join("cpu.cfs_period_us"))?),
    };
    folders.iter().filter_map(quota).reduce(f64::min)
}

/// `20000 100000` in `cpu.max`: 0.2 CPUs; `max 100000`: no quota.
fn quota_v2(text: &[u8]) -> Option<f64> {
    let text = lines(text).next()?;
    let mut fields = words(text);
    cpus(number(fields.next()?, 10)?, number(fields.next()?, 10)?)
}

/// `cpu.cfs_quota_us`, which is -1 for none, and `cpu.cfs_period_us`.
fn quota_v1(quota: &[u8], period: &[u8]) -> Option<f64> {
    cpus(number(quota, 10)?, number(period, 10)?)
}

fn cpus(quota: u64, period: u64) -> Option<f64> {
    (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
}

/// The group that is frozen, of these folders, and with it all below it. `read` is as in [`least_quota`].
pub(crate) fn frozen(
    version: Version,
    folders: &[PathBuf],
    read: &dyn Fn(&Path) -> Option<Vec<u8>>,
) -> Option<PathBuf> {
    let own = folders.first()?;
    let says = |folder: &Path, file: &str, line: &[u8]| {
        read(&folder.join(file)).is_some_and(|text| lines(&text).any(|found| found == line))
    };
    // What the group's processes are, and what was asked of it or of one above it.
    let (is_frozen, asked, yes): (bool, &str, &[u8]) = match version {
        Version::V2 => (says(own, "cgroup.events", b"frozen 1"), "cgroup.freeze", b"1"),
        Version::V1 => (says(own, "freezer.state", b"FROZEN"), "freezer.self_freezing", b"1"),
    };
    if !is_frozen {
        return None;
    }
    // One above what is mounted here may be the one.
    Some(folders.iter().find(|folder| says(folder, asked, yes)).unwrap_or(own).clone())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn group(version: Version, path: &str) -> Group {
        Group { version, path: path.into() }
    }

    fn mount(version: Version, root: &str, point: &str) -> Mount {
        Mount { version, root: root.into(), point: point.into() }
    }

    /// A host with version 2 only, systemd.
    const V2_CGROUP: &[u8] = b"0::/system.slice/docker-4f1c.scope\n";
    const V2_MOUNTS: &[u8] = b"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
        25 22 0:22 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n";

    /// A host with version 1 only; `cpu` and `cpuacct` are one hierarchy, as is usual.
    const V1_CGROUP: &[u8] =
        b"12:pids:/user.slice\n4:cpuset:/\n3:cpu,cpuacct:/docker/4f1c/inner\n1:name=systemd:/docker/4f1c\n";
    const V1_MOUNTS: &[u8] = b"30 24 0:26 / /sys/fs/cgroup/systemd rw,nosuid shared:10 - cgroup cgroup rw,xattr,name=systemd\n\
        34 24 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid,nodev,noexec,relatime shared:14 - cgroup cgroup rw,cpu,cpuacct\n\
        35 24 0:31 / /sys/fs/cgroup/cpuset rw,relatime shared:15 - cgroup cgroup rw,cpuset\n";

    /// Both: the controller is in version 1, version 2 is there without controllers.
    const HYBRID_CGROUP: &[u8] = b"9:name=systemd:/\n2:cpuacct:/\n1:cpu:/limited\n0::/user.slice\n";
    const HYBRID_MOUNTS: &[u8] = b"26 24 0:23 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
        27 24 0:24 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct\n\
        33 24 0:33 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

    fn quota(cgroup: &[u8], mountinfo: &[u8], files: &[(&str, &str)]) -> Option<f64> {
        let files: HashMap<PathBuf, Vec<u8>> =
            files.iter().map(|(path, text)| (path.into(), text.as_bytes().to_vec())).collect();
        let read = |path: &Path| files.get(path).cloned();
        let (groups, mounts) = (groups(cgroup, CPU), mounts(mountinfo, CPU));
        let of = |group: &Group| {
            let shown = mounts.iter().find_map(|mount| folders(group, mount))?;
            least_quota(group.version, &shown, &read)
        };
        groups.iter().filter_map(of).reduce(f64::min)
    }

    #[test]
    fn version_2_with_quotas_at_two_levels_has_the_smaller_one() {
        let files = [
            ("/sys/fs/cgroup/system.slice/docker-4f1c.scope/cpu.max", "max 100000\n"),
            ("/sys/fs/cgroup/system.slice/cpu.max", "20000 100000\n"),
        ];
        assert_eq!(quota(V2_CGROUP, V2_MOUNTS, &files), Some(0.2));
        let files = [files[1], ("/sys/fs/cgroup/system.slice/docker-4f1c.scope/cpu.max", "75000 50000\n")];
        assert_eq!(quota(V2_CGROUP, V2_MOUNTS, &files), Some(0.2));
        let files = [files[1], ("/sys/fs/cgroup/system.slice/docker-4f1c.scope/cpu.max", "5000 50000\n")];
        assert_eq!(quota(V2_CGROUP, V2_MOUNTS, &files), Some(0.1));
    }

    #[test]
    fn version_1_has_two_files_and_minus_one_for_none() {
        let folder = "/sys/fs/cgroup/cpu,cpuacct/docker";
        let file = |name: &str| format!("{folder}/{name}");
        let above = [(file("4f1c/cpu.cfs_quota_us"), "50000\n"), (file("4f1c/cpu.cfs_period_us"), "100000\n")];
        let own = [(file("4f1c/inner/cpu.cfs_quota_us"), "-1\n"), (file("4f1c/inner/cpu.cfs_period_us"), "100000\n")];
        let files: Vec<(&str, &str)> = above.iter().chain(&own).map(|(path, text)| (path.as_str(), *text)).collect();
        assert_eq!(quota(V1_CGROUP, V1_MOUNTS, &files), Some(0.5));
        assert_eq!(quota(V1_CGROUP, V1_MOUNTS, &files[2..]), None);
    }

    #[test]
    fn a_hybrid_host_has_it_where_the_controller_is() {
        let files = [
            ("/sys/fs/cgroup/cpu/limited/cpu.cfs_quota_us", "20000\n"),
            ("/sys/fs/cgroup/cpu/limited/cpu.cfs_period_us", "100000\n"),
        ];
        assert_eq!(quota(HYBRID_CGROUP, HYBRID_MOUNTS, &files), Some(0.2));
        assert_eq!(groups(HYBRID_CGROUP, CPU), [group(Version::V1, "/limited"), group(Version::V2, "/user.slice")]);
    }

    #[test]
    fn a_mount_may_show_a_part_of_the_hierarchy() {
        // As in a container that has its own group bind-mounted.
        let part = mount(Version::V1, "/docker/4f1c", "/sys/fs/cgroup/cpu");
        let folders_of = |path: &str| folders(&group(Version::V1, path), &part);
        let expected: Vec<PathBuf> = vec!["/sys/fs/cgroup/cpu/inner".into(), "/sys/fs/cgroup/cpu/".into()];
        assert_eq!(folders_of("/docker/4f1c/inner"), Some(expected));
        for outside in ["/docker/5e2d", "/", "/docker/4f1c/../5e2d"] {
            assert_eq!(folders_of(outside), None, "{outside}");
        }
        // Seen from another cgroup namespace, the path of the group and that of its mount begin with the same steps up.
        let apart = mount(Version::V2, "/../pod-7", "/sys/fs/cgroup");
        assert_eq!(
            folders(&group(Version::V2, "/../pod-7/app"), &apart),
            Some(vec!["/sys/fs/cgroup/app".into(), "/sys/fs/cgroup/".into()])
        );
        assert_eq!(folders(&group(Version::V2, "/../pod-8"), &mount(Version::V2, "/", "/sys/fs/cgroup")), None);
    }

    #[test]
    fn mount_points_have_blanks_as_octal_numbers() {
        let text = b"1 2 0:1 / /my\\040cgroups\\134x rw - cgroup2 none rw\n";
        assert_eq!(mounts(text, CPU), [mount(Version::V2, "/", "/my cgroups\\x")]);
    }

    #[test]
    fn quotas_that_are_none() {
        for text in ["max 100000\n", "", "0 100000\n", "5 0\n", "x y\n", "20000\n"] {
            assert_eq!(quota_v2(text.as_bytes()), None, "{text}");
        }
        assert_eq!(quota_v2(b"150000 100000\n"), Some(1.5));
        assert_eq!(quota_v1(b"-1\n", b"100000\n"), None);
    }

    #[test]
    fn the_frozen_group_is_the_one_that_was_asked_to_freeze() {
        let folders: Vec<PathBuf> = ["/c/pod/app", "/c/pod", "/c"].map(PathBuf::from).to_vec();
        let found = |version, files: &[(&str, &str)]| {
            let text = |path: &Path| files.iter().find(|(name, _)| Path::new(name) == path).map(|(_, text)| text);
            let read = |path: &Path| text(path).map(|text| text.as_bytes().to_vec());
            frozen(version, &folders, &read)
        };
        let events = ("/c/pod/app/cgroup.events", "populated 1\nfrozen 1\n");
        let own = ("/c/pod/app/cgroup.freeze", "0\n");
        assert_eq!(found(Version::V2, &[events, own, ("/c/pod/cgroup.freeze", "1\n")]), Some("/c/pod".into()));
        assert_eq!(found(Version::V2, &[events, own]), Some("/c/pod/app".into()));
        let events = ("/c/pod/app/cgroup.events", "populated 1\nfrozen 0\n");
        assert_eq!(found(Version::V2, &[events, ("/c/pod/cgroup.freeze", "1\n")]), None);
        assert_eq!(found(Version::V2, &[]), None);
        let (state, asked) = (("/c/pod/app/freezer.state", "FROZEN\n"), ("/c/pod/freezer.self_freezing", "1\n"));
        assert_eq!(found(Version::V1, &[state, asked]), Some("/c/pod".into()));
        assert_eq!(found(Version::V1, &[("/c/pod/app/freezer.state", "THAWED\n"), asked]), None);
        assert_eq!(frozen(Version::V1, &[], &|_| None), None);
    }

    proptest::proptest! {
        #[test]
        fn never_panics_on_damage(at in 0..V1_MOUNTS.len(), with: u8) {
            let mut text = V1_MOUNTS.to_vec();
            text[at] = with;
            let mounts = mounts(&text, CPU);
            let mut text = V1_CGROUP.to_vec();
            let at = at % text.len();
            text[at] = with;
            groups(&text, CPU).iter().for_each(|group| mounts.iter().for_each(|mount| drop(folders(group, mount))));
            let _ = quota_v2(&text);
        }
    }
}
