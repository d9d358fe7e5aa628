//! The queues of connections that the kernel has established and nobody has accepted: one for each
//! listening socket, which is one for each worker.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The time of which the deepest is told. One that is cleared by whoever reads it would be lost to all
/// others; a minute is as long as monitoring takes from one look to the next.
pub const WINDOW: Duration = Duration::from_secs(60);

/// The listening sockets of one address.
#[derive(Debug, Default)]
pub struct AcceptQueues(Mutex<Queues>);

#[derive(Debug, Default)]
struct Queues {
    queues: Vec<Queue>,
    /// Of sockets that are closed.
    drops: u64,
}

#[derive(Debug)]
struct Queue {
    inode: u32,
    /// `None`: several workers accept from it.
    worker: Option<usize>,
    last: Option<(Instant, Sample)>,
    /// Each deeper than those behind it, the deepest of the last minute first.
    deepest: VecDeque<(Instant, u32)>,
    drops_total: u64,
}

/// What a listening socket is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Connections that wait.
    pub depth: u32,
    /// The backlog in force. The kernel drops connections while more than these wait.
    pub limit: u32,
    /// SYNs and connections dropped since the socket was made, in a counter of 32 bits; `None`: this
    /// kernel does not say.
    pub drops: Option<u32>,
}

/// What is known of one listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFigures {
    /// The worker that accepts from it; `None`: several do.
    pub worker: Option<usize>,
    /// Connections that waited at the last look.
    pub depth: u32,
    /// The backlog in force.
    pub limit: u32,
    /// The most that have waited at a look within [`WINDOW`].
    pub deepest: u32,
    /// SYNs and connections that it has dropped.
    pub drops_total: u64,
}

impl AcceptQueues {
    /// These are the sockets' inodes, each with the worker that accepts from it; `None`: several do.
    pub fn belong(&self, sockets: impl IntoIterator<Item = (u32, Option<usize>)>) {
        let queues = &mut self.lock().queues;
        for (inode, worker) in sockets {
            match queues.iter_mut().find(|queue| queue.inode == inode) {
                Some(queue) => queue.worker = worker,
                None => queues.push(Queue::new(inode, worker)),
            }
        }
    }

    /// A look at the socket with this inode. Returns its worker, and what it has dropped since the last
    /// look; `None`: it is none of these.
    pub fn sample(&self, inode: u32, sample: Sample, now: Instant) -> Option<(Option<usize>, u32)> {
        let queues = &mut self.lock().queues;
        let queue = queues.iter_mut().find(|queue| queue.inode == inode)?;
        Some((queue.worker, queue.sample(sample, now)))
    }

    /// The look at `now` is over: whoever was found by the one before and not by this one is closed.
    pub fn looked(&self, now: Instant) {
        let Queues { queues, drops } = &mut *self.lock();
        queues.retain(|queue| {
            let is_there = queue.last.is_none_or(|(at, _)| at == now);
            *drops += if is_there { 0 } else { queue.drops_total };
            is_there
        });
    }

    /// What is known of those that have been looked at, by worker.
    pub fn figures(&self, now: Instant) -> Vec<QueueFigures> {
        let queues = &mut self.lock().queues;
        let mut figures: Vec<_> = queues.iter_mut().filter_map(|queue| queue.figures(now)).collect();
        figures.sort_by_key(|queue| queue.worker);
        figures
    }

