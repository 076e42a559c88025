//! The aggregate functions by name: their types, and the accumulator of each call.

use arrow::array::{ArrowPrimitiveType, downcast_primitive};
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, Int64Type, UInt64Type};

use super::Accumulator;
use super::boolean::Booleans;
use super::count::Count;
use super::distinct::Distinct;
use super::extreme::{BytesExtreme, PrimitiveExtreme};
use super::float_sum::FloatSum;
use super::interval::{IntervalKeys, IntervalSum, is_interval};
use super::keys::{NativeKeys, RowKeys};
use super::ordered::{OrderedExtreme, SingleValue};
use super::sum::{Addend, ExactSum, Output};
use super::variance::{FloatMoments, IntegerMoments, Variance};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::time::kind::INTERVAL;
use crate::base::types::sql_type_name;

/// An aggregate function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum AggregateFunction {
    /// `count(*)`, `count(x, ..)`: rows whose arguments are non-null.
    Count,
    /// `sum(x)`: BIGINT for integers, UBIGINT for UBIGINT, DECIMAL(38, s) for decimals, DOUBLE for floats.
    Sum,
    /// `avg(x)`: DOUBLE for numbers, DECIMAL with four more digits for decimals.
    Avg,
    /// `min(x)`.
    Min,
    /// `max(x)`.
    Max,
    /// `bool_and(x)`.
    BoolAnd,
    /// `bool_or(x)`.
    BoolOr,
    /// `var_pop(x)`: the variance of the population, DOUBLE.
    VarPop,
    /// `var(x)`: the variance of a sample, DOUBLE.
    VarSamp,
    /// `stddev_pop(x)`.
    StddevPop,
    /// `stddev(x)`.
    StddevSamp,
    /// `single_value(x)`: the value of at most one row.
    SingleValue,
}

impl AggregateFunction {
    /// All functions.
    pub const ALL: [AggregateFunction; 12] = [
        AggregateFunction::Count,
        AggregateFunction::Sum,
        AggregateFunction::Avg,
        AggregateFunction::Min,
        AggregateFunction::Max,
        AggregateFunction::BoolAnd,
        AggregateFunction::BoolOr,
        AggregateFunction::VarPop,
        AggregateFunction::VarSamp,
        AggregateFunction::StddevPop,
        AggregateFunction::StddevSamp,
        AggregateFunction::SingleValue,
    ];

    /// The name of the function in SQL.
    pub fn name(self) -> &'static str {
        self.names()[0]
    }

    /// The name of the function in SQL, then its other names.
    pub(super) fn names(self) -> &'static [&'static str] {
        match self {
            AggregateFunction::Count => &["count"],
            AggregateFunction::Sum => &["sum"],
            AggregateFunction::Avg => &["avg", "mean"],
            AggregateFunction::Min => &["min"],
            AggregateFunction::Max => &["max"],
            AggregateFunction::BoolAnd => &["bool_and", "every"],
            AggregateFunction::BoolOr => &["bool_or"],
            AggregateFunction::VarPop => &["var_pop", "var_population"],
            AggregateFunction::VarSamp => &["var", "var_samp", "var_sample", "variance"],
            AggregateFunction::StddevPop => &["stddev_pop"],
            AggregateFunction::StddevSamp => &["stddev", "stddev_samp"],
            AggregateFunction::SingleValue => &["single_value"],
        }
    }
}

/// One call of an aggregate function in a query.
#[derive(Debug, Clone, PartialEq)]
pub struct AggregateCall {
    /// What is called.
    pub function: AggregateFunction,
    /// Whether equal argument values count once.
    pub distinct: bool,
    /// The types of the arguments, after coercion.
    pub arguments: Vec<DataType>,
    /// Whether the input never deletes rows: `min` and `max` then keep one value a group.
    pub append_only: bool,
}

/// The types to which the arguments of a call are cast; an error if it does not take them.
pub(super) fn coerced_types(function: AggregateFunction, arguments: &[DataType]) -> Result<Vec<DataType>> {
    use AggregateFunction as F;
    if function == F::Count {
        return Ok(arguments.to_vec());
    }
    let [argument] = arguments else {
        let message = format!("{} takes one argument, not {}", function.name(), arguments.len());
        return Err(Error::new(ErrorKind::Type, message).with_sqlstate("42883"));
    };
    let argument = plain(argument);
    let coerced = match function {
        F::Min | F::Max | F::SingleValue => argument,
        F::BoolAnd | F::BoolOr if matches!(argument, DataType::Boolean | DataType::Null) => DataType::Boolean,
        F::BoolAnd | F::BoolOr => return Err(not_taken(function, &argument)),
        _ => match argument {
            DataType::Null if function == F::Sum => DataType::Int64,
            DataType::Null => DataType::Float64,
            DataType::Float16 => DataType::Float32,
            DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
                DataType::Decimal128(precision, scale)
            }
            DataType::Duration(_) if matches!(function, F::Sum | F::Avg) => argument,
            DataType::Interval(_) if matches!(function, F::Sum | F::Avg) => INTERVAL,
            number if number.is_numeric() => number,
            other => return Err(not_taken(function, &other)),
        },
    };
    Ok(vec![coerced])
}

fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, values) => plain(values),
        DataType::RunEndEncoded(_, values) => plain(values.data_type()),
        other => other.clone(),
    }
}

fn not_taken(function: AggregateFunction, argument: &DataType) -> Error {
    let error = Error::new(
        ErrorKind::Type,
        format!("function {}({}) does not exist", function.name(), sql_type_name(argument)),
    );
    error.with_sqlstate("42883").with_hint("cast the argument to a type that the function takes")
}

/// The type of the answer of a call; an error if the function does not take these arguments.
pub fn result_type(function: AggregateFunction, arguments: &[DataType]) -> Result<DataType> {
    use AggregateFunction as F;
    let coerced = coerced_types(function, arguments)?;
    let Some(argument) = coerced.first().filter(|_| function != F::Count) else {
        return Ok(DataType::Int64);
    };
    Ok(match function {
        F::Count => DataType::Int64,
        F::Min | F::Max | F::SingleValue => argument.clone(),
        F::BoolAnd | F::BoolOr => DataType::Boolean,
        F::VarPop | F::VarSamp | F::StddevPop | F::StddevSamp => DataType::Float64,
        F::Sum => match *argument {
            DataType::UInt64 => DataType::UInt64,
            DataType::Float32 | DataType::Float64 => DataType::Float64,
            DataType::Decimal128(_, scale) => DataType::Decimal128(38, scale),
            DataType::Decimal256(_, scale) => DataType::Decimal256(76, scale),
            DataType::Duration(unit) => DataType::Duration(unit),
            DataType::Interval(_) => INTERVAL,
            _ => DataType::Int64,
        },
        F::Avg => match *argument {
            DataType::Decimal128(precision, scale) => {
                DataType::Decimal128(precision.saturating_add(4).min(38), scale.saturating_add(4).min(38))
            }
            DataType::Decimal256(precision, scale) => {
                DataType::Decimal256(precision.saturating_add(4).min(76), scale.saturating_add(4).min(76))
            }
            DataType::Duration(unit) => DataType::Duration(unit),
            DataType::Interval(_) => INTERVAL,
            _ => DataType::Float64,
        },
    })
}

/// The accumulator of a call, without groups.
pub fn create(call: &AggregateCall) -> Result<Box<dyn Accumulator>> {
    use AggregateFunction as F;
    let arguments = coerced_types(call.function, &call.arguments)?;
    let ignores_duplicates =
        matches!(call.function, F::Min | F::Max | F::BoolAnd | F::BoolOr | F::SingleValue) || arguments.is_empty();
    if call.distinct && !ignores_duplicates {
        return create_distinct(plain_accumulator(call.function, &arguments, false)?, &arguments);
    }
    plain_accumulator(call.function, &arguments, call.append_only)
}

fn plain_accumulator(
    function: AggregateFunction,
    arguments: &[DataType],
    append_only: bool,
) -> Result<Box<dyn Accumulator>> {
    use AggregateFunction as F;
    let result = result_type(function, arguments)?;
    let Some(argument) = arguments.first().filter(|_| function != F::Count) else {
        return Ok(Box::new(Count::default()));
    };
    match function {
        F::Count => Ok(Box::new(Count::default())),
        F::Sum | F::Avg if is_interval(argument) => Ok(Box::new(IntervalSum::new(function == F::Avg))),
        F::Min | F::Max if is_interval(argument) => {
            Ok(Box::new(OrderedExtreme::new(IntervalKeys::new(false), function == F::Max)))
        }
        F::Sum => sums(argument, Output::Sum(result), false),
        F::Avg => {
            let factor = match (argument, &result) {
                (DataType::Decimal128(_, from), DataType::Decimal128(_, to))
                | (DataType::Decimal256(_, from), DataType::Decimal256(_, to)) => 10u64.pow((to - from).max(0) as u32),
                _ => 1,
            };
            let output =
                if result == DataType::Float64 { Output::AverageDouble } else { Output::Average(result, factor) };
            sums(argument, output, true)
        }
        F::Min if append_only => extremes::<false>(argument),
        F::Max if append_only => extremes::<true>(argument),
        F::Min | F::Max => create_ordered(argument, function == F::Max),
        F::BoolAnd | F::BoolOr => Ok(Box::new(Booleans::new(function == F::BoolAnd))),
        F::SingleValue => create_single_value(argument),
        F::VarPop => variances(argument, false, false),
        F::VarSamp => variances(argument, true, false),
        F::StddevPop => variances(argument, false, true),
        F::StddevSamp => variances(argument, true, true),
    }
}

