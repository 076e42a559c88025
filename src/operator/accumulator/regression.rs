//! `corr`, `covar_pop`, `covar_samp` and the `regr_` functions: from exact sums over the pairs of values.
//!
//! A pair counts where neither value is NULL. With `n` pairs, the sums of `x`, `y`, `x * x`, `y * y` and `x * y` are
//! kept exactly; what is read is one fraction of them, evaluated exactly and rounded once. So it does not depend on the
//! order of rows, never drifts under deletion, and a correlation is never beyond 1. As in PostgreSQL, a sum that an
//! infinity or NaN reached makes what is computed from it NaN, and a line through equal x is NULL.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Float64Type};
use num_bigint::{BigInt, BigUint, Sign};

use super::float_sum::FloatSum;
use super::function::AggregateFunction;
use super::product_sum::ProductSum;
use super::ratio::{Scaled, divide, divide_and_root};
use super::rows::Rows;
use super::{Accumulator, argument, foreign_state, state_column};
use crate::base::change::Weights;
use crate::base::error::{Error, Result};

/// One statistic of the pairs `(y, x)` of every group.
pub(super) struct Regression {
    function: AggregateFunction,
    groups: usize,
    x: FloatSum,
    y: FloatSum,
    /// The products that the statistic is made of; the others are not kept.
    xx: Option<ProductSum>,
    yy: Option<ProductSum>,
    xy: Option<ProductSum>,
}

impl Regression {
    /// The statistic that `function` names; its arguments are y and x.
    pub(super) fn new(function: AggregateFunction) -> Self {
        use AggregateFunction as F;
        let kept = |kept: bool| kept.then(ProductSum::default);
        Regression {
            function,
            groups: 0,
            x: FloatSum::new(true),
            y: FloatSum::new(true),
            xx: kept(matches!(function, F::Corr | F::RegrSlope | F::RegrIntercept | F::RegrR2 | F::RegrSxx)),
            yy: kept(matches!(function, F::Corr | F::RegrR2 | F::RegrSyy)),
            xy: kept(!matches!(function, F::RegrCount | F::RegrAvgX | F::RegrAvgY | F::RegrSxx | F::RegrSyy)),
        }
    }

    fn products(&self) -> impl Iterator<Item = &ProductSum> {
        [&self.xx, &self.yy, &self.xy].into_iter().flatten()
    }

    fn products_mut(&mut self) -> impl Iterator<Item = &mut ProductSum> {
        [&mut self.xx, &mut self.yy, &mut self.xy].into_iter().flatten()
    }

    fn count(&self, group: u32) -> i64 {
        self.x.total(group).1
    }

    fn value(&self, group: u32) -> Option<f64> {
        use AggregateFunction as F;
        let count = self.count(group);
        if count < if self.function == F::CovarSamp { 2 } else { 1 } {
            return None;
        }
        let rows = BigUint::from(count.unsigned_abs());
        let spread = |products, one, other| self.spread(group, products, one, other);
        let xx = || spread(&self.xx, &self.x, &self.x);
        let yy = || spread(&self.yy, &self.y, &self.y);
        let xy = || spread(&self.xy, &self.x, &self.y);
        match self.function {
            F::RegrAvgX => self.x.value(group),
            F::RegrAvgY => self.y.value(group),
            F::RegrSxx => Some(ratio(xx(), &rows)),
            F::RegrSyy => Some(ratio(yy(), &rows)),
            F::RegrSxy => Some(ratio(xy(), &rows)),
            F::CovarPop => Some(ratio(xy(), &(&rows * &rows))),
            F::CovarSamp => Some(ratio(xy(), &(&rows * BigUint::from((count - 1).unsigned_abs())))),
            F::Corr => correlation(xy(), xx(), yy()),
            F::RegrR2 => determination(xy(), xx(), yy()),
            F::RegrSlope => over(xy(), xx()),
            _ => over(self.intercept(group), xx()),
        }
    }

    /// `n * sum(a * b) - sum(a) * sum(b)`; none if one of the values is not finite.
    fn spread(&self, group: u32, products: &Option<ProductSum>, one: &FloatSum, other: &FloatSum) -> Option<Scaled> {
        let (one, count, one_finite) = one.total(group);
        let (other, _, other_finite) = other.total(group);
        let products = products.as_ref()?.value(group);
        let counted = Scaled { integer: BigInt::from(count), exponent: 0 };
        (one_finite && other_finite).then(|| counted.times(&products).plus(one.times(&other).negated()))
    }

    /// `sum(y) * sum(x * x) - sum(x) * sum(x * y)`; none if one of the values is not finite.
    fn intercept(&self, group: u32) -> Option<Scaled> {
        let ((x, _, x_finite), (y, _, y_finite)) = (self.x.total(group), self.y.total(group));
        let (xx, xy) = (self.xx.as_ref()?.value(group), self.xy.as_ref()?.value(group));
        (x_finite && y_finite).then(|| y.times(&xx).plus(x.times(&xy).negated()))
    }
}

