//! The laws: permutation, split, deletion, save and load do not show in the answer.

use arrow::array::{
    BooleanArray, Decimal128Array, Decimal256Array, DurationMicrosecondArray, Float32Array, Float64Array, Int16Array,
    Int64Array, StringViewArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::i256;

use super::AggregateFunction as F;
use super::*;

fn pools() -> Vec<ArrayRef> {
    let mut random = Random(11);
    let floats: Vec<Option<f64>> = (0..60)
        .map(|n| match n % 12 {
            0 => None,
            1 => Some(f64::from_bits(random.next())),
            2 => Some(0.0),
            3 => Some([f64::INFINITY, f64::NEG_INFINITY, f64::NAN][random.below(3)]),
            4 => Some(f64::from_bits(random.next() >> 13)),
            _ => Some(random.next() as i64 as f64 / 1024.0),
        })
        .collect();
    let texts: Vec<Option<String>> =
        (0..50).map(|n| (n % 9 != 0).then(|| "x".repeat(n % 20) + &n.to_string())).collect();
    vec![
        Arc::new(Float64Array::from(floats.clone())),
        Arc::new(floats.iter().map(|value| value.map(|value| value as f32)).collect::<Float32Array>()),
        Arc::new((0..50).map(|n| (n % 7 != 0).then(|| random.next() as i64)).collect::<Int64Array>()),
        Arc::new((0..50).map(|n| (n % 7 != 0).then(|| random.next() as i16)).collect::<Int16Array>()),
        Arc::new((0..50).map(|_| Some(random.next())).collect::<UInt64Array>()),
        Arc::new(
            (0..50).map(|n| (n % 5 != 0).then(|| i128::from(random.next() as i64) * 999)).collect::<Decimal128Array>(),
        ),
        Arc::new((0..50).map(|_| Some(i256::from(random.next() as i64))).collect::<Decimal256Array>()),
        Arc::new(
            (0..50).map(|n| (n % 5 != 0).then(|| random.next() as i64 >> 20)).collect::<DurationMicrosecondArray>(),
        ),
        Arc::new((0..50).map(|_| Some(random.next() as i64 >> 9)).collect::<TimestampMicrosecondArray>()),
        Arc::new(StringViewArray::from_iter(texts)),
        Arc::new((0..10).map(|n| [Some(true), Some(false), None][n % 3]).collect::<BooleanArray>()),
    ]
}

/// `(index into pool, group, weight)`.
type Changes = Vec<(usize, u32, i64)>;

/// Rows whose weights end up at 0 or more, as a list of changes in any order.
fn changes(random: &mut Random, pool: usize) -> (Changes, Changes) {
    let (mut changes, mut finals) = (Vec::new(), Vec::new());
    for _ in 0..120 {
        let (row, group, weight) = (random.below(pool), random.below(3) as u32, random.below(3) as i64);
        finals.push((row, group, weight));
        let back = random.below(4) as i64;
        changes.push((row, group, weight + back));
        if back > 0 {
            changes.push((row, group, -back));
        }
    }
    finals.retain(|row| row.2 > 0);
    random.shuffle(&mut changes);
    (changes, finals)
}

fn check(call: &AggregateCall, pool: &[ArrayRef], random: &mut Random) {
    let rows = pool.first().map_or(20, |array| array.len());
    for _ in 0..6 {
        let (changes, finals) = changes(random, rows);
        let new = |append_only| {
            let mut accumulator = create(&AggregateCall { append_only, ..call.clone() }).unwrap();
            accumulator.resize(4);
            accumulator
        };
        let (mut plain, mut append_only, mut split) = (new(false), new(true), new(false));
        feed(plain.as_mut(), pool, &finals);
        feed(append_only.as_mut(), pool, &finals);
        let mut rest = changes.as_slice();
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(1 + random.below(rest.len()));
            feed(split.as_mut(), pool, chunk);
            answers(split.as_ref(), &[0, 1, 2, 3]);
            rest = after;
        }
        let expected = answers(plain.as_ref(), &[2, 0, 1, 3]);
        assert_eq!(expected[3], if call.function.is_count() { "0" } else { "NULL" });
        assert_eq!(answers(append_only.as_ref(), &[2, 0, 1, 3]), expected, "{call:?} append only");
        assert_eq!(answers(split.as_ref(), &[2, 0, 1, 3]), expected, "{call:?} {changes:?}");

        // Merging two halves, of which one went through other group numbers.
        let (mut left, mut right) = (new(false), new(false));
        let middle = changes.len() / 2;
        feed(left.as_mut(), pool, &changes[..middle]);
        feed(right.as_mut(), pool, &changes[middle..]);
        let saved = right.save(&[0, 1, 2]).unwrap();
        left.load(&[0, 1, 2], &saved).unwrap();
        assert_eq!(answers(left.as_ref(), &[2, 0, 1, 3]), expected, "{call:?} merged");

        // Cleared groups are new, the others stay.
        left.clear(&[0]);
        let cleared = answers(left.as_ref(), &[2, 0, 1, 3]);
        assert_eq!((&cleared[0], &cleared[1], &cleared[2]), (&expected[0], &expected[3], &expected[2]));
        feed(left.as_mut(), pool, &finals.iter().copied().filter(|row| row.1 == 0).collect::<Vec<_>>());
        assert_eq!(answers(left.as_ref(), &[2, 0, 1, 3]), expected, "{call:?} cleared");

        // Everything deleted is a new group.
        let undo: Vec<_> = finals.iter().map(|&(row, group, weight)| (row, group, -weight)).collect();
        feed(split.as_mut(), pool, &undo);
        assert!(answers(split.as_ref(), &[0, 1, 2]).iter().all(|answer| *answer == expected[3]));
        let _ = split.size();
    }
}

