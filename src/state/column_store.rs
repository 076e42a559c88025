//! Mutable columns with random access by slot: contiguous typed memory, freed slots used again.
//!
//! Private state of operators: nobody reads it but through [`ColumnStore::take`]. Fixed-width columns are plain
//! vectors, strings a heap, nested types `arrow-row` bytes in a heap. Where the NULLs are is kept only from the first
//! NULL on. Floats are stored canonical.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, NullArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{ArrowNativeType, DataType, i256};
use arrow::row::RowConverter;

use crate::base::error::{Error, ErrorKind, Result};

use super::heap::{Bytes, Heap};
use super::input::{self, Input, Shape, Values, bytes_array, fixed_array};

/// Byte strings looked up at a time.
const PREFETCHED: usize = 64;

/// Rows by slot.
///
/// # Contract
/// - A slot is valid from the push that returned it until it is freed; freeing twice is the caller's fault (not
///   checkable here without a bit per slot).
/// - Reading a slot that is not valid gives some value of the type, never a panic.
pub struct ColumnStore {
    columns: Vec<Column>,
    free: Vec<u32>,
    /// Slots ever used: every valid slot is below.
    used: usize,
}

struct Column {
    data_type: DataType,
    shape: Shape,
    /// For [`Shape::Row`] only.
    converter: Option<RowConverter>,
    stored: Stored,
    validity: Validity,
}

enum Stored {
    Null,
    Boolean(Vec<bool>),
    Fixed1(Vec<u8>),
    Fixed2(Vec<u16>),
    Fixed4(Vec<u32>),
    Fixed8(Vec<u64>),
    Fixed16(Vec<u128>),
    Fixed32(Vec<i256>),
    Heap(Heap),
}

/// One bit a slot, set where the value is NULL; no memory before the first NULL.
#[derive(Default)]
struct Validity(Vec<u64>);

/// Columns of a batch, read once for hashing, comparing and storing.
pub struct Prepared(Vec<Input>);

impl ColumnStore {
    /// An empty store for columns of these types.
    pub fn new(types: &[DataType]) -> Result<Self> {
        let columns = types.iter().map(Column::new).collect::<Result<Vec<_>>>()?;
        Ok(ColumnStore { columns, free: vec![], used: 0 })
    }

    #[cfg(test)]
    /// Stores every row and sets `slots` to where.
    pub fn push(&mut self, columns: &[ArrayRef], rows: usize, slots: &mut Vec<u32>) -> Result<()> {
        let prepared = self.prepare(columns, rows)?;
        slots.clear();
        slots.reserve(rows);
        for _ in 0..rows {
            slots.push(self.allot()?);
        }
        self.write(&prepared, None, slots)
    }

    /// Gives a slot back.
    pub fn free(&mut self, slot: u32) {
        if slot as usize >= self.used {
            return;
        }
        for column in &mut self.columns {
            if let Stored::Heap(heap) = &mut column.stored {
                heap.clear(slot);
            }
        }
        self.free.push(slot);
    }

    /// The values of one column at `slots`, in that order.
    pub fn take(&self, column: usize, slots: &[u32]) -> Result<ArrayRef> {
        let column = self.columns.get(column).ok_or_else(|| Error::internal(format!("no stored column {column}")))?;
        column.take(slots)
    }

    /// How many slots are in use.
    pub fn len(&self) -> usize {
        self.used - self.free.len()
    }

    /// Whether no slot is in use.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every slot is below this.
    pub fn capacity(&self) -> usize {
        self.used
    }

    /// The bytes held.
    pub fn size(&self) -> usize {
        self.columns.iter().map(Column::size).sum::<usize>() + self.free.capacity() * 4
    }

    /// Reads the columns of a batch.
    pub fn prepare(&self, columns: &[ArrayRef], rows: usize) -> Result<Prepared> {
        if columns.len() != self.columns.len() || columns.iter().any(|column| column.len() != rows) {
            return Err(Error::internal(format!("{} columns where {} are stored", columns.len(), self.columns.len())));
        }
        let read = |(array, column): (&ArrayRef, &Column)| Input::new(array, column.shape, column.converter.as_ref());
        Ok(Prepared(columns.iter().zip(&self.columns).map(read).collect::<Result<_>>()?))
    }