    /// SYNs and connections that all of them have dropped, those that are closed included.
    pub fn drops_total(&self) -> u64 {
        let Queues { queues, drops } = &*self.lock();
        drops + queues.iter().map(|queue| queue.drops_total).sum::<u64>()
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn new(inode: u32, worker: Option<usize>) -> Self {
        Self { inode, worker, last: None, deepest: VecDeque::new(), drops_total: 0 }
    }

    fn sample(&mut self, sample: Sample, now: Instant) -> u32 {
        let before = self.last.replace((now, sample)).and_then(|(_, last)| last.drops);
        // The socket is younger than this process: what it had dropped before the first look is ours.
        let dropped = sample.drops.map_or(0, |drops| drops.wrapping_sub(before.unwrap_or(0)));
        self.drops_total += u64::from(dropped);
        while self.deepest.back().is_some_and(|(_, depth)| *depth <= sample.depth) {
            self.deepest.pop_back();
        }
        self.deepest.push_back((now, sample.depth));
        dropped
    }

    fn figures(&mut self, now: Instant) -> Option<QueueFigures> {
        let (_, last) = self.last?;
        while self.deepest.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > WINDOW) {
            self.deepest.pop_front();
        }
        Some(QueueFigures {
            worker: self.worker,
            depth: last.depth,
            limit: last.limit,
            deepest: self.deepest.front().map_or(last.depth, |(_, depth)| *depth),
            drops_total: self.drops_total,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(depth: u32, drops: u32) -> Sample {
        Sample { depth, limit: 8, drops: Some(drops) }
    }

    fn figures(queues: &AcceptQueues, now: Instant) -> Vec<(Option<usize>, u32, u32, u64)> {
        queues.figures(now).iter().map(|q| (q.worker, q.depth, q.deepest, q.drops_total)).collect()
    }

    #[test]
    fn the_deepest_of_the_last_minute_is_told_to_everybody() {
        let (queues, start) = (AcceptQueues::default(), Instant::now());
        let at = |s| start + Duration::from_secs(s);
        queues.belong([(7, Some(0))]);
        assert_eq!(figures(&queues, start), [], "nobody has looked");
        for (second, depth) in [(0, 3), (1, 7), (2, 5), (3, 1)] {
            queues.sample(7, sample(depth, 0), at(second)).unwrap();
        }
        for _ in 0..2 {
            assert_eq!(figures(&queues, at(61)), [(Some(0), 1, 7, 0)]);
        }
        assert_eq!(figures(&queues, at(62)), [(Some(0), 1, 5, 0)]);
        assert_eq!(figures(&queues, at(63)), [(Some(0), 1, 1, 0)]);
    }

    #[test]
    fn drops_are_counted_past_the_end_of_the_kernels_counter() {
        let (queues, now) = (AcceptQueues::default(), Instant::now());
        queues.belong([(7, Some(1))]);
        let dropped = |drops| queues.sample(7, sample(0, drops), now).unwrap();
        assert_eq!(dropped(u32::MAX - 1), (Some(1), u32::MAX - 1), "from the socket's beginning on");
        assert_eq!((dropped(u32::MAX - 1), dropped(2)), ((Some(1), 0), (Some(1), 4)));
        assert_eq!(figures(&queues, now), [(Some(1), 0, 0, u64::from(u32::MAX) + 3)]);
        assert_eq!(queues.sample(8, sample(0, 0), now), None, "somebody else's");
        queues.sample(7, Sample { drops: None, ..sample(4, 0) }, now);
        assert_eq!(figures(&queues, now), [(Some(1), 4, 4, u64::from(u32::MAX) + 3)]);
    }

    #[test]
    fn a_socket_may_go_from_worker_to_worker() {
        let (queues, now) = (AcceptQueues::default(), Instant::now());
        queues.belong([(7, Some(0)), (8, Some(1)), (9, Some(2))]);
        queues.belong([(7, None), (9, Some(0))]);
        [9, 8, 7].into_iter().for_each(|inode| assert!(queues.sample(inode, sample(1, 0), now).is_some()));
        let workers: Vec<_> = queues.figures(now).iter().map(|queue| queue.worker).collect();
        assert_eq!(workers, [None, Some(0), Some(1)]);
    }

    #[test]
    fn what_is_closed_is_gone_and_its_drops_stay() {
        let (queues, now) = (AcceptQueues::default(), Instant::now());
        let later = now + Duration::from_secs(1);
        queues.belong([(7, Some(0)), (8, Some(1))]);
        [7, 8].into_iter().for_each(|inode| assert!(queues.sample(inode, sample(1, 5), now).is_some()));
        queues.belong([(9, Some(2))]);
        queues.looked(now);
        queues.sample(8, sample(1, 6), later).unwrap();
        queues.looked(later);
        assert_eq!((figures(&queues, later), queues.drops_total()), (vec![(Some(1), 1, 1, 6)], 11));
        assert!(queues.sample(9, sample(0, 0), later).is_some(), "that nobody has seen yet");
    }
}
