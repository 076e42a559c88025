//! Single answers: what each aggregate says for given rows.

use arrow::array::{BooleanArray, Decimal128Array, Float64Array, Int64Array, StringViewArray};

use super::AggregateFunction as F;
use super::*;

fn sum_of(values: &[f64]) -> f64 {
    let mut sum = accumulator(F::Sum, &DataType::Float64);
    sum.update(&column(Float64Array::from(values.to_vec())), &vec![0; values.len()], &Weights::Ones, None).unwrap();
    double(sum.as_ref())
}

#[test]
fn float_sums_do_not_depend_on_order() {
    for order in [[1e16, 1.0, -1e16], [1.0, 1e16, -1e16], [1e16, -1e16, 1.0], [-1e16, 1.0, 1e16]] {
        assert_eq!(sum_of(&order), 1.0);
    }
    assert_eq!(sum_of(&[0.1, 0.2, 0.3]), 0.6); // the exact sum of these doubles, rounded once
    assert_eq!(sum_of(&[1e308, 1e308, -1e308]), 1e308);
    assert_eq!(sum_of(&[f64::MAX, f64::MAX]), f64::INFINITY);
    assert_eq!(sum_of(&[5e-324, 1e300, -1e300]), 5e-324);
    assert_eq!(sum_of(&[-0.0]).to_bits(), 0);
    assert_eq!(sum_of(&[f64::MIN_POSITIVE, -5e-324]), f64::MIN_POSITIVE - 5e-324);
}

#[test]
fn infinities_and_nans_can_be_taken_out_again() {
    let pool = column(Float64Array::from(vec![1.5, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e300]));
    let mut sum = accumulator(F::Sum, &DataType::Float64);
    feed(sum.as_mut(), &pool, &[(0, 0, 1), (1, 0, 2)]);
    assert_eq!(double(sum.as_ref()), f64::INFINITY);
    feed(sum.as_mut(), &pool, &[(2, 0, 1), (4, 0, 1)]);
    assert!(double(sum.as_ref()).is_nan());
    feed(sum.as_mut(), &pool, &[(1, 0, -2)]);
    assert_eq!(double(sum.as_ref()), f64::NEG_INFINITY);
    feed(sum.as_mut(), &pool, &[(2, 0, -1), (3, 0, 1)]);
    assert!(double(sum.as_ref()).is_nan());
    feed(sum.as_mut(), &pool, &[(3, 0, -1), (4, 0, -1)]);
    assert_eq!(double(sum.as_ref()), 1.5);
}

#[test]
fn integer_overflow_is_an_error_of_the_read_only() {
    let pool = column(Int64Array::from(vec![i64::MAX, 1, -5]));
    let mut sum = accumulator(F::Sum, &DataType::Int64);
    feed(sum.as_mut(), &pool, &[(0, 0, 1), (1, 0, 1)]);
    assert_eq!(answers(sum.as_ref(), &[0, 1]), ["22003: bigint out of range", "NULL"]);
    feed(sum.as_mut(), &pool, &[(2, 0, 1)]);
    assert_eq!(bigint(sum.as_ref()), i64::MAX - 4);
    let mut average = accumulator(F::Avg, &DataType::Int64);
    feed(average.as_mut(), &pool, &[(0, 0, 2), (1, 0, 1)]);
    let exact = (i128::from(i64::MAX) * 2 + 1) as f64 / 3.0; // 2^64 - 1 over 3 is an integer of 63 bits
    assert_eq!(double(average.as_ref()), ((u64::MAX / 3) as f64));
    assert!((double(average.as_ref()) - exact).abs() <= 2048.0);
}