    /// A slot to be written by [`ColumnStore::write`].
    #[inline]
    pub fn allot(&mut self) -> Result<u32> {
        if let Some(slot) = self.free.pop() {
            return Ok(slot);
        }
        match u32::try_from(self.used) {
            Ok(slot) if slot < u32::MAX - 1 => {
                self.used += 1;
                Ok(slot)
            }
            _ => Err(Error::new(ErrorKind::Resource, "more than 4 billion rows in one store")),
        }
    }

    /// Writes rows (all, or those of `rows`) to allotted slots, one each.
    pub fn write(&mut self, prepared: &Prepared, rows: Option<&[u32]>, slots: &[u32]) -> Result<()> {
        let used = self.used;
        for (column, input) in self.columns.iter_mut().zip(&prepared.0) {
            column.write(input, rows, slots, used)?;
        }
        Ok(())
    }

    /// Clears `equal` where a row of the batch differs from what its slot holds; NULL equals NULL.
    pub fn compare(&self, prepared: &Prepared, rows: &[u32], slots: &[u32], equal: &mut [bool]) {
        for (column, input) in self.columns.iter().zip(&prepared.0) {
            column.compare(input, rows, slots, equal);
        }
    }
}

impl Prepared {
    /// Folds all columns into one hash a row.
    pub fn hash(&self, hashes: &mut [u64]) {
        self.0.iter().for_each(|input| input.hash(hashes));
    }
}

impl Column {
    fn new(data_type: &DataType) -> Result<Self> {
        let shape = Shape::of(data_type);
        let stored = match shape {
            Shape::Null => Stored::Null,
            Shape::Boolean => Stored::Boolean(vec![]),
            Shape::Fixed1 => Stored::Fixed1(vec![]),
            Shape::Fixed2 => Stored::Fixed2(vec![]),
            Shape::Fixed4 => Stored::Fixed4(vec![]),
            Shape::Fixed8 => Stored::Fixed8(vec![]),
            Shape::Fixed16 => Stored::Fixed16(vec![]),
            Shape::Fixed32 => Stored::Fixed32(vec![]),
            Shape::Bytes | Shape::Row => Stored::Heap(Heap::new()),
        };
        let converter = if shape == Shape::Row { Some(input::row_converter([data_type])?) } else { None };
        Ok(Column { data_type: data_type.clone(), shape, converter, stored, validity: Validity::default() })
    }

    fn write(&mut self, input: &Input, rows: Option<&[u32]>, slots: &[u32], used: usize) -> Result<()> {
        match (&mut self.stored, &input.values) {
            (Stored::Null, _) => {}
            (Stored::Boolean(stored), Values::Boolean(values)) => {
                stored.resize(used, false);
                for_each(rows, slots, |row, slot| stored[slot] = values.value(row));
            }
            (Stored::Fixed1(stored), Values::Fixed1(values)) => write_fixed(stored, values, rows, slots, used),
            (Stored::Fixed2(stored), Values::Fixed2(values)) => write_fixed(stored, values, rows, slots, used),
            (Stored::Fixed4(stored), Values::Fixed4(values)) => write_fixed(stored, values, rows, slots, used),
            (Stored::Fixed8(stored), Values::Fixed8(values)) => write_fixed(stored, values, rows, slots, used),
            (Stored::Fixed16(stored), Values::Fixed16(values)) => write_fixed(stored, values, rows, slots, used),
            (Stored::Fixed32(stored), Values::Fixed32(values)) => write_fixed(stored, values, rows, slots, used),
            (Stored::Heap(heap), Values::Bytes(values)) => {
                heap.resize(used);
                let nulls = input.nulls.as_ref();
                try_for_each(rows, slots, |row, slot| match nulls.is_some_and(|nulls| nulls.is_null(row)) {
                    true => Ok(()),
                    false => heap.set(slot as u32, values.value(row)),
                })?;
            }
            (Stored::Heap(heap), Values::Row(values)) => {
                heap.resize(used);
                try_for_each(rows, slots, |row, slot| heap.set(slot as u32, Bytes::new(values.row(row).data())))?;
            }
            _ => return Err(Error::internal("a column of another form than stored")),
        }
        self.validity.write(input.nulls.as_ref(), rows, slots);
        Ok(())
    }

