//! `greatest`, `least` and `nullif` of values that are compared by a form of their own ([`comparable`]).
//!
//! DataFusion compares intervals field by field, so that `greatest('1 day', '25 hours')` would be a day, and takes a
//! NULL in a list for less than every value. Of equal values the first is taken, NULLs are passed over, as PostgreSQL
//! does.

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::compute::{cast, interleave};
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::Result as DataFusionResult;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::comparable::{comparable, has_key, is_interval};
use crate::base::error::Result;
use crate::operator::error::to_datafusion;

/// One of the functions, under its own name.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Choice {
    kind: Kind,
    signature: Signature,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Greatest,
    Least,
    NullIf,
}

impl Choice {
    /// The function of that name.
    pub(crate) fn named(name: &str) -> Option<Choice> {
        let kind = match name {
            "greatest" => Kind::Greatest,
            "least" => Kind::Least,
            "nullif" => Kind::NullIf,
            _ => return None,
        };
        Some(Choice { kind, signature: Signature::variadic_any(Volatility::Immutable) })
    }

    /// Whether DataFusion's function compares values of the type otherwise.
    pub(crate) fn is_for(data_type: &DataType) -> bool {
        is_interval(data_type) || has_key(data_type)
    }

    fn evaluate(&self, columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let Some(data_type) = columns.iter().map(|column| column.data_type()).find(|of| !of.is_null()) else {
            return Ok(new_null_array(&DataType::Null, rows));
        };
        let mut columns = columns.iter().map(|column| cast(column, data_type)).collect::<Result<Vec<_>, _>>()?;
        let keys = columns.iter().map(comparable).collect::<Result<Vec<_>>>()?;
        let converter =
            RowConverter::new(keys.iter().take(1).map(|key| key.data_type().clone()).map(SortField::new).collect())?;
        let keys = keys.iter().map(|key| converter.convert_columns(std::slice::from_ref(key)));
        let keys = keys.collect::<Result<Vec<Rows>, _>>()?;
        let null = (columns.len(), 0);
        let chosen: Vec<(usize, usize)> =
            (0..rows).map(|row| self.choose(&columns, &keys, row).map_or(null, |column| (column, row))).collect();
        columns.push(new_null_array(&data_type.clone(), 1));
        let columns: Vec<&dyn Array> = columns.iter().map(|column| column.as_ref()).collect();
        Ok(interleave(&columns, &chosen)?)
    }

    /// The column whose value of a row it gives; none for NULL.
    fn choose(&self, columns: &[ArrayRef], keys: &[Rows], row: usize) -> Option<usize> {
        let mut known = (0..columns.len()).filter(|column| columns[*column].is_valid(row));
        let key = |column: &usize| keys[*column].row(row);
        match self.kind {
            // Of equal ones `min_by_key` takes the first, `max_by_key` the last.
            Kind::Greatest => known.rev().max_by(|left, right| key(left).cmp(&key(right))),
            Kind::Least => known.min_by(|left, right| key(left).cmp(&key(right))),
            Kind::NullIf => {
                let value = known.next().filter(|column| *column == 0)?;
                let is_equal = known.next().is_some_and(|other| key(&other) == key(&value));
                (!is_equal).then_some(value)
            }
        }
    }
}

impl ScalarUDFImpl for Choice {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Greatest => "greatest",
            Kind::Least => "least",
            Kind::NullIf => "nullif",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> DataFusionResult<DataType> {
        Ok(types.iter().find(|data_type| !data_type.is_null()).cloned().unwrap_or(DataType::Null))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let columns = args.args.iter().map(|argument| argument.to_array(args.number_rows));
        let columns = columns.collect::<DataFusionResult<Vec<_>>>()?;
        self.evaluate(&columns, args.number_rows).map(ColumnarValue::Array).map_err(to_datafusion)
    }
}
