//! Chance, and where the last search ended: what decisions depend on beside the cluster.

/// A small generator of numbers that nobody has to be unable to guess.
#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
    next: usize,
}

impl Dice {
    /// Dice that fall in the same way for the same seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            state: seed | 1,
            next: 0,
        }
    }

    /// A number below this one.
    pub fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let bound = u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
        usize::try_from((self.state >> 11) % bound).unwrap_or(0)
    }

    /// Where among so many to begin: where the last search ended.
    #[must_use]
    pub fn start(&self, among: usize) -> usize {
        if among == 0 { 0 } else { self.next % among }
    }

    /// So many were looked at.
    pub fn advance(&mut self, by: usize) {
        self.next = self.next.wrapping_add(by);
    }
}