/// The quotient by a count; NaN for what is not finite.
fn ratio(numerator: Option<Scaled>, denominator: &BigUint) -> f64 {
    numerator.map_or(f64::NAN, |numerator| divide(&numerator, denominator))
}

/// The quotient by a spread, which is never negative: NULL if it is 0, NaN if one of the two is not finite.
fn over(numerator: Option<Scaled>, denominator: Option<Scaled>) -> Option<f64> {
    if is_zero(&denominator) {
        return None;
    }
    let (Some(numerator), Some(denominator)) = (numerator, denominator) else {
        return Some(f64::NAN);
    };
    let exponent = numerator.exponent - denominator.exponent;
    Some(divide(&Scaled { exponent, ..numerator }, denominator.integer.magnitude()))
}

fn correlation(xy: Option<Scaled>, xx: Option<Scaled>, yy: Option<Scaled>) -> Option<f64> {
    if is_zero(&xx) || is_zero(&yy) {
        return None;
    }
    let (Some(xy), Some(xx), Some(yy)) = (xy, xx, yy) else {
        return Some(f64::NAN);
    };
    let (square, spread) = (xy.times(&xy), xx.times(&yy));
    let square = Scaled { exponent: square.exponent - spread.exponent, ..square };
    let root = divide_and_root(&square, spread.integer.magnitude());
    Some(if xy.integer.sign() == Sign::Minus { -root } else { root })
}

/// How much of the spread of y a line explains: all of it where y does not vary.
fn determination(xy: Option<Scaled>, xx: Option<Scaled>, yy: Option<Scaled>) -> Option<f64> {
    if is_zero(&xx) {
        return None;
    }
    if is_zero(&yy) {
        return Some(1.0);
    }
    let square = xy.map(|xy| xy.times(&xy));
    over(square, xx.zip(yy).map(|(xx, yy)| xx.times(&yy)))
}

fn is_zero(spread: &Option<Scaled>) -> bool {
    spread.as_ref().is_some_and(|spread| spread.integer.sign() == Sign::NoSign)
}

impl Accumulator for Regression {
    fn resize(&mut self, groups: usize) {
        self.groups = self.groups.max(groups);
        self.x.resize(groups);
        self.y.resize(groups);
        self.products_mut().for_each(|products| products.resize(groups));
    }

    fn update(
        &mut self,
        values: &[ArrayRef],
        groups: &[u32],
        weights: &Weights,
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let rows = Rows::new(values, groups, weights, filter, self.groups)?;
        let [y, x] = values else { return Err(foreign_state()) };
        let double = |values: &ArrayRef| argument(std::slice::from_ref(values), &DataType::Float64);
        let (y, x) = (double(y)?, double(x)?);
        let y = y.as_primitive_opt::<Float64Type>().ok_or_else(foreign_state)?.values();
        let x = x.as_primitive_opt::<Float64Type>().ok_or_else(foreign_state)?.values();
        self.x.add_rows(x, &rows);
        self.y.add_rows(y, &rows);
        for (products, one, other) in [(&mut self.xx, x, x), (&mut self.yy, y, y), (&mut self.xy, x, y)] {
            if let Some(products) = products {
                rows.for_each(|row, group, weight| products.add(group, one[row], other[row], weight));
            }
        }
        Ok(())
    }

    fn read(&self, groups: &[u32], _errors: &mut Vec<(usize, Error)>) -> Result<ArrayRef> {
        if self.function == AggregateFunction::RegrCount {
            return Ok(Arc::new(groups.iter().map(|&group| Some(self.count(group))).collect::<Int64Array>()));
        }
        Ok(Arc::new(groups.iter().map(|&group| self.value(group)).collect::<Float64Array>()))
    }

    fn clear(&mut self, groups: &[u32]) {
        self.x.clear(groups);
        self.y.clear(groups);
        self.products_mut().for_each(|products| groups.iter().for_each(|&group| products.clear(group)));
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut state = self.x.save(groups)?;
        state.extend(self.y.save(groups)?);
        state.extend(self.products().map(|products| products.save(groups)));
        Ok(state)
    }

    fn load(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        Rows::new(state, groups, &Weights::Ones, None, self.groups)?;
        self.x.load(groups, std::slice::from_ref(state_column(state, 0)?))?;
        self.y.load(groups, std::slice::from_ref(state_column(state, 1)?))?;
        for (index, products) in self.products_mut().enumerate() {
            products.load(groups, state_column(state, 2 + index)?)?;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.x.size() + self.y.size() + self.products().map(ProductSum::size).sum::<usize>()
    }
}
