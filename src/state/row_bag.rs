//! A multiset of rows grouped by a group id: one side of a join.
//!
//! Rows lie in a [`ColumnStore`], their slots in [`Postings`] by group. A bag that sees deletes also keeps an index by
//! row content, so that deleting is expected O(1) however large the group; it holds every distinct row of a group once,
//! with its weight. An insert-only bag keeps none of that: equal rows are several slots. The bag does not know keys:
//! the caller maps them to groups.
//!
//! Invariant of a retracting bag: `position[slot]` is where the postings of `group[slot]` hold the slot, and
//! [`ABSENT`] for free slots.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;

use crate::base::change::Weights;
use crate::base::error::{Error, Result};

use super::column_store::{ColumnStore, Prepared};
use super::hash;
use super::key_table::NO_GROUP;
use super::postings::Postings;
use super::radix_sort::sort_by_group;
use super::slot_table::SlotTable;

const ABSENT: u32 = u32::MAX;
/// Rows whose places in the index are read at a time.
const PREFETCHED: usize = 64;

/// Rows that may wait for their place in the lists.
const PENDING_MAX: usize = 1 << 18;
/// So many waiting rows are worth sorting.
const SORTED_FROM: usize = 1 << 12;

/// Rows with weights, by group.
pub struct RowBag {
    store: ColumnStore,
    postings: Postings,
    /// By slot; empty while every weight is one.
    weights: Vec<i64>,
    /// How many rows have a weight other than one.
    odd: usize,
    identity: Option<Identity>,
    /// Rows of an insert-only bag that no list names yet, as `group << 32 | slot`. Put into the lists many at a time,
    /// sorted by group, they touch memory in order; one by one each would cost a cache miss.
    pending: Vec<u64>,
    /// Whether they came in the order of their groups.
    pending_sorted: bool,
}

/// What finds a row by its content.
#[derive(Default)]
struct Identity {
    index: SlotTable,
    /// By slot.
    hashes: Vec<u64>,
    groups: Vec<u32>,
    positions: Vec<u32>,
}

impl RowBag {
    /// An empty bag; `retracting` if negative weights can come.
    pub fn new(types: &[DataType], retracting: bool) -> Result<Self> {
        Ok(RowBag {
            store: ColumnStore::new(types)?,
            postings: Postings::new(),
            weights: vec![],
            odd: 0,
            identity: retracting.then(Identity::default),
            pending: vec![],
            pending_sorted: true,
        })
    }

    /// Adds the weights of rows; rows of [`NO_GROUP`] and of weight zero are passed over.
    ///
    /// A retracting bag finds equal rows of the group by content. A row that is deleted before it came is kept with its
    /// negative weight until the insert comes. An insert-only bag refuses negative weights.
    pub fn apply(&mut self, columns: &[ArrayRef], weights: &Weights, groups: &[u32]) -> Result<()> {
        let prepared = self.store.prepare(columns, groups.len())?;
        match self.identity.take() {
            None => self.insert(&prepared, weights, groups),
            Some(mut identity) => {
                let result = self.merge(&mut identity, &prepared, weights, groups);
                self.identity = Some(identity);
                result
            }
        }
    }

    /// Brings the lists up to date; before [`RowBag::postings`] is asked.
    pub fn index(&mut self) {
        if self.pending.len() > SORTED_FROM && !self.pending_sorted {
            sort_by_group(&mut self.pending);
        }
        self.postings.extend_sorted(&self.pending);
        self.pending.clear();
        self.pending_sorted = true;
    }

    /// The slots of a group's rows, as of the last [`RowBag::index`].
    #[inline]
    pub fn postings(&self, group: u32) -> &[u32] {
        debug_assert!(self.pending.is_empty(), "the lists are not up to date");
        self.postings.get(group)
    }

    /// Before the lists of at most `PREFETCHED` groups are read: lets their cache misses overlap.
    #[inline]
    pub fn prefetch(&self, groups: &[u32]) {
        self.postings.prefetch(groups.iter().copied());
    }

    /// The weight of the row in a slot.
    #[inline]
    pub fn weight(&self, slot: u32) -> i64 {
        self.weights.get(slot as usize).copied().unwrap_or(1)
    }

