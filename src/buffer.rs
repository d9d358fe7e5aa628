//! Byte buffers, lent by their worker only while bytes are in flight.
//!
//! An idle connection holds no buffer: what a proxy of many idle clients costs is decided here. What one of
//! many busy clients costs, too: once the process's [`BufferMemory`] is used up, buffers are as small as they
//! can be of use, and what needs more is refused.

mod memory;

pub use memory::BufferMemory;

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::sync::Arc;

/// The size that every buffer starts with while memory is short, in bytes: most heads fit.
pub const TINY: usize = 2 * 1024;
/// The size that every other buffer starts with, in bytes.
pub const SMALL: usize = 16 * 1024;
/// The size that a buffer of a long body grows to, in bytes.
pub const LARGE: usize = 64 * 1024;
/// Free buffers of each size kept by a worker; more go back to the allocator.
const KEPT: usize = 256;
/// The capacity beyond which a head's buffer is not kept.
const HEAD_KEPT: usize = 16 * 1024;

/// Bytes between a reader, which appends, and a writer, which takes from the front.
#[derive(Debug)]
pub struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// An empty buffer of this many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: vec![0; bytes].into_boxed_slice(), start: 0, end: 0 }
    }

    /// A buffer without memory.
    fn none() -> Self {
        Self { bytes: Box::default(), start: 0, end: 0 }
    }

    /// The bytes read and not yet taken.
    pub fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The same, to be rewritten in place.
    pub fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// How many bytes are filled.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether no byte is filled.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// How many bytes it holds when full.
    pub fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Whether no byte more can be read.
    pub fn is_full(&self) -> bool {
        self.len() == self.capacity() && !self.is_empty()
    }

    /// Takes `count` bytes from the front.
    pub fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.len(), "consumed more than was filled");
        self.start += count;
        if self.start >= self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Where the next read goes; empty only when the buffer is full.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start > 0 && self.end == self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut self.bytes[self.end..]
    }

    /// `count` bytes of [`Self::space`] were filled.
    pub fn advance(&mut self, count: usize) {
        debug_assert!(self.end + count <= self.bytes.len(), "more was read than there was space");
        self.end += count;
    }

    /// Makes room for `capacity` bytes in all.
    fn reserve(&mut self, capacity: usize) {
        if capacity > self.bytes.len() {
            let mut grown = vec![0; capacity].into_boxed_slice();
            grown[..self.len()].copy_from_slice(self.filled());
            (self.start, self.end, self.bytes) = (0, self.len(), grown);
        }
    }

    fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }
}

/// One worker's free buffers.
#[derive(Debug, Default)]
pub struct BufferPool {
    memory: Arc<BufferMemory>,
    small: RefCell<Vec<Buffer>>,
    large: RefCell<Vec<Buffer>>,
    heads: RefCell<Vec<Vec<u8>>>,
}

impl BufferPool {
    /// One that takes its memory out of this.
    pub fn new(memory: Arc<BufferMemory>) -> Self {
        Self { memory, small: RefCell::default(), large: RefCell::default(), heads: RefCell::default() }
    }

    /// A buffer that takes its memory from here when the first byte is read into it.
    pub fn lend(self: &Rc<Self>) -> Lent {
        Lent { buffer: Buffer::none(), pool: Rc::clone(self) }
    }

    /// A vector for a head, which takes its memory from here when it is first written.
    pub fn lend_head(self: &Rc<Self>) -> LentHead {
        LentHead { bytes: Vec::new(), pool: Rc::clone(self) }
    }

    /// A buffer to begin with.
    fn take(&self) -> Buffer {
        if let Some(free) = self.small.borrow_mut().pop() {
            return free;
        }
        if self.allot(SMALL) {
            return Buffer::with_capacity(SMALL);
        }
        self.memory.take_regardless(cost(TINY));
        Buffer::with_capacity(TINY)
    }

    /// Counts a buffer of this capacity that is about to be made. `false`: there is no memory for it.
    fn allot(&self, capacity: usize) -> bool {
        self.memory.take(cost(capacity)) || self.shed() && self.memory.take(cost(capacity))
    }

