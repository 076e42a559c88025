//! Window functions: for every row its partition is sorted and its frame searched anew.

use std::cmp::Ordering;

use super::{Answer, Evaluator, Fault, Scope, compare_keys};
use crate::oracle::judge::tree::*;
use crate::oracle::judge::value::{Row, Value, power_of_ten, same_row};

/// The partition of a row in order, and where the row stands in it.
struct Partition {
    /// Positions of contexts, and their sort keys.
    rows: Vec<(usize, Row)>,
    at: usize,
}

impl Partition {
    fn are_peers(&self, a: usize, b: usize, order: &[Order]) -> bool {
        compare_keys(order, &self.rows[a].1, &self.rows[b].1) == Ordering::Equal
    }

    /// The number of the peer group of a position, from 0.
    fn peer_group(&self, position: usize, order: &[Order]) -> i64 {
        (1..=position).filter(|at| !self.are_peers(at - 1, *at, order)).count() as i64
    }
}

impl Evaluator<'_> {
    pub(super) fn window(&self, window: &Window, scope: &Scope) -> Answer<Value> {
        let partition = self.partition(window, scope)?;
        let order = &window.order;
        let at = partition.at;
        let number = |n: usize| Ok(Value::Int(n as i64));
        match &window.function {
            WindowFunction::RowNumber => number(at + 1),
            WindowFunction::Rank => {
                let first = (0..=at).find(|other| partition.are_peers(*other, at, order));
                number(first.unwrap_or(at) + 1)
            }
            WindowFunction::DenseRank => Ok(Value::Int(partition.peer_group(at, order) + 1)),
            WindowFunction::Ntile(buckets) => {
                let (rows, buckets) = (partition.rows.len() as i64, *buckets);
                let (small, large) = (rows / buckets, rows % buckets);
                let at = at as i64;
                let in_large = large * (small + 1);
                let bucket = if at < in_large { at / (small + 1) } else { large + (at - in_large) / small.max(1) };
                Ok(Value::Int(bucket + 1))
            }
            WindowFunction::Shift(expr, by, default, ignore) => {
                self.shifted(expr, *by, default.as_ref(), *ignore, &partition, scope)
            }
            WindowFunction::First(expr, ignore) => self.nth(expr, 1, *ignore, window, &partition, scope),
            WindowFunction::Nth(expr, n, ignore) => self.nth(expr, *n, *ignore, window, &partition, scope),
            WindowFunction::Last(expr, ignore) => self.nth(expr, -1, *ignore, window, &partition, scope),
            WindowFunction::Aggregate(aggregate) => {
                // The argument has a value in every row, whether or not a frame holds the row.
                self.aggregate(aggregate, partition.rows.iter().map(|(at, _)| Ok(moved(scope, *at))))?;
                let rows = self.frame(window, &partition)?;
                self.aggregate(aggregate, rows.into_iter().map(|at| Ok(moved(scope, at))))
            }
        }
    }

    fn partition(&self, window: &Window, scope: &Scope) -> Answer<Partition> {
        let keys = |exprs: &mut dyn Iterator<Item = &Expr>, scope: &Scope| -> Answer<Row> {
            exprs.map(|expr| self.value(expr, scope)).collect()
        };
        let own = keys(&mut window.partition.iter(), scope)?;
        let mut rows = Vec::new();
        for at in 0..scope.contexts.len() {
            let there = moved(scope, at);
            if same_row(&own, &keys(&mut window.partition.iter(), &there)?) {
                rows.push((at, keys(&mut window.order.iter().map(|order| &order.by), &there)?));
            }
        }
        rows.sort_by(|(_, a), (_, b)| compare_keys(&window.order, a, b));
        let at = rows.iter().position(|(at, _)| *at == scope.at);
        let at = at.ok_or_else(|| Fault::Invalid("a window function where there are no rows".into()))?;
        Ok(Partition { rows, at })
    }

    fn shifted(
        &self,
        expr: &Expr,
        by: i64,
        default: Option<&Expr>,
        ignore: bool,
        partition: &Partition,
        scope: &Scope,
    ) -> Answer<Value> {
        let mut left = by.abs();
        let mut at = partition.at as i64;
        while left > 0 {
            at += by.signum();
            if at < 0 || at >= partition.rows.len() as i64 {
                return default.map_or(Ok(Value::Null), |default| self.value(default, scope));
            }
            let value = self.value(expr, &moved(scope, partition.rows[at as usize].0))?;
            if !ignore || !value.is_null() {
                left -= 1;
            }
            if left == 0 {
                return Ok(value);
            }
        }
        self.value(expr, scope)
    }

    /// The n-th value of the frame, counted from its end if negative.
    fn nth(
        &self,
        expr: &Expr,
        n: i64,
        ignore: bool,
        window: &Window,
        partition: &Partition,
        scope: &Scope,
    ) -> Answer<Value> {
        let mut rows = self.frame(window, partition)?;
        if n < 0 {
            rows.reverse();
        }
        let mut left = n.abs();
        for at in rows {
            let value = self.value(expr, &moved(scope, at))?;
            if ignore && value.is_null() {
                continue;
            }
            left -= 1;
            if left == 0 {
                return Ok(value);
            }
        }
        Ok(Value::Null)
    }

    /// The contexts in the frame of a row, in order.
    fn frame(&self, window: &Window, partition: &Partition) -> Answer<Vec<usize>> {
        let default = Frame { units: Units::Range, start: Bound::Unbounded, end: Bound::Offset(0) };
        let frame = window.frame.unwrap_or(default);
        let mut rows = Vec::new();
        for (position, (context, _)) in partition.rows.iter().enumerate() {
            self.spend()?;
            let inside = |bound: Bound, wanted: Ordering| -> Answer<bool> {
                let Bound::Offset(offset) = bound else { return Ok(true) };
                let ordering = distance(frame.units, offset, position, partition, &window.order)?;
                Ok(ordering == Ordering::Equal || ordering == wanted)
            };
            if inside(frame.start, Ordering::Greater)? && inside(frame.end, Ordering::Less)? {
                rows.push(*context);
            }
        }
        Ok(rows)
    }
}

