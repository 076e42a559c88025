//! Ids of keys that lie close together, by position instead of by hash.
//!
//! Keys are often numbers handed out one after the other. A window over them costs four bytes a number where a hash
//! table costs some forty a key, so it stays in caches much longer, and a probe is one load.

use super::NO_GROUP;

/// Windows are no wider than this many numbers a key.
const WIDTH_PER_KEY: u64 = 4;
/// Fewer keys are not worth a window.
const KEYS_MIN: usize = 1024;

/// The ids of the keys `base ..`.
#[derive(Default)]
pub struct Dense {
    base: u64,
    /// By key less `base`; [`NO_GROUP`] where there is no such key.
    groups: Vec<u32>,
    /// Keys present.
    stored: usize,
}

impl Dense {
    /// Whether there is no window.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Where the key belongs, if it lies in the window.
    #[inline(always)]
    pub fn place(&self, key: u64) -> Option<usize> {
        let at = key.wrapping_sub(self.base);
        (at < self.groups.len() as u64).then_some(at as usize)
    }

    /// The id at a place, or [`NO_GROUP`].
    #[inline(always)]
    pub fn group(&self, place: usize) -> u32 {
        self.groups[place]
    }

    /// Sets the id of a key that is new.
    pub fn insert(&mut self, place: usize, group: u32) {
        self.groups[place] = group;
        self.stored += 1;
    }

    /// Forgets the key at a place if it has this id.
    pub fn remove(&mut self, place: usize, group: u32) -> bool {
        let found = self.groups[place] == group;
        if found {
            self.groups[place] = NO_GROUP;
            self.stored -= 1;
        }
        found
    }

    /// Keys present.
    pub fn len(&self) -> usize {
        self.stored
    }

    /// The bytes held.
    pub fn size(&self) -> usize {
        self.groups.capacity() * 4
    }

    /// Takes in keys from outside the window, if together with those inside they lie close enough.
    ///
    /// The new window leaves room above for as many again. It costs time in proportion to all keys, so it is only
    /// tried once those outside are half as many as those inside.
    pub fn widen(&mut self, outside: impl Iterator<Item = (u64, u32)> + Clone, count: usize) -> bool {
        if count < KEYS_MIN || count < self.stored / 2 {
            return false;
        }
        let inside = self.groups.iter().enumerate().filter(|(_, group)| **group != NO_GROUP);
        let inside = inside.map(|(at, &group)| (self.base.wrapping_add(at as u64), group));
        let signed = |(key, _): (u64, u32)| key as i64;
        let lowest = inside.clone().map(signed).chain(outside.clone().map(signed)).min().unwrap_or(0);
        let highest = inside.clone().map(signed).chain(outside.clone().map(signed)).max().unwrap_or(0);
        let (width, total) = (highest.abs_diff(lowest), self.stored + count);
        if width >= WIDTH_PER_KEY * total as u64 {
            return false;
        }
        let mut groups = vec![NO_GROUP; 2 * (width as usize + 1)];
        for (key, group) in inside.chain(outside) {
            groups[(key as i64).abs_diff(lowest) as usize] = group;
        }
        *self = Dense { base: lowest as u64, groups, stored: total };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(range: std::ops::Range<i64>) -> impl Iterator<Item = (u64, u32)> + Clone {
        range.map(|key| (key as u64, (key & 0xffff) as u32))
    }

    #[test]
    fn close_keys_get_a_window_that_follows_them_up_and_below_zero() {
        let mut dense = Dense::default();
        assert!(!dense.widen(keys(0..100), 100), "too few");
        assert!(dense.widen(keys(-1000..1000), 2000));
        assert!(!dense.widen(keys(9_000..9_500), 500), "not yet half as many");
        assert!(!dense.widen(keys(1 << 40..(1 << 40) + 2000), 2000), "too far away");
        assert!(dense.widen(keys(5_000..9_000), 4_000));
        for key in (-1000i64..1000).chain(5_000..9_000) {
            let place = dense.place(key as u64).unwrap();
            assert_eq!(dense.group(place), (key & 0xffff) as u32);
        }
        assert_eq!(dense.group(dense.place(3000).unwrap()), NO_GROUP);
        assert_eq!((dense.place(-1001i64 as u64), dense.place(u64::MAX >> 1), dense.len()), (None, None, 6000));
    }

    #[test]
    fn keys_at_the_ends_of_the_range_of_numbers() {
        let mut dense = Dense::default();
        assert!(dense.widen(keys(i64::MAX - 2000..i64::MAX), 2000));
        assert!(dense.place(i64::MAX as u64 - 1).is_some());
        assert_eq!(dense.place(i64::MIN as u64 + 10).map(|at| dense.group(at)), Some(NO_GROUP));
        assert!(
            !Dense::default().widen([(i64::MIN as u64, 0), (i64::MAX as u64, 1)].into_iter().cycle().take(2000), 2000)
        );
    }
}
