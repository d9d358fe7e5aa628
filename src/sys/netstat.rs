//! The kernel's own TCP counters: /proc/net/netstat and /proc/net/sockstat, of this network namespace.

use super::limits;
use super::proc_file::{self, text_of};
use std::io;

const NETSTAT: &str = "/proc/net/netstat";
const SOCKSTAT: &str = "/proc/net/sockstat";
const TCP_MEM: &str = "/proc/sys/net/ipv4/tcp_mem";

/// What went wrong at the kernel's end since the namespace was made. `None`: this kernel does not
/// count it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpCounters {
    /// Connections dropped because a listening socket's accept queue was full (ListenOverflows).
    pub listen_overflows: Option<u64>,
    /// SYNs and connections that a listening socket dropped for any reason, overflows included
    /// (ListenDrops).
    pub listen_drops: Option<u64>,
    /// SYNs dropped because the queue of half-open connections was full (TCPReqQFullDrop).
    pub syn_queue_drops: Option<u64>,
    /// SYNs answered with a cookie because that queue was full (TCPReqQFullDoCookies).
    pub syn_queue_cookies: Option<u64>,
    /// SYN cookies sent (SyncookiesSent).
    pub syncookies_sent: Option<u64>,
    /// Connections closed without TIME_WAIT because tcp_max_tw_buckets were taken (TCPTimeWaitOverflow).
    pub time_wait_overflow: Option<u64>,
    /// Requests moved to another listening socket when theirs was closed (TCPMigrateReqSuccess).
    pub migrated_requests: Option<u64>,
}

/// The kernel's TCP sockets as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpSockets {
    /// Connections that no process holds any more and that still have something to send.
    pub orphans: Option<u64>,
    /// In TIME_WAIT.
    pub time_wait: Option<u64>,
    /// Memory of all socket buffers, in bytes.
    pub memory_bytes: Option<u64>,
}

/// Reads the counters. An error names the file.
pub fn tcp_counters() -> io::Result<TcpCounters> {
    Ok(counters(&text_of(NETSTAT)?))
}

/// Reads the sums. An error names the file.
pub fn tcp_sockets() -> io::Result<TcpSockets> {
    let page = limits::page_size()?;
    Ok(sockets(&text_of(SOCKSTAT)?, page))
}

/// The memory beyond which TCP is short of it, in bytes: the third value of net.ipv4.tcp_mem, which is
/// in pages. tcp(7). An error names the file.
pub fn tcp_memory_limit() -> io::Result<u64> {
    let page = limits::page_size()?;
    let pages: u64 = proc_file::read(TCP_MEM, |text| text.split_ascii_whitespace().nth(2)?.parse().ok())?;
    Ok(pages.saturating_mul(page))
}

fn counters(text: &str) -> TcpCounters {
    let value = |name| paired(text, "TcpExt:", name);
    TcpCounters {
        listen_overflows: value("ListenOverflows"),
        listen_drops: value("ListenDrops"),
        syn_queue_drops: value("TCPReqQFullDrop"),
        syn_queue_cookies: value("TCPReqQFullDoCookies"),
        syncookies_sent: value("SyncookiesSent"),
        time_wait_overflow: value("TCPTimeWaitOverflow"),
        migrated_requests: value("TCPMigrateReqSuccess"),
    }
}

/// The value under a name, where one line of this group has the names and the next one the values.
fn paired(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(group));
    let (names, values) = (lines.next()?, lines.next()?);
    let place = names.split_ascii_whitespace().position(|found| found == name)?;
    values.split_ascii_whitespace().nth(place)?.parse().ok()
}

fn sockets(text: &str, page: u64) -> TcpSockets {
    let value = |name| {
        let line = text.lines().find_map(|line| line.strip_prefix("TCP:"))?;
        let mut words = line.split_ascii_whitespace().skip_while(|word| *word != name);
        words.nth(1)?.parse::<u64>().ok()
    };
    TcpSockets {
        orphans: value("orphan"),
        time_wait: value("tw"),
        memory_bytes: value("mem").map(|pages| pages.saturating_mul(page)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: &str = "TcpExt: SyncookiesSent ListenOverflows ListenDrops TCPTimeWaitOverflow\n\
                        TcpExt: 1 22 333 4444\n\
                        IpExt: InNoRoutes ListenDrops\n\
                        IpExt: 5 6\n";

    #[test]
    fn a_counter_stands_below_its_name() {
        let read = counters(SOME);
        let expected = TcpCounters {
            syncookies_sent: Some(1),
            listen_overflows: Some(22),
            listen_drops: Some(333),
            time_wait_overflow: Some(4444),
            ..TcpCounters::default()
        };
        assert_eq!(read, expected);
        assert_eq!(paired(SOME, "IpExt:", "ListenDrops"), Some(6));
    }

    #[test]
    fn what_is_not_there_is_none() {
        for text in [
            "",
            "TcpExt: ListenDrops\n",
            "TcpExt: A ListenDrops\nTcpExt: 1\n",
            "TcpExt: ListenDrops\nTcpExt: x\n",
        ] {
            assert_eq!(counters(text), TcpCounters::default(), "{text:?}");
            assert_eq!(sockets(text, 4096), TcpSockets::default(), "{text:?}");
        }
    }

    #[test]
    fn sums_stand_behind_their_names_and_memory_in_pages() {
        let text = "sockets: used 16\nTCP: inuse 1 orphan 2 tw 3 alloc 4 mem 5\nUDP: inuse 0 mem 9\n";
        let expected = TcpSockets { orphans: Some(2), time_wait: Some(3), memory_bytes: Some(5 * 4096) };
        assert_eq!(sockets(text, 4096), expected);
    }

    #[test]
    fn this_kernel_counts_what_matters() {
        let read = tcp_counters().unwrap();
        assert!(read.listen_overflows.is_some() && read.listen_drops.is_some(), "{read:?}");
        assert!(read.time_wait_overflow.is_some() && read.syn_queue_drops.is_some(), "{read:?}");
        assert!(tcp_sockets().unwrap().orphans.is_some());
        assert!(tcp_memory_limit().unwrap() > 0);
    }
}
