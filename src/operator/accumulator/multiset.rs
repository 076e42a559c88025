//! Weighted values by group: what `min`, `max`, DISTINCT and `single_value` keep when rows can be deleted.
//!
//! A group holds each distinct value once with its weight; up to 32 values in one sorted array, more in a B-tree, or
//! in a hash table where nobody asks for their order (DISTINCT).
//! Weights may be negative for a while (a deletion seen before its insertion); such values do not count as present.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{Field, Int64Type};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::foreign_state;
use super::keys::Codec;
use super::rows::Rows;
use crate::base::change::Weights;
use crate::base::error::Result;

const SMALL: usize = 32;

/// The values of one group.
pub(super) enum Multiset<K> {
    /// Sorted by key.
    Small(Vec<(K, i64)>),
    /// More than [`SMALL`] keys at some time, in order.
    Large(BTreeMap<K, i64>),
    /// The same without order.
    Hashed(HashTable<(K, i64)>),
}

impl<K: Ord> Multiset<K> {
    /// Adds `weight` to the weight of `key`; returns the weight before. Many keys are hashed if `hash` is given.
    fn add<Q: Ord + ToOwned<Owned = K> + ?Sized>(&mut self, key: &Q, weight: i64, hash: Option<fn(&Q) -> u64>) -> i64
    where
        K: Borrow<Q>,
    {
        match self {
            Multiset::Hashed(table) => {
                let Some(hash) = hash else {
                    return 0; // only made with a hash
                };
                let before = add_hashed(table, key, weight, hash);
                if table.is_empty() {
                    *self = Multiset::Small(Vec::new());
                }
                before
            }
            Multiset::Small(entries) => match entries.binary_search_by(|(held, _)| held.borrow().cmp(key)) {
                Ok(index) => {
                    let before = entries[index].1;
                    entries[index].1 = before.wrapping_add(weight);
                    if entries[index].1 == 0 {
                        entries.remove(index);
                    }
                    before
                }
                Err(index) => {
                    entries.insert(index, (key.to_owned(), weight));
                    if entries.len() > SMALL {
                        let entries = std::mem::take(entries);
                        *self = match hash {
                            None => Multiset::Large(entries.into_iter().collect()),
                            Some(hash) => Multiset::Hashed(hashed(entries, hash)),
                        };
                    }
                    0
                }
            },
            Multiset::Large(entries) => {
                let Some(held) = entries.get_mut(key) else {
                    entries.insert(key.to_owned(), weight);
                    return 0;
                };
                let before = *held;
                *held = before.wrapping_add(weight);
                if *held == 0 {
                    entries.remove(key);
                    if entries.is_empty() {
                        *self = Multiset::Small(Vec::new());
                    }
                }
                before
            }
        }
    }

    /// The least value present.
    pub(super) fn first(&self) -> Option<&K> {
        self.pick(false)
    }

    /// The greatest value present.
    pub(super) fn last(&self) -> Option<&K> {
        self.pick(true)
    }

    fn pick(&self, last: bool) -> Option<&K> {
        let present = |&(_, weight): &(&K, i64)| weight > 0;
        let entry = match self {
            Multiset::Small(entries) => {
                let mut entries = entries.iter().map(|(key, weight)| (key, *weight));
                if last { entries.rfind(present) } else { entries.find(present) }
            }
            Multiset::Large(entries) => {
                let mut entries = entries.iter().map(|(key, weight)| (key, *weight));
                if last { entries.rfind(present) } else { entries.find(present) }
            }
            Multiset::Hashed(table) => {
                let entries = table.iter().map(|(key, weight)| (key, *weight)).filter(present);
                if last { entries.max() } else { entries.min() }
            }
        };
        entry.map(|(key, _)| key)
    }

    /// The values present with their weights, in order.
    pub(super) fn present(&self) -> Vec<(&K, i64)> {
        let mut entries: Vec<_> = self.entries().filter(|entry| entry.1 > 0).collect();
        if matches!(self, Multiset::Hashed(_)) {
            entries.sort_unstable_by(|one, other| one.0.cmp(other.0));
        }
        entries
    }