fn sums(argument: &DataType, output: Output, average: bool) -> Result<Box<dyn Accumulator>> {
    Ok(match argument {
        DataType::Float32 | DataType::Float64 => Box::new(FloatSum::new(average)),
        DataType::UInt64 => Box::new(ExactSum::<UInt64Type, 2>::new(argument, output)),
        DataType::Decimal128(_, _) => Box::new(ExactSum::<Decimal128Type, 3>::new(argument, output)),
        DataType::Decimal256(_, _) => Box::new(ExactSum::<Decimal256Type, 5>::new(argument, output)),
        _ => Box::new(ExactSum::<Int64Type, 2>::new(argument, output)),
    })
}

fn variances(argument: &DataType, sample: bool, root: bool) -> Result<Box<dyn Accumulator>> {
    fn integers<T: Addend<N>, const N: usize, const M: usize>(argument: &DataType) -> IntegerMoments<T, N, M> {
        IntegerMoments::new(argument, ExactSum::new(argument, Output::AverageDouble))
    }
    Ok(match argument {
        DataType::Float32 | DataType::Float64 => Box::new(Variance::new(FloatMoments::new(), sample, root)),
        DataType::UInt64 => Box::new(Variance::new(integers::<UInt64Type, 2, 4>(argument), sample, root)),
        DataType::Decimal128(_, _) => Box::new(Variance::new(integers::<Decimal128Type, 3, 5>(argument), sample, root)),
        DataType::Decimal256(_, _) => {
            Box::new(Variance::new(integers::<Decimal256Type, 5, 10>(argument), sample, root))
        }
        _ => Box::new(Variance::new(integers::<Int64Type, 2, 4>(argument), sample, root)),
    })
}

fn extremes<const MAX: bool>(argument: &DataType) -> Result<Box<dyn Accumulator>> {
    macro_rules! primitive {
        ($t:ty) => {
            Ok(Box::new(PrimitiveExtreme::<$t, MAX>::new(argument)))
        };
    }
    downcast_primitive! {
        argument => (primitive),
        _ => Ok(Box::new(BytesExtreme::<MAX>::new(row_keys(argument)?)))
    }
}

fn create_ordered(argument: &DataType, max: bool) -> Result<Box<dyn Accumulator>> {
    fn native<T: ArrowPrimitiveType>(argument: &DataType, max: bool) -> Box<dyn Accumulator> {
        Box::new(OrderedExtreme::new(NativeKeys::<T>::new(argument), max))
    }
    macro_rules! primitive {
        ($t:ty) => {
            Ok(native::<$t>(argument, max))
        };
    }
    downcast_primitive! {
        argument => (primitive),
        _ => Ok(Box::new(OrderedExtreme::new(row_keys(argument)?, max)))
    }
}

fn create_single_value(argument: &DataType) -> Result<Box<dyn Accumulator>> {
    macro_rules! primitive {
        ($t:ty) => {
            Ok(Box::new(SingleValue::new(NativeKeys::<$t>::new(argument))))
        };
    }
    downcast_primitive! {
        argument => (primitive),
        _ => Ok(Box::new(SingleValue::new(row_keys(argument)?)))
    }
}

fn create_distinct(inner: Box<dyn Accumulator>, arguments: &[DataType]) -> Result<Box<dyn Accumulator>> {
    macro_rules! primitive {
        ($t:ty, $argument:expr) => {
            Ok(Box::new(Distinct::new(NativeKeys::<$t>::new($argument), inner)))
        };
    }
    match arguments {
        [argument] if is_interval(argument) => Ok(Box::new(Distinct::new(IntervalKeys::new(true), inner))),
        [argument] => downcast_primitive! {
            argument => (primitive, argument),
            _ => Ok(Box::new(Distinct::new(row_keys(argument)?, inner)))
        },
        _ => Ok(Box::new(Distinct::new(RowKeys::try_new(arguments)?, inner))),
    }
}

fn row_keys(argument: &DataType) -> Result<RowKeys> {
    RowKeys::try_new(std::slice::from_ref(argument))
}
