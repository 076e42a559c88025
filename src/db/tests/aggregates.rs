//! Every aggregate that a query can name, over random rows that come in random order and partly leave again: the view,
//! the batch query and a fresh database that only ever saw the remaining rows give the same bits.

use std::collections::BTreeMap;

use crate::base::error::Result;
use crate::db::connection::Connection;
use crate::db::database::Database;
use crate::plan::functions::FunctionRegistry;

/// The calls of each function, over `t (g, i, y, x, d, s, b, at)`.
const CALLS: &[(&str, &[&str])] = &[
    ("any_value", &["any_value(i)", "any_value(s)", "any_value(x)"]),
    ("approx_distinct", &["approx_distinct(s)", "approx_distinct(x)"]),
    ("approx_median", &["approx_median(x)", "approx_median(i)"]),
    ("approx_percentile_cont", &["approx_percentile_cont(x, 0.9)"]),
    ("approx_percentile_cont_with_weight", &["approx_percentile_cont_with_weight(x, i, 0.3)"]),
    ("arg_max", &["arg_max(s, x)", "arg_max(x, i)"]),
    ("arg_min", &["arg_min(s, x)", "arg_min(i, s)"]),
    ("array_agg", &["array_agg(s)", "array_agg(DISTINCT i)", "array_agg(x ORDER BY i DESC)"]),
    ("avg", &["avg(i)", "avg(x)", "avg(d)", "avg(DISTINCT y)"]),
    ("bit_and", &["bit_and(i)"]),
    ("bit_or", &["bit_or(i)"]),
    ("bit_xor", &["bit_xor(i)", "bit_xor(DISTINCT i)"]),
    ("bool_and", &["bool_and(b)"]),
    ("bool_or", &["bool_or(b)"]),
    ("corr", &["corr(y, x)", "corr(i, x)", "corr(DISTINCT y, x)"]),
    ("count", &["count(*)", "count(y)", "count(DISTINCT s)", "count(DISTINCT x)"]),
    ("covar_pop", &["covar_pop(y, x)"]),
    ("covar_samp", &["covar_samp(y, x)", "covar_samp(d, i)"]),
    ("first_value", &["first_value(s)", "first_value(x ORDER BY i)"]),
    ("last_value", &["last_value(s)", "last_value(x ORDER BY i)"]),
    ("max", &["max(i)", "max(x)", "max(s)", "max(d)", "max(b)", "max(at)"]),
    ("median", &["median(x)", "median(i)", "median(d)", "median(DISTINCT y)"]),
    ("min", &["min(i)", "min(x)", "min(s)", "min(d)", "min(b)", "min(at)"]),
    ("mode", &["mode(i)", "mode() WITHIN GROUP (ORDER BY s DESC)"]),
    ("nth_value", &["nth_value(s, 2)", "nth_value(x, 2 ORDER BY i)"]),
    ("percentile_cont", &["percentile_cont(0.3) WITHIN GROUP (ORDER BY x DESC)", "percentile_cont(d, 0.7)"]),
    ("percentile_disc", &["percentile_disc(0.3) WITHIN GROUP (ORDER BY s)", "percentile_disc(x, 0.9)"]),
    ("regr_avgx", &["regr_avgx(y, x)"]),
    ("regr_avgy", &["regr_avgy(y, x)"]),
    ("regr_count", &["regr_count(y, x)"]),
    ("regr_intercept", &["regr_intercept(y, x)"]),
    ("regr_r2", &["regr_r2(y, x)"]),
    ("regr_slope", &["regr_slope(y, x)", "regr_slope(DISTINCT y, x)"]),
    ("regr_sxx", &["regr_sxx(y, x)"]),
    ("regr_sxy", &["regr_sxy(y, x)"]),
    ("regr_syy", &["regr_syy(y, x)"]),
    ("stddev", &["stddev(x)", "stddev(i)", "stddev(d)"]),
    ("stddev_pop", &["stddev_pop(x)"]),
    ("string_agg", &["string_agg(s, ',')", "string_agg(DISTINCT s, ',')", "string_agg(s, ',' ORDER BY i DESC)"]),
    ("sum", &["sum(i)", "sum(x)", "sum(d)", "sum(DISTINCT y)"]),
    ("var", &["var(x)", "var(i)", "var(d)"]),
    ("var_pop", &["var_pop(x)", "var_pop(DISTINCT y)"]),
];

/// `grouping` belongs to grouping sets, `single_value` to scalar subqueries: they have tests of their own.
const ELSEWHERE: [&str; 2] = ["grouping", "single_value"];

const TABLE: &str =
    "CREATE TABLE t (n BIGINT, g INT, i INT, y DOUBLE, x DOUBLE, d DECIMAL(12,3), s TEXT, b BOOLEAN, at TIMESTAMP)";

