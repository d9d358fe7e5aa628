//! Who waits for a descriptor, and who may have one to spare.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// While every descriptor is in use, those who want one are noted here, and those who keep some for later are
/// called to close one for each. In a cache line of its own: whoever gives a descriptor back reads the flag.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Scarcity {
    is_there: AtomicBool,
    lists: Mutex<Lists>,
}

#[derive(Debug, Default)]
struct Lists {
    wanting: Vec<Waker>,
    /// Those of them for whom nobody has closed anything yet.
    unshed: usize,
    /// By worker.
    shedders: Vec<Option<Waker>>,
}

impl Scarcity {
    pub(super) fn is_there(&self) -> bool {
        self.is_there.load(Relaxed)
    }

    /// One more is wanted; whoever wants it is woken when one is given back.
    pub(super) fn want(&self, waker: Waker) {
        let mut lists = self.lock();
        lists.wanting.push(waker);
        lists.unshed += 1;
        self.is_there.store(true, Relaxed);
        let shedders: Vec<Waker> = lists.shedders.iter().flatten().cloned().collect();
        drop(lists);
        shedders.into_iter().for_each(Waker::wake);
    }

    /// This worker is woken when one is wanted.
    pub(super) fn call(&self, worker: usize, waker: &Waker) {
        let mut lists = self.lock();
        if lists.shedders.len() <= worker {
            lists.shedders.resize(worker + 1, None);
        }
        lists.shedders[worker] = Some(waker.clone());
    }

    /// Whether the caller is to close something, for one of those who want a descriptor.
    pub(super) fn claim(&self) -> bool {
        let mut lists = self.lock();
        let is_wanted = lists.unshed > 0;
        lists.unshed -= usize::from(is_wanted);
        is_wanted
    }

    /// One was given back.
    pub(super) fn given_back(&self) {
        if !self.is_there() {
            return;
        }
        let mut lists = self.lock();
        let wanting = std::mem::take(&mut lists.wanting);
        lists.unshed = 0;
        self.is_there.store(false, Relaxed);
        drop(lists);
        wanting.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    #[derive(Default)]
    struct Counting(AtomicUsize);

    impl Wake for Counting {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn one_is_closed_for_each_that_is_wanted_and_whoever_wants_one_is_told() {
        let (scarcity, wanting, shedding) =
            (Scarcity::default(), Arc::<Counting>::default(), Arc::<Counting>::default());
        let woken = |who: &Arc<Counting>| who.0.load(Relaxed);
        scarcity.call(1, &Waker::from(Arc::clone(&shedding)));
        assert!(!scarcity.is_there() && !scarcity.claim());
        (0..2).for_each(|_| scarcity.want(Waker::from(Arc::clone(&wanting))));
        assert_eq!((woken(&shedding), woken(&wanting), scarcity.is_there()), (2, 0, true));
        assert_eq!([(); 3].map(|()| scarcity.claim()), [true, true, false]);
        scarcity.given_back();
        assert_eq!((woken(&wanting), scarcity.is_there()), (2, false));
        scarcity.given_back();
        assert_eq!(woken(&wanting), 2);
    }
}