    fn take(&self, slots: &[u32]) -> Result<ArrayRef> {
        match &self.stored {
            Stored::Null => Ok(Arc::new(NullArray::new(slots.len()))),
            Stored::Boolean(stored) => {
                let values: BooleanBuffer =
                    slots.iter().map(|&slot| stored.get(slot as usize).copied().unwrap_or_default()).collect();
                Ok(Arc::new(BooleanArray::new(values, self.validity.take(slots))))
            }
            Stored::Fixed1(stored) => self.take_fixed(stored, slots),
            Stored::Fixed2(stored) => self.take_fixed(stored, slots),
            Stored::Fixed4(stored) => self.take_fixed(stored, slots),
            Stored::Fixed8(stored) => self.take_fixed(stored, slots),
            Stored::Fixed16(stored) => self.take_fixed(stored, slots),
            Stored::Fixed32(stored) => self.take_fixed(stored, slots),
            Stored::Heap(heap) => match &self.converter {
                None => {
                    // Values are touched a block ahead of their use.
                    let values = slots.chunks(PREFETCHED).flat_map(|block| {
                        heap.prefetch(block);
                        block.iter().map(|&slot| heap.get(slot))
                    });
                    bytes_array(&self.data_type, slots.len(), values)
                }
                Some(converter) => {
                    let parser = converter.parser();
                    let rows = slots
                        .iter()
                        .map(|&slot| {
                            let bytes =
                                heap.get(slot).ok_or_else(|| Error::internal(format!("slot {slot} is free")))?;
                            Ok(parser.parse(bytes))
                        })
                        .collect::<Result<Vec<_>>>()?;
                    let mut arrays = converter.convert_rows(rows)?;
                    arrays.pop().ok_or_else(|| Error::internal("a row converter without columns"))
                }
            },
        }
    }

    fn take_fixed<T: ArrowNativeType>(&self, stored: &[T], slots: &[u32]) -> Result<ArrayRef> {
        let values = slots.iter().map(|&slot| stored.get(slot as usize).copied().unwrap_or_default()).collect();
        fixed_array(&self.data_type, values, self.validity.take(slots))
    }

    fn compare(&self, input: &Input, rows: &[u32], slots: &[u32], equal: &mut [bool]) {
        let nulls = input.nulls.as_ref();
        match (&self.stored, &input.values) {
            (Stored::Null, _) => {}
            (Stored::Boolean(s), Values::Boolean(v)) => {
                self.agree(nulls, rows, slots, equal, |r, i| s[i] == v.value(r))
            }
            (Stored::Fixed1(s), Values::Fixed1(v)) => self.agree(nulls, rows, slots, equal, |r, i| s[i] == v[r]),
            (Stored::Fixed2(s), Values::Fixed2(v)) => self.agree(nulls, rows, slots, equal, |r, i| s[i] == v[r]),
            (Stored::Fixed4(s), Values::Fixed4(v)) => self.agree(nulls, rows, slots, equal, |r, i| s[i] == v[r]),
            (Stored::Fixed8(s), Values::Fixed8(v)) => self.agree(nulls, rows, slots, equal, |r, i| s[i] == v[r]),
            (Stored::Fixed16(s), Values::Fixed16(v)) => self.agree(nulls, rows, slots, equal, |r, i| s[i] == v[r]),
            (Stored::Fixed32(s), Values::Fixed32(v)) => self.agree(nulls, rows, slots, equal, |r, i| s[i] == v[r]),
            (Stored::Heap(heap), Values::Bytes(v)) => {
                self.agree(nulls, rows, slots, equal, |r, i| heap.equals(i as u32, v.value(r)))
            }
            (Stored::Heap(heap), Values::Row(v)) => {
                self.agree(nulls, rows, slots, equal, |r, i| heap.equals(i as u32, Bytes::new(v.row(r).data())))
            }
            _ => equal.fill(false),
        }
    }

