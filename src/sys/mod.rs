//! The only module with system calls that the standard library, tokio and socket2 do not wrap.

pub mod cpu;
pub mod fd_passing;
pub mod huge_pages;
pub mod limits;
pub mod local_ports;
pub mod memory;
pub mod netstat;
pub mod privileges;
pub mod probe;
mod proc_file;
pub mod rights;
pub mod service_manager;
pub mod sock_diag;
pub mod sockopt;
pub mod splice;
pub mod stream;
pub mod sysctl;
pub mod tcp_info;

use std::io;

/// What a system call has returned that returns 0 if it succeeds, and else has set errno(3).
fn succeeded(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
