//! The service manager that has started this process, as systemd has it: sd_notify(3), sd_watchdog_enabled(3)
//! and sd_listen_fds(3), without its library.

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::time::{ClockId, clock_gettime};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// Looks an environment variable up.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The first descriptor that is passed: SD_LISTEN_FDS_START.
const FIRST: RawFd = 3;

/// More than any service has; a number beyond is a mistake.
const MOST: usize = 4096;

/// Where the service manager hears how the service is.
#[derive(Debug)]
pub struct ServiceManager {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl ServiceManager {
    /// The one that NOTIFY_SOCKET names, by a path or, after `@`, by an abstract name; `None`: nobody listens.
    ///
    /// # Errors
    /// When the name is none, or there is no descriptor.
    pub fn from_environment(environment: Environment<'_>) -> io::Result<Option<Self>> {
        let Some(name) = environment("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let address = match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(&name)?,
        };
        let socket = UnixDatagram::unbound()?;
        // It is not waited for: who does not read has trouble of its own.
        socket.set_nonblocking(true)?;
        Ok(Some(Self { socket, address }))
    }

    /// Says this, one assignment a line.
    ///
    /// # Errors
    /// As sendto(2).
    pub fn tell(&self, lines: &[&str]) -> io::Result<()> {
        self.socket.send_to_addr(lines.join("\n").as_bytes(), &self.address).map(|_| ())
    }
}

/// How often at least the service manager wants to hear of process `pid`; `None`: it does not want to.
pub fn watchdog(environment: Environment<'_>, pid: u32) -> Option<Duration> {
    let is_for_us = environment("WATCHDOG_PID").is_none_or(|wanted| wanted == pid.to_string());
    let time = environment("WATCHDOG_USEC")?.parse().ok().map(Duration::from_micros)?;
    (is_for_us && !time.is_zero()).then_some(time)
}

/// Microseconds of CLOCK_MONOTONIC.
pub fn monotonic_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // The clock begins at 0 when the machine does.
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000
}

/// The names of the descriptors that were opened for process `pid`, in their order; empty: none were.
///
/// # Errors
/// When the variables contradict each other.
pub fn passed(environment: Environment<'_>, pid: u32) -> io::Result<Vec<String>> {
    if environment("LISTEN_PID").is_none_or(|wanted| wanted != pid.to_string()) {
        return Ok(Vec::new());
    }
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
    let count = environment("LISTEN_FDS").unwrap_or_default();
    let count: usize = count.parse().map_err(|_| bad("LISTEN_FDS is not a number"))?;
    if count > MOST {
        return Err(bad("LISTEN_FDS is beyond all measure"));
    }
    match environment("LISTEN_FDNAMES") {
        None => Ok(vec!["unknown".to_owned(); count]),
        Some(names) => {
            let names: Vec<String> = names.split(':').map(str::to_owned).collect();
            if names.len() == count || count == 0 && names == [""] {
                Ok(names.into_iter().take(count).collect())
            } else {
                Err(bad("LISTEN_FDNAMES has another number of names than LISTEN_FDS says"))
            }
        }
    }
}

/// Takes so many descriptors that were opened for this process; once, and none after that.
///
/// # Errors
/// When they are not open.
#[allow(unsafe_code)]
pub fn take_passed(count: usize) -> io::Result<Vec<OwnedFd>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Relaxed) {
        return Ok(Vec::new());
    }
    let last = FIRST + RawFd::try_from(count).unwrap_or(0);
    (FIRST..last)
        .map(|number| {
            // SAFETY: LISTEN_PID says that whoever started this process opened this descriptor for it, so that
            // nothing in the process has opened it, and it is taken only once. Should it not be open after all,
            // fcntl(2) says so, and the number is let go of.
            let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
            match fcntl_setfd(&descriptor, FdFlags::CLOEXEC) {
                Ok(()) => Ok(descriptor),
                Err(error) => {
                    std::mem::forget(descriptor);
                    Err(io::Error::from(error))
                }
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| pairs.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn it_is_told_by_path_and_by_abstract_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let name = format!("millpond-test-{}", std::process::id());
        let by_path = UnixDatagram::bind(&path).unwrap();
        let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        for (socket, written) in [(by_path, path.display().to_string()), (by_name, format!("@{name}"))] {
            let environment = [("NOTIFY_SOCKET", written.as_str())];
            let manager = ServiceManager::from_environment(&of(&environment)).unwrap().unwrap();
            manager.tell(&["READY=1", "STATUS=fine"]).unwrap();
            let mut heard = [0; 100];
            let length = socket.recv(&mut heard).unwrap();
            assert_eq!(&heard[..length], b"READY=1\nSTATUS=fine");
        }
        assert!(ServiceManager::from_environment(&of(&[])).unwrap().is_none());
        assert!(ServiceManager::from_environment(&of(&[("NOTIFY_SOCKET", "")])).unwrap().is_none());
        let gone = ServiceManager::from_environment(&of(&[("NOTIFY_SOCKET", "/nonexistent")])).unwrap();
        assert!(gone.unwrap().tell(&["READY=1"]).is_err());
    }

    #[test]
    fn the_watchdog_is_for_one_process() {
        let every = |pairs: &[(&str, &str)]| watchdog(&of(pairs), 7);
        assert_eq!(every(&[("WATCHDOG_USEC", "3000000")]), Some(Duration::from_secs(3)));
        assert_eq!(every(&[("WATCHDOG_USEC", "1"), ("WATCHDOG_PID", "7")]), Some(Duration::from_micros(1)));
        assert_eq!(every(&[("WATCHDOG_USEC", "3000000"), ("WATCHDOG_PID", "8")]), None);
        assert_eq!(every(&[]), None);
        assert_eq!(every(&[("WATCHDOG_USEC", "0")]), None);
        assert_eq!(every(&[("WATCHDOG_USEC", "soon")]), None);
    }

    #[test]
    fn descriptors_are_for_one_process_and_have_names() {
        let names = |pairs: &[(&str, &str)]| passed(&of(pairs), 7);
        assert!(names(&[("LISTEN_FDS", "2")]).unwrap().is_empty());
        assert!(names(&[("LISTEN_PID", "8"), ("LISTEN_FDS", "2")]).unwrap().is_empty());
        let ours = [("LISTEN_PID", "7"), ("LISTEN_FDS", "2")];
        assert_eq!(names(&ours).unwrap(), ["unknown", "unknown"]);
        assert_eq!(names(&[ours[0], ours[1], ("LISTEN_FDNAMES", "web:admin")]).unwrap(), ["web", "admin"]);
        assert!(names(&[ours[0], ours[1], ("LISTEN_FDNAMES", "web")]).is_err());
        assert!(names(&[ours[0], ("LISTEN_FDS", "many")]).is_err());
        assert!(names(&[ours[0], ("LISTEN_FDS", "99999")]).is_err());
        assert!(names(&[ours[0], ("LISTEN_FDS", "0"), ("LISTEN_FDNAMES", "")]).unwrap().is_empty());
    }

    #[test]
    fn the_clock_goes_on() {
        let before = monotonic_us();
        assert!(before > 0 && monotonic_us() >= before);
    }
}
