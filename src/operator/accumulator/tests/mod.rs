//! The aggregates against models: any order, any split, any deletions give the same bits.

mod face;
mod laws;
mod values;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Float64Type, Int64Type};

use super::{Accumulator, AggregateCall, AggregateFunction, Fraction, create};
use crate::base::change::Weights;
use crate::base::error::Error;

/// A small deterministic generator.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) ^ (self.0 << 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

fn call(function: AggregateFunction, arguments: &[DataType], distinct: bool) -> AggregateCall {
    AggregateCall { function, distinct, arguments: arguments.to_vec(), append_only: false, fraction: None }
}

fn accumulator(function: AggregateFunction, argument: &DataType) -> Box<dyn Accumulator> {
    let mut accumulator = create(&call(function, std::slice::from_ref(argument), false)).unwrap();
    accumulator.resize(4);
    accumulator
}

/// Feeds rows `(index into pool, group, weight)`.
fn feed(accumulator: &mut dyn Accumulator, pool: &[ArrayRef], rows: &[(usize, u32, i64)]) {
    let indices: UInt32Array = rows.iter().map(|row| row.0 as u32).collect();
    let values: Vec<ArrayRef> = pool.iter().map(|array| take(array, &indices, None).unwrap()).collect();
    let groups: Vec<u32> = rows.iter().map(|row| row.1).collect();
    let weights = if rows.iter().all(|row| row.2 == 1) {
        Weights::Ones
    } else {
        Weights::Signed(rows.iter().map(|row| row.2).collect::<Vec<_>>().into())
    };
    accumulator.update(&values, &groups, &weights, None).unwrap();
}

/// The answers as text with every bit of floats, and the errors.
fn answers(accumulator: &dyn Accumulator, groups: &[u32]) -> Vec<String> {
    let mut errors: Vec<(usize, Error)> = Vec::new();
    let array = accumulator.read(groups, &mut errors).unwrap();
    let mut texts: Vec<String> = (0..array.len()).map(|row| text(&array, row)).collect();
    for (row, error) in errors {
        assert!(array.is_null(row) || *array.data_type() == DataType::Null);
        texts[row] = format!("{}: {error}", error.sqlstate());
    }
    texts
}

fn text(array: &ArrayRef, row: usize) -> String {
    if array.is_null(row) || *array.data_type() == DataType::Null {
        return "NULL".into();
    }
    match array.data_type() {
        DataType::Float64 => {
            let value = array.as_primitive::<Float64Type>().value(row);
            format!("{value:e} {:x}", value.to_bits())
        }
        _ => arrow::util::display::array_value_to_string(array, row).unwrap(),
    }
}

fn double(accumulator: &dyn Accumulator) -> f64 {
    accumulator.read(&[0], &mut Vec::new()).unwrap().as_primitive::<Float64Type>().value(0)
}

fn bigint(accumulator: &dyn Accumulator) -> i64 {
    accumulator.read(&[0], &mut Vec::new()).unwrap().as_primitive::<Int64Type>().value(0)
}

fn column<T: Array + 'static>(array: T) -> Vec<ArrayRef> {
    vec![Arc::new(array)]
}
