//! Type names in expressions.

use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::planner::TypePlanner;
use sqlparser::ast;

use crate::operator::error::to_datafusion;
use crate::plan::source::DOMAIN;
use crate::sql::types::{column_domain, column_type};

/// Type names mean in expressions what they mean in CREATE TABLE.
#[derive(Debug)]
pub(crate) struct SqlTypes;

impl TypePlanner for SqlTypes {
    fn plan_type_field(&self, sql_type: &ast::DataType) -> Result<Option<FieldRef>> {
        let field = Field::new("", column_type(sql_type).map_err(to_datafusion)?, true);
        Ok(Some(Arc::new(match column_domain(sql_type) {
            Some(domain) => field.with_metadata([(DOMAIN.to_string(), domain.to_string())].into()),
            None => field,
        })))
    }
}
