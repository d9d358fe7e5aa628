//! What keeps a drain from its end.

use super::{Phase, SessionTable};
use crate::addr::ClientAddr;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Sessions of one listener that are at the same thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldUp {
    /// The listener.
    pub listener: String,
    /// What they are at.
    pub phase: Phase,
    /// The endpoint that they have a connection to, if they have one.
    pub endpoint: Option<SocketAddr>,
    /// How many they are.
    pub sessions: usize,
    /// For how long the oldest has been open.
    pub oldest: Duration,
    /// Whose that one is.
    pub client: ClientAddr,
}

impl SessionTable {
    /// What the sessions are at that are open at `now`; the most common first.
    pub fn held_up(&self, now: Instant) -> Vec<HeldUp> {
        let mut groups: HashMap<(String, Phase, Option<SocketAddr>), HeldUp> = HashMap::new();
        for entry in self.page(0, usize::MAX).entries {
            let (listener, phase) = (entry.listener().config.name.clone(), entry.phase());
            let endpoint = entry.connection().map(|connection| connection.endpoint.address.0);
            let (oldest, client) = (entry.age(now), entry.client());
            let group = groups.entry((listener.clone(), phase, endpoint));
            let group = group.or_insert(HeldUp { listener, phase, endpoint, sessions: 0, oldest, client });
            group.sessions += 1;
            if oldest > group.oldest {
                (group.oldest, group.client) = (oldest, client);
            }
        }
        let mut all: Vec<HeldUp> = groups.into_values().collect();
        all.sort_by(|one, other| {
            let by_size = other.sessions.cmp(&one.sessions).then(other.oldest.cmp(&one.oldest));
            by_size.then_with(|| one.listener.cmp(&other.listener))
        });
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::fixture;
    use std::sync::Arc;

    #[test]
    fn sessions_that_are_at_the_same_thing_are_told_together_with_the_oldest() {
        let (registry, start) = (fixture::registry(), Instant::now());
        let running = registry.running();
        let table = SessionTable::new(0, Arc::clone(&registry.budget), start);
        let at = |second| start + Duration::from_secs(second);
        let open = |listener: usize, port: u16, second, phase| {
            let client = ClientAddr(([192, 0, 2, 1], port).into());
            let session = table.open(&running.listeners[listener], client, at(second)).unwrap();
            session.enter(phase);
            session
        };
        let _sessions = [
            open(0, 1, 3, Phase::Exchange),
            open(2, 2, 0, Phase::Tunnel),
            open(0, 3, 1, Phase::Exchange),
            open(0, 4, 2, Phase::Waiting),
        ];
        let told = table.held_up(at(10));
        let told: Vec<_> = told
            .iter()
            .map(|held| {
                (&*held.listener, held.phase, held.sessions, held.oldest.as_secs(), held.client.0.port())
            })
            .collect();
        let expected = [
            ("web", Phase::Exchange, 2, 9, 3),
            ("db", Phase::Tunnel, 1, 10, 2),
            ("web", Phase::Waiting, 1, 8, 4),
        ];
        assert_eq!(told, expected);
    }
}