    /// Frees what is free here. `false`: nothing is.
    fn shed(&self) -> bool {
        let (small, large) = (self.small.take(), self.large.take());
        let freed = small.len() * cost(SMALL) + large.len() * cost(LARGE);
        self.memory.give_back(freed);
        freed > 0
    }

    fn take_back(&self, mut buffer: Buffer) {
        let capacity = buffer.capacity();
        let list = match capacity {
            0 => return,
            SMALL => Some(&self.small),
            LARGE => Some(&self.large),
            _ => None,
        };
        if let Some(list) = list.filter(|list| list.borrow().len() < KEPT)
            && self.memory.is_ample()
        {
            buffer.clear();
            list.borrow_mut().push(buffer);
            return;
        }
        self.memory.give_back(cost(capacity));
    }
}

impl Drop for BufferPool {
    fn drop(&mut self) {
        self.shed();
    }
}

/// What a buffer of this capacity is counted as, in bytes. From what is read into one that is not for long
/// bodies a head may be rewritten, which is about as long again.
fn cost(capacity: usize) -> usize {
    if capacity == LARGE { capacity } else { 2 * capacity }
}

/// A buffer on loan. Its memory goes back when it is dropped, or empty and [at rest](Self::rest).
#[derive(Debug)]
pub struct Lent {
    buffer: Buffer,
    pool: Rc<BufferPool>,
}

impl Lent {
    /// Where the next read goes; empty only when the buffer is full.
    pub fn space(&mut self) -> &mut [u8] {
        if self.buffer.capacity() == 0 {
            self.buffer = self.pool.take();
        }
        self.buffer.space()
    }

    /// Makes room for `capacity` bytes in all. `false`: there is no memory for them.
    #[must_use]
    pub fn reserve(&mut self, capacity: usize) -> bool {
        if capacity <= self.capacity() {
            return true;
        }
        if !self.pool.allot(capacity) {
            return false;
        }
        let smaller = cost(self.capacity());
        self.buffer.reserve(capacity);
        self.pool.memory.give_back(smaller);
        true
    }

    /// Gives the memory back if no byte is in it: a connection that waits holds none.
    pub fn rest(&mut self) {
        if self.buffer.is_empty() && self.buffer.capacity() > 0 {
            self.pool.take_back(std::mem::replace(&mut self.buffer, Buffer::none()));
        }
    }

    /// Exchanges a small buffer for a large one: fewer system calls for a long body. While memory is short, it
    /// stays as it is, or becomes a small one if it was less.
    pub fn enlarge(&mut self) {
        if self.capacity() >= LARGE {
            return;
        }
        let free = self.pool.large.borrow_mut().pop();
        let mut large = match free {
            Some(free) => free,
            None if self.pool.allot(LARGE) => Buffer::with_capacity(LARGE),
            None => {
                let _grown = self.reserve(SMALL);
                return;
            }
        };
        large.space()[..self.len()].copy_from_slice(self.filled());
        large.advance(self.len());
        self.pool.take_back(std::mem::replace(&mut self.buffer, large));
    }
}

impl Deref for Lent {
    type Target = Buffer;

    fn deref(&self) -> &Buffer {
        &self.buffer
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Buffer {
        &mut self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.pool.take_back(std::mem::replace(&mut self.buffer, Buffer::none()));
    }
}

/// A vector on loan for a head; it goes back when dropped.
#[derive(Debug)]
pub struct LentHead {
    bytes: Vec<u8>,
    pool: Rc<BufferPool>,
}

impl LentHead {
    /// The vector, to be written.
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = self.pool.heads.borrow_mut().pop().unwrap_or_default();
        }
        &mut self.bytes
    }

    /// Gives the memory back.
    pub fn rest(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        let mut heads = self.pool.heads.borrow_mut();
        if bytes.capacity() > 0 && bytes.capacity() <= HEAD_KEPT && heads.len() < KEPT {
            bytes.clear();
            heads.push(bytes);
        }
    }
}

