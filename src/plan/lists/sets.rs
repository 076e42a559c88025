//! Lists as sets: whether one holds items of another, what two have in common, each item once.
//!
//! NULL is no item of a set, as in PostgreSQL's `@>` and `&&`: a list that holds NULL is held by none. Only
//! `array_union` and `array_except`, which neither PostgreSQL nor DuckDB has, take it for an item like any other.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::interleave;
use arrow::datatypes::DataType;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF};

use super::function::{self, Definition};
use super::items::{Keys, Lists, build, item_type, list_of};
use crate::base::error::{Error, Result};
use crate::plan::values::arguments::comparison_type;

/// The function that `@>` is.
pub(super) const HAS_ALL: &str = "array_has_all";

/// The function that `&&` is.
pub(super) const HAS_ANY: &str = "array_has_any";

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    function::functions(FUNCTIONS)
}

/// The function of that name.
pub(super) fn named(name: &str) -> Option<Arc<ScalarUDF>> {
    functions().into_iter().find(|function| function.name() == name)
}

static FUNCTIONS: &[Definition] = &[
    Definition {
        names: &[HAS_ALL, "list_has_all"],
        takes: two_lists,
        gives: |_| DataType::Boolean,
        computes: |arguments, rows| holds(arguments, rows, true),
    },
    Definition {
        names: &[HAS_ANY, "list_has_any", "arrays_overlap"],
        takes: two_lists,
        gives: |_| DataType::Boolean,
        computes: |arguments, rows| holds(arguments, rows, false),
    },
    Definition {
        names: &["array_intersect", "list_intersect"],
        takes: two_lists,
        gives: |types| types.first().cloned().unwrap_or(DataType::Null),
        computes: intersect,
    },
    Definition {
        names: &["array_union", "list_union"],
        takes: two_lists,
        gives: |types| types.first().cloned().unwrap_or(DataType::Null),
        computes: union,
    },
    Definition {
        names: &["array_except", "list_except"],
        takes: two_lists,
        gives: |types| types.first().cloned().unwrap_or(DataType::Null),
        computes: except,
    },
    Definition {
        names: &["array_distinct", "list_distinct"],
        takes: one_list,
        gives: |types| types.first().cloned().unwrap_or(DataType::Null),
        computes: distinct,
    },
];

fn one_list(types: &[DataType]) -> Option<Vec<DataType>> {
    match types {
        [list] => Some(vec![list_of(item_type(list)?)]),
        _ => None,
    }
}

fn two_lists(types: &[DataType]) -> Option<Vec<DataType>> {
    let [left, right] = types else { return None };
    let common = list_of(&comparison_type(item_type(left)?, item_type(right)?)?);
    Some(vec![common.clone(), common])
}

fn two(arguments: &[ColumnarValue], rows: usize) -> Result<[Lists; 2]> {
    let lists = arguments.iter().map(|list| Lists::of(list, rows)).collect::<Result<Vec<_>>>()?;
    lists.try_into().map_err(|_| Error::internal("two lists were expected"))
}

/// Whether one list holds all items of another, or any.
fn holds(arguments: &[ColumnarValue], rows: usize, all: bool) -> Result<ArrayRef> {
    let [left, right] = two(arguments, rows)?;
    let mut keys = Keys::new();
    let (of_left, of_right) = (keys.of(left.values())?, keys.of(right.values())?);
    let rows = (0..rows).map(|row| {
        let held: BTreeSet<_> = left.range(row)?.filter_map(|place| of_left.known(place)).collect();
        let mut is_held = right.range(row)?.map(|place| of_right.known(place).is_some_and(|item| held.contains(&item)));
        Some(if all { is_held.all(|held| held) } else { is_held.any(|held| held) })
    });
    Ok(Arc::new(rows.collect::<BooleanArray>()))
}

fn intersect(arguments: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let [left, right] = two(arguments, rows)?;
    let mut keys = Keys::new();
    let (of_left, of_right) = (keys.of(left.values())?, keys.of(right.values())?);
    left.taking((0..rows).map(|row| {
        let mut wanted: BTreeSet<_> = right.range(row)?.filter_map(|place| of_right.known(place)).collect();
        Some(left.range(row)?.filter(|place| of_left.known(*place).is_some_and(|item| wanted.remove(&item))).collect())
    }))
}

/// The items of both, each once.
fn union(arguments: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let [left, right] = two(arguments, rows)?;
    let mut keys = Keys::new();
    let (of_left, of_right) = (keys.of(left.values())?, keys.of(right.values())?);
    let (mut chosen, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..rows {
        let ranges = left.range(row).zip(right.range(row));
        valid.push(ranges.is_some());
        let (from_left, from_right) = ranges.unwrap_or_default();
        let before = chosen.len();
        let mut known = BTreeSet::new();
        chosen.extend(from_left.filter(|place| known.insert(of_left.key(*place))).map(|place| (0, place)));
        chosen.extend(from_right.filter(|place| known.insert(of_right.key(*place))).map(|place| (1, place)));
        lengths.push(chosen.len() - before);
    }
    build(interleave(&[left.values().as_ref(), right.values().as_ref()], &chosen)?, lengths, valid)
}

/// The items of the first that are none of the second, each once.
fn except(arguments: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let [left, right] = two(arguments, rows)?;
    let mut keys = Keys::new();
    let (of_left, of_right) = (keys.of(left.values())?, keys.of(right.values())?);
    left.taking((0..rows).map(|row| {
        let mut known: BTreeSet<_> = right.range(row)?.map(|place| of_right.key(place)).collect();
        Some(left.range(row)?.filter(|place| known.insert(of_left.key(*place))).collect())
    }))
}

/// Each item once, where it first stands.
fn distinct(arguments: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let [argument] = arguments else { return Err(Error::internal("one list was expected")) };
    let lists = Lists::of(argument, rows)?;
    let keys = Keys::new().of(lists.values())?;
    lists.taking((0..rows).map(|row| {
        let mut known = BTreeSet::new();
        Some(lists.range(row)?.filter(|place| keys.known(*place).is_some_and(|item| known.insert(item))).collect())
    }))
}
