//! Settings of the kernel, under the names that sysctl(8) and sysctl.d(5) use.

use super::proc_file::named;
use std::path::PathBuf;
use std::{fs, io};

/// The text of a setting, such as that of `net.core.somaxconn`, without white space around it; `None`:
/// this kernel, or this network namespace, shows none of that name. An error names the file.
///
/// # Errors
/// The file is there and cannot be read.
pub fn read(name: &str) -> io::Result<Option<String>> {
    let path = path(name);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(named(path, &error)),
    }
}

/// Where a setting is found. No name that is used here has a dot or a slash within a part of it, as
/// those of network interfaces may.
fn path(name: &str) -> PathBuf {
    PathBuf::from("/proc/sys").join(name.replace('.', "/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_what_proc_says() {
        let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
        assert_eq!(read("net.ipv4.ip_local_port_range").unwrap().unwrap(), text.trim());
    }

    #[test]
    fn what_the_kernel_does_not_show_is_told_from_what_cannot_be_read() {
        assert_eq!(read("net.ipv4.no_such_setting").unwrap(), None);
        let error = read("net.ipv4").unwrap_err();
        assert!(error.to_string().starts_with("/proc/sys/net/ipv4: "), "{error}");
    }
}
