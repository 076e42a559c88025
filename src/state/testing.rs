//! Helpers of the state tests: a small random generator and arrays to compare.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::base::change::ChangeBatch;

/// xorshift64*, so that tests need no dependency and repeat exactly.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 11) % limit
    }
}

/// One row as text: equal texts are equal rows.
pub fn text(columns: &[ArrayRef], row: usize) -> String {
    let options = FormatOptions::new().with_null("NULL");
    let values: Vec<String> = columns
        .iter()
        .map(|column| match column.is_null(row) {
            true => "NULL".to_string(),
            false => format!(
                "'{}'",
                ArrayFormatter::try_new(column.as_ref(), &options).expect("a type that prints").value(row)
            ),
        })
        .collect();
    values.join(",")
}

/// The text with -0.0 as 0.0, which are one value to state.
pub fn one_zero(text: &str) -> String {
    text.replace("-0.0'", "0.0'").replace("-0.0,", "0.0,").replace("-0.0]", "0.0]")
}

/// Every row as text.
pub fn texts(columns: &[ArrayRef], rows: usize) -> Vec<String> {
    (0..rows).map(|row| text(columns, row)).collect()
}

/// The change as sorted (row, weight) with equal rows summed and zeros dropped.
pub fn summed<'a>(changes: impl IntoIterator<Item = &'a ChangeBatch>) -> Vec<(String, i64)> {
    let mut sums = std::collections::BTreeMap::new();
    for change in changes {
        for row in 0..change.num_rows() {
            *sums.entry(text(change.rows().columns(), row)).or_insert(0) += change.weights().get(row);
        }
    }
    sums.into_iter().filter(|(_, weight)| *weight != 0).collect()
}

/// Columns a BIGINT, b TEXT, c DOUBLE: all nullable.
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("a", DataType::Int64, true),
        Field::new("b", DataType::Utf8View, true),
        Field::new("c", DataType::Float64, true),
    ]))
}

/// Random rows of [`schema`], few distinct values each, NULLs, long strings, odd floats among them.
pub fn random_rows(random: &mut Random, rows: usize, distinct: u64) -> RecordBatch {
    let ints: Int64Array = (0..rows).map(|_| pick(random, distinct).map(|v| v as i64 - 2)).collect();
    let strings: StringViewArray = (0..rows)
        .map(|_| pick(random, distinct).map(|v| "long and longer ".repeat(v as usize % 3) + &v.to_string()))
        .collect();
    let floats: Float64Array = (0..rows)
        .map(|_| {
            pick(random, 5).map(|v| match v {
                0 => 0.0,
                1 => -0.0,
                2 => f64::NAN,
                3 => -f64::NAN,
                other => other as f64 / 3.0,
            })
        })
        .collect();
    RecordBatch::try_new(schema(), vec![Arc::new(ints), Arc::new(strings), Arc::new(floats)])
        .expect("columns of one length")
}

fn pick(random: &mut Random, distinct: u64) -> Option<u64> {
    let value = random.below(distinct + 1);
    (value < distinct).then_some(value)
}
