//! One of something for each worker, which workers that come later add to.

use std::iter::{FlatMap, Successors};
use std::ops::Index;
use std::sync::OnceLock;

/// One `T` for each worker that there ever was. It only grows, without moving what is there, so that
/// workers read and write their own through plain references while others come.
#[derive(Debug)]
pub struct PerWorker<T> {
    own: Box<[T]>,
    more: OnceLock<Box<PerWorker<T>>>,
}

type Next<'a, T> = fn(&&'a PerWorker<T>) -> Option<&'a PerWorker<T>>;
type Own<'a, T> = fn(&'a PerWorker<T>) -> std::slice::Iter<'a, T>;

/// All of them, by worker.
pub type Iter<'a, T> =
    FlatMap<Successors<&'a PerWorker<T>, Next<'a, T>>, std::slice::Iter<'a, T>, Own<'a, T>>;

impl<T: Default> PerWorker<T> {
    /// One for each of this many workers.
    pub fn new(workers: usize) -> Self {
        Self { own: (0..workers).map(|_| T::default()).collect(), more: OnceLock::new() }
    }

    /// Sees to it that there is one for each of this many workers. Only one thread may do so at a time;
    /// of two, one would have too few.
    pub fn grow_to(&self, workers: usize) {
        let missing = workers.saturating_sub(self.own.len());
        if missing > 0 {
            self.more.get_or_init(|| Box::new(Self::new(missing))).grow_to(missing);
        }
    }
}

impl<T> PerWorker<T> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.own.len() + self.more.get().map_or(0, |more| more.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, by worker.
    pub fn iter(&self) -> impl Iterator<Item = &T> + Clone {
        self.chunks()
    }

    fn chunks(&self) -> Iter<'_, T> {
        let next: Next<'_, T> = |chunk| chunk.more.get().map(|more| &**more);
        let own: Own<'_, T> = |chunk| chunk.own.iter();
        std::iter::successors(Some(self), next).flat_map(own)
    }
}

impl<T> Index<usize> for PerWorker<T> {
    type Output = T;

    fn index(&self, worker: usize) -> &T {
        match self.own.get(worker) {
            Some(own) => own,
            None => {
                let more = self.more.get().expect("a worker is given its place before it runs");
                &more[worker - self.own.len()]
            }
        }
    }
}

impl<'a, T> IntoIterator for &'a PerWorker<T> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.chunks()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn it_grows_without_moving_what_is_there() {
        let all: PerWorker<Cell<usize>> = PerWorker::new(2);
        let first = &all[0];
        first.set(7);
        for (wanted, there) in [(1, 2), (3, 3), (2, 3), (8, 8)] {
            all.grow_to(wanted);
            assert_eq!(all.len(), there);
        }
        (0..8).for_each(|worker| all[worker].set(all[worker].get() + worker));
        assert_eq!(all.iter().map(Cell::get).collect::<Vec<_>>(), [7, 1, 2, 3, 4, 5, 6, 7]);
        assert!(std::ptr::eq(first, &all[0]) && !all.is_empty());
    }
}