#[test]
fn decimals_keep_their_digits() {
    let argument = DataType::Decimal128(10, 2);
    let array = Decimal128Array::from(vec![100, 200, 201, -1]).with_precision_and_scale(10, 2).unwrap();
    let pool = column(array);
    let mut sum = accumulator(F::Sum, &argument);
    feed(sum.as_mut(), &pool, &[(0, 0, 1), (1, 0, 1), (2, 0, 3), (3, 1, 1)]);
    assert_eq!(answers(sum.as_ref(), &[0, 1, 2]), ["9.03", "-0.01", "NULL"]);
    let mut average = accumulator(F::Avg, &argument);
    feed(average.as_mut(), &pool, &[(0, 0, 1), (1, 0, 1), (1, 0, 1), (3, 1, 1)]);
    assert_eq!(answers(average.as_ref(), &[0, 1]), ["1.666666666666666667", "-0.010000000000000000"]);
    let wide = DataType::Decimal128(38, 0);
    let top = Decimal128Array::from(vec![10i128.pow(38) - 1]).with_precision_and_scale(38, 0).unwrap();
    let pool = column(top);
    let mut sum = accumulator(F::Sum, &wide);
    feed(sum.as_mut(), &pool, &[(0, 0, i64::MAX), (0, 0, i64::MAX)]);
    assert_eq!(answers(sum.as_ref(), &[0]), ["22003: decimal out of range"]);
    feed(sum.as_mut(), &pool, &[(0, 0, -i64::MAX), (0, 0, 1 - i64::MAX)]);
    assert_eq!(answers(sum.as_ref(), &[0]), ["99999999999999999999999999999999999999"]);
}

#[test]
fn nan_is_the_greatest_and_nulls_do_not_count() {
    let pool = column(Float64Array::from(vec![Some(f64::NAN), Some(1.0), None, Some(f64::NEG_INFINITY)]));
    for append_only in [true, false] {
        let of = |function| {
            let argument = vec![DataType::Float64];
            let call = AggregateCall { append_only, ..call(function, &argument, false) };
            let mut accumulator = create(&call).unwrap();
            accumulator.resize(2);
            feed(accumulator.as_mut(), &pool, &[(1, 0, 1), (0, 0, 1), (2, 0, 1), (2, 1, 1)]);
            (double(accumulator.as_ref()), answers(accumulator.as_ref(), &[1]))
        };
        assert!(of(F::Max).0.is_nan());
        assert_eq!(of(F::Min).0, 1.0);
        assert_eq!(of(F::Min).1, ["NULL"]);
    }
}

#[test]
fn the_extreme_can_be_deleted_repeatedly() {
    let names: Vec<String> = (0..200).map(|n| format!("name {n:03}")).collect();
    let pool = column(StringViewArray::from_iter_values(&names));
    let mut max = accumulator(F::Max, &DataType::Utf8View);
    let all: Vec<_> = (0..200).map(|row| (row, 0, 2)).collect();
    feed(max.as_mut(), &pool, &all);
    for row in (0..200).rev() {
        assert_eq!(answers(max.as_ref(), &[0]), [names[row].clone()]);
        feed(max.as_mut(), &pool, &[(row, 0, -1)]);
        assert_eq!(answers(max.as_ref(), &[0]), [names[row].clone()]);
        feed(max.as_mut(), &pool, &[(row, 0, -1)]);
    }
    assert_eq!(answers(max.as_ref(), &[0]), ["NULL"]);
}

#[test]
fn single_value_refuses_two_rows() {
    let pool = column(Int64Array::from(vec![Some(7), None]));
    let mut single = accumulator(F::SingleValue, &DataType::Int64);
    feed(single.as_mut(), &pool, &[(0, 0, 1), (1, 1, 1)]);
    assert_eq!(answers(single.as_ref(), &[0, 1, 2]), ["7", "NULL", "NULL"]);
    feed(single.as_mut(), &pool, &[(1, 0, 1)]);
    let message = "21000: more than one row returned by a subquery used as an expression";
    assert_eq!(answers(single.as_ref(), &[0]), [message]);
    feed(single.as_mut(), &pool, &[(0, 0, -1)]);
    assert_eq!(answers(single.as_ref(), &[0]), ["NULL"]);
}

