//! The queue of those who wait for something, first come first served (pure).

use slab::Slab;
use std::collections::VecDeque;
use std::task::{Poll, Waker};

/// A place in the queue; valid until the waiter has its delivery or gives up.
pub type Key = usize;

/// Waiters in the order of their arrival, each with what it was given.
#[derive(Debug)]
pub struct Waiters<T> {
    places: Slab<Place<T>>,
    /// Keys of those that have been given nothing yet. One that gave up stays here until its turn;
    /// the generation tells it from a newcomer in its place.
    order: VecDeque<(Key, u64)>,
    waiting: usize,
    /// Those of them that insist.
    insisting: usize,
    generation: u64,
}

#[derive(Debug)]
struct Place<T> {
    generation: u64,
    insists: bool,
    wants_fresh: bool,
    given: Option<T>,
    waker: Option<Waker>,
}

impl<T> Waiters<T> {
    /// An empty queue.
    pub fn new() -> Self {
        Self { places: Slab::new(), order: VecDeque::new(), waiting: 0, insisting: 0, generation: 0 }
    }

    /// How many have been given nothing yet.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many of them insist.
    pub fn insisting(&self) -> usize {
        self.insisting
    }

    /// Joins the queue.
    pub fn join(&mut self) -> Key {
        self.generation += 1;
        let key = self.places.insert(Place {
            generation: self.generation,
            insists: false,
            wants_fresh: false,
            given: None,
            waker: None,
        });
        self.order.push_back((key, self.generation));
        self.waiting += 1;
        key
    }

    /// This waiter insists from now on. Its turn comes no sooner: whoever provides is to do more for it.
    pub fn insist(&mut self, key: Key) {
        let place = &mut self.places[key];
        if place.given.is_none() && !place.insists {
            place.insists = true;
            self.insisting += 1;
        }
    }

    /// This waiter is passed over by [`Self::give_used`].
    pub fn want_fresh(&mut self, key: Key) {
        self.places[key].wants_fresh = true;
    }

    /// Gives `value` to whoever has waited longest; back, if nobody waits.
    pub fn give(&mut self, value: T) -> Result<(), T> {
        self.give_next(value, true)
    }

    /// Gives `value` to whoever has waited longest of those who do not want a fresh one.
    pub fn give_used(&mut self, value: T) -> Result<(), T> {
        self.give_next(value, false)
    }

    fn give_next(&mut self, value: T, is_fresh: bool) -> Result<(), T> {
        let mut turn = 0;
        while let Some((key, generation)) = self.order.get(turn).copied() {
            let place = self.places.get_mut(key).filter(|place| place.generation == generation);
            if place.as_ref().is_some_and(|place| place.wants_fresh && !is_fresh) {
                turn += 1;
                continue;
            }
            self.order.remove(turn);
            let Some(place) = place else { continue };
            place.given = Some(value);
            self.waiting -= 1;
            self.insisting -= usize::from(place.insists);
            if let Some(waker) = place.waker.take() {
                waker.wake();
            }
            return Ok(());
        }
        Err(value)
    }

    /// What this waiter was given; it leaves the queue with it.
    pub fn poll(&mut self, key: Key, waker: &Waker) -> Poll<T> {
        let place = &mut self.places[key];
        match place.given.take() {
            Some(value) => {
                self.places.remove(key);
                Poll::Ready(value)
            }
            None => {
                place.waker = Some(waker.clone());
                Poll::Pending
            }
        }
    }

    /// Leaves the queue, with what was given and not yet taken.
    pub fn leave(&mut self, key: Key) -> Option<T> {
        let place = self.places.remove(key);
        if place.given.is_none() {
            self.waiting -= 1;
            self.insisting -= usize::from(place.insists);
            if self.waiting == 0 {
                self.order.clear();
            }
        }
        place.given
    }
}

impl<T> Default for Waiters<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(waiters: &mut Waiters<u32>, key: Key) -> Poll<u32> {
        waiters.poll(key, Waker::noop())
    }

    #[test]
    fn first_come_first_served() {
        let mut waiters = Waiters::new();
        assert_eq!(waiters.give(0), Err(0));
        let (a, b) = (waiters.join(), waiters.join());
        assert_eq!(waiters.give(1), Ok(()));
        assert_eq!(waiters.waiting(), 1);
        assert_eq!(poll(&mut waiters, b), Poll::Pending);
        assert_eq!(poll(&mut waiters, a), Poll::Ready(1));
        assert_eq!(waiters.give(2), Ok(()));
        assert_eq!(poll(&mut waiters, b), Poll::Ready(2));
        assert_eq!(waiters.give(3), Err(3));
    }

    #[test]
    fn one_that_left_is_passed_over_even_when_its_place_is_taken_again() {
        let mut waiters = Waiters::new();
        let (a, b) = (waiters.join(), waiters.join());
        assert_eq!(waiters.leave(a), None);
        let c = waiters.join();
        assert_eq!(c, a, "the slab gives the place out again");
        assert_eq!(waiters.give(1), Ok(()));
        assert_eq!(poll(&mut waiters, b), Poll::Ready(1));
        assert_eq!(waiters.give(2), Ok(()));
        assert_eq!(poll(&mut waiters, c), Poll::Ready(2));
    }

    #[test]
    fn who_insists_is_counted_while_it_waits() {
        let mut waiters = Waiters::new();
        let [a, b, c] = [waiters.join(), waiters.join(), waiters.join()];
        for key in [b, b, c] {
            waiters.insist(key);
        }
        assert_eq!(waiters.insisting(), 2);
        assert_eq!((waiters.give(1), waiters.insisting()), (Ok(()), 2), "first come first served");
        assert_eq!((waiters.leave(c), waiters.insisting()), (None, 1));
        assert_eq!((waiters.give(2), waiters.insisting()), (Ok(()), 0));
        waiters.insist(a);
        assert_eq!(waiters.insisting(), 0, "it has what it wants");
        assert_eq!(poll(&mut waiters, b), Poll::Ready(2));
    }

    #[test]
    fn who_wants_a_fresh_one_is_passed_over_with_a_used_one() {
        let mut waiters = Waiters::new();
        let [a, b, c] = [waiters.join(), waiters.join(), waiters.join()];
        waiters.want_fresh(a);
        waiters.want_fresh(c);
        assert_eq!(waiters.give_used(1), Ok(()));
        assert_eq!(waiters.give_used(2), Err(2));
        assert_eq!(waiters.waiting(), 2);
        assert_eq!((poll(&mut waiters, b), poll(&mut waiters, a)), (Poll::Ready(1), Poll::Pending));
        assert_eq!((waiters.give(3), waiters.give(4)), (Ok(()), Ok(())));
        assert_eq!((poll(&mut waiters, a), poll(&mut waiters, c)), (Poll::Ready(3), Poll::Ready(4)));
    }

    #[test]
    fn what_was_given_but_not_taken_is_handed_back() {
        let mut waiters = Waiters::new();
        let a = waiters.join();
        assert_eq!(waiters.give(7), Ok(()));
        assert_eq!(waiters.leave(a), Some(7));
        assert_eq!(waiters.waiting(), 0);
    }
}
