//! Idle connections, the last one in first out (pure).
//!
//! LIFO keeps few connections busy and lets the rest grow old, so that a pool shrinks by itself
//! after a peak. Any entry can be taken out by its key in constant time, because the endpoint may
//! close any of them.

use slab::Slab;

/// The place of an entry; valid until the entry is taken.
pub type Key = usize;

/// Entries in the order of their arrival.
#[derive(Debug)]
pub struct IdleList<T> {
    entries: Slab<Entry<T>>,
    oldest: Option<Key>,
    newest: Option<Key>,
}

#[derive(Debug)]
struct Entry<T> {
    value: T,
    older: Option<Key>,
    newer: Option<Key>,
}

impl<T> IdleList<T> {
    /// An empty list.
    pub fn new() -> Self {
        Self { entries: Slab::new(), oldest: None, newest: None }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The key that the next [`Self::push`] will return.
    pub fn next_key(&self) -> Key {
        self.entries.vacant_key()
    }

    /// Adds the newest entry.
    pub fn push(&mut self, value: T) -> Key {
        let key = self.entries.insert(Entry { value, older: self.newest, newer: None });
        match self.newest {
            Some(newest) => self.entries[newest].newer = Some(key),
            None => self.oldest = Some(key),
        }
        self.newest = Some(key);
        key
    }

    /// Takes the newest entry.
    pub fn pop(&mut self) -> Option<T> {
        self.newest.and_then(|key| self.remove(key))
    }

    /// Takes the entry with this key, if it is there.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        let Entry { value, older, newer } = self.entries.try_remove(key)?;
        match newer {
            Some(newer) => self.entries[newer].older = older,
            None => self.newest = older,
        }
        match older {
            Some(older) => self.entries[older].newer = newer,
            None => self.oldest = newer,
        }
        Some(value)
    }

    /// The entry with this key.
    pub fn get(&self, key: Key) -> Option<&T> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// The key of an entry for which `holds` does.
    pub fn find(&self, holds: impl Fn(&T) -> bool) -> Option<Key> {
        self.entries.iter().find(|(_, entry)| holds(&entry.value)).map(|(key, _)| key)
    }

    /// The entries whose keys are `from` and on, within `places` of it, in no order; and where the next of
    /// these pages begins, if this was not the last.
    pub fn page(&self, from: Key, places: usize) -> (impl Iterator<Item = &T>, Option<Key>) {
        // Every key is below the capacity.
        let end = from.saturating_add(places).min(self.entries.capacity());
        let next = (end < self.entries.capacity()).then_some(end);
        ((from..end).filter_map(|key| self.get(key)), next)
    }

    /// The entry that has been here longest.
    pub fn oldest(&self) -> Option<&T> {
        self.oldest.map(|key| &self.entries[key].value)
    }

    /// Takes the entry that has been here longest.
    pub fn pop_oldest(&mut self) -> Option<T> {
        self.oldest.and_then(|key| self.remove(key))
    }
}

impl<T> Default for IdleList<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn in_pages(list: &IdleList<u32>, places: usize) -> Vec<u32> {
        let (mut all, mut from) = (Vec::new(), Some(0));
        while let Some(place) = from {
            let (page, next) = list.page(place, places);
            all.extend(page);
            from = next;
        }
        all
    }

    proptest! {
        /// Against a plain vector of (key, value), oldest first.
        #[test]
        fn agrees_with_a_vector(steps in prop::collection::vec((0u8..4, 0usize..10), 0..100)) {
            let mut list = IdleList::new();
            let mut model: Vec<(Key, u32)> = Vec::new();
            for (number, (action, which)) in (0u32..).zip(steps) {
                match action {
                    0 | 1 => {
                        let expected = list.next_key();
                        let key = list.push(number);
                        prop_assert_eq!(key, expected);
                        model.push((key, number));
                    }
                    2 => prop_assert_eq!(list.pop(), model.pop().map(|(_, value)| value)),
                    _ => {
                        let at = model.iter().position(|(key, _)| *key == which);
                        prop_assert_eq!(list.remove(which), at.map(|at| model.remove(at).1));
                    }
                }
                prop_assert_eq!(list.len(), model.len());
                prop_assert_eq!(list.oldest().copied(), model.first().map(|(_, value)| *value));
                let mut paged = in_pages(&list, 1 + which);
                paged.sort_unstable();
                prop_assert_eq!(paged, model.iter().map(|(_, value)| *value).collect::<Vec<_>>());
            }
            while let Some(value) = list.pop_oldest() {
                prop_assert_eq!(value, model.remove(0).1);
            }
            prop_assert!(list.is_empty() && model.is_empty());
        }
    }
}
