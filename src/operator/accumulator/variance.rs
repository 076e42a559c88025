//! `var_pop`, `var`, `stddev_pop`, `stddev`: from the exact count, sum and sum of squares.
//!
//! The answer is `(n * sum(x^2) - sum(x)^2) / (n * n)`, or over `n * (n - 1)` for a sample, evaluated exactly and
//! rounded once to DOUBLE; so it never is negative, never drifts, and is 0 for equal values. With an infinity or NaN
//! among the values it is NaN. A sample of less than two rows has no variance: NULL.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array};
use arrow::datatypes::{DataType, Float64Type};
use num_bigint::{BigInt, BigUint};

use super::float_sum::FloatSum;
use super::product_sum::ProductSum;
use super::ratio::{Scaled, divide, divide_and_root};
use super::rows::Rows;
use super::saved::{load_fixed, save_fixed};
use super::sum::{Addend, ExactSum};
use super::wide::Wide;
use super::{Accumulator, argument, foreign_state, state_column};
use crate::base::change::Weights;
use crate::base::error::{Error, Result};

/// The exact moments of one group.
pub(super) struct Totals {
    count: i64,
    sum: Scaled,
    squares: Scaled,
    /// What the values are to be divided by, beside powers of two.
    divisor: BigUint,
    finite: bool,
}

/// Exact counts, sums and sums of squares by group.
pub(super) trait Moments: Send + Sync {
    /// The sums, with the count in their state.
    fn sums(&mut self) -> &mut dyn Accumulator;
    /// Makes the groups below `groups` exist in the squares.
    fn resize_squares(&mut self, groups: usize);
    /// Adds the squares of the rows.
    fn add_squares(&mut self, values: &[ArrayRef], rows: &Rows<'_>) -> Result<()>;
    /// Forgets the squares of a group.
    fn clear_squares(&mut self, group: u32);
    /// The squares of the groups as state column.
    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>>;
    /// Merges a state column of squares.
    fn load_squares(&mut self, groups: &[u32], squares: &ArrayRef) -> Result<()>;
    /// How many groups there are.
    fn capacity(&self) -> usize;
    /// The moments of a group.
    fn totals(&self, group: u32) -> Totals;
    /// Bytes held.
    fn size(&self) -> usize;
}

/// Variances or standard deviations of all groups.
pub(super) struct Variance<M> {
    sample: bool,
    root: bool,
    moments: M,
}

impl<M: Moments> Variance<M> {
    /// Of a sample or a population; the standard deviation if `root`.
    pub(super) fn new(moments: M, sample: bool, root: bool) -> Self {
        Variance { sample, root, moments }
    }

    fn value(&self, group: u32) -> Option<f64> {
        let totals = self.moments.totals(group);
        let count = totals.count;
        if count < if self.sample { 2 } else { 1 } {
            return None;
        }
        if !totals.finite {
            return Some(f64::NAN);
        }
        let counted = Scaled { integer: BigInt::from(count), exponent: 0 };
        let numerator = counted.times(&totals.squares).plus(totals.sum.times(&totals.sum).negated());
        let rows = BigUint::from(count.unsigned_abs());
        let freedom = BigUint::from((count - i64::from(self.sample)).unsigned_abs());
        let denominator = rows * freedom * &totals.divisor * &totals.divisor;
        Some(if self.root { divide_and_root(&numerator, &denominator) } else { divide(&numerator, &denominator) })
    }
}

impl<M: Moments> Accumulator for Variance<M> {
    fn resize(&mut self, groups: usize) {
        self.moments.sums().resize(groups);
        self.moments.resize_squares(groups);
    }

    fn update(
        &mut self,
        values: &[ArrayRef],
        groups: &[u32],
        weights: &Weights,
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        self.moments.sums().update(values, groups, weights, filter)?;
        let rows = Rows::new(values, groups, weights, filter, self.moments.capacity())?;
        self.moments.add_squares(values, &rows)
    }

    fn read(&self, groups: &[u32], _errors: &mut Vec<(usize, Error)>) -> Result<ArrayRef> {
        Ok(Arc::new(groups.iter().map(|&group| self.value(group)).collect::<Float64Array>()))
    }

    fn clear(&mut self, groups: &[u32]) {
        self.moments.sums().clear(groups);
        groups.iter().for_each(|&group| self.moments.clear_squares(group));
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        self.moments.save(groups)
    }

    fn load(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let (sums, squares) = state.split_at_checked(1).ok_or_else(foreign_state)?;
        self.moments.sums().load(groups, sums)?;
        Rows::new(squares, groups, &Weights::Ones, None, self.moments.capacity())?;
        self.moments.load_squares(groups, state_column(squares, 0)?)
    }

