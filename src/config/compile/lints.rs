//! Deadlines that are sound by themselves and longer than what is usual on the other side of them.
//! `docs/TIMERS.md` says what that is.

use super::{Placed, secs};
use crate::config::diagnostic::Problems;
use crate::config::model::{Listener, Protocol, Upstream};
use crate::config::section::Section;
use humantime::format_duration;
use std::time::Duration;

/// Nearly all servers close a connection that is idle for longer.
const PATIENCE: Duration = secs(60);
/// net.netfilter.nf_conntrack_tcp_timeout_close_wait, after which a firewall forgets a half-closed
/// connection that is silent (`Documentation/networking/nf_conntrack-sysctl.rst`).
const CONNTRACK_CLOSE_WAIT: Duration = secs(60);

pub(super) fn timers(
    listeners: &[Placed<'_, Listener>],
    upstreams: &[Placed<'_, Upstream>],
    problems: &mut Problems,
) {
    for listener in listeners {
        half_close(&listener.section, listener.value.timeout.half_close, problems);
    }
    for (index, upstream) in upstreams.iter().enumerate() {
        half_close(&upstream.section, upstream.value.timeout.half_close, problems);
        let http = |listener: &&Placed<'_, Listener>| listener.value.protocol == Protocol::Http;
        if listeners.iter().filter(http).any(|listener| listener.value.upstream == index) {
            idle_timeout(upstream, problems);
        }
    }
}

fn half_close(section: &Section<'_>, deadline: Duration, problems: &mut Problems) {
    if deadline < CONNTRACK_CLOSE_WAIT {
        return;
    }
    let message = format!(
        "a firewall that tracks connections forgets a half-closed one after {} of silence",
        format_duration(CONNTRACK_CLOSE_WAIT)
    );
    let fix = "write less than \"1m\", such as \"30s\"";
    problems.warning(&section.site_below("timeout.half_close"), message, fix);
}

fn idle_timeout(upstream: &Placed<'_, Upstream>, problems: &mut Problems) {
    let Some(idle) = upstream.value.pool.idle_timeout.filter(|idle| *idle > PATIENCE) else { return };
    // Where a NAT forgets the connection before, that has been said.
    if upstream.value.source.nat.is_some_and(|nat| idle >= nat.idle_timeout) {
        return;
    }
    let message = "most servers close idle connections before, and requests meet them at it";
    let fix = "write \"auto\", or less than the endpoints' own timeout";
    problems.warning(&upstream.section.site_below("pool.idle_timeout"), message, fix);
}