impl Deref for LentHead {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl Drop for LentHead {
    fn drop(&mut self) {
        self.rest();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(buffer: &mut Buffer, bytes: &[u8]) {
        buffer.space()[..bytes.len()].copy_from_slice(bytes);
        buffer.advance(bytes.len());
    }

    #[test]
    fn what_is_taken_makes_room_again() {
        let mut buffer = Buffer::with_capacity(4);
        put(&mut buffer, b"abcd");
        assert!(buffer.is_full() && buffer.space().is_empty());
        buffer.consume(3);
        put(&mut buffer, b"ef");
        assert_eq!(buffer.filled(), b"def");
        buffer.reserve(8);
        assert_eq!((buffer.filled(), buffer.capacity()), (&b"def"[..], 8));
    }

    #[test]
    fn a_returned_buffer_is_lent_again_and_is_empty() {
        let pool = Rc::new(BufferPool::default());
        let mut lent = pool.lend();
        lent.space();
        put(&mut lent, b"secret");
        lent.enlarge();
        assert_eq!((lent.filled(), lent.capacity()), (&b"secret"[..], LARGE));
        drop(lent);
        assert_eq!((pool.small.borrow().len(), pool.large.borrow().len()), (1, 1));
        let mut again = pool.lend();
        assert_eq!((again.space().len(), again.len()), (SMALL, 0));
        assert_eq!(pool.small.borrow().len(), 0);
        again.rest();
        assert_eq!((again.capacity(), pool.small.borrow().len()), (0, 1));
    }

    #[test]
    fn a_buffer_with_bytes_keeps_its_memory_at_rest() {
        let pool = Rc::new(BufferPool::default());
        let mut lent = pool.lend();
        lent.space()[0] = b'x';
        lent.advance(1);
        lent.rest();
        assert_eq!(lent.filled(), b"x");
    }

    fn pool_of(limit: usize) -> (Rc<BufferPool>, Arc<BufferMemory>) {
        let memory = Arc::new(BufferMemory::default());
        memory.set_limit(limit);
        (Rc::new(BufferPool::new(Arc::clone(&memory))), memory)
    }

    #[test]
    fn once_memory_is_used_up_buffers_are_tiny_and_grow_no_more() {
        let (pool, memory) = pool_of(2 * cost(SMALL) + cost(TINY));
        let mut lent: Vec<Lent> = (0..4).map(|_| pool.lend()).collect();
        let sizes: Vec<usize> = lent.iter_mut().map(|one| one.space().len()).collect();
        assert_eq!(sizes, [SMALL, SMALL, TINY, TINY]);
        assert_eq!(memory.used(), 2 * cost(SMALL) + 2 * cost(TINY), "the last one is beyond the limit");
        lent.iter_mut().for_each(Lent::enlarge);
        assert!(!lent[0].reserve(SMALL + 1) && !lent[2].reserve(TINY + 1));
        assert_eq!(lent.iter().map(|one| one.capacity()).collect::<Vec<_>>(), sizes);
        assert!(lent[0].reserve(SMALL), "it has as much");
        lent.drain(..2);
        put(&mut lent[0].buffer, b"kept");
        lent[0].enlarge();
        assert_eq!((lent[0].capacity(), lent[0].filled()), (SMALL, &b"kept"[..]));
        drop(lent);
        assert_eq!(memory.used(), pool.small.borrow().len() * cost(SMALL));
        drop(pool);
        assert_eq!(memory.used(), 0, "a worker that ends keeps nothing");
    }

    #[test]
    fn what_is_free_is_given_up_for_what_is_needed() {
        let (pool, memory) = pool_of(3 * cost(SMALL));
        let mut lent = [pool.lend(), pool.lend()];
        lent.iter_mut().for_each(|one| _ = one.space());
        drop(lent);
        assert_eq!((pool.small.borrow().len(), memory.used()), (2, 2 * cost(SMALL)));
        let mut one = pool.lend();
        one.space();
        assert!(one.reserve(2 * SMALL), "there is no room for it beside the free one");
        assert_eq!((pool.small.borrow().len(), memory.used()), (0, cost(2 * SMALL)));
        drop(one);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn the_last_quarter_is_not_kept_free() {
        let (pool, memory) = pool_of(4 * cost(SMALL));
        let mut lent: Vec<Lent> = (0..4).map(|_| pool.lend()).collect();
        lent.iter_mut().for_each(|one| _ = one.space());
        lent.pop();
        assert_eq!((pool.small.borrow().len(), memory.used()), (0, 3 * cost(SMALL)));
        lent.pop();
        assert_eq!((pool.small.borrow().len(), memory.used()), (1, 3 * cost(SMALL)));
    }
}
