//! How much memory this process may have.

use super::proc_file::text_of;
use std::path::Path;
use std::{fs, io};

/// Bytes of memory of this host, or of the control group where that has less. An error names the file.
///
/// # Errors
/// /proc/meminfo cannot be read, or has no line MemTotal.
pub fn available() -> io::Result<u64> {
    const PATH: &str = "/proc/meminfo";
    let total = mem_total(&text_of(PATH)?).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{PATH}: no line MemTotal that is understood"))
    })?;
    Ok(group_limit().map_or(total, |limit| limit.min(total)))
}

/// MemTotal, which is in units of 1,024 bytes. proc_meminfo(5)
fn mem_total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// The least limit of this process's group and of those above it; `None`: none has any. cgroups(7)
fn group_limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    groups.lines().filter_map(memory_group).filter_map(|group| least_limit(&group)).min()
}

/// A hierarchy of groups that may limit memory.
#[derive(Debug, PartialEq, Eq)]
struct MemoryGroup<'a> {
    mounted_at: &'static str,
    /// The group, below the mount.
    path: &'a str,
    /// The file with the limit, in bytes.
    limit: &'static str,
}

/// What a line of /proc/PID/cgroup (`HIERARCHY:CONTROLLERS:PATH`) has to do with memory: hierarchy 0 is that of
/// version 2, and version 1 has one for the controller. cgroups(7)
fn memory_group(line: &str) -> Option<MemoryGroup<'_>> {
    let mut fields = line.splitn(3, ':');
    let (hierarchy, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let path = path.trim_start_matches('/');
    if controllers.split(',').any(|controller| controller == "memory") {
        return Some(MemoryGroup {
            mounted_at: "/sys/fs/cgroup/memory",
            path,
            limit: "memory.limit_in_bytes",
        });
    }
    (hierarchy == "0").then_some(MemoryGroup { mounted_at: "/sys/fs/cgroup", path, limit: "memory.max" })
}

/// What the process sees as its group may lie outside of what is mounted: the root counts all the same.
fn least_limit(group: &MemoryGroup<'_>) -> Option<u64> {
    let own = Path::new(group.mounted_at).join(group.path);
    let above = own.ancestors().take_while(|path| path.starts_with(group.mounted_at));
    above.filter_map(|path| limit_of(&path.join(group.limit))).min()
}

fn limit_of(path: &Path) -> Option<u64> {
    // "max" is no number; version 1 has a large one instead.
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_in_kilobytes() {
        assert_eq!(mem_total("MemTotal:       16303428 kB\nMemFree: 1 kB\n"), Some(16_303_428 * 1024));
        for text in
            ["", "MemTotal:\n", "MemTotal: 5\n", "MemFree: 1 kB\n", "MemTotal: 99999999999999999999 kB"]
        {
            assert_eq!(mem_total(text), None, "{text:?}");
        }
    }

    #[test]
    fn both_versions_of_groups_are_known() {
        let of = |line| memory_group(line).map(|group| (group.mounted_at, group.path, group.limit));
        let one = |path| Some(("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes"));
        assert_eq!(of("4:memory:/docker/17"), one("docker/17"));
        assert_eq!(of("4:hugetlb,memory:/"), one(""));
        assert_eq!(
            of("0::/system.slice/a:b.service"),
            Some(("/sys/fs/cgroup", "system.slice/a:b.service", "memory.max"))
        );
        for other in ["9:name=systemd:/", "3:cpuset:/", "", "0:"] {
            assert_eq!(of(other), None, "{other:?}");
        }
    }

    #[test]
    fn this_host_has_memory() {
        assert!(available().unwrap() > 1 << 24);
    }
}
