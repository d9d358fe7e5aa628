//! What the targets have in common: a strict reader that knows nothing of the product's, sockets in memory, and
//! splits of their input.

pub mod judge;
pub mod memory;

/// Takes bytes off the front of an input that steer a target.
#[derive(Debug)]
pub struct Steering<'a>(&'a [u8]);

impl<'a> Steering<'a> {
    /// The first `count` bytes steer; the rest is returned, to be tried.
    pub fn split(input: &'a [u8], count: usize) -> (Self, &'a [u8]) {
        let (steering, rest) = input.split_at(count.min(input.len()));
        (Self(steering), rest)
    }

    /// The next byte; 0 when there is none left.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }
}

/// The lengths of the pieces in which bytes come: made of a few, again and again. 0 stands for all that is left.
#[derive(Clone, Debug)]
pub struct Splits {
    lengths: Vec<u8>,
    next: usize,
}

impl Splits {
    /// Takes the lengths from what steers.
    pub fn new(steering: &mut Steering<'_>, count: usize) -> Self {
        Self { lengths: (0..count).map(|_| steering.byte()).collect(), next: 0 }
    }

    /// Everything at once.
    pub fn none() -> Self {
        Self { lengths: vec![0], next: 0 }
    }

    /// How many of `left` bytes come next: at least one, if there is one.
    pub fn next(&mut self, left: usize) -> usize {
        let length = usize::from(self.lengths[self.next % self.lengths.len()]);
        self.next += 1;
        if length == 0 { left } else { length.min(left) }
    }

    /// Where the pieces of `len` bytes end.
    pub fn ends(mut self, len: usize) -> Vec<usize> {
        let mut ends = Vec::new();
        let mut at = 0;
        while at < len {
            at += self.next(len - at);
            ends.push(at);
        }
        if ends.is_empty() { vec![0] } else { ends }
    }
}
