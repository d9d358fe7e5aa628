//! Transparent huge pages.

use super::succeeded;
use std::io;

/// Lets this process have none from now on; the programs that it starts inherit that. prctl(2)
///
/// The allocator asks for them, and a kernel that gives them rounds each part of the heap that is touched up to
/// 2 MiB: an idle client cost 1,311 bytes instead of 757 (`benches/memory.py`).
///
/// # Errors
/// The kernel's own.
#[allow(unsafe_code)]
pub fn disable() -> io::Result<()> {
    // SAFETY: it takes plain numbers, and those that have no meaning have to be 0.
    succeeded(unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_so() {
        disable().unwrap();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        // Linux 5.0.
        assert!(status.lines().any(|line| line.split_whitespace().eq(["THP_enabled:", "0"])), "{status}");
    }
}