    /// Whether every row has weight one.
    #[inline]
    pub fn weights_all_one(&self) -> bool {
        self.odd == 0
    }

    /// The values of one column at `slots`.
    pub fn take(&self, column: usize, slots: &[u32]) -> Result<ArrayRef> {
        self.store.take(column, slots)
    }

    /// How many rows are held, whatever their weights.
    pub fn len(&self) -> usize {
        self.store.len()
    }

    /// Whether no rows are held.
    pub fn is_empty(&self) -> bool {
        self.store.is_empty()
    }

    /// The bytes held.
    pub fn size(&self) -> usize {
        let identity = self.identity.as_ref().map_or(0, |identity| {
            identity.index.size()
                + identity.hashes.capacity() * 8
                + (identity.groups.capacity() + identity.positions.capacity()) * 4
        });
        self.store.size() + self.postings.size() + (self.weights.capacity() + self.pending.capacity()) * 8 + identity
    }

    fn insert(&mut self, prepared: &Prepared, weights: &Weights, groups: &[u32]) -> Result<()> {
        if !weights.is_insert_only() {
            return Err(Error::internal("a delete reached a bag that was declared insert-only"));
        }
        let rows: Vec<u32> = (0..groups.len() as u32)
            .filter(|&row| groups[row as usize] != NO_GROUP && weights.get(row as usize) != 0)
            .collect();
        let slots = rows.iter().map(|_| self.store.allot()).collect::<Result<Vec<_>>>()?;
        let all = rows.len() == groups.len();
        self.store.write(prepared, if all { None } else { Some(&rows) }, &slots)?;
        for (&row, &slot) in rows.iter().zip(&slots) {
            let pair = u64::from(groups[row as usize]) << 32 | u64::from(slot);
            self.pending_sorted &= self.pending.last().is_none_or(|&last| last <= pair);
            self.pending.push(pair);
            let weight = weights.get(row as usize);
            if weight != 1 {
                self.odd += 1;
            }
            if weight != 1 || !self.weights.is_empty() {
                self.set_weight(slot, weight);
            }
        }
        if self.pending.len() >= PENDING_MAX || (self.pending_sorted && self.pending.len() > SORTED_FROM) {
            self.index();
        }
        Ok(())
    }

    fn set_weight(&mut self, slot: u32, weight: i64) {
        if slot as usize >= self.weights.len() {
            self.weights.resize(self.store.capacity(), 1);
        }
        self.weights[slot as usize] = weight;
    }

    /// Adds weights by content. Rows are first placed by hash alone, then all are written or compared column by
    /// column; the rare row whose hash lied is placed again, one by one.
    fn merge(&mut self, identity: &mut Identity, prepared: &Prepared, weights: &Weights, groups: &[u32]) -> Result<()> {
        let mut hashes: Vec<u64> = groups.iter().map(|&group| hash::hash_u64(u64::from(group))).collect();
        prepared.hash(&mut hashes);
        let wanted = |row: usize| groups[row] != NO_GROUP && weights.get(row) != 0;
        let (mut new_rows, mut new_slots, mut old_rows, mut old_slots) = (vec![], vec![], vec![], vec![]);
        for row in (0..groups.len()).filter(|&row| wanted(row)) {
            if row.is_multiple_of(PREFETCHED) {
                identity.index.prefetch(&hashes[row..groups.len().min(row + PREFETCHED)]);
            }
            let (hash, group) = (hashes[row], groups[row]);
            match identity.find(hash, group) {
                Some(slot) => {
                    old_rows.push(row as u32);
                    old_slots.push(slot);
                }
                None => {
                    new_rows.push(row as u32);
                    new_slots.push(self.place(identity, hash, group)?);
                }
            }
        }
        let all = new_rows.len() == groups.len();
        self.store.write(prepared, if all { None } else { Some(&new_rows) }, &new_slots)?;
        let mut equal = vec![true; old_rows.len()];
        self.store.compare(prepared, &old_rows, &old_slots, &mut equal);
        for at in (0..old_rows.len()).filter(|&at| !equal[at]) {
            let row = old_rows[at];
            old_slots[at] = self.place_slowly(identity, prepared, row, hashes[row as usize], groups[row as usize])?;
        }
        self.add_weights(weights, new_rows.iter().chain(&old_rows).zip(new_slots.iter().chain(&old_slots)))?;
        for &slot in new_slots.iter().chain(&old_slots) {
            if self.weights[slot as usize] == 0 {
                self.remove(identity, slot);
            }
        }
        Ok(())
    }

