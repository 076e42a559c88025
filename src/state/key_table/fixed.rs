//! Keys of fixed width, packed into `N` lanes of 64 bits and kept in the hash table itself.
//!
//! A probe that hits costs one cache miss: key and id lie side by side. Probing is done in blocks: first the home slot
//! of every key of a block is read, without branches, so that the misses overlap; then the few keys that were not at
//! home are searched one by one. Keys of one lane that lie close together move to a [`Dense`] window.

use arrow::array::{ArrayRef, BooleanArray, NullArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::DataType;
use std::sync::Arc;

use crate::base::error::{Error, Result};

use super::super::hash::hash_lanes;
use super::super::input::{Input, Shape, Values, fixed_array};
use super::dense::Dense;
use super::{NO_GROUP, next_id};

/// Keys packed at a time: the scratch stays in the first-level cache.
const BATCH: usize = 1024;
/// Keys probed at a time.
const BLOCK: usize = 64;
const FIRST_SIZE: usize = 16;
const LANES_MAX: usize = 4;

/// Where each key column lies in the lanes.
pub struct Layout {
    places: Vec<Place>,
    lanes: usize,
    /// The one column fills a whole lane, so its NULL has a group of its own outside the table.
    null_apart: bool,
}

struct Place {
    shape: Shape,
    lane: usize,
    shift: u32,
    /// Lane and bit that are set where the column is NULL.
    null: (usize, u32),
}

impl Layout {
    /// The layout for columns of these forms; `None` if they do not all fit.
    pub fn new(shapes: &[Shape]) -> Option<Self> {
        if shapes == [Shape::Fixed8] {
            let place = Place { shape: Shape::Fixed8, lane: 0, shift: 0, null: (0, 0) };
            return Some(Layout { places: vec![place], lanes: 1, null_apart: true });
        }
        let mut used = [0u32; LANES_MAX];
        let mut fit = |bits: u32| {
            let lane = used.iter().position(|used| used + bits <= 64)?;
            used[lane] += bits;
            Some((lane, used[lane] - bits))
        };
        let mut places = Vec::with_capacity(shapes.len());
        for &shape in shapes {
            let bits = match shape {
                Shape::Null => 0,
                Shape::Boolean => 1,
                Shape::Fixed1 => 8,
                Shape::Fixed2 => 16,
                Shape::Fixed4 => 32,
                Shape::Fixed8 | Shape::Fixed16 => 64,
                Shape::Fixed32 | Shape::Bytes | Shape::Row => return None,
            };
            let (lane, shift) = fit(bits)?;
            if shape == Shape::Fixed16 {
                // The upper half goes into the next lane; lanes fill in order, so it is free if the first was.
                let (upper, _) = fit(64)?;
                if upper != lane + 1 {
                    return None;
                }
            }
            places.push(Place { shape, lane, shift, null: (0, 0) });
        }
        for place in &mut places {
            place.null = fit(1)?;
        }
        let lanes = used.iter().filter(|&&used| used > 0).count();
        Some(Layout { places, lanes, null_apart: false })
    }

    /// How many lanes are in use.
    pub fn lanes(&self) -> usize {
        self.lanes
    }
}

#[derive(Clone, Copy)]
struct Slot<const N: usize> {
    key: [u64; N],
    group: u32,
}

/// Fixed-width keys with their ids.
///
/// Invariant: from a key's home position to its slot there is no empty slot (empty: group is [`NO_GROUP`]).
pub struct FixedTable<const N: usize> {
    layout: Layout,
    /// Has the keys of its window; `slots` has the others.
    dense: Dense,
    slots: Vec<Slot<N>>,
    /// Keys by id.
    keys: Vec<[u64; N]>,
    free: Vec<u32>,
    /// Keys in `slots`.
    stored: usize,
    null_group: u32,
}

impl<const N: usize> FixedTable<N> {
    pub fn new(layout: Layout) -> Self {
        FixedTable {
            layout,
            dense: Dense::default(),
            slots: vec![],
            keys: vec![],
            free: vec![],
            stored: 0,
            null_group: NO_GROUP,
        }
    }

    pub fn intern(&mut self, keys: &[ArrayRef], rows: usize, groups: &mut Vec<u32>) -> Result<()> {
        if rows > 0 && self.slots.is_empty() {
            self.grow();
        }
        let inputs = self.inputs(keys)?;
        let mut scratch = [[0; N]; BATCH];
        for start in (0..rows).step_by(BATCH) {
            let count = BATCH.min(rows - start);
            self.pack(&inputs, start, &mut scratch[..count]);
            match self.nulls_apart(&inputs) {
                Some(nulls) => {
                    for (row, key) in scratch[..count].iter().enumerate() {
                        let group = match nulls.is_null(start + row) {
                            true => self.intern_null()?,
                            false => self.intern_one(key)?,
                        };
                        groups.push(group);
                    }
                }
                None => {
                    for block in scratch[..count].chunks(BLOCK) {
                        self.intern_block(block, groups)?;
                    }
                }
            }
        }
        Ok(())
    }

    pub fn find(&self, keys: &[ArrayRef], rows: usize, groups: &mut Vec<u32>) -> Result<()> {
        let inputs = self.inputs(keys)?;
        if self.slots.is_empty() {
            groups.resize(rows, NO_GROUP);
            return Ok(());
        }
        let mut scratch = [[0; N]; BATCH];
        for start in (0..rows).step_by(BATCH) {
            let count = BATCH.min(rows - start);
            self.pack(&inputs, start, &mut scratch[..count]);
            match self.nulls_apart(&inputs) {
                Some(nulls) => {
                    groups.extend(scratch[..count].iter().enumerate().map(|(row, key)| {
                        if nulls.is_null(start + row) { self.null_group } else { self.find_one(key) }
                    }))
                }
                None => {
                    for block in scratch[..count].chunks(BLOCK) {
                        let homes = self.homes(block);
                        let entries = block.iter().zip(homes);
                        groups.extend(entries.map(
                            |(key, (group, end))| {
                                if group != NO_GROUP || end { group } else { self.find_one(key) }
                            },
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    pub fn keys(&self, types: &[DataType], groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let places = self.layout.places.iter();
        types.iter().zip(places).map(|(data_type, place)| self.column(data_type, place, groups)).collect()
    }

    pub fn release(&mut self, groups: &[u32]) {
        for &group in groups {
            if group == self.null_group {
                if group != NO_GROUP {
                    self.null_group = NO_GROUP;
                    self.free.push(group);
                }
            } else if let Some(&key) = self.keys.get(group as usize)
                && self.remove(&key, group)
            {
                self.free.push(group);
            }
        }
    }

    pub fn len(&self) -> usize {
        self.dense.len() + self.stored + usize::from(self.null_group != NO_GROUP)
    }

    pub fn capacity(&self) -> usize {
        self.keys.len()
    }

    pub fn size(&self) -> usize {
        self.slots.capacity() * size_of::<Slot<N>>()
            + self.keys.capacity() * size_of::<[u64; N]>()
            + self.free.capacity() * 4
            + self.dense.size()
    }

    fn inputs(&self, keys: &[ArrayRef]) -> Result<Vec<Input>> {
        keys.iter().zip(&self.layout.places).map(|(key, place)| Input::new(key, place.shape, None)).collect()
    }

    /// The NULLs that do not lie in the lanes.
    fn nulls_apart<'a>(&self, inputs: &'a [Input]) -> Option<&'a NullBuffer> {
        inputs.first().filter(|_| self.layout.null_apart)?.nulls.as_ref()
    }

    /// Packs the keys of rows from `start` into lanes.
    fn pack(&self, inputs: &[Input], start: usize, out: &mut [[u64; N]]) {
        out.fill([0; N]);
        for (input, place) in inputs.iter().zip(&self.layout.places) {
            let nulls = input.nulls.as_ref().filter(|_| !self.layout.null_apart).map(|nulls| (nulls, place.null));
            match &input.values {
                Values::Boolean(v) => {
                    scatter(out, place, nulls, start, (0..out.len()).map(|row| u64::from(v.value(start + row))))
                }
                Values::Fixed1(v) => scatter(out, place, nulls, start, v[start..].iter().map(|&v| u64::from(v))),
                Values::Fixed2(v) => scatter(out, place, nulls, start, v[start..].iter().map(|&v| u64::from(v))),
                Values::Fixed4(v) => scatter(out, place, nulls, start, v[start..].iter().map(|&v| u64::from(v))),
                Values::Fixed8(v) => scatter(out, place, nulls, start, v[start..].iter().copied()),
                Values::Fixed16(v) => {
                    scatter(out, place, nulls, start, v[start..].iter().map(|&v| v as u64));
                    let upper = Place { shape: place.shape, lane: place.lane + 1, shift: 0, null: place.null };
                    scatter(out, &upper, nulls, start, v[start..].iter().map(|&v| (v >> 64) as u64));
                }
                Values::Null | Values::Fixed32(_) | Values::Bytes(_) | Values::Row(_) => {}
            }
        }
    }

    /// Where the key lies in the dense window.
    #[inline(always)]
    fn place(&self, key: &[u64; N]) -> Option<usize> {
        if N == 1 { self.dense.place(key[0]) } else { None }
    }

    /// What stands in the home slot of each key: its group if the key is there, and whether the slot is empty.
    #[inline(always)]
    fn homes(&self, block: &[[u64; N]]) -> [(u32, bool); BLOCK] {
        let mut found = [(NO_GROUP, false); BLOCK];
        if !self.dense.is_empty() {
            for (found, key) in found.iter_mut().zip(block) {
                *found = match self.place(key) {
                    Some(place) => (self.dense.group(place), true),
                    None => (self.find_one(key), true),
                };
            }
            return found;
        }
        for (found, key) in found.iter_mut().zip(block) {
            let slot = &self.slots[self.home(key)];
            *found = (if slot.key == *key { slot.group } else { NO_GROUP }, slot.group == NO_GROUP);
        }
        found
    }

    #[inline]
    fn intern_block(&mut self, block: &[[u64; N]], groups: &mut Vec<u32>) -> Result<()> {
        let homes = self.homes(block);
        let before = groups.len();
        groups.extend(homes[..block.len()].iter().map(|(group, _)| *group));
        for (key, group) in block.iter().zip(&mut groups[before..]) {
            if *group == NO_GROUP {
                *group = self.intern_one(key)?;
            }
        }
        Ok(())
    }

    #[inline]
    fn intern_one(&mut self, key: &[u64; N]) -> Result<u32> {
        if let Some(place) = self.place(key) {
            let mut group = self.dense.group(place);
            if group == NO_GROUP {
                group = self.new_id(key)?;
                self.dense.insert(place, group);
            }
            return Ok(group);
        }
        let mask = self.slots.len() - 1;
        let mut at = self.home(key);
        loop {
            let slot = &self.slots[at & mask];
            if slot.group == NO_GROUP {
                return self.add(key, at & mask);
            }
            if slot.key == *key {
                return Ok(slot.group);
            }
            at += 1;
        }
    }

    fn add(&mut self, key: &[u64; N], at: usize) -> Result<u32> {
        if (self.stored + 1) * 8 > self.slots.len() * 5 {
            self.grow();
            return self.intern_one(key);
        }
        let group = self.new_id(key)?;
        self.slots[at] = Slot { key: *key, group };
        self.stored += 1;
        Ok(group)
    }

    fn new_id(&mut self, key: &[u64; N]) -> Result<u32> {
        if let Some(group) = self.free.pop() {
            self.keys[group as usize] = *key;
            return Ok(group);
        }
        let group = next_id(self.keys.len())?;
        self.keys.push(*key);
        Ok(group)
    }

    fn intern_null(&mut self) -> Result<u32> {
        if self.null_group == NO_GROUP {
            self.null_group = self.new_id(&[0; N])?;
        }
        Ok(self.null_group)
    }

    #[inline]
    fn find_one(&self, key: &[u64; N]) -> u32 {
        if let Some(place) = self.place(key) {
            return self.dense.group(place);
        }
        let mask = self.slots.len() - 1;
        let mut at = self.home(key);
        loop {
            let slot = &self.slots[at & mask];
            if slot.group == NO_GROUP || slot.key == *key {
                return slot.group;
            }
            at += 1;
        }
    }

    fn remove(&mut self, key: &[u64; N], group: u32) -> bool {
        if let Some(place) = self.place(key) {
            return self.dense.remove(place, group);
        }
        let mask = self.slots.len() - 1;
        let mut hole = self.home(key);
        loop {
            let slot = &self.slots[hole];
            if slot.group == NO_GROUP {
                return false;
            }
            if slot.key == *key {
                if slot.group != group {
                    return false;
                }
                break;
            }
            hole = (hole + 1) & mask;
        }
        let mut next = hole;
        loop {
            next = (next + 1) & mask;
            let slot = self.slots[next];
            if slot.group == NO_GROUP {
                break;
            }
            let home = self.home(&slot.key);
            if (next.wrapping_sub(home) & mask) >= (next.wrapping_sub(hole) & mask) {
                self.slots[hole] = slot;
                hole = next;
            }
        }
        self.slots[hole].group = NO_GROUP;
        self.stored -= 1;
        true
    }

    /// The position where the search for a key begins: the upper bits of its hash.
    #[inline(always)]
    fn home(&self, key: &[u64; N]) -> usize {
        let bits = self.slots.len().trailing_zeros();
        ((u128::from(hash_lanes(key)) << bits) >> 64) as usize
    }

    fn vacant(&self, key: &[u64; N]) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = self.home(key);
        while self.slots[at].group != NO_GROUP {
            at = (at + 1) & mask;
        }
        at
    }

    #[cold]
    fn grow(&mut self) {
        if N == 1 {
            let outside = self.slots.iter().filter(|slot| slot.group != NO_GROUP).map(|slot| (slot.key[0], slot.group));
            if self.dense.widen(outside, self.stored) {
                self.slots = vec![Slot { key: [0; N], group: NO_GROUP }; FIRST_SIZE];
                self.stored = 0;
                return;
            }
        }
        let size = (self.slots.len() * 2).max(FIRST_SIZE);
        let old = std::mem::replace(&mut self.slots, vec![Slot { key: [0; N], group: NO_GROUP }; size]);
        for slot in old {
            if slot.group != NO_GROUP {
                let at = self.vacant(&slot.key);
                self.slots[at] = slot;
            }
        }
    }

    fn column(&self, data_type: &DataType, place: &Place, groups: &[u32]) -> Result<ArrayRef> {
        let nulls = self.nulls_of(place, groups);
        let lane = |group: u32, lane: usize| self.keys.get(group as usize).map_or(0, |key| key[lane]);
        let values = groups.iter().map(|&group| lane(group, place.lane) >> place.shift);
        match place.shape {
            Shape::Null => Ok(Arc::new(NullArray::new(groups.len()))),
            Shape::Boolean => {
                let values: BooleanBuffer = values.map(|value| value & 1 == 1).collect();
                Ok(Arc::new(BooleanArray::new(values, nulls)))
            }
            Shape::Fixed1 => fixed_array(data_type, values.map(|value| value as u8).collect(), nulls),
            Shape::Fixed2 => fixed_array(data_type, values.map(|value| value as u16).collect(), nulls),
            Shape::Fixed4 => fixed_array(data_type, values.map(|value| value as u32).collect(), nulls),
            Shape::Fixed8 => fixed_array(data_type, values.collect(), nulls),
            Shape::Fixed16 => {
                let values = groups
                    .iter()
                    .map(|&group| u128::from(lane(group, place.lane + 1)) << 64 | u128::from(lane(group, place.lane)));
                fixed_array(data_type, values.collect(), nulls)
            }
            Shape::Fixed32 | Shape::Bytes | Shape::Row => Err(Error::internal("a key that is not of fixed width")),
        }
    }

    fn nulls_of(&self, place: &Place, groups: &[u32]) -> Option<NullBuffer> {
        if self.layout.null_apart {
            let present = groups.contains(&self.null_group) && self.null_group != NO_GROUP;
            return present.then(|| groups.iter().map(|&group| group != self.null_group).collect());
        }
        let (lane, bit) = place.null;
        let valid = |group: &u32| self.keys.get(*group as usize).is_none_or(|key| key[lane] >> bit & 1 == 0);
        (!groups.iter().all(valid)).then(|| groups.iter().map(valid).collect())
    }
}

/// Ors one column into its lane; a NULL sets its bit instead.
#[inline]
fn scatter<const N: usize>(
    out: &mut [[u64; N]],
    place: &Place,
    nulls: Option<(&NullBuffer, (usize, u32))>,
    start: usize,
    values: impl Iterator<Item = u64>,
) {
    let lane = place.lane.min(N - 1);
    match nulls {
        None => {
            for (key, value) in out.iter_mut().zip(values) {
                key[lane] |= value << place.shift;
            }
        }
        Some((nulls, (null_lane, bit))) => {
            for (row, (key, value)) in out.iter_mut().zip(values).enumerate() {
                if nulls.is_valid(start + row) {
                    key[lane] |= value << place.shift;
                } else {
                    key[null_lane] |= 1 << bit;
                }
            }
        }
    }
}
