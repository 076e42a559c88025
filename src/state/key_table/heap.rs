//! Keys as byte strings: one string or binary column as it is, anything else as `arrow-row` bytes.
//!
//! `arrow-row` bytes are injective: equal bytes are equal keys. They live in memory only, since their format may
//! change between releases.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use arrow::row::RowConverter;

use crate::base::error::{Error, Result};
use crate::base::types::canonical_floats;

use super::super::heap::{Bytes, Heap};
use super::super::input::{Input, Shape, Values, bytes_array, row_converter};
use super::super::slot_table::SlotTable;
use super::{NO_GROUP, next_id};

/// Keys whose home slots are read before any of them is compared.
const BLOCK: usize = 64;

/// Byte-string keys with their ids.
pub struct HeapTable {
    /// Present unless the key is one string or binary column.
    converter: Option<RowConverter>,
    index: SlotTable,
    heap: Heap,
    /// Ids given so far.
    used: usize,
    free: Vec<u32>,
    /// The group of NULL, which has no bytes, where the key is one column.
    null_group: u32,
}

impl HeapTable {
    pub fn new(types: &[DataType]) -> Result<Self> {
        let plain = types.len() == 1 && Shape::of(&types[0]) == Shape::Bytes;
        Ok(HeapTable {
            converter: if plain { None } else { Some(row_converter(types)?) },
            index: SlotTable::new(),
            heap: Heap::new(),
            used: 0,
            free: vec![],
            null_group: NO_GROUP,
        })
    }

    pub fn intern(&mut self, keys: &[ArrayRef], rows: usize, groups: &mut Vec<u32>) -> Result<()> {
        if let Some(converter) = &self.converter {
            let encoded = encode(converter, keys)?;
            return self.intern_all(rows, groups, |row| Some(Bytes::new(encoded.row(row).data())));
        }
        let input = plain(keys)?;
        let Values::Bytes(values) = &input.values else { return Err(Error::internal("key without bytes")) };
        match &input.nulls {
            None => self.intern_all(rows, groups, |row| Some(values.value(row))),
            Some(nulls) => self.intern_all(rows, groups, |row| nulls.is_valid(row).then(|| values.value(row))),
        }
    }

    pub fn find(&self, keys: &[ArrayRef], rows: usize, groups: &mut Vec<u32>) -> Result<()> {
        if let Some(converter) = &self.converter {
            let encoded = encode(converter, keys)?;
            self.find_all(rows, groups, |row| Some(Bytes::new(encoded.row(row).data())));
            return Ok(());
        }
        let input = plain(keys)?;
        let Values::Bytes(values) = &input.values else { return Err(Error::internal("key without bytes")) };
        match &input.nulls {
            None => self.find_all(rows, groups, |row| Some(values.value(row))),
            Some(nulls) => self.find_all(rows, groups, |row| nulls.is_valid(row).then(|| values.value(row))),
        }
        Ok(())
    }