#[test]
fn the_answer_depends_on_the_rows_alone() {
    let mut random = Random(5);
    for array in pools() {
        for function in F::ALL {
            for distinct in [false, true] {
                let call = call(function, &[array.data_type().clone()], distinct);
                if create(&call).is_ok() {
                    check(&call, std::slice::from_ref(&array), &mut random);
                }
            }
        }
    }
}

#[test]
fn count_takes_any_number_of_arguments() {
    let mut random = Random(6);
    check(&call(F::Count, &[], false), &[], &mut random);
    let pair = [pools()[2].clone(), pools()[9].clone()];
    let types: Vec<DataType> = pair.iter().map(|array| array.data_type().clone()).collect();
    check(&call(F::Count, &types, false), &pair, &mut random);
    check(&call(F::Count, &types, true), &pair, &mut random);
}

#[test]
fn statistics_of_pairs_depend_on_the_pairs_alone() {
    let mut random = Random(9);
    let kinds = pools();
    let column = |kind: usize, random: &mut Random| {
        let rows: UInt32Array = (0..80).map(|_| random.below(kinds[kind].len()) as u32).collect();
        take(&kinds[kind], &rows, None).unwrap()
    };
    for (y, x) in [(0, 0), (0, 2), (1, 5), (3, 3), (2, 4)] {
        let pool = [column(y, &mut random), column(x, &mut random)];
        let types: Vec<DataType> = pool.iter().map(|array| array.data_type().clone()).collect();
        for function in F::ALL {
            for distinct in [false, true] {
                let call = call(function, &types, distinct);
                if function.fraction_argument().is_none() && create(&call).is_ok() {
                    check(&call, &pool, &mut random);
                }
            }
        }
    }
}

#[test]
fn percentiles_depend_on_the_rows_alone() {
    let mut random = Random(10);
    for value in pools() {
        let fraction: ArrayRef = Arc::new(Float64Array::from(vec![0.3; value.len()]));
        let weight: ArrayRef = Arc::new(Float64Array::from_iter_values((0..value.len()).map(|n| (n % 5) as f64 / 3.0)));
        for function in F::ALL {
            let pool: Vec<ArrayRef> = match function.fraction_argument() {
                Some(1) => vec![value.clone(), fraction.clone()],
                Some(_) => vec![value.clone(), weight.clone(), fraction.clone()],
                None if function.is_ordered_set() => vec![value.clone()],
                None => continue,
            };
            let types: Vec<DataType> = pool.iter().map(|array| array.data_type().clone()).collect();
            for (distinct, descending) in [(false, false), (true, false), (false, true)] {
                let fraction = Some(Fraction::try_new(Some(0.3), descending).unwrap());
                let call = AggregateCall { fraction, ..call(function, &types, distinct) };
                if create(&call).is_ok() {
                    check(&call, &pool, &mut random);
                }
            }
        }
    }
}