    #[inline]
    fn agree(
        &self,
        nulls: Option<&NullBuffer>,
        rows: &[u32],
        slots: &[u32],
        equal: &mut [bool],
        same: impl Fn(usize, usize) -> bool,
    ) {
        let pairs = rows.iter().zip(slots).map(|(&row, &slot)| (row as usize, slot as usize));
        if nulls.is_none() && self.validity.is_empty() {
            equal.iter_mut().zip(pairs).for_each(|(equal, (row, slot))| *equal &= same(row, slot));
            return;
        }
        for (equal, (row, slot)) in equal.iter_mut().zip(pairs) {
            let null = nulls.is_some_and(|nulls| nulls.is_null(row));
            *equal &= null == self.validity.is_null(slot) && (null || same(row, slot));
        }
    }

    fn size(&self) -> usize {
        let values = match &self.stored {
            Stored::Null => 0,
            Stored::Boolean(stored) => stored.capacity(),
            Stored::Fixed1(stored) => stored.capacity(),
            Stored::Fixed2(stored) => stored.capacity() * 2,
            Stored::Fixed4(stored) => stored.capacity() * 4,
            Stored::Fixed8(stored) => stored.capacity() * 8,
            Stored::Fixed16(stored) => stored.capacity() * 16,
            Stored::Fixed32(stored) => stored.capacity() * 32,
            Stored::Heap(heap) => heap.size(),
        };
        values + self.validity.0.capacity() * 8
    }
}

impl Validity {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    fn is_null(&self, slot: usize) -> bool {
        self.0.get(slot / 64).is_some_and(|word| word >> (slot % 64) & 1 == 1)
    }

    fn write(&mut self, nulls: Option<&NullBuffer>, rows: Option<&[u32]>, slots: &[u32]) {
        match nulls {
            None if self.is_empty() => {}
            None => slots.iter().for_each(|&slot| self.set(slot as usize, false)),
            Some(nulls) => for_each(rows, slots, |row, slot| self.set(slot, nulls.is_null(row))),
        }
    }

    #[inline]
    fn set(&mut self, slot: usize, null: bool) {
        match self.0.get_mut(slot / 64) {
            Some(word) => *word = *word & !(1 << (slot % 64)) | u64::from(null) << (slot % 64),
            None if null => {
                self.0.resize(slot / 64 + 1, 0);
                self.set(slot, null);
            }
            None => {}
        }
    }

    fn take(&self, slots: &[u32]) -> Option<NullBuffer> {
        if self.is_empty() {
            return None;
        }
        Some(slots.iter().map(|&slot| !self.is_null(slot as usize)).collect())
    }
}

#[inline]
fn write_fixed<T: ArrowNativeType>(
    stored: &mut Vec<T>,
    values: &[T],
    rows: Option<&[u32]>,
    slots: &[u32],
    used: usize,
) {
    stored.resize(used, T::default());
    // The usual case: new slots in a row at the end.
    if rows.is_none()
        && let (Some(&first), Some(&last)) = (slots.first(), slots.last())
        && (last as usize).checked_sub(first as usize) == Some(slots.len() - 1)
        && slots.is_sorted()
    {
        stored[first as usize..=last as usize].copy_from_slice(&values[..slots.len()]);
        return;
    }
    for_each(rows, slots, |row, slot| stored[slot] = values[row]);
}

/// Calls `f` with each row and its slot.
#[inline]
fn for_each(rows: Option<&[u32]>, slots: &[u32], mut f: impl FnMut(usize, usize)) {
    match rows {
        None => slots.iter().enumerate().for_each(|(row, &slot)| f(row, slot as usize)),
        Some(rows) => rows.iter().zip(slots).for_each(|(&row, &slot)| f(row as usize, slot as usize)),
    }
}

