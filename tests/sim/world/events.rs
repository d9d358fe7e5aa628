//! What happens: one random event after the other.

use super::World;
use super::backend::Mode;
use super::client::At;
use super::setup::by;
use crate::clock;
use millpond::source::ports::KernelPorts;
use std::time::{Duration, Instant};

impl World<'_> {
    /// One event, and what follows from it at once.
    pub(super) async fn happen(&mut self) {
        match self.chance.below(100) {
            0..35 => self.arrive(),
            35..60 => self.pass().await,
            60..68 => self.end_some_exchange(),
            68..72 => self.give_up(),
            72..78 => self.close_some_connection(),
            78..80 => self.restart(),
            80..83 => self.speak_out_of_turn(),
            83..89 => self.change_mode(),
            89..91 => self.announce(),
            91..94 => self.census(),
            94..96 => self.others_dial(),
            _ => self.reload(),
        }
        self.settle().await;
    }

    /// Time passes, from one moment at which something is due to the next.
    async fn pass(&mut self) {
        let time = match self.chance.below(20) {
            0 => self.chance.ms(5000..=20_000),
            1..5 => self.chance.ms(500..=4000),
            _ => self.chance.ms(1..=150),
        };
        self.say("waits", || format!("{time:?}"));
        let end = self.now() + time;
        while self.now() < end {
            let now = self.now();
            let next = self.next_due().map_or(end, |due| due.clamp(now + Duration::from_millis(1), end));
            clock::advance(next - now).await;
            self.close_idle_ones();
            self.end_exchanges();
            self.settle().await;
            self.check();
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let dials = self.dials.iter().map(|dial| dial.due);
        let sessions = self.sessions.iter().map(|session| match &session.at {
            At::Waiting(waiting) => by(waiting.deadline),
            At::Using { until, .. } => *until,
        });
        let keepers = self.keepers.iter().filter_map(|keeper| keeper.next).map(by);
        let closes = self.backends.iter().flat_map(|backend| {
            let idle = backend.ends.values().filter(|end| !end.is_leased && end.disturbed.is_none());
            backend
                .keeps_for
                .into_iter()
                .flat_map(move |time| idle.clone().map(move |end| end.idle_since + time))
        });
        dials.chain(sessions).chain(keepers).chain(closes).min()
    }

    /// Backends close what has been idle for as long as they keep it.
    fn close_idle_ones(&mut self) {
        let now = self.now();
        for backend in &mut self.backends {
            let Some(time) = backend.keeps_for else { continue };
            let idle = backend.ends.values_mut().filter(|end| !end.is_leased && end.disturbed.is_none());
            idle.filter(|end| end.idle_since + time <= now).for_each(|end| end.send_fin());
        }
    }

    fn end_some_exchange(&mut self) {
        let using = |at: &At| matches!(at, At::Using { .. });
        let places: Vec<_> = (0..self.sessions.len()).filter(|s| using(&self.sessions[*s].at)).collect();
        if !places.is_empty() {
            let place = self.chance.of(&places);
            self.end_exchange(place);
        }
    }

    /// A client that waits does so no longer.
    fn give_up(&mut self) {
        let waiting = |at: &At| matches!(at, At::Waiting(_));
        let places: Vec<_> = (0..self.sessions.len()).filter(|s| waiting(&self.sessions[*s].at)).collect();
        if !places.is_empty() {
            let place = self.chance.of(&places);
            let name = self.sessions[place].name;
            self.leave(place);
            self.say("clients gave up", || format!("{name}"));
        }
    }

    fn some_connection(&mut self) -> Option<(usize, u64)> {
        let backend = self.chance.below(self.backends.len());
        let names: Vec<u64> = self.backends[backend].ends.keys().copied().collect();
        (!names.is_empty()).then(|| (backend, self.chance.of(&names)))
    }

    fn close_some_connection(&mut self) {
        if let Some((backend, name)) = self.some_connection() {
            self.say("FINs", || format!("on connection {name} of backend {backend}"));
            self.backends[backend].ends.get_mut(&name).expect("it is there").send_fin();
        }
    }

    fn restart(&mut self) {
        let backend = self.chance.below(self.backends.len());
        self.say("restarts", || format!("of backend {backend}"));
        self.backends[backend].ends.values_mut().for_each(|end| end.send_fin());
    }

    fn speak_out_of_turn(&mut self) {
        if let Some((backend, name)) = self.some_connection() {
            self.say("stray bytes", || format!("on connection {name} of backend {backend}"));
            self.backends[backend].ends.get_mut(&name).expect("it is there").send_byte();
        }
    }

    fn change_mode(&mut self) {
        let backend = self.chance.below(self.backends.len());
        let mode = self.chance.of(&[Mode::Accepts, Mode::Accepts, Mode::Refuses, Mode::Silent]);
        self.say("changes of backends", || format!("backend {backend} {mode:?}"));
        self.backends[backend].mode = mode;
    }

    /// A response has `Keep-Alive: timeout=`.
    fn announce(&mut self) {
        if self.keepers.is_empty() {
            return;
        }
        let keeper = self.chance.below(self.keepers.len());
        let time = self.chance.ms(1..=6) * 1000;
        self.say("hints", || format!("{time:?} for keeper {keeper}"));
        self.keepers[keeper].pool.note_keep_alive(time);
    }

    /// The kernel is asked what it has. Whose a TIME_WAIT is, is not known here with several sources.
    fn census(&mut self) {
        let now = self.now();
        for backend in 0..self.backends.len() {
            if self.backends[backend].sources.len() > 1 {
                continue;
            }
            let source = self.backends[backend].sources[0].source();
            // A dial is in the kernel's tables from its SYN on.
            let open = self.ports_open(backend, source) + self.backends[backend].others;
            let (least, most) = self.backends[backend].held(now);
            let time_wait = self.chance.of(&[least, most]);
            self.say("censuses", || format!("backend {backend}: {open} open, {time_wait} in TIME_WAIT"));
            self.backends[backend].sources[0].note_census(KernelPorts { open, time_wait }, now);
        }
    }

    /// Other programs on this host open connections to a backend, or close them.
    fn others_dial(&mut self) {
        let backend = self.chance.below(self.backends.len());
        let state = &mut self.backends[backend];
        state.had_others = true;
        state.others = self.chance.below(state.setup.capacity as usize / 2 + 1) as u32;
        let others = state.others;
        self.say("others' connections", || format!("{others} to backend {backend}"));
    }
}
