//! The first rows of an order: ORDER BY .. LIMIT .. OFFSET.
//!
//! [`TopKOperator`] keeps all rows of its input in order, so that a deleted row is replaced by the next; at the end of
//! a step it compares the rows it shows now with those it showed before. The order ends with all columns, so equal
//! places mean equal rows and ties are broken by content, never by arrival.

use std::collections::BTreeMap;

use arrow::array::ArrayRef;
use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};

use crate::base::change::{ChangeBatch, Weights};
use crate::base::error::{Error, Result};
use crate::base::types::canonical_array;
use crate::operator::expression::{Expression, assemble, evaluate_or_fail};
use crate::operator::{CHUNK_ROWS, Operator, Output};

/// A row as bytes that compare in the order of the rows.
type OrderedRow = Box<[u8]>;

/// Emits rows `skip .. skip + fetch` of its input in the order of the keys, then of all columns.
///
/// # Contract
/// - The output of a step is consolidated.
/// - A row whose total is negative at the end of a step, in the part that is shown, is an error.
pub struct TopKOperator {
    keys: Vec<(Expression, SortOptions)>,
    skip: u64,
    fetch: Option<u64>,
    schema: SchemaRef,
    converter: RowConverter,
    rows: BTreeMap<OrderedRow, i64>,
    shown: Vec<(OrderedRow, i64)>,
    /// Bytes of the rows held.
    bytes: usize,
    is_dirty: bool,
}

impl TopKOperator {
    /// `schema` is that of input and output.
    pub fn new(keys: Vec<(Expression, SortOptions)>, skip: u64, fetch: Option<u64>, schema: SchemaRef) -> Result<Self> {
        let by_key = keys.iter().map(|(key, options)| SortField::new_with_options(key.data_type().clone(), *options));
        let by_column = schema.fields().iter().map(|field| SortField::new(field.data_type().clone()));
        let converter = RowConverter::new(by_key.chain(by_column).collect())?;
        Ok(TopKOperator {
            keys,
            skip,
            fetch,
            schema,
            converter,
            rows: BTreeMap::new(),
            shown: Vec::new(),
            bytes: 0,
            is_dirty: false,
        })
    }

    fn add(&mut self, columns: &[ArrayRef], weights: &Weights) -> Result<()> {
        let rows = self.converter.convert_columns(columns)?;
        for (index, row) in rows.iter().enumerate() {
            let weight = weights.get(index);
            let bytes = row.as_ref();
            // A row behind the last one shown of a full page changes nothing that is seen.
            self.is_dirty |= !self.is_full() || self.shown.last().is_none_or(|(last, _)| bytes <= last.as_ref());
            match self.rows.get_mut(bytes) {
                Some(total) => {
                    *total = total.checked_add(weight).ok_or_else(weight_overflow)?;
                    if *total == 0 {
                        self.rows.remove(bytes);
                        self.bytes -= bytes.len();
                    }
                }
                None if weight != 0 => {
                    self.bytes += bytes.len();
                    self.rows.insert(bytes.into(), weight);
                }
                None => {}
            }
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        let shown: i64 = self.shown.iter().map(|(_, weight)| weight).sum();
        self.fetch.is_some_and(|fetch| shown.unsigned_abs() >= fetch)
    }

    /// The rows to show, with how often.
    fn page(&self) -> Result<Vec<(OrderedRow, i64)>> {
        let mut skip = self.skip;
        let mut room = self.fetch.unwrap_or(u64::MAX);
        let mut page = Vec::new();
        for (row, &weight) in &self.rows {
            if room == 0 {
                break;
            }
            let Ok(weight) = u64::try_from(weight) else {
                return Err(Error::internal("more rows deleted than inserted below a LIMIT"));
            };
            let skipped = weight.min(skip);
            skip -= skipped;
            let taken = (weight - skipped).min(room);
            room -= taken;
            if taken > 0 {
                page.push((row.clone(), i64::try_from(taken).map_err(|_| weight_overflow())?));
            }
        }
        Ok(page)
    }

    fn emit(&self, rows: &[(&OrderedRow, i64)], out: &mut dyn Output) -> Result<()> {
        let parser = self.converter.parser();
        for chunk in rows.chunks(CHUNK_ROWS) {
            let columns = self.converter.convert_rows(chunk.iter().map(|(row, _)| parser.parse(row)))?;
            let columns = columns[self.keys.len()..].to_vec();
            let weights = chunk.iter().map(|(_, weight)| *weight).collect::<Vec<_>>();
            let rows = assemble(&self.schema, columns, chunk.len())?;
            out.emit(ChangeBatch::try_new(rows, Weights::Signed(weights.into()))?)?;
        }
        Ok(())
    }
}

impl Operator for TopKOperator {
    fn push(&mut self, _port: usize, batch: ChangeBatch, out: &mut dyn Output) -> Result<()> {
        let (keys, fields) = (&self.keys, self.schema.fields());
        let pieces = evaluate_or_fail(&batch, out, &|rows| {
            let mut columns = Vec::with_capacity(keys.len() + fields.len());
            for (key, _) in keys {
                columns.push(canonical_array(&key.evaluate(rows)?, key.data_type())?);
            }
            for (column, field) in rows.columns().iter().zip(fields) {
                columns.push(canonical_array(column, field.data_type())?);
            }
            Ok(columns)
        })?;
        for piece in pieces {
            self.add(&piece.values, piece.batch.weights())?;
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Output) -> Result<()> {
        if !std::mem::take(&mut self.is_dirty) {
            return Ok(());
        }
        let page = self.page()?;
        let changes = difference(&self.shown, &page);
        self.emit(&changes, out)?;
        self.shown = page;
        Ok(())
    }

    fn size(&self) -> usize {
        self.bytes + self.rows.len() * (size_of::<(OrderedRow, i64)>() * 3 / 2)
    }

    fn state_rows(&self) -> usize {
        self.rows.len()
    }
}

/// What turns `old` into `new`; both are in order, with every row once.
fn difference<'a>(old: &'a [(OrderedRow, i64)], new: &'a [(OrderedRow, i64)]) -> Vec<(&'a OrderedRow, i64)> {
    let mut changes = Vec::new();
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    loop {
        match (old.peek(), new.peek()) {
            (None, None) => return changes,
            (Some((row, weight)), other) if other.is_none_or(|(next, _)| row < next) => {
                changes.push((row, -weight));
                old.next();
            }
            (Some((row, before)), Some((next, after))) if row == next => {
                if before != after {
                    changes.push((row, after - before));
                }
                old.next();
                new.next();
            }
            (_, Some((row, weight))) => {
                changes.push((row, *weight));
                new.next();
            }
            (Some(_), None) => return changes,
        }
    }
}

fn weight_overflow() -> Error {
    Error::data("weight overflow").with_sqlstate("22003")
}