#[test]
fn booleans_and_filters() {
    let pool = column(BooleanArray::from(vec![Some(true), Some(false), None]));
    let mut all = accumulator(F::BoolAnd, &DataType::Boolean);
    let mut any = accumulator(F::BoolOr, &DataType::Boolean);
    for accumulator in [&mut all, &mut any] {
        feed(accumulator.as_mut(), &pool, &[(0, 0, 1), (1, 0, 1), (2, 1, 1), (0, 2, 1)]);
    }
    assert_eq!(answers(all.as_ref(), &[0, 1, 2]), ["false", "NULL", "true"]);
    assert_eq!(answers(any.as_ref(), &[0, 1, 2]), ["true", "NULL", "true"]);
    feed(all.as_mut(), &pool, &[(1, 0, -1)]);
    assert_eq!(answers(all.as_ref(), &[0]), ["true"]);
    let keep = BooleanArray::from(vec![Some(true), None, Some(false)]);
    let mut count = create(&call(F::Count, &[], false)).unwrap();
    count.resize(1);
    count.update(&[], &[0, 0, 0], &Weights::Ones, Some(&keep)).unwrap();
    assert_eq!(bigint(count.as_ref()), 1);
}

#[test]
fn variances_are_exact() {
    let big = 1e15;
    let pool = column(Float64Array::from(vec![big + 1.0, big + 2.0, big + 3.0, 1e300, 5e-324, f64::INFINITY]));
    let read = |function, rows: &[(usize, u32, i64)]| {
        let mut accumulator = accumulator(function, &DataType::Float64);
        feed(accumulator.as_mut(), &pool, rows);
        answers(accumulator.as_ref(), &[0])[0].split(' ').next().unwrap().to_string()
    };
    let three = [(0, 0, 1), (1, 0, 1), (2, 0, 1)];
    assert_eq!(read(F::VarSamp, &three), "1e0");
    assert_eq!(read(F::StddevSamp, &three), "1e0");
    assert_eq!(read(F::VarPop, &three), format!("{:e}", 2.0 / 3.0));
    assert_eq!(read(F::StddevPop, &three), format!("{:e}", (2.0f64 / 3.0).sqrt()));
    assert_eq!(read(F::VarSamp, &three[..1]), "NULL");
    assert_eq!(read(F::VarPop, &three[..1]), "0e0");
    let detour = [(3, 0, 1), (0, 0, 1), (5, 0, 1), (4, 0, 3), (1, 0, 1), (3, 0, -1), (4, 0, -3), (2, 0, 1), (5, 0, -1)];
    assert_eq!(read(F::VarSamp, &detour), "1e0");
    assert_eq!(read(F::VarPop, &detour[..2]), "inf");
    assert_eq!(read(F::VarPop, &detour[..3]), "NaN");
    let pool = column(Int64Array::from(vec![i64::MAX, i64::MAX - 2, i64::MIN]));
    let mut variance = accumulator(F::VarPop, &DataType::Int64);
    feed(variance.as_mut(), &pool, &[(0, 0, 1), (1, 0, 1)]);
    assert_eq!(double(variance.as_ref()), 1.0);
}

