//! `x = ANY (list)`, `x <> ALL (list)` and their like, and `list_contains(list, x)`.
//!
//! A comparison with NULL is unknown, so `ANY` is true if one comparison is, else NULL if one is unknown, else false;
//! ALL likewise; over no item they are false and true whatever `x` is. `list_contains` is `x = ANY (list)`, but that
//! NULLs in the list are passed over, as in DuckDB.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Datum, Scalar, UInt32Array};
use arrow::compute::kernels::cmp;
use arrow::compute::{and_kleene, or_kleene, take};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion::common::Result as DataFusionResult;
use datafusion::common::utils::take_function_args;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::items::{Lists, item_type, list_of, not_taken};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::types::sql_type_name;
use crate::operator::error::{from_datafusion, to_datafusion};
use crate::plan::values::arguments::comparison_type;
use crate::plan::values::comparable::comparable;
use crate::sql::rewrite::marker::Marker;

/// What ANY and ALL are called in a plan.
pub(super) const NAMES: [&str; 2] = [Marker::Any.name(), Marker::All.name()];

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let kinds = [Kind::Any, Kind::All, Kind::Contains];
    kinds.into_iter().map(|kind| Arc::new(ScalarUDF::from(Quantified::new(kind)))).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Any,
    All,
    Contains,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Quantified {
    kind: Kind,
    aliases: Vec<String>,
    signature: Signature,
}

/// A comparison of two columns, one of which may be a single value.
type Compare = fn(&dyn Datum, &dyn Datum) -> Result<BooleanArray, ArrowError>;

impl Quantified {
    fn new(kind: Kind) -> Self {
        let aliases: &[&str] = match kind {
            Kind::Contains => &["list_has", "array_contains", "list_contains"],
            _ => &[],
        };
        let aliases = aliases.iter().map(|alias| alias.to_string()).collect();
        Quantified { kind, aliases, signature: Signature::user_defined(Volatility::Immutable) }
    }

    /// Every row of `left` against the items of one list.
    fn against_one(&self, left: &ArrayRef, items: &ArrayRef, compare: Compare) -> Result<BooleanArray> {
        let start = BooleanArray::from(vec![self.kind == Kind::All; left.len()]);
        (0..items.len()).try_fold(start, |result, place| {
            let compared = compared(compare, left, &Scalar::new(items.slice(place, 1)), left.len())?;
            Ok(match self.kind {
                Kind::All => and_kleene(&result, &compared)?,
                _ => or_kleene(&result, &compared)?,
            })
        })
    }

    /// Every row of `left` against the items of its own list.
    fn against_own(&self, left: &ColumnarValue, lists: &Lists, compare: Compare) -> Result<BooleanArray> {
        let (places, owners) = lists.places();
        let items = comparable(&take(lists.values(), &places, None)?)?;
        let compared = match left {
            ColumnarValue::Scalar(left) => {
                let left = comparable(&left.to_array().map_err(from_datafusion)?)?;
                compared(compare, &Scalar::new(left), &items, items.len())?
            }
            ColumnarValue::Array(left) => {
                let left = comparable(&take(left, &UInt32Array::from(owners), None)?)?;
                compared(compare, &left, &items, items.len())?
            }
        };
        // One such comparison decides, whatever else is unknown.
        let decisive = self.kind != Kind::All;
        let mut at = 0;
        let rows = (0..lists.len()).map(|row| {
            let mut result = Some(!decisive);
            for place in at..at + lists.range(row)?.len() {
                match compared.is_valid(place).then(|| compared.value(place)) {
                    Some(value) if value == decisive => result = Some(decisive),
                    None if result != Some(decisive) => result = None,
                    _ => {}
                }
            }
            at += lists.range(row)?.len();
            result
        });
        Ok(rows.collect())
    }

    /// What is unknown only because of a NULL in the list is false.
    fn passing_over(&self, result: BooleanArray, left: &ArrayRef, lists: &Lists) -> BooleanArray {
        let nulls = left.logical_nulls();
        let is_known = |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
        let rows = result.iter().enumerate().map(|(row, value)| match value {
            None if is_known(row) && lists.range(row).is_some() => Some(false),
            value => value,
        });
        rows.collect()
    }

