//! Whom this process runs as, and what it may do beyond that. credentials(7), capabilities(7)

use super::proc_file::{named, text_of};
use std::os::unix::fs::MetadataExt;
use std::{fs, io};

/// A capability, by its number in include/uapi/linux/capability.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// CAP_NET_BIND_SERVICE: bind ports below net.ipv4.ip_unprivileged_port_start.
    NetBindService = 10,
    /// CAP_SYS_ADMIN: among much else, open files beyond fs.file-max, and pipes beyond a user's share.
    SysAdmin = 21,
    /// CAP_SYS_RESOURCE: larger pipes than fs.pipe-max-size, and limits beyond the hard ones.
    SysResource = 24,
}

/// The effective user id of this process. geteuid(2)
#[allow(unsafe_code)]
pub fn user() -> u32 {
    // SAFETY: the call takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// Whether this process is in the first user namespace. In another, its capabilities are good for what
/// belongs to that one, and for nothing of the whole host. user_namespaces(7)
///
/// # Errors
/// /proc/self/ns/user cannot be looked at.
pub fn is_in_first_user_namespace() -> io::Result<bool> {
    /// USER_NS_INIT_INO in include/uapi/linux/nsfs.h, which has always been this.
    const FIRST: u64 = 0xEFFF_FFFD;
    const PATH: &str = "/proc/self/ns/user";
    match fs::metadata(PATH) {
        Ok(metadata) => Ok(metadata.ino() == FIRST),
        Err(error) => Err(named(PATH, &error)),
    }
}

/// A set of capabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(u64);

impl Capabilities {
    /// The effective set of this process. An error names the file.
    ///
    /// # Errors
    /// /proc/self/status cannot be read or has no such line.
    pub fn effective() -> io::Result<Self> {
        const PATH: &str = "/proc/self/status";
        effective(&text_of(PATH)?).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{PATH}: no line CapEff that is understood"))
        })
    }

    /// A set of these.
    pub fn of(capabilities: &[Capability]) -> Self {
        Self(capabilities.iter().fold(0, |set, one| set | 1 << *one as u32))
    }

    /// Whether it is in the set.
    pub fn has(self, capability: Capability) -> bool {
        self.0 & 1 << capability as u32 != 0
    }
}

/// The line CapEff, in hexadecimal. proc_pid_status(5)
fn effective(status: &str) -> Option<Capabilities> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok().map(Capabilities)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_read_as_a_set() {
        let set = effective("Name:\tx\nCapPrm:\t0\nCapEff:\t0000000000000400\nCapBnd:\tff\n").unwrap();
        assert_eq!(set, Capabilities::of(&[Capability::NetBindService]));
        assert!(set.has(Capability::NetBindService) && !set.has(Capability::SysResource));
        let all = effective("CapEff:\t000001ffffffffff\n").unwrap();
        assert!(all.has(Capability::SysResource) && all.has(Capability::SysAdmin));
        for text in ["", "CapEff:\n", "CapEff:\tx\n", "CapPrm:\t0\n"] {
            assert_eq!(effective(text), None, "{text:?}");
        }
    }

    #[test]
    fn this_process_has_a_user_and_a_set() {
        Capabilities::effective().unwrap();
        // The first namespace alone maps every user to itself. user_namespaces(7)
        let map = fs::read_to_string("/proc/self/uid_map").unwrap();
        let is_first = map.split_ascii_whitespace().collect::<Vec<_>>() == ["0", "0", "4294967295"];
        assert_eq!(is_in_first_user_namespace().unwrap(), is_first);
        assert_eq!(user(), tempfile::tempfile().unwrap().metadata().unwrap().uid());
    }
}
