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

/// The least memory.max of this process's group and of those above it; `None`: none has any, or there are no
/// groups of version 2. cgroups(7)
fn group_limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    // What the process sees as its group may lie outside of what is mounted: the root counts all the same.
    let own = Path::new("/sys/fs/cgroup").join(group);
    let above = own.ancestors().take_while(|path| path.starts_with("/sys/fs/cgroup"));
    above.filter_map(|path| limit_of(&path.join("memory.max"))).min()
}

fn limit_of(path: &Path) -> Option<u64> {
    // "max" is no number.
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
    fn this_host_has_memory() {
        assert!(available().unwrap() > 1 << 24);
    }
}
