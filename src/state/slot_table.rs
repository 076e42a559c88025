//! A hash index from stored hashes to ids, which knows nothing of what the ids stand for.
//!
//! Open addressing with linear probing over words of (upper 32 bits of the hash, id). The position follows from the
//! stored half, so growing needs no rehash; removing shifts back what follows, so there are no tombstones. The caller
//! compares values: several ids may share a hash.
//!
//! Invariant: from an entry's home position to the entry there is no empty word.

const EMPTY: u64 = u64::MAX;
const FIRST_SIZE: usize = 16;

/// Ids by hash. Id `u32::MAX` is not allowed.
#[derive(Debug, Default)]
pub struct SlotTable {
    words: Vec<u64>,
    len: usize,
}

impl SlotTable {
    /// An empty table, which holds no memory.
    pub fn new() -> Self {
        SlotTable::default()
    }

    /// How many ids are stored.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The bytes held.
    pub fn size(&self) -> usize {
        self.words.capacity() * size_of::<u64>()
    }

    /// The id at the home position of `hash` if its stored half agrees: a cheap first guess, often the answer.
    #[inline(always)]
    pub fn peek(&self, hash: u64) -> u32 {
        match self.words.get(self.home(hash >> 32)) {
            Some(&word) if word >> 32 == hash >> 32 => word as u32,
            _ => u32::MAX,
        }
    }

    /// Reads the home position of each hash, so that the cache misses of later searches overlap.
    #[inline]
    pub fn prefetch(&self, hashes: &[u64]) {
        std::hint::black_box(hashes.iter().fold(0, |sum, &hash| sum ^ self.peek(hash)));
    }

    /// The first id of this hash for which `same` holds.
    #[inline]
    pub fn find(&self, hash: u64, mut same: impl FnMut(u32) -> bool) -> Option<u32> {
        if self.len == 0 {
            return None;
        }
        let tag = hash >> 32;
        let mask = self.words.len() - 1;
        let mut at = self.home(tag);
        loop {
            let word = self.words[at & mask];
            if word == EMPTY {
                return None;
            }
            if word >> 32 == tag && same(word as u32) {
                return Some(word as u32);
            }
            at += 1;
        }
    }

    /// Adds an id, which must not be in the table.
    #[inline]
    pub fn insert(&mut self, hash: u64, id: u32) {
        if (self.len + 1) * 8 > self.words.len() * 5 {
            self.grow();
        }
        self.place((hash >> 32) << 32 | u64::from(id));
        self.len += 1;
    }

    /// Removes an id; false if it was not there.
    pub fn remove(&mut self, hash: u64, id: u32) -> bool {
        if self.len == 0 {
            return false;
        }
        let wanted = (hash >> 32) << 32 | u64::from(id);
        let mask = self.words.len() - 1;
        let mut hole = self.home(hash >> 32);
        while self.words[hole] != wanted {
            if self.words[hole] == EMPTY {
                return false;
            }
            hole = (hole + 1) & mask;
        }
        let mut next = hole;
        loop {
            next = (next + 1) & mask;
            let word = self.words[next];
            if word == EMPTY {
                break;
            }
            let home = self.home(word >> 32);
            if (next.wrapping_sub(home) & mask) >= (next.wrapping_sub(hole) & mask) {
                self.words[hole] = word;
                hole = next;
            }
        }
        self.words[hole] = EMPTY;
        self.len -= 1;
        true
    }

    /// The position where the search for a stored half begins: its upper bits.
    #[inline(always)]
    fn home(&self, tag: u64) -> usize {
        let bits = self.words.len().trailing_zeros() & 63;
        ((tag << bits) >> 32) as usize
    }

    #[inline]
    fn place(&mut self, word: u64) {
        let mask = self.words.len() - 1;
        let mut at = self.home(word >> 32);
        while self.words[at] != EMPTY {
            at = (at + 1) & mask;
        }
        self.words[at] = word;
    }

    #[cold]
    fn grow(&mut self) {
        let size = (self.words.len() * 2).max(FIRST_SIZE);
        let old = std::mem::replace(&mut self.words, vec![EMPTY; size]);
        for word in old {
            if word != EMPTY {
                self.place(word);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::testing::Random;
    use std::collections::HashMap;

    #[test]
    fn behaves_as_a_map_under_collisions_and_removals() {
        for seed in 1..=4 {
            let mut random = Random::new(seed);
            let mut table = SlotTable::new();
            let mut model: HashMap<u32, u64> = HashMap::new();
            for id in 0..3000u32 {
                // Few distinct upper halves, also at the very end of the table, so that runs wrap around.
                let hash = (u64::MAX << 40 | random.below(50) << 34).rotate_left((random.below(3) * 9) as u32);
                table.insert(hash, id);
                model.insert(id, hash);
                if random.below(3) == 0 {
                    let victim = random.below(u64::from(id) + 1) as u32;
                    let expected = model.remove(&victim);
                    let hash = expected.unwrap_or(hash);
                    assert_eq!(table.remove(hash, victim), expected.is_some(), "seed {seed}");
                }
            }
            assert_eq!(table.len(), model.len());
            for (&id, &hash) in &model {
                assert_eq!(table.find(hash, |found| found == id), Some(id), "seed {seed}");
            }
            assert_eq!(table.find(7 << 32, |_| true), None);
        }
    }
}
