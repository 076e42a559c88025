//! A list without an item, with another in its place, sorted.
//!
//! As in PostgreSQL, `array_remove` and `array_replace` find every item that is not distinct from the one asked for,
//! NULL too. Sorting goes by the order of ORDER BY: NULL is last, or first where it descends.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{cast, interleave};
use arrow::datatypes::DataType;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF};

use super::function::{self, Definition};
use super::items::{Keys, Lists, build, item_type, list_of};
use crate::base::error::{Error, Result};
use crate::operator::error::from_datafusion;
use crate::plan::values::arguments::comparison_type;

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    function::functions(FUNCTIONS)
}

static FUNCTIONS: &[Definition] = &[
    Definition {
        names: &["array_remove", "list_remove", "array_remove_all", "list_remove_all"],
        takes: |types| match types {
            [list, item] => {
                let common = comparison_type(item_type(list)?, item)?;
                Some(vec![list_of(&common), common])
            }
            _ => None,
        },
        gives: |types| types.first().cloned().unwrap_or(DataType::Null),
        computes: remove,
    },
    Definition {
        names: &["array_replace", "list_replace", "array_replace_all", "list_replace_all"],
        takes: |types| match types {
            [list, from, to] => {
                let common = comparison_type(&comparison_type(item_type(list)?, from)?, to)?;
                Some(vec![list_of(&common), common.clone(), common])
            }
            _ => None,
        },
        gives: |types| types.first().cloned().unwrap_or(DataType::Null),
        computes: replace,
    },
    Definition {
        names: &["array_sort", "list_sort"],
        takes: |types| sorted(types, 2),
        gives: |types| types.first().cloned().unwrap_or(DataType::Null),
        computes: |arguments, rows| match arguments {
            [list] => sort(list, None, None, false, rows),
            [list, order] => sort(list, Some(order), None, false, rows),
            [list, order, nulls] => sort(list, Some(order), Some(nulls), false, rows),
            _ => Err(Error::internal("one to three arguments were expected")),
        },
    },
    Definition {
        names: &["array_reverse_sort", "list_reverse_sort"],
        takes: |types| sorted(types, 1),
        gives: |types| types.first().cloned().unwrap_or(DataType::Null),
        computes: |arguments, rows| match arguments {
            [list] => sort(list, None, None, true, rows),
            [list, nulls] => sort(list, None, Some(nulls), true, rows),
            _ => Err(Error::internal("one or two arguments were expected")),
        },
    },
];

fn sorted(types: &[DataType], words: usize) -> Option<Vec<DataType>> {
    let (list, options) = types.split_first()?;
    let is_text = |option: &DataType| option.is_string() || option.is_null();
    if options.len() > words || !options.iter().all(is_text) {
        return None;
    }
    Some(std::iter::once(list_of(item_type(list)?)).chain(options.iter().map(|_| DataType::Utf8)).collect())
}

fn remove(arguments: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let [list, item] = arguments else { return Err(Error::internal("two arguments were expected")) };
    let lists = Lists::of(list, rows)?;
    let item = item.to_array(rows).map_err(from_datafusion)?;
    let mut keys = Keys::new();
    let (items, removed) = (keys.of(lists.values())?, keys.of(&item)?);
    lists.taking(
        (0..rows).map(|row| Some(lists.range(row)?.filter(|place| items.key(*place) != removed.key(row)).collect())),
    )
}

fn replace(arguments: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let [list, from, to] = arguments else { return Err(Error::internal("three arguments were expected")) };
    let lists = Lists::of(list, rows)?;
    let (from, to) = (from.to_array(rows).map_err(from_datafusion)?, to.to_array(rows).map_err(from_datafusion)?);
    let mut keys = Keys::new();
    let (items, replaced) = (keys.of(lists.values())?, keys.of(&from)?);
    let (mut chosen, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..rows {
        let range = lists.range(row);
        valid.push(range.is_some());
        let range = range.unwrap_or_default();
        lengths.push(range.len());
        chosen.extend(range.map(|place| if items.key(place) == replaced.key(row) { (1, row) } else { (0, place) }));
    }
    let to = cast(&to, lists.values().data_type())?;
    build(interleave(&[lists.values().as_ref(), to.as_ref()], &chosen)?, lengths, valid)
}

/// A list in an order said in words, `DESC` and `NULLS FIRST` or both in one; NULL for a NULL among these.
fn sort(
    list: &ColumnarValue,
    order: Option<&ColumnarValue>,
    nulls: Option<&ColumnarValue>,
    descends: bool,
    rows: usize,
) -> Result<ArrayRef> {
    let lists = Lists::of(list, rows)?;
    let keys = Keys::new().of(lists.values())?;
    let words = order.into_iter().chain(nulls).map(|words| words.to_array(rows).map_err(from_datafusion));
    let words = words.collect::<Result<Vec<_>>>()?;
    let orders = (0..rows).map(|row| {
        let words: Option<Vec<&str>> =
            words.iter().map(|words| words.is_valid(row).then(|| words.as_string::<i32>().value(row))).collect();
        words.map(|words| Order::of(&words.join(" "), descends)).transpose()
    });
    let orders = orders.collect::<Result<Vec<_>>>()?;
    lists.taking(orders.into_iter().enumerate().map(|(row, order)| {
        let (order, range) = (order?, lists.range(row)?);
        let (nulls, mut known): (Vec<usize>, Vec<usize>) = range.partition(|place| keys.is_null(*place));
        // Equal items may differ to the eye; they stay as they stood.
        match order.descends {
            false => known.sort_by(|left, right| keys.key(*left).cmp(&keys.key(*right))),
            true => known.sort_by(|left, right| keys.key(*right).cmp(&keys.key(*left))),
        }
        Some(if order.nulls_first { [nulls, known].concat() } else { [known, nulls].concat() })
    }))
}

#[derive(Clone, Copy)]
struct Order {
    descends: bool,
    nulls_first: bool,
}

impl Order {
    fn of(words: &str, descends: bool) -> Result<Order> {
        let words: Vec<String> = words.split_whitespace().map(str::to_uppercase).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (descends, nulls) = match words.as_slice() {
            ["DESC", nulls @ ..] => (true, nulls),
            ["ASC", nulls @ ..] => (false, nulls),
            nulls => (descends, nulls),
        };
        let nulls_first = match nulls {
            [] => descends,
            ["NULLS", "FIRST"] => true,
            ["NULLS", "LAST"] => false,
            _ => {
                let error = Error::data(format!("\"{}\" is no order", words.join(" "))).with_sqlstate("22023");
                return Err(error.with_hint("an order is ASC or DESC, then NULLS FIRST or NULLS LAST"));
            }
        };
        Ok(Order { descends, nulls_first })
    }
}
