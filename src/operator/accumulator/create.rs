//! From a call of an aggregate to the accumulator that answers it.

use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, Int64Type, UInt64Type, i256};

use super::Accumulator;
use super::bits::{BitOperation, Bits};
use super::boolean::Booleans;
use super::count::Count;
use super::distinct::Distinct;
use super::extreme::{BytesExtreme, PrimitiveExtreme};
use super::float_sum::FloatSum;
use super::function::{AggregateCall, AggregateFunction, coerced_types, result_type};
use super::interval::{IntervalKeys, IntervalSum, is_interval};
use super::keys::{NativeKeys, RowKeys};
use super::native::with_native;
use super::ordered::{ArgExtreme, OrderedExtreme, SingleValue};
use super::percentile::{Choice, Fraction, Percentile, WeightedPercentile, between_doubles, middle_of_decimals};
use super::regression::Regression;
use super::sum::{Addend, ExactSum, Output};
use super::variance::{FloatMoments, IntegerMoments, Variance};
use crate::base::error::Result;

/// `$body` with `$keys` the codec of an argument's values: native for primitive types, bytes for all others.
macro_rules! with_keys {
    ($argument:expr, $keys:ident => $body:expr) => {{
        with_native!(
            $argument,
            Kind => {
                let $keys = NativeKeys::<Kind>::new($argument);
                $body
            },
            _ => {
                let $keys = row_keys($argument)?;
                $body
            }
        )
    }};
}

/// The accumulator of a call, without groups.
pub fn create(call: &AggregateCall) -> Result<Box<dyn Accumulator>> {
    use AggregateFunction as F;
    let arguments = coerced_types(call.function, &call.arguments)?;
    let ignores_duplicates = arguments.is_empty()
        || matches!(call.function, F::Min | F::Max | F::AnyValue | F::ArgMin | F::ArgMax | F::SingleValue)
        || matches!(call.function, F::BoolAnd | F::BoolOr | F::BitAnd | F::BitOr);
    if call.function == F::ApproxDistinct {
        return distinct(Box::new(Count::default()), &arguments);
    }
    if call.distinct && !ignores_duplicates {
        return distinct(plain_accumulator(call, &arguments, false)?, &arguments);
    }
    plain_accumulator(call, &arguments, call.append_only)
}

fn plain_accumulator(call: &AggregateCall, arguments: &[DataType], append_only: bool) -> Result<Box<dyn Accumulator>> {
    use AggregateFunction as F;
    let function = call.function;
    let result = result_type(function, arguments)?;
    let Some(argument) = arguments.first().filter(|_| function != F::Count) else {
        return Ok(Box::new(Count::default()));
    };
    let regression = || -> Result<Box<dyn Accumulator>> { Ok(Box::new(Regression::new(function))) };
    match function {
        F::Count | F::ApproxDistinct => Ok(Box::new(Count::default())),
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
        F::Min | F::AnyValue if append_only => extremes::<false>(argument),
        F::Max if append_only => extremes::<true>(argument),
        F::Min | F::Max | F::AnyValue => {
            with_keys!(argument, keys => Ok(Box::new(OrderedExtreme::new(keys, function == F::Max))))
        }
        F::ArgMin | F::ArgMax => Ok(Box::new(ArgExtreme::try_new(arguments, function == F::ArgMax)?)),
        F::BoolAnd | F::BoolOr => Ok(Box::new(Booleans::new(function == F::BoolAnd))),
        F::SingleValue => with_keys!(argument, keys => Ok(Box::new(SingleValue::new(keys)))),
        F::VarPop => variances(argument, false, false),
        F::VarSamp => variances(argument, true, false),
        F::StddevPop => variances(argument, false, true),
        F::StddevSamp => variances(argument, true, true),
        F::BitAnd => Ok(Box::new(Bits::new(BitOperation::And, argument, append_only))),
        F::BitOr => Ok(Box::new(Bits::new(BitOperation::Or, argument, append_only))),
        F::BitXor => Ok(Box::new(Bits::new(BitOperation::Xor, argument, append_only))),
        F::ApproxPercentileWithWeight => {
            Ok(Box::new(WeightedPercentile::try_new(call.fraction.unwrap_or(Fraction::HALF), result)?))
        }
        F::Mode | F::PercentileDisc => {
            with_keys!(argument, keys => Ok(Box::new(Percentile::new(keys, choice(call), result, append_only))))
        }
        F::Median | F::PercentileCont | F::ApproxMedian | F::ApproxPercentile => {
            Ok(percentiles(call, argument, result, append_only))
        }
        F::CovarPop | F::CovarSamp | F::Corr | F::RegrSlope | F::RegrIntercept | F::RegrCount | F::RegrR2 => {
            regression()
        }
        F::RegrAvgX | F::RegrAvgY | F::RegrSxx | F::RegrSyy | F::RegrSxy => regression(),
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
    with_native!(
        argument,
        Kind => Ok(Box::new(PrimitiveExtreme::<Kind, MAX>::new(argument))),
        _ => Ok(Box::new(BytesExtreme::<MAX>::new(row_keys(argument)?)))
    )
}

/// `inner` over the distinct values of its arguments.
fn distinct(inner: Box<dyn Accumulator>, arguments: &[DataType]) -> Result<Box<dyn Accumulator>> {
    match arguments {
        [argument] if is_interval(argument) => Ok(Box::new(Distinct::new(IntervalKeys::new(true), inner))),
        [argument] => with_keys!(argument, keys => Ok(Box::new(Distinct::new(keys, inner)))),
        _ => Ok(Box::new(Distinct::new(RowKeys::try_new(arguments)?, inner))),
    }
}

/// Which of the values themselves is the answer.
fn choice<K>(call: &AggregateCall) -> Choice<K> {
    let fraction = call.fraction.unwrap_or(Fraction::HALF);
    match call.function {
        AggregateFunction::Mode => Choice::Mode { descending: fraction.descending },
        _ => Choice::At(fraction),
    }
}

/// What lies between the values.
fn percentiles(call: &AggregateCall, argument: &DataType, result: DataType, append_only: bool) -> Box<dyn Accumulator> {
    use AggregateFunction as F;
    let fraction = call.fraction.unwrap_or(Fraction::HALF);
    match argument {
        DataType::Decimal128(_, _) => {
            let choice = Choice::Between(fraction, middle_of_decimals::<i128>);
            let keys = NativeKeys::<i128>::new(&result);
            Box::new(Percentile::new(keys, choice, result, append_only).widened())
        }
        DataType::Decimal256(_, _) => {
            let choice = Choice::Between(fraction, middle_of_decimals::<i256>);
            Box::new(Percentile::new(NativeKeys::<i256>::new(argument), choice, result, append_only))
        }
        _ => {
            let keys = NativeKeys::<f64>::new(&DataType::Float64);
            let choice = Choice::Between(fraction, between_doubles);
            match call.function {
                // A rounded value takes little room however often it occurs.
                F::ApproxMedian | F::ApproxPercentile => {
                    Box::new(Percentile::new(keys, choice, result, false).rounded())
                }
                _ => Box::new(Percentile::new(keys, choice, result, append_only)),
            }
        }
    }
}

fn row_keys(argument: &DataType) -> Result<RowKeys> {
    RowKeys::try_new(std::slice::from_ref(argument))
}
