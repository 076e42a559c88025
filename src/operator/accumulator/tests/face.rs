//! The DataFusion face: the same answers as DataFusion's own functions, in one and in several partitions.

use arrow::array::{Float64Array, Int32Array, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{Field, Schema};
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext, col};

use super::super::{aggregate_functions, from_udf};
use super::*;

fn table(sorted: bool) -> (Arc<Schema>, Vec<Vec<RecordBatch>>) {
    let schema = Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int32, false),
        Field::new("i", DataType::Int64, true),
        Field::new("f", DataType::Float64, true),
        Field::new("s", DataType::Utf8View, true),
        Field::new("d", DataType::Decimal128(12, 3), true),
        Field::new("b", DataType::Boolean, true),
    ]));
    let mut random = Random(3);
    let mut batch = |partition: usize, number: usize| {
        let rows = 700;
        let null = |random: &mut Random| random.below(9) == 0;
        let keys: Vec<i32> = (0..rows)
            .map(|row| if sorted { (number * rows + row) as i32 / 3 } else { random.below(40) as i32 })
            .collect();
        let integers: Int64Array =
            (0..rows).map(|_| (!null(&mut random)).then(|| random.below(5000) as i64 - 900)).collect();
        let floats: Float64Array =
            (0..rows).map(|_| (!null(&mut random)).then(|| random.below(1 << 30) as f64 / 997.0)).collect();
        let texts: StringViewArray =
            (0..rows).map(|_| (!null(&mut random)).then(|| format!("t{}", random.below(300)))).collect();
        let decimals: arrow::array::Decimal128Array =
            (0..rows).map(|_| Some(random.below(1 << 20) as i128 - 500_000)).collect();
        let booleans: arrow::array::BooleanArray = (0..rows).map(|_| Some(random.below(7) + partition > 0)).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(keys)),
            Arc::new(integers),
            Arc::new(floats),
            Arc::new(texts),
            Arc::new(decimals.with_precision_and_scale(12, 3).unwrap()),
            Arc::new(booleans),
        ];
        RecordBatch::try_new(schema.clone(), columns).unwrap()
    };
    let partitions = if sorted { 1 } else { 3 };
    let batches = (0..partitions).map(|partition| (0..4).map(|number| batch(partition, number)).collect()).collect();
    (schema, batches)
}

fn context(ours: bool, partitions: usize, sorted: bool) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(partitions).with_batch_size(512);
    let context = SessionContext::new_with_config(config);
    let (schema, batches) = table(sorted);
    let mut table = MemTable::try_new(schema, batches).unwrap();
    if sorted {
        table = table.with_sort_order(vec![vec![col("k").sort(true, false)]]);
    }
    context.register_table("t", Arc::new(table)).unwrap();
    if ours {
        aggregate_functions().iter().for_each(|udf| context.register_udaf(udf.as_ref().clone()));
    }
    context
}

fn run(context: &SessionContext, sql: &str) -> Vec<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let batches = runtime.block_on(async { context.sql(sql).await?.collect().await });
    let batches = batches.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let rows = batches.iter().flat_map(|batch| {
        (0..batch.num_rows()).map(|row| {
            let cell = |array: &ArrayRef| arrow::util::display::array_value_to_string(array, row).unwrap();
            batch.columns().iter().map(cell).collect()
        })
    });
    rows.collect()
}

/// Equal, but for the last digit: DataFusion rounds sums of floats and cuts averages of decimals off.
fn same(ours: &str, theirs: &str) -> bool {
    ours == theirs
        || matches!((ours.parse::<f64>(), theirs.parse::<f64>()), (Ok(a), Ok(b)) if (a - b).abs() <= 1e-9 * b.abs() + 1.1e-7)
}

const QUERIES: [&str; 14] = [
    "SELECT count(*), count(i), sum(i), avg(i), min(i), max(i), sum(f), avg(f), min(f), max(f) FROM t",
    "SELECT k, count(*), count(i), sum(i), avg(i), min(i), max(i) FROM t GROUP BY k ORDER BY k",
    "SELECT k, sum(f), avg(f), min(f), max(f), min(s), max(s), min(d), max(d) FROM t GROUP BY k ORDER BY k",
    "SELECT k, sum(d), avg(d), bool_and(b), bool_or(b), min(b), max(b) FROM t GROUP BY k ORDER BY k",
    "SELECT k, count(DISTINCT i), count(DISTINCT s), sum(DISTINCT i) FROM t GROUP BY k ORDER BY k",
    "SELECT k, var_pop(f), var(i), stddev(d), stddev_pop(f), var_samp(f) FROM t GROUP BY k ORDER BY k",
    "SELECT var_pop(f), var(i), stddev(d), stddev_pop(f), var_samp(DISTINCT f) FROM t",
    "SELECT count(DISTINCT s) FROM t",
    "SELECT count(*) FILTER (WHERE i > 100), sum(i) FILTER (WHERE f > 10000), max(s) FILTER (WHERE false) FROM t",
    "SELECT count(*), sum(i), min(s), avg(f) FROM t WHERE k < 0",
    "SELECT k, i, sum(i) OVER w, avg(f) OVER w, min(i) OVER w, max(s) OVER w, count(*) OVER w FROM t \
     WINDOW w AS (PARTITION BY k ORDER BY i, f, s, d ROWS BETWEEN 3 PRECEDING AND 1 FOLLOWING) ORDER BY k, i, f, s, d",
    "SELECT k, sum(i) OVER (PARTITION BY k), max(f) OVER (PARTITION BY k ORDER BY i, f, s) FROM t ORDER BY k, i, f, s",
    "SELECT k, (SELECT count(*) FROM t u WHERE u.i = -k) FROM t GROUP BY k ORDER BY k",
    "SELECT k + 1 AS g, max(i) AS m FROM t GROUP BY k + 1 HAVING sum(i) > 100 ORDER BY m DESC, g LIMIT 5",
];