    fn evaluate(&self, left: ColumnarValue, list: ColumnarValue, rows: usize, compare: Compare) -> Result<ArrayRef> {
        let one_list = matches!(list, ColumnarValue::Scalar(_));
        let lists = Lists::of(&list, if one_list { 1 } else { rows })?;
        let result = match one_list {
            true => match lists.range(0) {
                None => BooleanArray::new_null(rows),
                Some(range) => {
                    let left = comparable(&left.to_array(rows).map_err(from_datafusion)?)?;
                    let items = comparable(&lists.values().slice(range.start, range.len()))?;
                    self.against_one(&left, &items, compare)?
                }
            },
            false => self.against_own(&left, &lists, compare)?,
        };
        if self.kind != Kind::Contains || result.null_count() == 0 {
            return Ok(Arc::new(result));
        }
        let left = left.to_array(rows).map_err(from_datafusion)?;
        let lists = Lists::of(&list, rows)?;
        Ok(Arc::new(self.passing_over(result, &left, &lists)))
    }
}

/// Compares; with a NULL of no type all is unknown.
fn compared(compare: Compare, left: &dyn Datum, right: &dyn Datum, rows: usize) -> Result<BooleanArray> {
    let is_null = |side: &dyn Datum| side.get().0.data_type().is_null();
    if is_null(left) || is_null(right) {
        return Ok(BooleanArray::new_null(rows));
    }
    Ok(compare(left, right)?)
}

fn comparison(operator: &str) -> Option<Compare> {
    Some(match operator {
        "=" => cmp::eq,
        "<>" => cmp::neq,
        "<" => cmp::lt,
        "<=" => cmp::lt_eq,
        ">" => cmp::gt,
        ">=" => cmp::gt_eq,
        _ => return None,
    })
}

impl ScalarUDFImpl for Quantified {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Any => Marker::Any.name(),
            Kind::All => Marker::All.name(),
            Kind::Contains => "array_has",
        }
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> DataFusionResult<Vec<DataType>> {
        let (left, list) = match (self.kind, types) {
            (Kind::Contains, [list, item]) => (item, list),
            (Kind::Any | Kind::All, [left, list, _]) => (left, list),
            _ => return Err(not_taken(self.name(), types)),
        };
        // A text is that of a list, and has been cast when values are computed.
        let item = if list.is_string() && self.kind != Kind::Contains { Some(left) } else { item_type(list) };
        let common = item.and_then(|item| comparison_type(left, item));
        match (common, self.kind) {
            (Some(common), Kind::Contains) => Ok(vec![list_of(&common), common]),
            (Some(common), _) => Ok(vec![common.clone(), list_of(&common), DataType::Utf8]),
            (None, Kind::Contains) => Err(not_taken(self.name(), types)),
            (None, _) => {
                let (left, list) = (sql_type_name(left), sql_type_name(list));
                let message = format!("values of type {left} cannot be compared with items of {list}");
                let error = Error::new(ErrorKind::Type, message).with_sqlstate("42883");
                Err(to_datafusion(error.with_hint("ANY and ALL take a list or a query")))
            }
        }
    }

    fn return_type(&self, _types: &[DataType]) -> DataFusionResult<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let (left, list, compare) = match self.kind {
            Kind::Contains => {
                let [list, item] = take_function_args(self.name(), args.args)?;
                (item, list, cmp::eq as Compare)
            }
            _ => {
                let [left, list, operator] = take_function_args(self.name(), args.args)?;
                let compare = match &operator {
                    ColumnarValue::Scalar(operator) => operator.try_as_str().flatten().and_then(comparison),
                    ColumnarValue::Array(_) => None,
                };
                let unknown = || to_datafusion(Error::internal("ANY and ALL need a comparison"));
                (left, list, compare.ok_or_else(unknown)?)
            }
        };
        self.evaluate(left, list, args.number_rows, compare).map(ColumnarValue::Array).map_err(to_datafusion)
    }
}
