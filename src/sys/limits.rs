//! Limits of the process and of the kernel, as they are now.

use super::proc_file::{named, read};
use super::succeeded;
use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;
use std::{fs, io, mem};

/// The descriptors of this process. proc_pid_fd(5)
const DESCRIPTORS: &str = "/proc/self/fd";

/// RLIMIT_NOFILE: (soft, hard). getrlimit(2)
pub fn nofile() -> io::Result<(u64, u64)> {
    nofile_limit().map(|limit| (limit.rlim_cur, limit.rlim_max))
}

/// Raises RLIMIT_NOFILE's soft limit to its hard limit; returns (before, now). getrlimit(2)
#[allow(unsafe_code)]
pub fn raise_nofile() -> io::Result<(u64, u64)> {
    let mut limit = nofile_limit()?;
    let before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the kernel reads one rlimit from a pointer that is valid for one.
    succeeded(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    Ok((before, limit.rlim_cur))
}

/// net.core.somaxconn: what the kernel clamps the argument of listen(2) to. An error names the file.
pub fn somaxconn() -> io::Result<u32> {
    read("/proc/sys/net/core/somaxconn", single)
}

/// net.ipv4.tcp_max_syn_backlog, which holds for IPv6 too. An error names the file.
pub fn tcp_max_syn_backlog() -> io::Result<u32> {
    read("/proc/sys/net/ipv4/tcp_max_syn_backlog", single)
}

/// net.ipv4.ip_local_port_range, which holds for IPv6 too: the ports that connect(2) chooses from.
/// An error names the file.
pub fn local_port_range() -> io::Result<RangeInclusive<u16>> {
    read("/proc/sys/net/ipv4/ip_local_port_range", port_range)
}

/// net.ipv4.ip_local_reserved_ports, which holds for IPv6 too: of the range, what connect(2) passes over.
/// An error names the file.
pub fn reserved_ports() -> io::Result<Vec<RangeInclusive<u16>>> {
    read("/proc/sys/net/ipv4/ip_local_reserved_ports", port_list)
}

/// net.ipv4.tcp_tw_reuse, which holds for IPv6 too: whether connect(2) may choose a port in TIME_WAIT;
/// 0 never, 1 always, 2 on loopback. An error names the file.
pub fn tcp_tw_reuse() -> io::Result<u32> {
    read("/proc/sys/net/ipv4/tcp_tw_reuse", single)
}

/// net.ipv4.tcp_tw_reuse_delay: how old a TIME_WAIT is before its port is chosen again. Kernels before
/// 6.14 do not have it, and wait for the next second. An error names the file.
pub fn tcp_tw_reuse_delay() -> io::Result<Duration> {
    match read("/proc/sys/net/ipv4/tcp_tw_reuse_delay", single) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Duration::from_secs(1)),
        read => read.map(Duration::from_millis),
    }
}

/// net.ipv4.tcp_timestamps, which holds for IPv6 too: 0 off, 1 or 2 on. An error names the file.
pub fn tcp_timestamps() -> io::Result<u32> {
    read("/proc/sys/net/ipv4/tcp_timestamps", single)
}

/// net.ipv4.ip_unprivileged_port_start, which holds for IPv6 too: binding a port below it takes
/// CAP_NET_BIND_SERVICE. An error names the file.
pub fn unprivileged_port_start() -> io::Result<u32> {
    read("/proc/sys/net/ipv4/ip_unprivileged_port_start", single)
}

/// Descriptors that this process has open, if the kernel counts them: since Linux 6.2 it does, and tells
/// it as the size of the directory. An error names the directory.
pub fn counted_descriptors() -> io::Result<Option<usize>> {
    let directory = fs::metadata(DESCRIPTORS).map_err(|e| named(DESCRIPTORS, &e))?;
    Ok(usize::try_from(directory.len()).ok().filter(|count| *count > 0))
}

/// Descriptors that this process has open. An error names the directory.
pub fn open_descriptors() -> io::Result<usize> {
    if let Some(count) = counted_descriptors()? {
        return Ok(count);
    }
    let entries = fs::read_dir(DESCRIPTORS).map_err(|e| named(DESCRIPTORS, &e))?;
    let mut count = 0;
    for entry in entries {
        entry.map_err(|e| named(DESCRIPTORS, &e))?;
        count += 1;
    }
    // The directory itself was open while it was read.
    Ok(usize::saturating_sub(count, 1))
}

/// The inodes of the sockets that this process has open, as sock_diag(7) shows them. An error names the
/// directory.
pub fn socket_inodes() -> io::Result<HashSet<u32>> {
    let mut inodes = HashSet::new();
    for entry in fs::read_dir(DESCRIPTORS).map_err(|e| named(DESCRIPTORS, &e))? {
        let entry = entry.map_err(|e| named(DESCRIPTORS, &e))?;
        // One that was closed meanwhile has none.
        let target = fs::read_link(entry.path()).unwrap_or_default();
        inodes.extend(target.to_str().and_then(socket_inode));
    }
    Ok(inodes)
}

/// Memory of this process that is resident, in bytes. An error names the file.
pub fn resident_bytes() -> io::Result<u64> {
    let pages = read("/proc/self/statm", resident_pages)?;
    Ok(pages.saturating_mul(page_size()?))
}

