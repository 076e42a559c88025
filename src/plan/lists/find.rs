//! Where in a list an item stands, NULL too, which is found where it stands.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
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
        names: &["array_position", "list_position", "array_indexof", "list_indexof"],
        takes: |types| match types {
            [list, item] => list_and_item(list, item),
            [list, item, start] if start.is_integer() || start.is_null() => {
                Some([list_and_item(list, item)?, vec![DataType::Int64]].concat())
            }
            _ => None,
        },
        gives: |_| DataType::UInt64,
        computes: first,
    },
    Definition {
        names: &["array_positions", "list_positions"],
        takes: |types| match types {
            [list, item] => list_and_item(list, item),
            _ => None,
        },
        gives: |_| list_of(&DataType::UInt64),
        computes: all,
    },
];

fn list_and_item(list: &DataType, item: &DataType) -> Option<Vec<DataType>> {
    let common = comparison_type(item_type(list)?, item)?;
    Some(vec![list_of(&common), common])
}

/// The places in each list, from one on, at which its item stands; none for no list.
fn places(list: &ColumnarValue, item: &ColumnarValue, rows: usize) -> Result<Vec<Option<Vec<u64>>>> {
    let lists = Lists::of(list, rows)?;
    let item = item.to_array(rows).map_err(from_datafusion)?;
    let mut keys = Keys::new();
    let (items, wanted) = (keys.of(lists.values())?, keys.of(&item)?);
    let found = (0..rows).map(|row| {
        let stands = |(_, place): &(u64, usize)| items.key(*place) == wanted.key(row);
        Some((1..).zip(lists.range(row)?).filter(stands).map(|(number, _)| number).collect())
    });
    Ok(found.collect())
}

fn first(arguments: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let (Some(list), Some(item)) = (arguments.first(), arguments.get(1)) else {
        return Err(Error::internal("a list and an item were expected"));
    };
    let starts = match arguments.get(2) {
        Some(starts) => Some(cast(&starts.to_array(rows).map_err(from_datafusion)?, &DataType::Int64)?),
        None => None,
    };
    let start = |row: usize| match &starts {
        None => Some(1),
        Some(starts) => {
            let starts = starts.as_primitive::<Int64Type>();
            starts.is_valid(row).then(|| u64::try_from(starts.value(row)).unwrap_or(0))
        }
    };
    let found = places(list, item, rows)?.into_iter().enumerate();
    let found = found.map(|(row, places)| {
        let start = start(row)?;
        places?.into_iter().find(|place| *place >= start)
    });
    Ok(Arc::new(found.collect::<UInt64Array>()))
}

fn all(arguments: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let [list, item] = arguments else { return Err(Error::internal("a list and an item were expected")) };
    let (mut values, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for places in places(list, item, rows)? {
        valid.push(places.is_some());
        let places = places.unwrap_or_default();
        lengths.push(places.len());
        values.extend(places);
    }
    build(Arc::new(UInt64Array::from(values)), lengths, valid)
}