#[inline]
fn try_for_each(rows: Option<&[u32]>, slots: &[u32], mut f: impl FnMut(usize, usize) -> Result<()>) -> Result<()> {
    match rows {
        None => slots.iter().enumerate().try_for_each(|(row, &slot)| f(row, slot as usize)),
        Some(rows) => rows.iter().zip(slots).try_for_each(|(&row, &slot)| f(row as usize, slot as usize)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::testing::{Random, one_zero, random_rows, schema, text};
    use arrow::array::{Decimal256Array, Int64Array, ListArray, RecordBatch, StringArray};
    use arrow::datatypes::Int64Type;
    use std::collections::BTreeMap;

    fn wide_rows(random: &mut Random, rows: usize) -> Vec<ArrayRef> {
        let batch = random_rows(random, rows, 9);
        let mut columns = batch.columns().to_vec();
        let ints = |random: &mut Random| (random.below(6) > 0).then(|| random.below(99) as i64 - 50);
        columns.push(Arc::new((0..rows).map(|_| ints(random).map(|v| v > 0)).collect::<BooleanArray>()));
        columns.push(Arc::new(
            (0..rows)
                .map(|_| ints(random).map(|v| i256::from_i128(i128::from(v))))
                .collect::<Decimal256Array>()
                .with_precision_and_scale(60, 3)
                .unwrap(),
        ));
        let lists = (0..rows).map(|_| ints(random).map(|v| vec![Some(v), None, Some(v / 2)]));
        columns.push(Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists)));
        columns.push(Arc::new(
            (0..rows).map(|_| ints(random).map(|v| format!("number {v:>12}"))).collect::<StringArray>(),
        ));
        columns.push(Arc::new(NullArray::new(rows)));
        columns
    }

    #[test]
    fn slots_keep_their_rows_until_freed() {
        for seed in 1..=5 {
            let mut random = Random::new(seed);
            let types: Vec<DataType> =
                wide_rows(&mut random, 0).iter().map(|column| column.data_type().clone()).collect();
            let mut store = ColumnStore::new(&types).unwrap();
            let mut model: BTreeMap<u32, String> = BTreeMap::new();
            let mut slots = vec![];
            for step in 0..40 {
                let rows = [0, 1, 5, 100][random.below(4) as usize];
                let columns = wide_rows(&mut random, rows);
                store.push(&columns, rows, &mut slots).unwrap();
                for (row, &slot) in slots.iter().enumerate() {
                    let text = one_zero(&text(&columns, row));
                    assert!(model.insert(slot, text).is_none(), "seed {seed} step {step}: slot {slot} given twice");
                }
                let order: Vec<u32> = model.keys().rev().copied().collect();
                let taken: Vec<ArrayRef> = (0..types.len()).map(|c| store.take(c, &order).unwrap()).collect();
                assert!(taken.iter().zip(&types).all(|(array, data_type)| array.data_type() == data_type));
                for (row, slot) in order.iter().enumerate() {
                    assert_eq!(text(&taken, row), model[slot], "seed {seed} step {step}");
                }
                model.retain(|&slot, _| {
                    let keep = random.below(4) > 0;
                    if !keep {
                        store.free(slot);
                    }
                    keep
                });
                assert_eq!(store.len(), model.len());
            }
            assert!(store.size() > 0);
        }
    }

    #[test]
    fn comparing_tells_nulls_and_values_apart() {
        let mut random = Random::new(3);
        let types: Vec<DataType> = schema().fields().iter().map(|field| field.data_type().clone()).collect();
        let mut store = ColumnStore::new(&types).unwrap();
        let mut slots = vec![];
        let stored = random_rows(&mut random, 50, 2);
        store.push(stored.columns(), 50, &mut slots).unwrap();
        let other = random_rows(&mut random, 50, 2);
        let prepared = store.prepare(other.columns(), 50).unwrap();
        let pairs: Vec<(u32, u32)> = (0..50).flat_map(|row| slots.iter().map(move |&slot| (row, slot))).collect();
        let (rows, against): (Vec<u32>, Vec<u32>) = pairs.into_iter().unzip();
        let mut equal = vec![true; rows.len()];
        store.compare(&prepared, &rows, &against, &mut equal);
        let print = |batch: &RecordBatch, row: u32| one_zero(&text(batch.columns(), row as usize));
        for ((row, slot), equal) in rows.iter().zip(&against).zip(equal) {
            assert_eq!(equal, print(&other, *row) == print(&stored, *slot));
        }
    }

    #[test]
    fn no_columns_and_bad_slots() {
        let mut store = ColumnStore::new(&[]).unwrap();
        let mut slots = vec![];
        store.push(&[], 3, &mut slots).unwrap();
        assert_eq!((slots.as_slice(), store.len()), ([0, 1, 2].as_slice(), 3));
        let mut store = ColumnStore::new(&[DataType::Int64]).unwrap();
        store.push(&[Arc::new(Int64Array::from(vec![1])) as ArrayRef], 1, &mut slots).unwrap();
        assert_eq!(store.take(0, &[0, 99]).unwrap().len(), 2);
        assert!(store.take(1, &[0]).is_err());
    }
}