#[test]
fn float_sums_are_exact() {
    let mut random = Random(7);
    for spread in [4, 40, 70] {
        let values: Vec<f64> = (0..300)
            .map(|_| (random.next() as i64 >> 20) as f64 * f64::powi(2.0, random.below(spread) as i32 - 10))
            .collect();
        let exact: i128 = values.iter().map(|value| (value * 1024.0) as i128).sum();
        let pool = column(Float64Array::from(values));
        let mut sum = accumulator(F::Sum, &DataType::Float64);
        feed(sum.as_mut(), &pool, &(0..300).map(|row| (row, 0, 1)).collect::<Vec<_>>());
        assert_eq!(double(sum.as_ref()), exact as f64 / 1024.0);
    }
}

/// One column of every kind of type, some values NULL.
fn odd_columns() -> Vec<ArrayRef> {
    use arrow::datatypes::{Field, Fields, IntervalUnit, TimeUnit};
    let list = DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)));
    let fields: Fields = vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Utf8, true)].into();
    let types = [
        DataType::Null,
        DataType::Float16,
        DataType::UInt8,
        DataType::Decimal32(9, 2),
        DataType::Decimal64(18, -3),
        DataType::Decimal128(6, -2),
        DataType::Decimal256(76, 10),
        DataType::Date32,
        DataType::Time64(TimeUnit::Nanosecond),
        DataType::Timestamp(TimeUnit::Second, Some("UTC".into())),
        DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Interval(IntervalUnit::DayTime),
        DataType::Duration(TimeUnit::Second),
        DataType::Binary,
        DataType::LargeUtf8,
        DataType::FixedSizeBinary(3),
        DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8)),
        DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Int64)),
        list,
        DataType::Struct(fields),
    ];
    let integers: ArrayRef = Arc::new(Int64Array::from_iter((0..12).map(|n| (n % 4 > 0).then_some(n * 100))));
    let column = |data_type: &DataType| {
        let direct = arrow::compute::cast(&integers, data_type);
        direct.unwrap_or_else(|_| arrow::array::new_null_array(data_type, integers.len()))
    };
    types.iter().map(column).collect()
}

#[test]
fn every_type_has_an_answer_or_an_error() {
    let mut random = Random(8);
    for array in odd_columns() {
        for function in F::ALL {
            for distinct in [false, true] {
                let call = call(function, &[array.data_type().clone()], distinct);
                match create(&call) {
                    Ok(_) => check(&call, std::slice::from_ref(&array), &mut random),
                    Err(error) => assert!(["42883", "42804"].contains(&error.sqlstate()), "{error}"),
                }
            }
        }
    }
}

#[test]
fn large_weights_are_exact() {
    let pool = column(Float64Array::from(vec![1.0, 0.1, 1e-200, 3e200]));
    for function in [F::Sum, F::Avg, F::VarPop] {
        let (mut large, mut small) =
            (accumulator(function, &DataType::Float64), accumulator(function, &DataType::Float64));
        let huge = i64::MAX - 5;
        feed(large.as_mut(), &pool, &[(0, 0, huge), (1, 0, huge), (2, 0, huge), (3, 0, 2), (3, 0, -huge)]);
        feed(large.as_mut(), &pool, &[(1, 0, 3 - huge), (0, 0, 7 - huge), (2, 0, -huge), (3, 0, huge - 2)]);
        feed(small.as_mut(), &pool, &[(0, 0, 7), (1, 0, 3)]);
        assert_eq!(answers(large.as_ref(), &[0]), answers(small.as_ref(), &[0]));
    }
}

#[test]
fn many_values_come_and_go() {
    let names: Vec<String> = (0..5000).map(|n| format!("{}", n % 2500)).collect();
    let pool = column(StringViewArray::from_iter_values(&names));
    let mut count = create(&call(F::Count, &[DataType::Utf8View], true)).unwrap();
    count.resize(1);
    feed(count.as_mut(), &pool, &(0..5000).map(|row| (row, 0, 1)).collect::<Vec<_>>());
    assert_eq!(bigint(count.as_ref()), 2500);
    feed(count.as_mut(), &pool, &(0..2600).map(|row| (row, 0, -1)).collect::<Vec<_>>());
    assert_eq!(bigint(count.as_ref()), 2400);
    feed(count.as_mut(), &pool, &(2600..5000).map(|row| (row, 0, -1)).collect::<Vec<_>>());
    assert_eq!(bigint(count.as_ref()), 0);
}
