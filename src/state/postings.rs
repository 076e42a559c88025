//! Group id to slots, each list contiguous.
//!
//! A list of up to two slots lies in its 12-byte entry; a longer one is an extent of one arena, whose capacity is a
//! power of two and which moves to a larger one when full (and to a smaller one when three quarters empty). Freed
//! extents wait in a list of their size. No chains: reading a list touches one place. The order of a list means
//! nothing.

const INLINE: usize = 2;
/// Extents are measured in units of this many slots, so that a `u32` reaches 16 billion slots.
const UNIT: usize = 4;
/// Lists touched at a time.
pub const PREFETCHED: usize = 64;

/// Lists of slots by group.
#[derive(Debug, Default)]
pub struct Postings {
    entries: Vec<Entry>,
    arena: Vec<u32>,
    /// Freed extents by size class.
    free: Vec<Vec<u32>>,
}

/// A list: `words` are its slots if there are at most two, else (position in units, size class).
#[derive(Debug, Default, Clone, Copy)]
struct Entry {
    words: [u32; INLINE],
    len: u32,
}

impl Postings {
    /// No lists.
    pub fn new() -> Self {
        Postings::default()
    }

    /// Adds a slot to a group's list and returns its position there.
    #[inline]
    pub fn push(&mut self, group: u32, slot: u32) -> u32 {
        if group as usize >= self.entries.len() {
            self.entries.resize(group as usize + 1, Entry::default());
        }
        let entry = self.entries[group as usize];
        let len = entry.len as usize;
        if len < INLINE {
            self.entries[group as usize].words[len] = slot;
        } else {
            let entry = if len == INLINE || len == capacity(entry.words[1]) { self.enlarge(group) } else { entry };
            self.arena[entry.words[0] as usize * UNIT + len] = slot;
        }
        self.entries[group as usize].len += 1;
        len as u32
    }

    /// Adds slots given as `group << 32 | slot`, equal groups behind one another: each list is found and enlarged once.
    pub fn extend_sorted(&mut self, pairs: &[u64]) {
        for block in pairs.chunks(PREFETCHED) {
            self.prefetch(block.iter().map(|&pair| (pair >> 32) as u32));
            for run in block.chunk_by(|a, b| a >> 32 == b >> 32) {
                self.extend((run[0] >> 32) as u32, run.iter().map(|&pair| pair as u32));
            }
        }
    }

    fn extend(&mut self, group: u32, slots: impl ExactSizeIterator<Item = u32>) {
        let count = slots.len();
        self.reserve(group, count);
        let entry = self.entries[group as usize];
        let len = entry.len as usize;
        match len + count <= INLINE {
            true => self.entries[group as usize].words[len..].iter_mut().zip(slots).for_each(|(to, slot)| *to = slot),
            false => {
                let start = entry.words[0] as usize * UNIT + len;
                self.arena[start..start + count].iter_mut().zip(slots).for_each(|(to, slot)| *to = slot);
            }
        }
        self.entries[group as usize].len += count as u32;
    }

    /// Reads the ends of at most [`PREFETCHED`] lists, so that the cache misses of what is done with them next overlap.
    #[inline]
    pub fn prefetch(&self, groups: impl Iterator<Item = u32>) {
        let mut places = [0; PREFETCHED];
        for (place, group) in places.iter_mut().zip(groups) {
            let Some(entry) = self.entries.get(group as usize) else { continue };
            // No branch: a wrong guess would wait for the entry, and the misses would follow one another.
            let long = usize::from(entry.len as usize > INLINE);
            *place = 0usize.wrapping_sub(long)
                & (entry.words[0] as usize * UNIT).wrapping_add(entry.len as usize).wrapping_sub(1);
        }
        let slots = places.iter().map(|&place| self.arena.get(place).copied().unwrap_or_default());
        std::hint::black_box(slots.fold(0, |all, slot| all ^ slot));
    }

    /// Makes room for `more` slots in a group's list.
    fn reserve(&mut self, group: u32, more: usize) {
        if group as usize >= self.entries.len() {
            self.entries.resize(group as usize + 1, Entry::default());
        }
        let entry = self.entries[group as usize];
        let (len, wanted) = (entry.len as usize, entry.len as usize + more);
        if wanted <= INLINE || (len > INLINE && wanted <= capacity(entry.words[1])) {
            return;
        }
        let class = wanted.div_ceil(UNIT).next_power_of_two().trailing_zeros();
        if len > INLINE {
            self.relocate(group, class, len);
            self.release(entry.words);
        } else {
            let start = self.extent(class);
            self.arena[start as usize * UNIT..][..len].copy_from_slice(&entry.words[..len]);
            self.entries[group as usize].words = [start, class];
        }
    }

