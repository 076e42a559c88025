//! The aggregate functions by name: what arguments they take, and the type of their answer.

use arrow::datatypes::DataType;

use super::percentile::Fraction;
use crate::base::decimal::DecimalType;
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
    /// `avg(x)`: DOUBLE for numbers, DECIMAL with sixteen more digits, if they fit, for decimals.
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
    /// `any_value(x)`: the least value, so that it does not depend on the order of rows.
    AnyValue,
    /// `arg_min(x, by)`: the x of the row with the least `by`.
    ArgMin,
    /// `arg_max(x, by)`: the x of the row with the greatest `by`.
    ArgMax,
    /// `covar_pop(y, x)`: the covariance of the population, DOUBLE; so are all statistics of pairs but their count.
    CovarPop,
    /// `covar_samp(y, x)`: the covariance of a sample.
    CovarSamp,
    /// `corr(y, x)`: the correlation.
    Corr,
    /// `regr_slope(y, x)`: of the line that fits best.
    RegrSlope,
    /// `regr_intercept(y, x)`: where that line is at x = 0.
    RegrIntercept,
    /// `regr_count(y, x)`: the pairs without NULL, BIGINT.
    RegrCount,
    /// `regr_r2(y, x)`: the square of the correlation.
    RegrR2,
    /// `regr_avgx(y, x)`.
    RegrAvgX,
    /// `regr_avgy(y, x)`.
    RegrAvgY,
    /// `regr_sxx(y, x)`: the sum of squared distances of x from its average.
    RegrSxx,
    /// `regr_syy(y, x)`: the same of y.
    RegrSyy,
    /// `regr_sxy(y, x)`: the sum of products of these distances.
    RegrSxy,
    /// `bit_and(x)` of integers.
    BitAnd,
    /// `bit_or(x)`.
    BitOr,
    /// `bit_xor(x)`.
    BitXor,
    /// `median(x)`: DOUBLE, or of decimals a decimal with a digit more.
    Median,
    /// `percentile_cont(fraction) WITHIN GROUP (ORDER BY x)`, also `percentile_cont(x, fraction)`: DOUBLE.
    PercentileCont,
    /// `percentile_disc(fraction) WITHIN GROUP (ORDER BY x)`: one of the values.
    PercentileDisc,
    /// `mode() WITHIN GROUP (ORDER BY x)`, also `mode(x)`: the most frequent value, the least of several.
    Mode,
    /// `approx_median(x)`: within 0.05 %.
    ApproxMedian,
    /// `approx_percentile_cont(fraction) WITHIN GROUP (ORDER BY x)`: within 0.05 %.
    ApproxPercentile,
    /// `approx_percentile_cont_with_weight(weight, fraction) WITHIN GROUP (ORDER BY x)`: within 0.05 %.
    ApproxPercentileWithWeight,
    /// `approx_distinct(x)`: exact.
    ApproxDistinct,
}

impl AggregateFunction {
    /// All functions.
    pub const ALL: [AggregateFunction; 38] = {
        use AggregateFunction::*;
        [
            Count,
            Sum,
            Avg,
            Min,
            Max,
            BoolAnd,
            BoolOr,
            VarPop,
            VarSamp,
            StddevPop,
            StddevSamp,
            SingleValue,
            AnyValue,
            ArgMin,
            ArgMax,
            CovarPop,
            CovarSamp,
            Corr,
            RegrSlope,
            RegrIntercept,
            RegrCount,
            RegrR2,
            RegrAvgX,
            RegrAvgY,
            RegrSxx,
            RegrSyy,
            RegrSxy,
            BitAnd,
            BitOr,
            BitXor,
            Median,
            PercentileCont,
            PercentileDisc,
            Mode,
            ApproxMedian,
            ApproxPercentile,
            ApproxPercentileWithWeight,
            ApproxDistinct,
        ]
    };