#[test]
fn answers_are_those_of_datafusion() {
    for (partitions, sorted) in [(1, false), (4, false), (1, true)] {
        let (ours, theirs) = (context(true, partitions, sorted), context(false, partitions, sorted));
        for sql in QUERIES {
            let (left, right) = (run(&ours, sql), run(&theirs, sql));
            assert_eq!(left.len(), right.len(), "{sql}");
            for (left, right) in left.iter().zip(&right) {
                assert!(left.iter().zip(right).all(|(a, b)| same(a, b)), "{sql}\n ours {left:?}\n theirs {right:?}");
            }
        }
    }
}

#[test]
fn float_sums_have_the_same_bits_in_any_partitioning() {
    let sql = "SELECT k, arrow_cast(sum(f), 'Utf8'), arrow_cast(avg(f), 'Utf8') FROM t GROUP BY k ORDER BY k";
    assert_eq!(run(&context(true, 1, false), sql), run(&context(true, 4, false), sql));
}

#[test]
fn plans_contain_our_functions() {
    let context = context(true, 1, false);
    for udf in aggregate_functions() {
        let is_theirs = ["array_agg", "string_agg"].contains(&udf.name());
        assert_eq!(from_udf(&udf).is_none(), is_theirs, "{}", udf.name());
        for name in std::iter::once(udf.name()).chain(udf.aliases().iter().map(String::as_str)) {
            let found = datafusion::execution::FunctionRegistry::udaf(&context, name).unwrap();
            assert_eq!(from_udf(&found), from_udf(&udf), "{name}");
        }
    }
}

#[test]
fn overflow_and_wrong_types_are_our_errors() {
    use crate::base::error::ErrorKind;
    let context = context(true, 1, false);
    let fail = |sql: &str| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let result = runtime.block_on(async { context.sql(sql).await?.collect().await });
        crate::operator::error::from_datafusion(result.unwrap_err())
    };
    let error = fail("SELECT sum(x) FROM (VALUES (9223372036854775807), (1)) v(x)");
    assert_eq!((error.kind(), error.sqlstate(), error.message()), (ErrorKind::Data, "22003", "bigint out of range"));
    let error = fail("SELECT k, sum(i + 9223372036854770000) FROM t GROUP BY k");
    assert_eq!(error.sqlstate(), "22003");
    let error = fail("SELECT sum(s) FROM t");
    assert_eq!((error.kind(), error.message()), (ErrorKind::Type, "function sum(TEXT) does not exist"));
    let error = fail("SELECT single_value(i) FROM t");
    assert_eq!(error.sqlstate(), "21000");
    let error = fail("SELECT nope FROM t");
    assert_eq!((error.kind(), error.sqlstate()), (ErrorKind::NotFound, "42703"));
    let error = fail("SELECT 1 / 0");
    assert_eq!(error.sqlstate(), "22012");
}

#[test]
fn groups_can_be_emitted_bit_by_bit_and_rows_turned_into_states() {
    use super::super::datafusion_accumulators::AllGroups;
    use ::datafusion::logical_expr::{EmitTo, GroupsAccumulator};
    let values: Vec<ArrayRef> =
        vec![Arc::new(Float64Array::from_iter((0..9000).map(|n| (n % 5 > 0).then_some(n as f64 / 7.0))))];
    let keep = arrow::array::BooleanArray::from_iter((0..9000).map(|n| Some(n % 11 > 0)));
    for function in AggregateFunction::ALL {
        let call = AggregateCall { append_only: true, ..call(function, &[DataType::Float64], false) };
        let Ok(result) = super::super::function::result_type(function, &call.arguments) else { continue };
        let new = || AllGroups::try_new(call.clone(), result.clone()).unwrap();
        let groups: Vec<usize> = (0..9000).collect();
        let (mut whole, mut parts, mut merged) = (new(), new(), new());
        whole.update_batch(&values, &groups, Some(&keep), 9000).unwrap();
        parts.update_batch(&values, &groups, Some(&keep), 9000).unwrap();
        let states = new().convert_to_state(&values, Some(&keep)).unwrap();
        merged.merge_batch(&states, &groups, 9000).unwrap();
        let expected = whole.evaluate(EmitTo::All).unwrap();
        assert_eq!(&merged.evaluate(EmitTo::All).unwrap(), &expected, "{function:?}");
        let mut start = 0;
        for length in [1, 4999, 3000, 999] {
            assert_eq!(&parts.evaluate(EmitTo::First(length)).unwrap(), &expected.slice(start, length), "{function:?}");
            start += length;
        }
        assert_eq!(&parts.evaluate(EmitTo::All).unwrap(), &expected.slice(start, 1), "{function:?}");
        parts.update_batch(&values, &groups, Some(&keep), 9000).unwrap();
        assert_eq!(&parts.evaluate(EmitTo::All).unwrap(), &expected, "{function:?} again");
    }
}
