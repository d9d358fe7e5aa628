//! Figures that are not millpond's own counters: what the kernel says of the process and of itself.

use crate::sys::limits;
use crate::sys::netstat::{self, TcpCounters, TcpSockets};
use std::fmt::Display;

/// One reading. A figure that could not be read is `None`, and [`Host::notes`] says why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Open file descriptors of the process.
    pub descriptors: Option<u64>,
    /// Resident memory of the process.
    pub resident_bytes: Option<u64>,
    /// net.core.somaxconn.
    pub somaxconn: Option<u32>,
    /// net.ipv4.tcp_max_syn_backlog.
    pub tcp_max_syn_backlog: Option<u32>,
    /// net.ipv4.ip_local_port_range, both ends included.
    pub local_ports: Option<[u16; 2]>,
    /// net.ipv4.tcp_tw_reuse: 0 never, 1 always, 2 on loopback.
    pub tcp_tw_reuse: Option<u32>,
    /// The kernel's TCP counters.
    pub tcp: TcpCounters,
    /// The kernel's TCP sockets.
    pub tcp_sockets: TcpSockets,
    /// The memory beyond which TCP is short of it, in bytes.
    pub tcp_memory_limit: Option<u64>,
    /// One line for each figure that is missing.
    pub notes: Vec<String>,
}

impl Host {
    /// Reads everything now; a handful of small files under /proc.
    pub fn read() -> Self {
        let mut notes = Vec::new();
        Self {
            descriptors: note(&mut notes, "process.fds.used", limits::open_descriptors())
                .map(|count| count as u64),
            resident_bytes: note(&mut notes, "process.memory_bytes", limits::resident_bytes()),
            somaxconn: note(&mut notes, "kernel.somaxconn", limits::somaxconn()),
            tcp_max_syn_backlog: note(
                &mut notes,
                "kernel.tcp_max_syn_backlog",
                limits::tcp_max_syn_backlog(),
            ),
            local_ports: note(&mut notes, "kernel.local_ports", limits::local_port_range())
                .map(|range| [*range.start(), *range.end()]),
            tcp_tw_reuse: note(&mut notes, "kernel.tcp_tw_reuse", limits::tcp_tw_reuse()),
            tcp: note(&mut notes, "kernel.listen_overflows and what goes with it", netstat::tcp_counters())
                .unwrap_or_default(),
            tcp_sockets: note(&mut notes, "kernel.orphans", netstat::tcp_sockets()).unwrap_or_default(),
            tcp_memory_limit: note(&mut notes, "kernel.tcp_memory_bytes", netstat::tcp_memory_limit()),
            notes,
        }
    }
}

/// The figure, or a note that says why there is none.
fn note<T, E: Display>(notes: &mut Vec<String>, figure: &str, read: Result<T, E>) -> Option<T> {
    read.map_err(|error| notes.push(format!("{figure} could not be read: {error}"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_descriptors_and_memory() {
        let host = Host::read();
        assert!(host.descriptors.is_some_and(|count| count >= 3), "{host:?}");
        assert!(host.resident_bytes.is_some_and(|bytes| bytes > 100_000), "{host:?}");
        assert!(host.local_ports.is_some_and(|[first, last]| first <= last), "{host:?}");
        assert_eq!(host.notes, Vec::<String>::new());
    }

    #[test]
    fn what_cannot_be_read_is_none_and_noted() {
        let mut notes = Vec::new();
        assert_eq!(note::<u32, _>(&mut notes, "kernel.somaxconn", Err("permission denied")), None);
        assert_eq!(notes, ["kernel.somaxconn could not be read: permission denied"]);
    }
}