    /// The name of the function in SQL.
    pub fn name(self) -> &'static str {
        self.names()[0]
    }

    /// The name of the function in SQL, then its other names.
    pub fn names(self) -> &'static [&'static str] {
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
            AggregateFunction::AnyValue => &["any_value"],
            AggregateFunction::ArgMin => &["arg_min", "argmin", "min_by"],
            AggregateFunction::ArgMax => &["arg_max", "argmax", "max_by"],
            AggregateFunction::CovarPop => &["covar_pop"],
            AggregateFunction::CovarSamp => &["covar_samp", "covar"],
            AggregateFunction::Corr => &["corr"],
            AggregateFunction::RegrSlope => &["regr_slope"],
            AggregateFunction::RegrIntercept => &["regr_intercept"],
            AggregateFunction::RegrCount => &["regr_count"],
            AggregateFunction::RegrR2 => &["regr_r2"],
            AggregateFunction::RegrAvgX => &["regr_avgx"],
            AggregateFunction::RegrAvgY => &["regr_avgy"],
            AggregateFunction::RegrSxx => &["regr_sxx"],
            AggregateFunction::RegrSyy => &["regr_syy"],
            AggregateFunction::RegrSxy => &["regr_sxy"],
            AggregateFunction::BitAnd => &["bit_and"],
            AggregateFunction::BitOr => &["bit_or"],
            AggregateFunction::BitXor => &["bit_xor"],
            AggregateFunction::Median => &["median"],
            AggregateFunction::PercentileCont => &["percentile_cont", "quantile_cont"],
            AggregateFunction::PercentileDisc => &["percentile_disc", "quantile_disc"],
            AggregateFunction::Mode => &["mode"],
            AggregateFunction::ApproxMedian => &["approx_median"],
            AggregateFunction::ApproxPercentile => &["approx_percentile_cont", "approx_quantile"],
            AggregateFunction::ApproxPercentileWithWeight => &["approx_percentile_cont_with_weight"],
            AggregateFunction::ApproxDistinct => &["approx_distinct", "approx_count_distinct"],
        }
    }

    /// The type to which its only argument is cast; an error if it does not take one of that type.
    pub fn coerced_argument(self, argument: &DataType) -> Result<DataType> {
        coerced_types(self, std::slice::from_ref(argument))?
            .pop()
            .ok_or_else(|| Error::internal("an aggregate of no argument"))
    }

    /// Whether the first argument may stand in `WITHIN GROUP (ORDER BY ..)`.
    pub fn is_ordered_set(self) -> bool {
        use AggregateFunction as F;
        self.fraction_argument().is_some() || matches!(self, F::Mode)
    }

    /// The argument that is a [`Fraction`]: a constant.
    pub fn fraction_argument(self) -> Option<usize> {
        use AggregateFunction as F;
        match self {
            F::PercentileCont | F::PercentileDisc | F::ApproxPercentile => Some(1),
            F::ApproxPercentileWithWeight => Some(2),
            _ => None,
        }
    }

    /// Whether it counts: 0 without rows, never NULL.
    pub(super) fn is_count(self) -> bool {
        use AggregateFunction as F;
        matches!(self, F::Count | F::RegrCount | F::ApproxDistinct)
    }

    /// The names of two arguments, where they have some.
    pub(super) fn parameter_names(self) -> Option<[&'static str; 2]> {
        match self {
            _ if self.is_of_pairs() => Some(["y", "x"]),
            AggregateFunction::PercentileCont | AggregateFunction::PercentileDisc => Some(["expr", "percentile"]),
            _ => None,
        }
    }

    fn is_of_pairs(self) -> bool {
        (AggregateFunction::CovarPop..=AggregateFunction::RegrSxy).contains(&self)
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
    /// The fraction of a percentile, and the order of its values.
    pub fraction: Option<Fraction>,
}

