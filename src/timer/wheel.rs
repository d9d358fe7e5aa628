//! A hashed timing wheel (pure): setting, moving, removing a deadline takes constant time.
//!
//! Moving a deadline to a later tick, which is what nearly every read and write does, only stores
//! the new tick; the entry stays where it is linked and is moved on when the wheel passes there.

use std::ops::{Index, IndexMut};
use std::task::Waker;

/// A count of [`super::RESOLUTION`]s.
pub type Tick = u64;
/// An entry of the wheel.
pub type TimerId = u32;

const SLOTS: usize = 4096;
const NONE: u32 = u32::MAX;
const NEVER: Tick = Tick::MAX;
/// Stands for the deadline of an entry that has fired.
const FIRED: Tick = NEVER - 1;
/// Entries are allocated by so many.
const CHUNK: usize = 256;

/// Deadlines by tick.
#[derive(Debug)]
pub struct Wheel {
    entries: Entries,
    free: u32,
    slots: Vec<u32>,
    occupied: [u64; SLOTS / 64],
    now: Tick,
}

#[derive(Debug)]
struct Entry {
    prev: u32,
    next: u32,
    /// The tick at which the wheel passes the slot that it is linked in; `NEVER`: not linked.
    visit: Tick,
    due: Tick,
    waker: Option<Waker>,
}

/// All entries. Each stays where it is: one vector would be moved as a whole when it grows, and leave holes in
/// memory as large as itself.
#[derive(Debug, Default)]
struct Entries(Vec<Vec<Entry>>);

impl Wheel {
    /// An empty wheel at tick 0.
    pub fn new() -> Self {
        Self {
            entries: Entries::default(),
            free: NONE,
            slots: vec![NONE; SLOTS],
            occupied: [0; SLOTS / 64],
            now: 0,
        }
    }

    /// A new entry, not set.
    pub fn insert(&mut self) -> TimerId {
        let entry = Entry { prev: NONE, next: NONE, visit: NEVER, due: NEVER, waker: None };
        if self.free == NONE {
            return self.entries.push(entry);
        }
        let id = self.free;
        self.free = self.entries[id].next;
        self.entries[id] = entry;
        id
    }

    /// Sets the entry's deadline; a deadline not after the present fires at the next tick.
    pub fn set(&mut self, id: TimerId, due: Tick) {
        let due = due.clamp(self.now + 1, FIRED - 1);
        let entry = &mut self.entries[id];
        entry.due = due;
        if due < entry.visit {
            self.unlink(id);
            self.link(id, due);
        }
    }

    /// Takes the entry's deadline away.
    pub fn clear(&mut self, id: TimerId) {
        self.entries[id].due = NEVER;
    }

    /// Forgets the entry.
    pub fn remove(&mut self, id: TimerId) {
        self.unlink(id);
        let entry = &mut self.entries[id];
        (entry.waker, entry.next) = (None, self.free);
        self.free = id;
    }

    /// Whether the entry has a deadline that has not passed.
    pub fn is_set(&self, id: TimerId) -> bool {
        self.entries.get(id).is_some_and(|entry| entry.due < FIRED)
    }

    /// Whether the entry has fired since it was set; if not, `waker` is kept for then.
    pub fn poll_fired(&mut self, id: TimerId, waker: &Waker) -> bool {
        let entry = &mut self.entries[id];
        let has_fired = entry.due == FIRED;
        if !has_fired && !entry.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            entry.waker = Some(waker.clone());
        }
        has_fired
    }

    /// The next tick at which something may be due.
    pub fn next_visit(&self) -> Option<Tick> {
        let first = (self.now as usize + 1) % SLOTS;
        let (word, bit) = (first / 64, first % 64);
        let words = self.occupied.len();
        (0..=words).find_map(|step| {
            let index = (word + step) % words;
            let mask = match step {
                0 => u64::MAX << bit,
                _ if step == words => !(u64::MAX << bit),
                _ => u64::MAX,
            };
            let found = self.occupied[index] & mask;
            (found != 0).then(|| {
                let slot = index * 64 + found.trailing_zeros() as usize;
                self.now + 1 + ((slot + SLOTS - first) % SLOTS) as Tick
            })
        })
    }

    /// Moves on to tick `now` and returns the wakers of what fired.
    pub fn advance(&mut self, now: Tick) -> Vec<Waker> {
        let mut fired = Vec::new();
        while let Some(tick) = self.next_visit().filter(|tick| *tick <= now) {
            self.now = tick;
            self.visit_slot(tick, now, &mut fired);
        }
        self.now = self.now.max(now);
        fired
    }

    /// The wakers of all entries that somebody waits for.
    pub fn wakers(&self) -> Vec<Waker> {
        self.entries.iter().filter_map(|entry| entry.waker.clone()).collect()
    }

    fn visit_slot(&mut self, tick: Tick, now: Tick, fired: &mut Vec<Waker>) {
        let slot = tick as usize % SLOTS;
        let mut id = std::mem::replace(&mut self.slots[slot], NONE);
        self.occupied[slot / 64] &= !(1 << (slot % 64));
        while id != NONE {
            let entry = &mut self.entries[id];
            let next = entry.next;
            (entry.prev, entry.next, entry.visit) = (NONE, NONE, NEVER);
            if entry.due <= now {
                entry.due = FIRED;
                fired.extend(entry.waker.take());
            } else if entry.due < FIRED {
                let due = entry.due;
                self.link(id, due);
            }
            id = next;
        }
    }

    /// Links the entry where the wheel passes at `due`, or at the end of this turn if that is later.
    fn link(&mut self, id: TimerId, due: Tick) {
        let visit = due.min(self.now + SLOTS as Tick);
        let slot = visit as usize % SLOTS;
        let head = std::mem::replace(&mut self.slots[slot], id);
        let entry = &mut self.entries[id];
        (entry.prev, entry.next, entry.visit) = (NONE, head, visit);
        if head != NONE {
            self.entries[head].prev = id;
        }
        self.occupied[slot / 64] |= 1 << (slot % 64);
    }

    fn unlink(&mut self, id: TimerId) {
        let Entry { prev, next, visit, .. } = self.entries[id];
        if visit == NEVER {
            return;
        }
        if next != NONE {
            self.entries[next].prev = prev;
        }
        let slot = visit as usize % SLOTS;
        if prev != NONE {
            self.entries[prev].next = next;
        } else {
            self.slots[slot] = next;
            if next == NONE {
                self.occupied[slot / 64] &= !(1 << (slot % 64));
            }
        }
        self.entries[id].visit = NEVER;
    }
}