    /// Removes the slot at `position` by moving the last one there; the slot that moved, if one did.
    pub fn swap_remove(&mut self, group: u32, position: u32) -> Option<u32> {
        let entry = *self.entries.get(group as usize)?;
        if position >= entry.len {
            return None;
        }
        let last = entry.len as usize - 1;
        let list = self.list_mut(group);
        let moved = (position as usize != last).then(|| list[last]);
        list[position as usize] = list[last];
        self.entries[group as usize].len = last as u32;
        if last == INLINE {
            let list = [self.arena[entry.words[0] as usize * UNIT], self.arena[entry.words[0] as usize * UNIT + 1]];
            self.release(entry.words);
            self.entries[group as usize].words = list;
        } else if last > INLINE && last * 4 <= capacity(entry.words[1]) {
            self.relocate(group, entry.words[1] - 1, last);
            self.release(entry.words);
        }
        moved
    }

    #[cfg(test)]
    /// Empties a group's list.
    pub fn clear(&mut self, group: u32) {
        if let Some(entry) = self.entries.get_mut(group as usize) {
            let old = std::mem::take(entry);
            if old.len as usize > INLINE {
                self.release(old.words);
            }
        }
    }

    /// The slots of a group.
    #[inline]
    pub fn get(&self, group: u32) -> &[u32] {
        let Some(entry) = self.entries.get(group as usize) else { return &[] };
        let len = entry.len as usize;
        if len <= INLINE {
            return &entry.words[..len];
        }
        let start = entry.words[0] as usize * UNIT;
        &self.arena[start..start + len]
    }

    /// The bytes held.
    pub fn size(&self) -> usize {
        let free: usize = self.free.iter().map(|list| list.capacity() * 4).sum();
        self.entries.capacity() * size_of::<Entry>() + self.arena.capacity() * 4 + free
    }

    fn list_mut(&mut self, group: u32) -> &mut [u32] {
        let entry = &mut self.entries[group as usize];
        let len = entry.len as usize;
        if len <= INLINE {
            return &mut entry.words[..len];
        }
        let start = entry.words[0] as usize * UNIT;
        &mut self.arena[start..start + len]
    }

    /// Moves a full list to a larger place.
    fn enlarge(&mut self, group: u32) -> Entry {
        let entry = self.entries[group as usize];
        if entry.len as usize == INLINE {
            let start = self.extent(0);
            self.arena[start as usize * UNIT..][..INLINE].copy_from_slice(&entry.words);
            self.entries[group as usize].words = [start, 0];
        } else {
            self.relocate(group, entry.words[1] + 1, entry.len as usize);
            self.release(entry.words);
        }
        self.entries[group as usize]
    }

    /// Copies the first `len` slots of a group's extent to a new one of another class.
    fn relocate(&mut self, group: u32, class: u32, len: usize) {
        let from = self.entries[group as usize].words[0] as usize * UNIT;
        let to = self.extent(class);
        self.arena.copy_within(from..from + len, to as usize * UNIT);
        self.entries[group as usize].words = [to, class];
    }

    /// A free extent, in units.
    fn extent(&mut self, class: u32) -> u32 {
        if let Some(start) = self.free.get_mut(class as usize).and_then(Vec::pop) {
            return start;
        }
        let start = self.arena.len() / UNIT;
        self.arena.resize(self.arena.len() + capacity(class), 0);
        u32::try_from(start).expect("an arena of postings holds fewer than 16 billion slots, 64 GiB")
    }

    fn release(&mut self, [start, class]: [u32; INLINE]) {
        if self.free.len() <= class as usize {
            self.free.resize(class as usize + 1, vec![]);
        }
        self.free[class as usize].push(start);
    }
}

#[inline]
fn capacity(class: u32) -> usize {
    UNIT << class
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::testing::Random;

    #[test]
    fn behaves_as_vectors() {
        for seed in 1..=4 {
            let mut random = Random::new(seed);
            let mut postings = Postings::new();
            let mut model: Vec<Vec<u32>> = vec![vec![]; 20];
            for step in 0..30_000 {
                // Alternating phases of growth and decline, one group much larger than the others.
                let group = if random.below(2) == 0 { 0 } else { random.below(20) as usize };
                let list = &mut model[group];
                let growing = (step / 3000) % 2 == 0;
                if list.is_empty() || (random.below(10) < 7) == growing {
                    let slot = random.next() as u32;
                    assert_eq!(postings.push(group as u32, slot), list.len() as u32);
                    list.push(slot);
                } else {
                    let position = random.below(list.len() as u64) as usize;
                    list.swap_remove(position);
                    let moved = postings.swap_remove(group as u32, position as u32);
                    assert_eq!(moved, list.get(position).copied(), "seed {seed} step {step}");
                }
                assert_eq!(postings.get(group as u32), list.as_slice(), "seed {seed} step {step}");
            }
            for (group, list) in model.iter().enumerate() {
                assert_eq!(postings.get(group as u32), list.as_slice());
            }
            assert!(postings.get(77).is_empty() && postings.swap_remove(77, 0).is_none());
            assert!(postings.swap_remove(0, u32::MAX).is_none());
        }
    }

    #[test]
    fn freed_extents_are_used_again() {
        let mut postings = Postings::new();
        for round in 0..100 {
            (0..1000).for_each(|slot| {
                postings.push(round % 3, slot);
            });
            postings.clear(round % 3);
        }
        assert!(postings.arena.len() < 5000, "{}", postings.arena.len());
    }
}