#[test]
fn statistics_of_pairs_are_exact() {
    let big = 1e15;
    let y = Float64Array::from(vec![2.0, 4.0, 6.0, 1e300, f64::INFINITY, 7.0, 5.0]);
    let x = Float64Array::from(vec![big + 1.0, big + 2.0, big + 3.0, -1e300, 1.0, f64::NAN, big + 1.0]);
    let pool: Vec<ArrayRef> = vec![Arc::new(y), Arc::new(x)];
    let read = |function, rows: &[(usize, u32, i64)]| {
        let mut accumulator = create(&call(function, &[DataType::Float64, DataType::Float64], false)).unwrap();
        accumulator.resize(1);
        feed(accumulator.as_mut(), &pool, rows);
        answers(accumulator.as_ref(), &[0])[0].split(' ').next().unwrap().to_string()
    };
    let three = [(0, 0, 1), (1, 0, 1), (2, 0, 1)];
    let detour = [(3, 0, 2), (4, 0, 1), (0, 0, 1), (5, 0, 1), (1, 0, 1), (4, 0, -1), (3, 0, -2), (2, 0, 1), (5, 0, -1)];
    for rows in [&three[..], &detour[..]] {
        assert_eq!(read(F::RegrSlope, rows), "2e0");
        assert_eq!(read(F::RegrIntercept, rows), format!("{:e}", -2.0 * big));
        assert_eq!(read(F::Corr, rows), "1e0");
        assert_eq!(read(F::RegrR2, rows), "1e0");
        assert_eq!(read(F::CovarSamp, rows), "2e0");
        assert_eq!(read(F::CovarPop, rows), format!("{:e}", 4.0 / 3.0));
        assert_eq!(read(F::RegrAvgX, rows), format!("{:e}", big + 2.0));
        assert_eq!(read(F::RegrAvgY, rows), "4e0");
        assert_eq!((read(F::RegrSxx, rows), read(F::RegrSyy, rows)), ("2e0".into(), "8e0".into()));
        assert_eq!((read(F::RegrSxy, rows), read(F::RegrCount, rows)), ("4e0".into(), "3".into()));
    }
    // An infinite y spoils what is computed from y alone; equal x have no line, and equal y lie on one.
    let infinite = [(0, 0, 1), (1, 0, 1), (4, 0, 1)];
    assert_eq!((read(F::RegrSyy, &infinite), read(F::Corr, &infinite)), ("NaN".into(), "NaN".into()));
    assert_eq!(read(F::RegrAvgY, &infinite), "inf");
    assert_ne!(read(F::RegrSxx, &infinite), "NaN");
    let vertical = [(0, 0, 1), (6, 0, 1)];
    assert_eq!((read(F::RegrSlope, &vertical), read(F::RegrR2, &vertical)), ("NULL".into(), "NULL".into()));
    assert_eq!((read(F::Corr, &vertical), read(F::CovarSamp, &vertical[..1])), ("NULL".into(), "NULL".into()));
    assert_eq!((read(F::RegrSxy, &vertical), read(F::RegrSxy, &[])), ("0e0".into(), "NULL".into()));
}

#[test]
fn bits_and_percentiles_of_a_few_values() {
    let pool = column(Int64Array::from(vec![Some(12), Some(10), Some(-1), None, Some(7)]));
    let read = |function, rows: &[(usize, u32, i64)]| {
        let mut accumulator = accumulator(function, &DataType::Int64);
        feed(accumulator.as_mut(), &pool, rows);
        answers(accumulator.as_ref(), &[0])[0].split(' ').next().unwrap().to_string()
    };
    let rows = [(0, 0, 1), (1, 0, 1), (2, 0, 1), (3, 0, 1), (2, 0, -1)];
    assert_eq!(
        (read(F::BitAnd, &rows), read(F::BitOr, &rows), read(F::BitXor, &rows)),
        ("8".into(), "14".into(), "6".into())
    );
    assert_eq!((read(F::BitAnd, &rows[2..3]), read(F::BitOr, &rows[3..4])), ("-1".into(), "NULL".into()));
    assert_eq!((read(F::Median, &rows), read(F::ApproxMedian, &rows)), ("1.1e1".into(), "1.1e1".into()));
    assert_eq!((read(F::Mode, &rows), read(F::Mode, &[(0, 0, 2), (1, 0, 1), (4, 0, 2)])), ("10".into(), "7".into()));
}

#[test]
fn wrong_arguments_are_errors() {
    assert_eq!(super::super::function::result_type(F::Sum, &[DataType::Utf8View]).unwrap_err().sqlstate(), "42883");
    assert!(create(&call(F::Avg, &[], false)).is_err());
    let mut sum = accumulator(F::Sum, &DataType::Int64);
    let array = column(Int64Array::from(vec![1, 2]));
    assert!(sum.update(&array, &[0], &Weights::Ones, None).is_err());
    assert!(sum.update(&array, &[0, 9], &Weights::Ones, None).is_err());
    assert!(sum.update(&[], &[0, 0], &Weights::Ones, None).is_err());
    assert!(sum.load(&[0, 0], &array).is_err());
}
