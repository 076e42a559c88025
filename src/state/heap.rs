//! Byte strings by id: short ones inline, long ones in one arena that is rebuilt when mostly dead.
//!
//! An entry is 16 bytes, as in an Arrow view: length (4), then up to 12 bytes inline; or the first 4 bytes and the
//! position in the arena (8). Equality of short strings is one comparison of 16 bytes.
//!
//! Invariant: `dead` counts the arena bytes no entry points at.

use crate::base::error::{Error, ErrorKind, Result};

use super::hash;

/// The longest byte string that an entry holds itself.
pub const INLINE: usize = 12;

/// Marks an entry without a value.
const ABSENT: u32 = u32::MAX;
const ABSENT_ENTRY: [u8; 16] = [0xff; 16];

/// Arenas with fewer dead bytes than this are not worth rebuilding.
const REBUILD_FROM: usize = 1 << 16;

/// A byte string with its comparable head: the 16 bytes of its entry, where the position of a long one is zero.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a> {
    head: u128,
    bytes: &'a [u8],
}

impl<'a> Bytes<'a> {
    /// The head is made from the bytes.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        let mut head = [0; 16];
        head[..4].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
        if bytes.len() <= INLINE {
            head[4..4 + bytes.len()].copy_from_slice(bytes);
        } else {
            head[4..8].copy_from_slice(&bytes[..4]);
        }
        Bytes { head: u128::from_le_bytes(head), bytes }
    }

    /// A short string whose Arrow view is known; `bytes` is not looked at.
    #[inline]
    pub fn short(view: u128) -> Self {
        Bytes { head: view, bytes: &[] }
    }

    /// The hash: equal for equal bytes, however they were made.
    #[inline]
    pub fn hash(&self) -> u64 {
        if self.is_short() { hash::hash_short(self.head) } else { hash::hash_bytes(self.bytes) }
    }

    #[inline]
    fn is_short(&self) -> bool {
        (self.head as u32) as usize <= INLINE
    }
}

/// Byte strings by id.
#[derive(Debug, Default)]
pub struct Heap {
    entries: Vec<[u8; 16]>,
    arena: Vec<u8>,
    dead: usize,
}

impl Heap {
    /// An empty heap.
    pub fn new() -> Self {
        Heap::default()
    }

    /// Makes ids below `len` valid, without values.
    pub fn resize(&mut self, len: usize) {
        self.entries.resize(len.max(self.entries.len()), ABSENT_ENTRY);
    }

    /// The bytes held.
    pub fn size(&self) -> usize {
        self.entries.capacity() * 16 + self.arena.capacity()
    }

    /// Stores a value under an id that has none; the id may be the next one.
    #[inline]
    pub fn set(&mut self, id: u32, value: Bytes<'_>) -> Result<()> {
        if id as usize >= self.entries.len() {
            self.resize(id as usize + 1);
        }
        let mut entry = value.head.to_le_bytes();
        if !value.is_short() {
            if value.bytes.len() >= ABSENT as usize {
                return Err(Error::new(ErrorKind::Resource, "a value of 4 GiB or more cannot be kept"));
            }
            entry[8..].copy_from_slice(&(self.arena.len() as u64).to_le_bytes());
            self.arena.extend_from_slice(value.bytes);
        }
        self.entries[id as usize] = entry;
        Ok(())
    }

    /// Forgets the value of an id, if it has one.
    pub fn clear(&mut self, id: u32) {
        let Some(entry) = self.entries.get_mut(id as usize) else { return };
        let length = entry_length(entry);
        *entry = ABSENT_ENTRY;
        if length != ABSENT && length as usize > INLINE {
            self.dead += length as usize;
            if self.dead > REBUILD_FROM && self.dead * 2 > self.arena.len() {
                self.rebuild();
            }
        }
    }

    /// The value of an id; `None` if it has none.
    #[inline]
    pub fn get(&self, id: u32) -> Option<&[u8]> {
        let entry = self.entries.get(id as usize)?;
        let length = entry_length(entry);
        if length as usize <= INLINE {
            return entry.get(4..4 + length as usize);
        }
        if length == ABSENT {
            return None;
        }
        let start = entry_position(entry);
        self.arena.get(start..start + length as usize)
    }

    /// Reads the first byte of each value. The reads do not depend on one another, so their cache misses overlap;
    /// whoever needs the values next finds them near.
    #[inline]
    pub fn prefetch(&self, ids: &[u32]) {
        let first = |id: &u32| {
            let entry = self.entries.get(*id as usize)?;
            if entry_length(entry) as usize <= INLINE { entry.get(4) } else { self.arena.get(entry_position(entry)) }
        };
        std::hint::black_box(ids.iter().fold(0, |sum, id| sum ^ first(id).copied().unwrap_or(0)));
    }

    /// Whether the value of `id` is `value`.
    #[inline]
    pub fn equals(&self, id: u32, value: Bytes<'_>) -> bool {
        let Some(entry) = self.entries.get(id as usize) else { return false };
        let stored = u128::from_le_bytes(*entry);
        if value.is_short() {
            return stored == value.head;
        }
        stored as u64 == value.head as u64 && {
            let start = entry_position(entry);
            self.arena.get(start..start + value.bytes.len()) == Some(value.bytes)
        }
    }

    /// Copies what lives into a new arena.
    #[cold]
    fn rebuild(&mut self) {
        let mut arena = Vec::with_capacity(self.arena.len() - self.dead);
        for entry in &mut self.entries {
            let length = entry_length(entry);
            if length as usize > INLINE && length != ABSENT {
                let start = entry_position(entry);
                entry[8..].copy_from_slice(&(arena.len() as u64).to_le_bytes());
                arena.extend_from_slice(&self.arena[start..start + length as usize]);
            }
        }
        self.arena = arena;
        self.dead = 0;
    }
}

#[inline]
fn entry_length(entry: &[u8; 16]) -> u32 {
    u128::from_le_bytes(*entry) as u32
}

#[inline]
fn entry_position(entry: &[u8; 16]) -> usize {
    (u128::from_le_bytes(*entry) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::testing::Random;

    #[test]
    fn keeps_values_of_all_lengths_through_rebuilds() {
        let mut random = Random::new(5);
        let mut heap = Heap::new();
        let mut model: Vec<Option<Vec<u8>>> = vec![None; 200];
        for round in 0..20_000 {
            let id = random.below(200) as u32;
            match &model[id as usize] {
                Some(value) => {
                    assert!(heap.equals(id, Bytes::new(value)), "round {round}");
                    heap.clear(id);
                    model[id as usize] = None;
                }
                None => {
                    let value: Vec<u8> = (0..random.below(60)).map(|_| random.next() as u8).collect();
                    heap.set(id, Bytes::new(&value)).unwrap();
                    model[id as usize] = Some(value);
                }
            }
        }
        for (id, value) in model.iter().enumerate() {
            assert_eq!(heap.get(id as u32), value.as_deref());
        }
        assert!(heap.arena.len() < 200 * 60 + 2 * REBUILD_FROM);
    }

    #[test]
    fn a_long_value_that_shares_its_head_is_another_value() {
        let mut heap = Heap::new();
        heap.set(0, Bytes::new(b"abcdefghijklm1")).unwrap();
        assert!(!heap.equals(0, Bytes::new(b"abcdefghijklm2")));
        assert!(!heap.equals(1, Bytes::new(b"")));
        assert!(!heap.equals(0, Bytes::new(b"")));
    }
}