    /// A new slot of weight zero for a row that is written later.
    #[inline]
    fn place(&mut self, identity: &mut Identity, hash: u64, group: u32) -> Result<u32> {
        let slot = self.store.allot()?;
        if slot as usize >= self.weights.len() {
            let len = slot as usize + 1;
            self.weights.resize(len, 0);
            identity.hashes.resize(len, 0);
            identity.groups.resize(len, NO_GROUP);
            identity.positions.resize(len, ABSENT);
        }
        self.weights[slot as usize] = 0;
        self.odd += 1;
        identity.hashes[slot as usize] = hash;
        identity.groups[slot as usize] = group;
        identity.positions[slot as usize] = self.postings.push(group, slot);
        identity.index.insert(hash, slot);
        Ok(slot)
    }

    /// The slot of one row, found or made by comparing every row of its hash.
    #[cold]
    fn place_slowly(
        &mut self,
        identity: &mut Identity,
        prepared: &Prepared,
        row: u32,
        hash: u64,
        group: u32,
    ) -> Result<u32> {
        let found = identity.index.find(hash, |slot| {
            let mut equal = [identity.hashes[slot as usize] == hash && identity.groups[slot as usize] == group];
            self.store.compare(prepared, &[row], &[slot], &mut equal);
            equal[0]
        });
        if let Some(slot) = found {
            return Ok(slot);
        }
        let slot = self.place(identity, hash, group)?;
        self.store.write(prepared, Some(&[row]), &[slot])?;
        Ok(slot)
    }

    fn add_weights<'a>(&mut self, weights: &Weights, places: impl Iterator<Item = (&'a u32, &'a u32)>) -> Result<()> {
        for (&row, &slot) in places {
            let old = self.weights[slot as usize];
            let new = old
                .checked_add(weights.get(row as usize))
                .ok_or_else(|| Error::data("weight overflow").with_sqlstate("22003"))?;
            self.odd = self.odd + usize::from(new != 1) - usize::from(old != 1);
            self.weights[slot as usize] = new;
        }
        Ok(())
    }

    /// Forgets a row of weight zero, unless that is done already.
    fn remove(&mut self, identity: &mut Identity, slot: u32) {
        let position = std::mem::replace(&mut identity.positions[slot as usize], ABSENT);
        if position == ABSENT {
            return;
        }
        if let Some(moved) = self.postings.swap_remove(identity.groups[slot as usize], position) {
            identity.positions[moved as usize] = position;
        }
        identity.index.remove(identity.hashes[slot as usize], slot);
        self.store.free(slot);
        self.odd -= 1;
    }
}