    fn entries(&self) -> Box<dyn Iterator<Item = (&K, i64)> + '_> {
        match self {
            Multiset::Small(entries) => Box::new(entries.iter().map(|(key, weight)| (key, *weight))),
            Multiset::Large(entries) => Box::new(entries.iter().map(|(key, weight)| (key, *weight))),
            Multiset::Hashed(table) => Box::new(table.iter().map(|(key, weight)| (key, *weight))),
        }
    }

    fn len(&self) -> usize {
        match self {
            Multiset::Small(entries) => entries.len(),
            Multiset::Large(entries) => entries.len(),
            Multiset::Hashed(table) => table.len(),
        }
    }
}

fn hashed<K: Borrow<Q>, Q: ?Sized>(entries: Vec<(K, i64)>, hash: fn(&Q) -> u64) -> HashTable<(K, i64)> {
    let mut table = HashTable::with_capacity(2 * entries.len());
    for entry in entries {
        table.insert_unique(hash(entry.0.borrow()), entry, |(key, _)| hash(key.borrow()));
    }
    table
}

fn add_hashed<K, Q>(table: &mut HashTable<(K, i64)>, key: &Q, weight: i64, hash: fn(&Q) -> u64) -> i64
where
    K: Borrow<Q>,
    Q: Ord + ToOwned<Owned = K> + ?Sized,
{
    let code = hash(key);
    match table.entry(code, |(held, _)| held.borrow() == key, |(held, _)| hash(held.borrow())) {
        Entry::Vacant(vacant) => {
            vacant.insert((key.to_owned(), weight));
            0
        }
        Entry::Occupied(mut occupied) => {
            let before = occupied.get().1;
            occupied.get_mut().1 = before.wrapping_add(weight);
            if occupied.get().1 == 0 {
                occupied.remove();
            }
            before
        }
    }
}

/// The values of all groups.
pub(super) struct Multisets<C: Codec> {
    codec: C,
    ordered: bool,
    groups: Vec<Multiset<C::Key>>,
    entries: usize,
    heap: usize,
}

impl<C: Codec> Multisets<C> {
    /// No groups; `ordered` if the least or greatest value will be asked for.
    pub(super) fn new(codec: C, ordered: bool) -> Self {
        Multisets { codec, ordered, groups: Vec::new(), entries: 0, heap: 0 }
    }

    /// How values become keys.
    pub(super) fn codec(&self) -> &C {
        &self.codec
    }

    /// How many groups there are.
    pub(super) fn capacity(&self) -> usize {
        self.groups.len()
    }

    /// Makes the groups below `groups` exist.
    pub(super) fn resize(&mut self, groups: usize) {
        if groups > self.groups.len() {
            self.groups.resize_with(groups, || Multiset::Small(Vec::new()));
        }
    }

    /// The values of a group.
    pub(super) fn group(&self, group: u32) -> Option<&Multiset<C::Key>> {
        self.groups.get(group as usize)
    }

    /// Adds the rows of an update.
    pub(super) fn update(
        &mut self,
        values: &[ArrayRef],
        groups: &[u32],
        weights: &Weights,
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let rows = Rows::new(values, groups, weights, filter, self.capacity())?;
        self.add(values, &rows, |_, _, _| {})
    }

    /// Adds what [`Multisets::save`] gave.
    pub(super) fn load(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let (values, groups, weights) = saved_rows(groups, state)?;
        self.update(&values, &groups, &weights, None)
    }

    /// Adds the rows; calls `seen(row, before, after)` with the value's weight for each.
    pub(super) fn add(
        &mut self,
        values: &[ArrayRef],
        rows: &Rows<'_>,
        mut seen: impl FnMut(usize, i64, i64),
    ) -> Result<()> {
        let hash: Option<fn(&C::Query) -> u64> = if self.ordered { None } else { Some(C::hash) };
        let (groups, entries, heap) = (self.groups.as_mut_slice(), &mut self.entries, &mut self.heap);
        self.codec.visit(values, rows, |row, group, key, weight| {
            let before = if weight == 0 { 0 } else { groups[group].add(key, weight, hash) };
            let after = before.wrapping_add(weight);
            if before == 0 && after != 0 {
                *entries += 1;
                *heap += C::heap(key);
            } else if before != 0 && after == 0 {
                *entries = entries.saturating_sub(1);
                *heap = heap.saturating_sub(C::heap(key));
            }
            seen(row, before, after);
        })
    }

