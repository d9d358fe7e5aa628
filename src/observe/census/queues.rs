//! Accept queues: how deep, how long, and who turns clients away.

use crate::metrics::accept_queue::Sample;
use crate::observe::places::Places;
use crate::registry::ListenerState;
use crate::sys::limits;
use crate::sys::netstat::{self, TcpCounters};
use crate::sys::sock_diag::{Detail, Filter, TcpState, TcpStates, visit_detailed};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::time::{Duration, Instant};

/// While a socket goes on dropping, it is told again after this time.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Looks at the listening sockets, and says which of them drop.
#[derive(Debug, Default)]
pub(super) struct Queues {
    counters: TcpCounters,
    troubles: HashMap<u32, Trouble>,
}

/// A socket that drops.
#[derive(Debug)]
struct Trouble {
    listener: String,
    told: Instant,
    last: Instant,
    untold: u64,
}

/// What a look has found of one of our sockets.
#[derive(Clone, Copy, Debug)]
struct Look {
    listener: usize,
    inode: u32,
    worker: Option<usize>,
    sample: Sample,
    dropped: u32,
}

impl Queues {
    /// One look, at `now`. The kernel lists no connection for it, so that it costs little on a busy host.
    pub(super) fn look(&mut self, places: &Places, now: Instant) -> io::Result<()> {
        let listeners: Vec<&ListenerState> = places.listeners().map(|listener| &**listener).collect();
        let (mut looks, mut listening) = (Vec::new(), vec![0; listeners.len()]);
        let filter = Filter::states(TcpStates::of(&[TcpState::Listen]));
        for (family, program) in places.questions_for_listening() {
            visit_detailed(family, &filter, Some(&program), Detail::Drops, |socket, attributes| {
                let Some(listener) = places.listening(&socket) else { return };
                listening[listener] += 1;
                let sample = Sample { depth: socket.rqueue, limit: socket.wqueue, drops: attributes.drops() };
                let queues = &listeners[listener].queues;
                if let Some((worker, dropped)) = queues.sample(socket.inode, sample, now) {
                    looks.push(Look { listener, inode: socket.inode, worker, sample, dropped });
                }
            })?;
        }
        for (listener, count) in listeners.iter().zip(listening) {
            listener.tcp_states.set_listening(count);
            listener.queues.looked(now);
        }
        // They tell why, which a socket does not. That they cannot be read is told by whoever reports them.
        let counters = netstat::tcp_counters().unwrap_or_default();
        let cause = Cause::of(&std::mem::replace(&mut self.counters, counters), &counters);
        for look in looks.iter().filter(|look| look.dropped > 0) {
            self.note(listeners[look.listener], look, cause, now);
        }
        self.calm(now);
        Ok(())
    }

    /// A socket has dropped something.
    fn note(&mut self, listener: &ListenerState, look: &Look, cause: Cause, now: Instant) {
        let trouble = self.troubles.entry(look.inode);
        let is_new = matches!(trouble, Entry::Vacant(_));
        let trouble = trouble.or_insert_with(|| Trouble {
            listener: listener.config.name.clone(),
            told: now,
            last: now,
            untold: 0,
        });
        trouble.last = now;
        trouble.untold += u64::from(look.dropped);
        if is_new || now.saturating_duration_since(trouble.told) >= TOLD_EVERY {
            tell(listener, look, trouble.untold, cause);
            (trouble.told, trouble.untold) = (now, 0);
        }
    }

    /// What has dropped nothing for a while is trouble no more; the next time is news.
    fn calm(&mut self, now: Instant) {
        self.troubles.retain(|_, trouble| {
            let is_over = now.saturating_duration_since(trouble.last) >= TOLD_EVERY;
            if is_over && trouble.untold > 0 {
                let Trouble { listener, untold, .. } = trouble;
                tracing::warn!(%listener, dropped = untold, "more were turned away before it ended");
            }
            !is_over
        });
    }
}

/// Why a listening socket drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// Too many wait to be accepted.
    AcceptQueue,
    /// Too many have not finished their handshake.
    SynQueue,
    /// The kernel counts nothing that explains it.
    Unknown,
}

impl Cause {
    /// From the counters of the network namespace before and after.
    fn of(before: &TcpCounters, now: &TcpCounters) -> Self {
        let grew = |pick: fn(&TcpCounters) -> Option<u64>| pick(now) > pick(before);
        if grew(|counters| counters.listen_overflows) {
            Self::AcceptQueue
        } else if grew(|counters| counters.syn_queue_drops) {
            Self::SynQueue
        } else {
            Self::Unknown
        }
    }
}

fn tell(listener: &ListenerState, look: &Look, dropped: u64, cause: Cause) {
    let Sample { depth, limit, .. } = look.sample;
    let somaxconn = limits::somaxconn().ok();
    let (name, address) = (&listener.config.name, listener.address);
    let worker = look.worker;
    let what = match cause {
        Cause::AcceptQueue => "the accept queue is full and clients are turned away",
        Cause::SynQueue => "the queue of half-open connections is full and SYNs are dropped",
        Cause::Unknown => "the kernel drops connections before they are accepted",
    };
    tracing::warn!(
        listener = %name, %address, worker, dropped, depth, limit, somaxconn,
        "{what}: {}", remedy(cause, limit, somaxconn)
    );
}

/// What to change.
fn remedy(cause: Cause, limit: u32, somaxconn: Option<u32>) -> String {
    match (cause, somaxconn) {
        (Cause::SynQueue, _) => {
            "raise net.ipv4.tcp_max_syn_backlog and listener.socket.backlog, and leave net.ipv4.tcp_syncookies on"
                .to_owned()
        }
        (Cause::Unknown, _) => "see kernel in /stats, and nstat -az".to_owned(),
        (Cause::AcceptQueue, Some(most)) if limit < most => {
            format!("raise listener.socket.backlog, up to {most}; if a worker hangs, no queue is long enough")
        }
        (Cause::AcceptQueue, _) => "raise net.core.somaxconn, and listener.socket.backlog if it is a number; \
                                    if a worker hangs, no queue is long enough"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests;
