//! What pages may take without a setting: half of the machine's memory, or of what the control
//! group of this process may have.
//!
//! A limit of a group holds for those below it, too, so the least on the way to the root counts.
//! Where the hierarchy is not all to be seen, as in a container, the groups that are not there are
//! passed over: what is mounted as the root then is the container's own.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// Half of the memory that there is for this process.
pub(super) fn usual_limit() -> u64 {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = of_groups(Path::new("/sys/fs/cgroup"), &groups);
    [of_machine(), group]
        .into_iter()
        .flatten()
        .min()
        .map_or(u64::MAX, |bytes| bytes / 2)
}

/// Bytes of the machine's memory.
fn of_machine() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes = line.split_whitespace().next()?.parse::<u64>().ok()?;
    Some(kilobytes << 10)
}

/// The least limit of the groups that `groups` names, as `/proc/PID/cgroup` does, in the
/// hierarchies mounted at `mount`, and of the groups above them.
fn of_groups(mount: &Path, groups: &str) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, group) = (fields.next()?, fields.next()?);
        if controllers.is_empty() {
            let of = |mount: &Path| least(mount, group, "memory.max");
            // Where both versions are in use, the second has a place of its own.
            of(mount)
                .into_iter()
                .chain(of(&mount.join("unified")))
                .min()
        } else if controllers.split(',').any(|name| name == "memory") {
            least(&mount.join("memory"), group, "memory.limit_in_bytes")
        } else {
            None
        }
    });
    limits.min()
}

/// The least of what the files of this name say, from a group up to the root of its hierarchy.
fn least(mount: &Path, group: &str, name: &str) -> Option<u64> {
    let parts = Path::new(group).components();
    let parts = parts.filter(|part| matches!(part, Component::Normal(_)));
    let group: PathBuf = parts.collect();
    let limits = group.ancestors().filter_map(|group| {
        let text = fs::read_to_string(mount.join(group).join(name)).ok()?;
        text.trim().parse::<u64>().ok()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::of_groups;
    use std::fs;

    #[test]
    fn the_least_limit_on_the_way_to_the_root_counts() {
        let place = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let file = place.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        let limit = |groups: &str| of_groups(place.path(), groups);
        assert_eq!(limit(""), None);
        assert_eq!(limit("0::/none\n"), None);
        // The second version, whose root has no such file.
        write("system.slice/memory.max", "1073741824\n");
        write("system.slice/server.service/memory.max", "max\n");
        write("user.slice/memory.max", "4096\n");
        let service = "1:name=systemd:/\n0::/system.slice/server.service\n";
        assert_eq!(limit(service), Some(1 << 30));
        write("system.slice/server.service/memory.max", "536870912\n");
        assert_eq!(limit(service), Some(512 << 20));
        assert_eq!(limit("0::/system.slice/other.service\n"), Some(1 << 30));
        assert_eq!(limit("0::/../system.slice\n"), Some(1 << 30));
        // A container whose own group is the root that it sees.
        write("memory.max", "268435456\n");
        assert_eq!(limit("0::/\n"), Some(256 << 20));
        assert_eq!(limit("0::/docker/0123\n"), Some(256 << 20));
        // The first version, and both.
        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        write("memory/group/memory.limit_in_bytes", "134217728\n");
        let first = "4:cpu,cpuacct:/other\n3:memory:/group/below\n";
        assert_eq!(limit(first), Some(128 << 20));
        write("unified/group/memory.max", "67108864\n");
        assert_eq!(limit(&format!("{first}0::/group\n")), Some(64 << 20));
    }
}