#[allow(unsafe_code)]
fn nofile_limit() -> io::Result<libc::rlimit> {
    // SAFETY: rlimit is two integers, for which all zeroes is a value.
    let mut limit: libc::rlimit = unsafe { mem::zeroed() };
    // SAFETY: the kernel writes one rlimit to a pointer that is valid for one.
    succeeded(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    Ok(limit)
}

/// The kernel's unit of memory, in bytes. sysconf(3)
#[allow(unsafe_code)]
pub fn page_size() -> io::Result<u64> {
    // SAFETY: sysconf reads no memory of ours.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).map_err(|_| io::Error::last_os_error())
}

fn single<T: FromStr>(text: &str) -> Option<T> {
    text.trim().parse().ok()
}

fn port_range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.trim().split_once(|c: char| c.is_ascii_whitespace())?;
    let range = first.parse().ok()?..=last.trim_start().parse().ok()?;
    (!range.is_empty()).then_some(range)
}

/// What the link of a socket's descriptor points to. proc_pid_fd(5)
fn socket_inode(target: &str) -> Option<u32> {
    target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// Ports and ranges with commas between them; an empty line is none.
fn port_list(text: &str) -> Option<Vec<RangeInclusive<u16>>> {
    let parts = text.trim().split(',').filter(|part| !part.is_empty());
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let range = first.parse().ok()?..=last.parse().ok()?;
        (!range.is_empty()).then_some(range)
    };
    parts.map(range).collect()
}

/// The second field of statm is the resident set, in pages. proc_pid_statm(5)
fn resident_pages(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn the_soft_limit_becomes_the_hard_limit() {
        let (before, now) = raise_nofile().unwrap();
        assert!(now >= before && now > 0);
        assert_eq!(raise_nofile().unwrap(), (now, now));
        assert_eq!(nofile().unwrap(), (now, now));
    }

    #[test]
    fn kernel_limits_are_what_proc_says() {
        let text = |path: &str| fs::read_to_string(path).unwrap().trim().to_owned();
        assert_eq!(somaxconn().unwrap().to_string(), text("/proc/sys/net/core/somaxconn"));
        assert_eq!(
            tcp_max_syn_backlog().unwrap().to_string(),
            text("/proc/sys/net/ipv4/tcp_max_syn_backlog")
        );
        let range = local_port_range().unwrap();
        assert_eq!(
            format!("{}\t{}", range.start(), range.end()),
            text("/proc/sys/net/ipv4/ip_local_port_range")
        );
        assert!(unprivileged_port_start().unwrap() <= 65536);
        assert!(reserved_ports().is_ok() && tcp_tw_reuse_delay().is_ok());
        assert_eq!(tcp_tw_reuse().unwrap().to_string(), text("/proc/sys/net/ipv4/tcp_tw_reuse"));
        assert_eq!(tcp_timestamps().unwrap().to_string(), text("/proc/sys/net/ipv4/tcp_timestamps"));
    }

    #[test]
    fn files_that_are_opened_count_as_descriptors() {
        // Other tests open and close descriptors meanwhile, so many are needed to stand out.
        let before = open_descriptors().unwrap();
        let held: Vec<File> = (0..200).map(|_| File::open("/dev/null").unwrap()).collect();
        assert!(open_descriptors().unwrap() >= before + 100);
        drop(held);
    }

    #[test]
    fn a_socket_that_is_open_is_among_the_inodes_and_nothing_else_is() {
        use std::os::unix::fs::MetadataExt;
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(socket));
        let inode = u32::try_from(file.metadata().unwrap().ino()).unwrap();
        assert!(socket_inodes().unwrap().contains(&inode));
        for other in ["pipe:[7]", "/dev/null", "socket:[7", "socket:[x]", "anon_inode:[eventpoll]"] {
            assert_eq!(socket_inode(other), None, "{other}");
        }
        assert_eq!(socket_inode("socket:[7]"), Some(7));
    }

    #[test]
    fn memory_that_is_written_becomes_resident() {
        const SIZE: usize = 64 << 20;
        let before = resident_bytes().unwrap();
        let held = vec![1_u8; SIZE];
        assert!(resident_bytes().unwrap() > before + SIZE as u64 / 2);
        drop(held);
    }

    #[test]
    fn what_is_not_understood_is_an_error_and_not_a_number() {
        assert_eq!(port_range("32768\t60999\n"), Some(32768..=60999));
        for text in ["", "32768", "a b", "60999 32768", "1 65536", "-1 5"] {
            assert_eq!(port_range(text), None, "{text:?}");
        }
        assert_eq!(port_list("\n"), Some(vec![]));
        assert_eq!(port_list("8080,9148-9150\n"), Some(vec![8080..=8080, 9148..=9150]));
        for text in ["8080;", "9150-9148", "70000", "1-2-3", "-5"] {
            assert_eq!(port_list(text), None, "{text:?}");
        }
        assert_eq!(resident_pages("2000 150 90 3 0 60 0\n"), Some(150));
        for text in ["", "2000", "2000 x"] {
            assert_eq!(resident_pages(text), None, "{text:?}");
        }
    }

    #[test]
    fn errors_name_the_file() {
        let missing = read("/proc/sys/net/no_such_file", single::<u32>).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert!(missing.to_string().starts_with("/proc/sys/net/no_such_file: "), "{missing}");

        let text = read("/proc/self/comm", single::<u32>).unwrap_err();
        assert_eq!(text.kind(), io::ErrorKind::InvalidData);
        assert!(text.to_string().starts_with("/proc/self/comm: not understood: "), "{text}");
    }
}
