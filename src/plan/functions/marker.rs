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
    let asof = AsOf { signature: Signature::exact(vec![DataType::Boolean], Volatility::Immutable) };
    let cast = NamedCast { signature: Signature::any(1, Volatility::Immutable) };
    let ties = WithTies { signature: Signature::any(1, Volatility::Immutable) };
    let step = Step { signature: Signature::any(1, Volatility::Immutable) };
    let all = [ScalarUDF::from(asof), ScalarUDF::from(cast), ScalarUDF::from(ties), ScalarUDF::from(step)];
    all.into_iter().map(Arc::new).collect()
}

/// The number of rows of FETCH .. WITH TIES, if the expression is a marked one.
pub(crate) fn rows_with_ties(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.inner().downcast_ref::<WithTies>().is_some() => {
            args.first()
        }
        _ => None,
    }
}

/// The ordered condition of an as-of join, if the expression is a marked one.
pub(crate) fn ordered_condition(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.inner().downcast_ref::<AsOf>().is_some() => {
            args.first()
        }
        _ => None,
    }
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

/// Marks the ordered condition of an as-of join until the plan is built.
#[derive(Debug, PartialEq, Eq, Hash)]
struct AsOf {
    signature: Signature,
}

impl ScalarUDFImpl for AsOf {
    fn name(&self) -> &str {
        Marker::AsOf.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(to_datafusion(Error::internal("an as-of join was not built")))
    }
}

/// Marks the number of rows of FETCH .. WITH TIES until the plan is built.
#[derive(Debug, PartialEq, Eq, Hash)]
struct WithTies {
    signature: Signature,
}

impl ScalarUDFImpl for WithTies {
    fn name(&self) -> &str {
        Marker::WithTies.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(to_datafusion(Error::internal("the ties of a FETCH were not built")))
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