    pub fn keys(&self, types: &[DataType], groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let Some(converter) = &self.converter else {
            let values = groups.iter().map(|&group| self.heap.get(group));
            return Ok(vec![bytes_array(&types[0], groups.len(), values)?]);
        };
        let parser = converter.parser();
        let rows = groups
            .iter()
            .map(|&group| {
                let bytes = self.heap.get(group).ok_or_else(|| Error::internal(format!("no group {group}")))?;
                Ok(parser.parse(bytes))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(converter.convert_rows(rows)?)
    }

    pub fn release(&mut self, groups: &[u32]) {
        for &group in groups {
            if group == self.null_group {
                if group != NO_GROUP {
                    self.null_group = NO_GROUP;
                    self.free.push(group);
                }
                continue;
            }
            let Some(hash) = self.heap.get(group).map(|bytes| Bytes::new(bytes).hash()) else { continue };
            if self.index.remove(hash, group) {
                self.heap.clear(group);
                self.free.push(group);
            }
        }
    }

    pub fn len(&self) -> usize {
        self.index.len() + usize::from(self.null_group != NO_GROUP)
    }

    pub fn capacity(&self) -> usize {
        self.used
    }

    pub fn size(&self) -> usize {
        self.index.size() + self.heap.size() + self.free.capacity() * 4
    }

    /// Interns rows in blocks: first all hashes and home slots, so that the cache misses overlap, then the values.
    #[inline]
    fn intern_all<'a>(
        &mut self,
        rows: usize,
        groups: &mut Vec<u32>,
        value: impl Fn(usize) -> Option<Bytes<'a>>,
    ) -> Result<()> {
        for start in (0..rows).step_by(BLOCK) {
            let count = BLOCK.min(rows - start);
            let (hashes, guesses) = self.look(start, count, &value);
            for at in 0..count {
                let Some(bytes) = value(start + at) else {
                    groups.push(self.intern_null()?);
                    continue;
                };
                let (hash, guess) = (hashes[at], guesses[at]);
                if guess != NO_GROUP && self.heap.equals(guess, bytes) {
                    groups.push(guess);
                    continue;
                }
                let group = match self.index.find(hash, |id| self.heap.equals(id, bytes)) {
                    Some(group) => group,
                    None => self.add(hash, bytes)?,
                };
                groups.push(group);
            }
        }
        Ok(())
    }

    #[inline]
    fn find_all<'a>(&self, rows: usize, groups: &mut Vec<u32>, value: impl Fn(usize) -> Option<Bytes<'a>>) {
        for start in (0..rows).step_by(BLOCK) {
            let count = BLOCK.min(rows - start);
            let (hashes, guesses) = self.look(start, count, &value);
            groups.extend((0..count).map(|at| match value(start + at) {
                None => self.null_group,
                Some(bytes) if guesses[at] != NO_GROUP && self.heap.equals(guesses[at], bytes) => guesses[at],
                Some(bytes) => self.index.find(hashes[at], |id| self.heap.equals(id, bytes)).unwrap_or(NO_GROUP),
            }));
        }
    }

    #[inline]
    fn look<'a>(
        &self,
        start: usize,
        count: usize,
        value: &impl Fn(usize) -> Option<Bytes<'a>>,
    ) -> ([u64; BLOCK], [u32; BLOCK]) {
        let mut hashes = [0; BLOCK];
        let mut guesses = [NO_GROUP; BLOCK];
        for (at, hash) in hashes[..count].iter_mut().enumerate() {
            *hash = value(start + at).map_or(0, |bytes| bytes.hash());
        }
        for (guess, &hash) in guesses[..count].iter_mut().zip(&hashes) {
            *guess = self.index.peek(hash);
        }
        (hashes, guesses)
    }

    fn add(&mut self, hash: u64, bytes: Bytes<'_>) -> Result<u32> {
        let group = self.new_id()?;
        self.heap.set(group, bytes)?;
        self.index.insert(hash, group);
        Ok(group)
    }

    fn new_id(&mut self) -> Result<u32> {
        if let Some(group) = self.free.pop() {
            return Ok(group);
        }
        let group = next_id(self.used)?;
        self.used += 1;
        self.heap.resize(self.used);
        Ok(group)
    }

    fn intern_null(&mut self) -> Result<u32> {
        if self.null_group == NO_GROUP {
            self.null_group = self.new_id()?;
        }
        Ok(self.null_group)
    }
}

fn plain(keys: &[ArrayRef]) -> Result<Input> {
    let key = keys.first().ok_or_else(|| Error::internal("key without a column"))?;
    Input::new(key, Shape::Bytes, None)
}

fn encode(converter: &RowConverter, keys: &[ArrayRef]) -> Result<arrow::row::Rows> {
    let keys: Vec<ArrayRef> = keys.iter().cloned().map(canonical_floats).collect();
    Ok(converter.convert_columns(&keys)?)
}