/// The types to which the arguments of a call are cast; an error if it does not take them.
pub(super) fn coerced_types(function: AggregateFunction, arguments: &[DataType]) -> Result<Vec<DataType>> {
    use AggregateFunction as F;
    if function == F::Count {
        return Ok(arguments.to_vec());
    }
    let taken = match function {
        // How finely the digests of other engines divide the rows; accepted, and of no effect.
        F::ApproxPercentile => 2..=3,
        F::ApproxPercentileWithWeight => 3..=4,
        F::PercentileCont | F::PercentileDisc | F::ArgMin | F::ArgMax => 2..=2,
        _ if function.is_of_pairs() => 2..=2,
        _ => 1..=1,
    };
    let Some((argument, others)) = arguments.split_first().filter(|_| taken.contains(&arguments.len())) else {
        let arguments: Vec<_> = arguments.iter().map(sql_type_name).collect();
        let message = format!("function {}({}) does not exist", function.name(), arguments.join(", "));
        let count = if *taken.end() == 1 { "one argument".into() } else { format!("{} arguments", taken.start()) };
        let hint = format!("{} takes {count}", function.name());
        return Err(Error::new(ErrorKind::Type, message).with_sqlstate("42883").with_hint(hint));
    };
    let mut coerced = vec![coerced_type(function, &plain(argument))?];
    for other in others.iter().map(plain) {
        if matches!(function, F::ArgMin | F::ArgMax) {
            coerced.push(other);
            continue;
        }
        if !other.is_numeric() && other != DataType::Null {
            return Err(not_taken(function, &other));
        }
        coerced.push(DataType::Float64);
    }
    Ok(coerced)
}

fn coerced_type(function: AggregateFunction, argument: &DataType) -> Result<DataType> {
    use AggregateFunction as F;
    Ok(match function {
        F::Min | F::Max | F::AnyValue | F::SingleValue => argument.clone(),
        F::Mode | F::PercentileDisc | F::ApproxDistinct | F::ArgMin | F::ArgMax => argument.clone(),
        F::BoolAnd | F::BoolOr if matches!(argument, DataType::Boolean | DataType::Null) => DataType::Boolean,
        F::BitAnd | F::BitOr | F::BitXor if argument.is_integer() => argument.clone(),
        F::BitAnd | F::BitOr | F::BitXor if *argument == DataType::Null => DataType::Int64,
        F::BoolAnd | F::BoolOr | F::BitAnd | F::BitOr | F::BitXor => return Err(not_taken(function, argument)),
        _ => match *argument {
            DataType::Null if function == F::Sum => DataType::Int64,
            DataType::Null => DataType::Float64,
            DataType::Float16 => DataType::Float32,
            DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale)
                if !becomes_double(function) =>
            {
                DataType::Decimal128(precision, scale)
            }
            DataType::Duration(_) if matches!(function, F::Sum | F::Avg) => argument.clone(),
            DataType::Interval(_) if matches!(function, F::Sum | F::Avg) => INTERVAL,
            DataType::Float32 if is_percentile(function) => DataType::Float32,
            DataType::Decimal128(_, _) | DataType::Decimal256(_, _) if function == F::Median => argument.clone(),
            _ if !argument.is_numeric() => return Err(not_taken(function, argument)),
            _ if becomes_double(function) => DataType::Float64,
            _ => argument.clone(),
        },
    })
}

/// Whether numbers are taken as doubles, as PostgreSQL does.
fn becomes_double(function: AggregateFunction) -> bool {
    function.is_of_pairs() || is_percentile(function)
}

fn is_percentile(function: AggregateFunction) -> bool {
    use AggregateFunction as F;
    matches!(function, F::Median | F::PercentileCont | F::ApproxMedian | F::ApproxPercentile)
        || function == F::ApproxPercentileWithWeight
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
        F::Count | F::ApproxDistinct | F::RegrCount => DataType::Int64,
        F::Min | F::Max | F::AnyValue | F::SingleValue | F::Mode | F::PercentileDisc => argument.clone(),
        F::ArgMin | F::ArgMax | F::BitAnd | F::BitOr | F::BitXor => argument.clone(),
        F::Median => match *argument {
            DataType::Decimal128(precision, scale) => DecimalType { precision, scale }.middle().arrow(),
            _ => argument.clone(),
        },
        _ if is_percentile(function) => argument.clone(),
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
            DataType::Decimal128(precision, scale) => DecimalType { precision, scale }.average().arrow(),
            DataType::Decimal256(precision, scale) => {
                DataType::Decimal256(precision.saturating_add(4).min(76), scale.saturating_add(4).min(76))
            }
            DataType::Duration(unit) => DataType::Duration(unit),
            DataType::Interval(_) => INTERVAL,
            _ => DataType::Float64,
        },
        _ => DataType::Float64,
    })
}
