//! The functions that stand for markers of the syntax tree ([`Marker`]) in a bound plan.
//!
//! They are found by their type, not by their name.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::utils::take_function_args;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::base::error::Error;
use crate::operator::error::to_datafusion;
use crate::sql::rewrite::marker::Marker;

/// All of them.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let condition = Signature::exact(vec![DataType::Boolean], Volatility::Immutable);
    let rows = Signature::any(1, Volatility::Immutable);
    let asof = UntilBuilt { marker: Marker::AsOf, result: DataType::Boolean, signature: condition };
    let ties = UntilBuilt { marker: Marker::WithTies, result: DataType::Int64, signature: rows };
    let cast = NamedCast { signature: Signature::any(1, Volatility::Immutable) };
    let step = Step { signature: Signature::any(1, Volatility::Immutable) };
    let all = [ScalarUDF::from(asof), ScalarUDF::from(cast), ScalarUDF::from(ties), ScalarUDF::from(step)];
    all.into_iter().map(Arc::new).collect()
}

/// The number of rows of FETCH .. WITH TIES, if the expression is a marked one.
pub(crate) fn rows_with_ties(expr: &Expr) -> Option<&Expr> {
    marked(expr, Marker::WithTies)
}

/// The ordered condition of an as-of join, if the expression is a marked one.
pub(crate) fn ordered_condition(expr: &Expr) -> Option<&Expr> {
    marked(expr, Marker::AsOf)
}

fn marked(expr: &Expr, marker: Marker) -> Option<&Expr> {
    let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else { return None };
    let until_built = func.inner().downcast_ref::<UntilBuilt>()?;
    args.first().filter(|_| until_built.marker == marker)
}

/// The item of a recursive query's step, if the expression is a marked one.
pub(crate) fn item_of_step(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.inner().is::<Step>() => args.first(),
        _ => None,
    }
}

/// The value of its argument, under a name of its own.
#[derive(Debug, PartialEq, Eq, Hash)]
struct NamedCast {
    signature: Signature,
}

impl ScalarUDFImpl for NamedCast {
    fn name(&self) -> &str {
        Marker::NamedCast.name()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        // An expression's display names the type of a cast; its schema name does not.
        Ok(args.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Null))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [argument] = take_function_args(Marker::NamedCast.name(), args.args)?;
        Ok(argument)
    }
}

/// Marks its argument until the plan is built, and never runs.
#[derive(Debug, PartialEq, Eq, Hash)]
struct UntilBuilt {
    marker: Marker,
    result: DataType,
    signature: Signature,
}

impl ScalarUDFImpl for UntilBuilt {
    fn name(&self) -> &str {
        self.marker.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(self.result.clone())
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(to_datafusion(Error::internal(format!("a plan was not built: it holds {:?}", self.marker))))
    }
}

/// Marks an item of a recursive query's step until types are settled.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Step {
    signature: Signature,
}

impl ScalarUDFImpl for Step {
    fn name(&self) -> &str {
        Marker::Step.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Null))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [argument] = take_function_args(self.name(), args.args)?;
        Ok(argument)
    }
}