    /// Forgets the values of these groups.
    pub(super) fn clear(&mut self, groups: &[u32]) {
        for &group in groups {
            if let Some(held) = self.groups.get_mut(group as usize) {
                self.entries = self.entries.saturating_sub(held.len());
                self.heap = self.heap.saturating_sub(held.entries().map(|(key, _)| C::heap(key.borrow())).sum());
                *held = Multiset::Small(Vec::new());
            }
        }
    }

    /// A list of values for every argument, then the list of weights.
    pub(super) fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        save_lists(&self.codec, groups.iter().map(|&group| self.group(group).into_iter().flat_map(Multiset::entries)))
    }

    /// Bytes held, roughly.
    pub(super) fn size(&self) -> usize {
        self.groups.capacity() * size_of::<Multiset<C::Key>>()
            + self.entries * (size_of::<(C::Key, i64)>() * 3 / 2)
            + self.heap
    }
}

/// The saved state of groups that hold these keys with these weights.
pub(super) fn save_lists<'a, C: Codec>(
    codec: &C,
    groups: impl Iterator<Item = impl Iterator<Item = (&'a C::Key, i64)>>,
) -> Result<Vec<ArrayRef>>
where
    C::Key: 'a,
{
    let (mut keys, mut weights, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
    for entries in groups {
        let before = keys.len();
        for (key, weight) in entries {
            keys.push(Some(key));
            weights.push(weight);
        }
        lengths.push(keys.len() - before);
    }
    let offsets = OffsetBuffer::<i32>::from_lengths(lengths);
    let weights: ArrayRef = Arc::new(Int64Array::new(ScalarBuffer::from(weights), None));
    let columns = codec.decode(&keys)?.into_iter().chain([weights]);
    columns
        .map(|values| {
            let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
            Ok(Arc::new(ListArray::try_new(field, offsets.clone(), values, None)?) as ArrayRef)
        })
        .collect()
}

/// A saved state as rows again: the values, the group of each, their weights.
pub(super) fn saved_rows(groups: &[u32], state: &[ArrayRef]) -> Result<(Vec<ArrayRef>, Vec<u32>, Weights)> {
    let lists = state.iter().map(|column| column.as_list_opt::<i32>().ok_or_else(foreign_state));
    let lists: Vec<_> = lists.collect::<Result<_>>()?;
    let weights = lists.last().ok_or_else(foreign_state)?;
    let aligned =
        |list: &&ListArray| list.len() == groups.len() && list.null_count() == 0 && lengths_equal(list, weights);
    if !lists.iter().all(aligned) {
        return Err(foreign_state());
    }
    let mut columns: Vec<ArrayRef> = lists.iter().map(|list| children(list)).collect();
    let weights_column = columns.pop().ok_or_else(foreign_state)?;
    let weights_column = weights_column.as_primitive_opt::<Int64Type>().ok_or_else(foreign_state)?;
    let mut repeated = Vec::with_capacity(weights_column.len());
    for (&group, length) in groups.iter().zip(weights.offsets().lengths()) {
        repeated.extend(std::iter::repeat_n(group, length));
    }
    Ok((columns, repeated, Weights::Signed(weights_column.values().clone())))
}

fn lengths_equal(list: &ListArray, other: &ListArray) -> bool {
    list.offsets().lengths().eq(other.offsets().lengths())
}

fn children(list: &ListArray) -> ArrayRef {
    let (first, last) = (list.offsets().first().copied(), list.offsets().last().copied());
    let (first, last) = (first.unwrap_or(0) as usize, last.unwrap_or(0) as usize);
    list.values().slice(first, last - first)
}