impl Identity {
    /// The first slot of this hash and group.
    #[inline]
    fn find(&self, hash: u64, group: u32) -> Option<u32> {
        self.index.find(hash, |slot| self.hashes[slot as usize] == hash && self.groups[slot as usize] == group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::testing::{Random, one_zero, random_rows, schema, text};
    use std::collections::BTreeMap;

    fn types() -> Vec<DataType> {
        schema().fields().iter().map(|field| field.data_type().clone()).collect()
    }

    fn contents(bag: &RowBag, groups: u32) -> BTreeMap<(u32, String), i64> {
        let mut rows = BTreeMap::new();
        for group in 0..groups {
            let slots = bag.postings(group);
            let columns: Vec<ArrayRef> = (0..3).map(|column| bag.take(column, slots).unwrap()).collect();
            for (row, &slot) in slots.iter().enumerate() {
                *rows.entry((group, one_zero(&text(&columns, row)))).or_insert(0) += bag.weight(slot);
            }
        }
        rows
    }

    fn check_history(seed: u64, retracting: bool) {
        let mut random = Random::new(seed);
        let mut bag = RowBag::new(&types(), retracting).unwrap();
        let mut model: BTreeMap<(u32, String), i64> = BTreeMap::new();
        for step in 0..60 {
            let rows = [0, 1, 9, 200][random.below(4) as usize];
            let batch = random_rows(&mut random, rows, 3);
            let groups: Vec<u32> = (0..rows).map(|_| [NO_GROUP, 0, 0, 1, 2][random.below(5) as usize]).collect();
            let weights = match random.below(3) {
                0 => Weights::Ones,
                _ if retracting => Weights::Signed((0..rows).map(|_| random.below(7) as i64 - 3).collect()),
                _ => Weights::Signed((0..rows).map(|_| random.below(3) as i64).collect()),
            };
            bag.apply(batch.columns(), &weights, &groups).unwrap();
            bag.index();
            for (row, &group) in groups.iter().enumerate().filter(|(_, group)| **group != NO_GROUP) {
                let name = one_zero(&text(batch.columns(), row));
                *model.entry((group, name)).or_insert(0) += weights.get(row);
            }
            model.retain(|_, weight| *weight != 0);
            assert_eq!(contents(&bag, 3), model, "seed {seed} step {step} retracting {retracting}");
            if retracting {
                assert_eq!(bag.len(), model.len(), "seed {seed} step {step}");
                assert_eq!(bag.weights_all_one(), model.values().all(|&weight| weight == 1));
            }
        }
    }

    #[test]
    fn behaves_as_a_multiset() {
        for seed in 1..=6 {
            check_history(seed, true);
            check_history(seed, false);
        }
    }

    #[test]
    fn a_delete_may_come_before_its_insert() {
        let mut random = Random::new(1);
        let batch = random_rows(&mut random, 1, 3);
        let mut bag = RowBag::new(&types(), true).unwrap();
        bag.apply(batch.columns(), &Weights::Signed(vec![-1].into()), &[0]).unwrap();
        assert_eq!((bag.postings(0).len(), bag.weight(bag.postings(0)[0])), (1, -1));
        bag.apply(batch.columns(), &Weights::Ones, &[0]).unwrap();
        assert!(bag.is_empty() && bag.postings(0).is_empty() && bag.weights_all_one());
    }

    #[test]
    fn a_whole_group_goes_and_comes_back() {
        let mut random = Random::new(2);
        let batch = random_rows(&mut random, 5000, 1000);
        let mut bag = RowBag::new(&types(), true).unwrap();
        for _ in 0..3 {
            bag.apply(batch.columns(), &Weights::Ones, &[0; 5000]).unwrap();
            assert!(bag.len() > 1000);
            bag.apply(batch.columns(), &Weights::Signed(vec![-1; 5000].into()), &[0; 5000]).unwrap();
            assert!(bag.is_empty());
        }
    }

    #[test]
    fn an_insert_only_bag_refuses_deletes() {
        let mut bag = RowBag::new(&types(), false).unwrap();
        let batch = random_rows(&mut Random::new(1), 1, 3);
        assert!(bag.apply(batch.columns(), &Weights::Signed(vec![-1].into()), &[0]).is_err());
        assert!(bag.weights_all_one() && bag.is_empty());
    }

    #[test]
    fn weights_do_not_overflow_silently() {
        let mut bag = RowBag::new(&types(), true).unwrap();
        let batch = random_rows(&mut Random::new(1), 1, 3);
        bag.apply(batch.columns(), &Weights::Signed(vec![i64::MAX].into()), &[0]).unwrap();
        assert!(bag.apply(batch.columns(), &Weights::Ones, &[0]).is_err());
    }

    #[test]
    fn many_waiting_rows_are_listed_as_one_by_one() {
        let mut random = Random::new(9);
        let pairs: Vec<u64> = (0..20_000u64).map(|slot| random.below(5_000) << 32 | slot).collect();
        let (mut sorted, mut single) = (Postings::new(), Postings::new());
        for part in pairs.chunks(7_000) {
            let mut part = part.to_vec();
            part.iter().for_each(|&pair| {
                single.push((pair >> 32) as u32, pair as u32);
            });
            sort_by_group(&mut part);
            assert!(part.is_sorted_by_key(|pair| pair >> 32));
            sorted.extend_sorted(&part);
        }
        for group in 0..5_000 {
            assert_eq!(sorted.get(group), single.get(group), "group {group}");
        }
    }
}
