//! What must be known of functions elsewhere too.

use sqlparser::ast::SetExpr;

use crate::plan::functions::FunctionRegistry;
use crate::sql::parse_query;

#[test]
fn group_by_all_knows_every_aggregate() {
    let unknown: Vec<String> = FunctionRegistry::new()
        .aggregate_names()
        .into_iter()
        .filter(|name| {
            let query = parse_query(&format!("SELECT a, \"{name}\"(b) FROM t GROUP BY ALL")).expect("valid");
            let SetExpr::Select(select) = *query.body else { return true };
            select.group_by.to_string() != "GROUP BY 1"
        })
        .collect();
    assert_eq!(unknown, Vec::<String>::new(), "they belong into sql/rewrite/contents.rs");
}
