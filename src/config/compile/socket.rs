//! Socket options that both sides have.

use super::secs;
use crate::config::diagnostic::{Fault, Problems};
use crate::config::model::TcpKeepalive;
use crate::config::section::Section;
use crate::config::values::{milliseconds, number, seconds, shown, text};
use std::time::Duration;

/// MAX_TCP_KEEPIDLE and MAX_TCP_KEEPINTVL of the kernel (`include/net/tcp.h`), in seconds.
const KEEPALIVE_MAX: u64 = 32_767;
/// MAX_TCP_KEEPCNT.
const PROBES_MAX: i64 = 127;
/// TCP_USER_TIMEOUT takes an `int` of milliseconds: 24 days and some hours.
const USER_TIMEOUT_MAX: u64 = 24 * 24 * 3600;

/// TCP_USER_TIMEOUT: tcp(7).
pub(super) fn user_timeout(socket: &Section<'_>, problems: &mut Problems) -> Duration {
    socket.read("user_timeout", problems, milliseconds(USER_TIMEOUT_MAX)).unwrap_or(secs(30))
}

/// TCP_NODELAY.
pub(super) fn no_delay(socket: &Section<'_>, problems: &mut Problems) -> bool {
    socket.read("no_delay", problems, crate::config::values::flag).unwrap_or(true)
}

/// `"off"`, or a table of which each key has its default.
pub(super) fn tcp_keepalive(socket: &Section<'_>, problems: &mut Problems) -> Option<TcpKeepalive> {
    let entry = socket.entry("tcp_keepalive");
    let off = entry.as_ref().is_some_and(|entry| text(entry.value).is_ok_and(|text| text == "off"));
    if off {
        return None;
    }
    if let Some(entry) = entry.filter(|entry| entry.section().is_none()) {
        let fix = "write \"off\" or { idle = \"60s\", interval = \"10s\", count = 6 }";
        problems.fault(&entry.site, Fault::new(format!("{} is no such setting", shown(entry.value)), fix));
    }
    let section = socket.section("tcp_keepalive");
    Some(TcpKeepalive {
        idle: section.read("idle", problems, seconds(KEEPALIVE_MAX)).unwrap_or(secs(60)),
        interval: section.read("interval", problems, seconds(KEEPALIVE_MAX)).unwrap_or(secs(10)),
        count: section.read("count", problems, number(1..=PROBES_MAX)).unwrap_or(6),
    })
}