    fn size(&self) -> usize {
        self.moments.size()
    }
}

/// Moments of integers and decimals; squares have `M` limbs.
pub(super) struct IntegerMoments<T: Addend<N>, const N: usize, const M: usize> {
    sums: ExactSum<T, N>,
    squares: Vec<Wide<M>>,
    /// Values are integers times `10^-scale`.
    scale: i8,
}

impl<T: Addend<N>, const N: usize, const M: usize> IntegerMoments<T, N, M> {
    /// Moments of `argument` values, of which `sums` keeps the sums.
    pub(super) fn new(argument: &DataType, sums: ExactSum<T, N>) -> Self {
        let scale = match *argument {
            DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => scale,
            _ => 0,
        };
        IntegerMoments { sums, squares: Vec::new(), scale }
    }
}

impl<T: Addend<N>, const N: usize, const M: usize> Moments for IntegerMoments<T, N, M> {
    fn sums(&mut self) -> &mut dyn Accumulator {
        &mut self.sums
    }

    fn resize_squares(&mut self, groups: usize) {
        if groups > self.squares.len() {
            self.squares.resize(groups, Wide::default());
        }
    }

    fn add_squares(&mut self, values: &[ArrayRef], rows: &Rows<'_>) -> Result<()> {
        let values = self.sums.prepare(values)?;
        let values = values.as_primitive_opt::<T>().ok_or_else(foreign_state)?.values();
        let squares = self.squares.as_mut_slice();
        rows.for_each_value(values, |group, value, weight| {
            squares[group].add_scaled(&T::widen(value).squared(), weight)
        });
        Ok(())
    }

    fn clear_squares(&mut self, group: u32) {
        if let Some(squares) = self.squares.get_mut(group as usize) {
            *squares = Wide::default();
        }
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut state = self.sums.save(groups)?;
        state.push(save_fixed(groups, M * 8, |group, bytes| {
            self.squares.get(group as usize).copied().unwrap_or_default().write(bytes);
        })?);
        Ok(state)
    }

    fn load_squares(&mut self, groups: &[u32], squares: &ArrayRef) -> Result<()> {
        load_fixed(squares, groups, self.squares.len(), M * 8, |group, saved| {
            self.squares[group].add(&Wide::read(saved));
        })
    }

    fn capacity(&self) -> usize {
        self.squares.len()
    }

    fn totals(&self, group: u32) -> Totals {
        let (sum, count) = self.sums.total(group);
        let squares = self.squares.get(group as usize).copied().unwrap_or_default();
        let power = BigUint::from(10u8).pow(u32::from(self.scale.unsigned_abs()));
        let (mut sum, mut squares) = (Scaled::new(&sum, 0), Scaled::new(&squares, 0));
        let divisor = if self.scale < 0 {
            let factor = BigInt::from(power);
            squares.integer *= &factor * &factor;
            sum.integer *= factor;
            BigUint::from(1u8)
        } else {
            power
        };
        Totals { count, sum, squares, divisor, finite: true }
    }

    fn size(&self) -> usize {
        self.sums.size() + self.squares.capacity() * size_of::<Wide<M>>()
    }
}

/// Moments of floats.
pub(super) struct FloatMoments {
    sums: FloatSum,
    squares: ProductSum,
    groups: usize,
}

impl FloatMoments {
    /// No groups.
    pub(super) fn new() -> Self {
        FloatMoments { sums: FloatSum::new(false), squares: ProductSum::default(), groups: 0 }
    }
}

impl Moments for FloatMoments {
    fn sums(&mut self) -> &mut dyn Accumulator {
        &mut self.sums
    }

    fn resize_squares(&mut self, groups: usize) {
        self.groups = self.groups.max(groups);
        self.squares.resize(groups);
    }

    fn add_squares(&mut self, values: &[ArrayRef], rows: &Rows<'_>) -> Result<()> {
        let values = argument(values, &DataType::Float64)?;
        let values = values.as_primitive_opt::<Float64Type>().ok_or_else(foreign_state)?.values();
        rows.for_each_value(values, |group, value, weight| self.squares.add(group, value, value, weight));
        Ok(())
    }

    fn clear_squares(&mut self, group: u32) {
        self.squares.clear(group);
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut state = self.sums.save(groups)?;
        state.push(self.squares.save(groups));
        Ok(state)
    }

    fn load_squares(&mut self, groups: &[u32], squares: &ArrayRef) -> Result<()> {
        self.squares.load(groups, squares)
    }

    fn capacity(&self) -> usize {
        self.groups
    }

    fn totals(&self, group: u32) -> Totals {
        let (sum, count, finite) = self.sums.total(group);
        Totals { count, sum, squares: self.squares.value(group), divisor: BigUint::from(1u8), finite }
    }

    fn size(&self) -> usize {
        self.sums.size() + self.squares.size()
    }
}