impl Entries {
    fn push(&mut self, entry: Entry) -> TimerId {
        if self.0.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.0.push(Vec::with_capacity(CHUNK));
        }
        let (chunks, chunk) = (self.0.len(), self.0.last_mut().expect("a chunk with room was just added"));
        chunk.push(entry);
        TimerId::try_from((chunks - 1) * CHUNK + chunk.len() - 1).expect("fewer timers than descriptors")
    }

    fn get(&self, id: TimerId) -> Option<&Entry> {
        self.0.get(id as usize / CHUNK)?.get(id as usize % CHUNK)
    }

    fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter().flatten()
    }
}

impl Index<TimerId> for Entries {
    type Output = Entry;

    fn index(&self, id: TimerId) -> &Entry {
        &self.0[id as usize / CHUNK][id as usize % CHUNK]
    }
}

impl IndexMut<TimerId> for Entries {
    fn index_mut(&mut self, id: TimerId) -> &mut Entry {
        &mut self.0[id as usize / CHUNK][id as usize % CHUNK]
    }
}

impl Default for Wheel {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn fired(wheel: &mut Wheel, id: TimerId) -> bool {
        wheel.poll_fired(id, Waker::noop())
    }

    #[test]
    fn fires_at_its_tick_and_not_before() {
        let mut wheel = Wheel::new();
        let id = wheel.insert();
        wheel.set(id, 10);
        wheel.advance(9);
        assert!(!fired(&mut wheel, id));
        wheel.advance(10);
        assert!(fired(&mut wheel, id));
        assert_eq!(wheel.next_visit(), None);
    }

    #[test]
    fn a_waker_is_handed_out_once() {
        let mut wheel = Wheel::new();
        let id = wheel.insert();
        wheel.set(id, 3);
        assert!(!fired(&mut wheel, id));
        assert_eq!(wheel.wakers().len(), 1);
        assert_eq!(wheel.advance(3).len(), 1);
        assert_eq!(wheel.advance(9000).len(), 0);
    }

    proptest! {
        /// Against a map of deadlines: whatever is set, moved, cleared and removed, an entry has
        /// fired exactly when its deadline has passed, and `next_visit` never oversleeps.
        #[test]
        fn agrees_with_a_map(steps in prop::collection::vec((0u8..6, 0usize..8, 1u64..9000), 1..200)) {
            let mut wheel = Wheel::new();
            let mut model: HashMap<TimerId, Option<Tick>> = HashMap::new();
            let mut ids: Vec<TimerId> = Vec::new();
            let mut now = 0;
            for (action, which, by) in steps {
                let id = ids.get(which % ids.len().max(1)).copied();
                match (action, id) {
                    (0, _) => { let id = wheel.insert(); ids.push(id); model.insert(id, None); }
                    (1 | 2, Some(id)) => { wheel.set(id, now + by); model.insert(id, Some(now + by)); }
                    (3, Some(id)) => { wheel.clear(id); model.insert(id, None); }
                    (4, Some(id)) => { wheel.remove(id); model.remove(&id); ids.retain(|i| *i != id); }
                    _ => {
                        now += by;
                        if let Some(due) = model.values().flatten().filter(|due| **due > now - by).min() {
                            prop_assert!(wheel.next_visit().is_some_and(|visit| visit <= *due));
                        }
                        wheel.advance(now);
                    }
                }
                for (id, due) in &model {
                    prop_assert_eq!(fired(&mut wheel, *id), due.is_some_and(|due| due <= now));
                }
            }
        }
    }
}
