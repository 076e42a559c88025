//! `greatest`, `least` and `nullif` of intervals, which are compared by length as everywhere.
//!
//! DataFusion compares them field by field, so that `greatest('1 day', '25 hours')` would be a day. Of intervals of one
//! length the first is taken, NULLs are passed over, as PostgreSQL does.

use std::sync::Arc;

use arrow::array::{Array, PrimitiveArray};
use arrow::datatypes::{DataType, IntervalMonthDayNanoType};
use datafusion::common::Result as DataFusionResult;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use crate::base::error::{Error, Result};
use crate::base::time::interval::Interval;
use crate::base::time::kind::INTERVAL;
use crate::operator::error::to_datafusion;

/// One of the functions, under its own name.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct IntervalChoice {
    kind: Kind,
    signature: Signature,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Greatest,
    Least,
    NullIf,
}

impl IntervalChoice {
    /// The function of that name.
    pub(crate) fn named(name: &str) -> Option<IntervalChoice> {
        let kind = match name {
            "greatest" => Kind::Greatest,
            "least" => Kind::Least,
            "nullif" => Kind::NullIf,
            _ => return None,
        };
        Some(IntervalChoice { kind, signature: Signature::variadic_any(Volatility::Immutable) })
    }

    /// Which of the values of a row it gives.
    fn choose(&self, row: &[Option<Interval>]) -> Option<Interval> {
        let known = row.iter().flatten();
        match self.kind {
            // Of equal ones `min_by_key` takes the first, `max_by_key` the last.
            Kind::Greatest => known.rev().max_by_key(|interval| interval.length()).copied(),
            Kind::Least => known.min_by_key(|interval| interval.length()).copied(),
            Kind::NullIf => match row {
                [Some(value), Some(other)] if value.length() == other.length() => None,
                [value, ..] => *value,
                [] => None,
            },
        }
    }
}

impl ScalarUDFImpl for IntervalChoice {
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

    fn return_type(&self, _types: &[DataType]) -> DataFusionResult<DataType> {
        Ok(INTERVAL)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let columns = args.args.iter().map(|argument| argument.to_array(args.number_rows));
        let columns = columns.collect::<DataFusionResult<Vec<_>>>()?;
        let columns = columns.iter().map(|array| {
            let array = arrow::compute::cast(array, &INTERVAL)?;
            let intervals = arrow::array::AsArray::as_primitive_opt::<IntervalMonthDayNanoType>(array.as_ref());
            intervals.cloned().ok_or_else(|| Error::internal("an interval was expected"))
        });
        let columns = columns.collect::<Result<Vec<PrimitiveArray<_>>>>().map_err(to_datafusion)?;
        let chosen = (0..args.number_rows).map(|row| {
            let values =
                columns.iter().map(|array| array.is_valid(row).then(|| Interval::from_arrow(array.value(row))));
            self.choose(&values.collect::<Vec<_>>()).map(|interval| interval.to_arrow()).transpose()
        });
        let chosen = chosen.collect::<Result<PrimitiveArray<IntervalMonthDayNanoType>>>().map_err(to_datafusion)?;
        Ok(ColumnarValue::Array(Arc::new(chosen)))
    }
}
