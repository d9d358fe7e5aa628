//! The ports taken between one source address and one destination (pure).

mod held;
mod rate;

use super::kernel::Hold;
use held::Held;
use rate::Rate;
use std::time::{Duration, Instant};

/// What is known of the ports between a source and a destination. What millpond does itself is counted
/// to the port; what others do is as old as the last census of the kernel's sockets.
#[derive(Debug)]
pub struct Ledger {
    hold: Hold,
    /// Ours that are open or about to be.
    open: u32,
    /// Ports that our closes left in TIME_WAIT, each for as long as it may last: those that are over
    /// before, the census finds missing.
    time_waits: Held,
    /// Ports that a NAT holds after our closes.
    translated: Held,
    /// What the kernel had at the last census beyond ours.
    other: KernelPorts,
    /// Its TIME_WAITs then, ours included.
    kernel_time_waits: u32,
    /// Between which numbers `open` and `time_waits` have been since the last census.
    open_seen: Seen,
    time_waits_seen: Seen,
    census_at: Option<Instant>,
    /// The kernel said that nothing is left: until then, that is believed.
    full_until: Option<Instant>,
    opens: Rate,
    closes: Rate,
    time_wait_closes: Rate,
}

/// What the kernel holds between a source and a destination, whoever owns it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelPorts {
    /// Sockets in any state but TIME_WAIT.
    pub open: u32,
    /// Sockets in TIME_WAIT.
    pub time_wait: u32,
}

/// What the end of a connection leaves of its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It was never established: nothing.
    Unused,
    /// Another process has the connection now, and the port with it.
    Moved,
    /// It was reset, or the other side closed first: nothing here, but a NAT holds it.
    Nothing,
    /// We closed first, by FIN.
    TimeWait,
}

/// Ports taken at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// By open connections, ours and others'.
    pub open: u32,
    /// By closed ones.
    pub held: u32,
    /// The kernel has said that no other is left.
    pub is_all: bool,
}

/// The rates of the last seconds, how long closes hold their ports, and when those that are held come back.
#[derive(Clone, Debug)]
pub struct Rates {
    /// Connections established a second.
    pub opens: f64,
    /// Established ones closed a second.
    pub closes: f64,
    /// Closes a second that hold their port in the kernel.
    pub time_waits: f64,
    /// How long that is.
    pub hold: Duration,
    /// When ports in TIME_WAIT come back, in seconds from now, and how many, as far as that is known.
    pub time_wait_returns: Vec<(f64, u32)>,
    /// Likewise those that a NAT holds.
    pub nat_returns: Vec<(f64, u32)>,
}

/// The least and the most that a number has been.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    least: u32,
    most: u32,
}

impl Ledger {
    /// Nothing is taken.
    pub fn new(hold: Hold) -> Self {
        Self {
            hold,
            open: 0,
            time_waits: Held::default(),
            translated: Held::default(),
            other: KernelPorts::default(),
            kernel_time_waits: 0,
            open_seen: Seen::default(),
            time_waits_seen: Seen::default(),
            census_at: None,
            full_until: None,
            opens: Rate::default(),
            closes: Rate::default(),
            time_wait_closes: Rate::default(),
        }
    }

    /// The kernel's settings have changed.
    pub fn set_hold(&mut self, hold: Hold) {
        self.hold = hold;
    }

    /// What is taken at `now`. With a NAT, the ports that it holds count where they are more than those
    /// that the kernel does: it has one for each of the kernel's, and it keeps those of its own.
    pub fn taken(&mut self, has_nat: bool, now: Instant) -> Taken {
        self.expire(now);
        let translated = if has_nat { self.translated.total() } else { 0 };
        Taken {
            open: self.open + self.other.open,
            held: (self.time_waits.total() + self.other.time_wait).max(translated),
            is_all: self.full_until.is_some(),
        }
    }

    /// A port is about to be taken.
    pub fn open(&mut self) {
        self.open += 1;
        self.open_seen.note(self.open);
    }

    /// The connection is established.
    pub fn connected(&mut self, now: Instant) {
        self.opens.count(now);
    }

