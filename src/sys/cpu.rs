//! CPU time.

use super::succeeded;
use std::io;
use std::time::Duration;

/// CPU time that this thread has taken, in user space and in the kernel. clock_gettime(2)
///
/// # Errors
/// The kernel's own.
#[allow(unsafe_code)]
pub fn thread_time() -> io::Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec to a pointer that is valid for one.
    succeeded(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) })?;
    let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0));
    Ok(seconds + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn it_passes_with_work_and_not_with_waiting() {
        let begun = thread_time().unwrap();
        std::thread::sleep(Duration::from_millis(50));
        let waited = thread_time().unwrap();
        assert!(waited - begun < Duration::from_millis(40), "{:?}", waited - begun);
        let start = Instant::now();
        while thread_time().unwrap() - waited < Duration::from_millis(20) {
            assert!(start.elapsed() < Duration::from_secs(10));
        }
    }
}
