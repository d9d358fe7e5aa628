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
pub mod rights;
pub mod service_manager;
pub mod sock_diag;
pub mod sockopt;
pub mod splice;
pub mod stream;
pub mod sysctl;
pub mod tcp_info;