    /// A connection is over. `nat`: how long a NAT holds its port.
    pub fn close(&mut self, left: Left, nat: Option<Duration>, now: Instant) {
        self.open = self.open.saturating_sub(1);
        self.open_seen.note(self.open);
        match left {
            Left::Unused => return,
            Left::Moved => {
                self.other.open += 1;
                return;
            }
            Left::Nothing | Left::TimeWait => {}
        }
        self.closes.count(now);
        if left == Left::TimeWait {
            self.time_wait_closes.count(now);
            self.time_waits.hold(now + self.hold.longest());
            self.time_waits_seen.note(self.time_waits.total());
        }
        if let Some(time) = nat {
            self.translated.hold(now + time);
        }
    }

    /// Takes over the kernel's own count, begun at `now`. The same one a second time, for another
    /// upstream, is passed over.
    ///
    /// The count is a little older than the call, and ours have come and gone since. So what others have
    /// is only corrected as far as no number that ours have been in the meantime explains the count.
    pub fn note_census(&mut self, kernel: KernelPorts, now: Instant) {
        if self.census_at.replace(now) == Some(now) {
            return;
        }
        self.expire(now);
        self.kernel_time_waits = kernel.time_wait;
        // Of ours that are open still, the kernel may have closed some: their owners have yet to notice.
        let ending = (self.open + self.other.open).saturating_sub(kernel.open);
        self.other.open = self.open_seen.rest_of(kernel.open, self.other.open);
        if self.hold.reuse {
            // Most of the kernel's are old enough to be reused, and it does not tell which.
            self.other.time_wait = 0;
        } else {
            // Some are over. And a close that was answered by RST leaves none; one that waits for FIN is
            // among the open.
            let imagined = self.time_waits_seen.least.saturating_sub(kernel.time_wait);
            self.time_waits.forget(imagined);
            let most = self.time_waits_seen.most + ending.min(self.open);
            let seen = Seen { most, ..self.time_waits_seen };
            self.other.time_wait = seen.rest_of(kernel.time_wait, self.other.time_wait);
        }
        self.open_seen = Seen::only(self.open);
        self.time_waits_seen = Seen::only(self.time_waits.total());
    }

    /// The kernel has no port left: believed until this time.
    pub fn note_full(&mut self, until: Instant) {
        self.full_until = Some(until);
    }

    /// The kernel has no port left of `capacity`, although others are counted here as free. Returns
    /// whether that must be because TIME_WAITs are not reused, which they should be: the other side uses
    /// no TCP timestamps. From now on they count.
    pub fn blame_time_waits(&mut self, capacity: u32, now: Instant) -> bool {
        let all = u64::from(self.taken(false, now).open) + u64::from(self.kernel_time_waits);
        // The census is older than that: what it misses, the next dial that fails finds.
        let blamed = self.hold.reuse && all * 100 >= u64::from(capacity) * 95;
        if blamed {
            self.hold = Hold::TO_THE_END;
        }
        blamed
    }

    /// The rates at `now`.
    pub fn rates(&self, now: Instant) -> Rates {
        Rates {
            opens: self.opens.per_s(now),
            closes: self.closes.per_s(now),
            time_waits: self.time_wait_closes.per_s(now),
            hold: self.hold.time,
            time_wait_returns: self.time_waits.returns(now),
            nat_returns: self.translated.returns(now),
        }
    }

    fn expire(&mut self, now: Instant) {
        self.time_waits.expire(now);
        self.translated.expire(now);
        self.time_waits_seen.note(self.time_waits.total());
        self.full_until = self.full_until.filter(|until| now < *until);
    }
}

impl Seen {
    fn only(value: u32) -> Self {
        Self { least: value, most: value }
    }

    fn note(&mut self, value: u32) {
        self.least = self.least.min(value);
        self.most = self.most.max(value);
    }

    /// What of `counted` is not ours, as near to what was thought before as can be.
    fn rest_of(self, counted: u32, before: u32) -> u32 {
        before.clamp(counted.saturating_sub(self.most), counted.saturating_sub(self.least))
    }
}

#[cfg(test)]
mod tests;