/// Where a position stands against the bound that lies `offset` from the current row.
fn distance(units: Units, offset: i64, position: usize, partition: &Partition, order: &[Order]) -> Answer<Ordering> {
    let group = |position| partition.peer_group(position, order);
    match units {
        Units::Rows => Ok((position as i64).cmp(&(partition.at as i64 + offset))),
        Units::Groups => Ok(group(position).cmp(&(group(partition.at) + offset))),
        Units::Range if offset == 0 => Ok(group(position).cmp(&group(partition.at))),
        Units::Range => {
            let [key] = order else { return Err(Fault::Invalid("RANGE with an offset needs one sort key".into())) };
            Ok(coordinate(key, &partition.rows[position].1[0], 0)?.cmp(&coordinate(
                key,
                &partition.rows[partition.at].1[0],
                offset,
            )?))
        }
    }
}

/// A sort key as a number that grows along the order; NULL lies beyond all others on its side.
fn coordinate(order: &Order, key: &Value, offset: i64) -> Answer<i128> {
    if key.is_null() {
        let first = order.nulls_first.unwrap_or(order.descending);
        return Ok(if first { i128::MIN } else { i128::MAX });
    }
    let (mantissa, scale) = key.exact().ok_or_else(|| Fault::Invalid("RANGE over something else".into()))?;
    let number = mantissa * power_of_ten(6 - scale);
    Ok(if order.descending { -number } else { number } + i128::from(offset) * power_of_ten(6))
}

/// Another row of the same SELECT.
fn moved<'a>(scope: &'a Scope<'a>, at: usize) -> Scope<'a> {
    Scope { at, ..scope.child() }
}