/// A small deterministic generator.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) % bound as u64) as usize
    }

    fn shuffled<T>(&mut self, mut items: Vec<T>) -> Vec<T> {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
        items
    }

    fn one_of(&mut self, texts: &[&str]) -> String {
        texts[self.below(texts.len())].to_string()
    }

    fn row(&mut self, number: usize) -> String {
        let double = ["NULL", "1e16", "-1e16", "1", "0.1", "-0.0", "1e-300", "3.5e200", "2.5", "1048577"];
        let (y, x) = (self.one_of(&double), self.one_of(&double));
        format!(
            "({number}, {}, {}, {y}, {x}, {}, {}, {}, {})",
            self.below(3),
            self.one_of(&["NULL", "0", "1", "2", "-7", "40000"]),
            self.one_of(&["NULL", "0.001", "-12.5", "999999999.999"]),
            self.one_of(&["NULL", "'a'", "'b'", "'beta'", "''"]),
            self.one_of(&["NULL", "TRUE", "FALSE"]),
            self.one_of(&["NULL", "'2026-01-01 10:00:00'", "'1969-07-20 20:17:40.5'"]),
        )
    }
}

fn insert(connection: &Connection, rows: &[String]) -> Result<()> {
    connection.execute_batch(&format!("INSERT INTO t VALUES {}", rows.join(", ")))
}

fn answer(connection: &Connection, sql: &str) -> Result<Vec<String>> {
    let batches = connection.query_arrow(sql, ())?.collect_all()?;
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let texts = batch.columns().iter().map(|column| arrow::util::display::array_value_to_string(column, row));
            rows.push(texts.collect::<Result<Vec<_>, _>>()?.join(" | "));
        }
    }
    Ok(rows)
}

/// One view a call, and what a fresh database says of the rows that are left.
fn compare(queries: &BTreeMap<String, String>, random: &mut Random) -> Result<()> {
    let (database, fresh) = (Database::in_memory()?, Database::in_memory()?);
    let (connection, other) = (database.connect()?, fresh.connect()?);
    connection.execute_batch(TABLE)?;
    other.execute_batch(TABLE)?;
    for (name, query) in queries {
        connection.execute_batch(&format!("CREATE MATERIALIZED VIEW {name} AS {query}"))?;
    }
    let rows: Vec<String> = (0..120).map(|number| random.row(number)).collect();
    let mut rest = random.shuffled(rows.clone());
    while !rest.is_empty() {
        let step = rest.split_off(rest.len() - (1 + random.below(40)).min(rest.len()));
        insert(&connection, &step)?;
        connection.execute_batch(&format!("DELETE FROM t WHERE n % 4 = {}", random.below(2)))?;
    }
    connection.execute_batch("DELETE FROM t WHERE n % 4 < 2")?;
    let left = rows.into_iter().enumerate().filter(|(number, _)| number % 4 >= 2).map(|(_, row)| row).collect();
    insert(&other, &random.shuffled(left))?;
    for (name, query) in queries {
        connection.execute_batch(&format!("VERIFY MATERIALIZED VIEW {name}"))?;
        let sorted = format!("SELECT * FROM ({query}) q ORDER BY g");
        let (view, batch) =
            (answer(&connection, &format!("SELECT * FROM {name} ORDER BY g"))?, answer(&other, &sorted)?);
        assert_eq!(view, batch, "{query}");
    }
    Ok(())
}

#[test]
fn every_aggregate_depends_on_the_rows_alone() -> Result<()> {
    let mut queries = BTreeMap::new();
    for (name, calls) in CALLS {
        for (index, call) in calls.iter().enumerate() {
            queries.insert(format!("{name}_{index}"), format!("SELECT g, {call} AS a FROM t GROUP BY g"));
        }
    }
    let mut random = Random(17);
    for _ in 0..2 {
        compare(&queries, &mut random)?;
    }
    Ok(())
}

#[test]
fn every_aggregate_over_a_moving_frame_is_that_of_its_rows() -> Result<()> {
    let mut queries = BTreeMap::new();
    for (name, calls) in CALLS {
        for (index, call) in calls.iter().enumerate() {
            // A window has an order of its own.
            if call.contains("ORDER BY") || call.contains("DISTINCT") {
                continue;
            }
            let frame = "PARTITION BY g ORDER BY i, n ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING";
            let windows = format!("SELECT n * 10 + g AS g, {call} OVER ({frame}) AS a FROM t");
            queries.insert(format!("{name}_{index}"), windows);
        }
    }
    compare(&queries, &mut Random(18))
}

#[test]
fn no_aggregate_is_left_out() {
    let registry = FunctionRegistry::new();
    for name in registry.aggregate_names() {
        let function = registry.aggregate(&name).expect("the registry names its own functions");
        let known = CALLS.iter().any(|(known, _)| *known == function.name()) || ELSEWHERE.contains(&function.name());
        assert!(known, "no call of {name} is compared");
    }
}
