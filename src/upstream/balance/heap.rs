//! A binary heap that knows where each endpoint is, so that its key can change.

/// The endpoint with the smallest key first.
#[derive(Debug)]
pub(super) struct Heap<K> {
    entries: Vec<Entry<K>>,
    /// Where each endpoint is in `entries`, or [`ABSENT`].
    places: Vec<u32>,
}

#[derive(Debug)]
struct Entry<K> {
    key: K,
    endpoint: u32,
}

const ABSENT: u32 = u32::MAX;

impl<K: Ord> Heap<K> {
    /// An empty heap with room for the endpoints below `endpoints`.
    pub(super) fn new(endpoints: usize) -> Self {
        Self { entries: Vec::with_capacity(endpoints), places: vec![ABSENT; endpoints] }
    }

    /// Inserts an endpoint or changes its key. O(log n)
    pub(super) fn set(&mut self, endpoint: usize, key: K) {
        match self.place(endpoint) {
            Some(place) => {
                self.entries[place].key = key;
                self.restore(place);
            }
            None => {
                let place = self.entries.len();
                self.entries.push(Entry { key, endpoint: endpoint as u32 });
                self.places[endpoint] = place as u32;
                self.rise(place);
            }
        }
    }

    /// Removes an endpoint if it is there. O(log n)
    pub(super) fn remove(&mut self, endpoint: usize) {
        let Some(place) = self.place(endpoint) else { return };
        self.entries.swap_remove(place);
        self.places[endpoint] = ABSENT;
        if let Some(moved) = self.entries.get(place) {
            self.places[moved.endpoint as usize] = place as u32;
            self.restore(place);
        }
    }

    /// Whether an endpoint is there.
    pub(super) fn contains(&self, endpoint: usize) -> bool {
        self.place(endpoint).is_some()
    }

    /// The endpoint with the smallest key that is not `avoid`. O(1)
    pub(super) fn first(&self, avoid: Option<usize>) -> Option<usize> {
        let first = self.entries.first()?.endpoint as usize;
        if Some(first) != avoid {
            return Some(first);
        }
        // The second smallest key is that of one of the two children.
        let second = self.entries.iter().skip(1).take(2).min_by(|a, b| a.key.cmp(&b.key))?;
        Some(second.endpoint as usize)
    }

    fn place(&self, endpoint: usize) -> Option<usize> {
        let place = self.places[endpoint];
        (place != ABSENT).then_some(place as usize)
    }

    /// Moves an entry to where its key belongs.
    fn restore(&mut self, place: usize) {
        let place = self.rise(place);
        self.sink(place);
    }

    fn rise(&mut self, mut place: usize) -> usize {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.entries[parent].key <= self.entries[place].key {
                break;
            }
            self.swap(place, parent);
            place = parent;
        }
        place
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let mut child = 2 * place + 1;
            if child >= self.entries.len() {
                return;
            }
            if child + 1 < self.entries.len() && self.entries[child + 1].key < self.entries[child].key {
                child += 1;
            }
            if self.entries[place].key <= self.entries[child].key {
                return;
            }
            self.swap(place, child);
            place = child;
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.entries.swap(one, other);
        self.places[self.entries[one].endpoint as usize] = one as u32;
        self.places[self.entries[other].endpoint as usize] = other as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const ENDPOINTS: usize = 16;

    proptest! {
        /// Against a map that is searched from end to end.
        #[test]
        fn the_first_two_are_those_with_the_smallest_keys(
            steps in prop::collection::vec((0..ENDPOINTS, prop::option::weighted(0.7, 0_u32..100)), 1..100),
        ) {
            let mut heap = Heap::new(ENDPOINTS);
            let mut model = BTreeMap::new();
            for (number, (endpoint, key)) in steps.into_iter().enumerate() {
                if let Some(key) = key {
                    heap.set(endpoint, (key, number));
                    model.insert(endpoint, (key, number));
                } else {
                    heap.remove(endpoint);
                    model.remove(&endpoint);
                }
                let mut order: Vec<usize> = model.keys().copied().collect();
                order.sort_by_key(|endpoint| model[endpoint]);
                prop_assert_eq!(heap.first(None), order.first().copied());
                if let Some(first) = order.first() {
                    prop_assert_eq!(heap.first(Some(*first)), order.get(1).copied());
                }
                prop_assert!((0..ENDPOINTS).all(|e| heap.contains(e) == model.contains_key(&e)));
            }
        }
    }
}
