//! Casts by our rules ([`crate::base::cast`]) as functions of the plan.
//!
//! As a function a cast is safe from DataFusion's rule that turns casts round in comparisons, which is only right
//! where no two values become one. Lossless casts stay DataFusion's, so that filters on them are still pushed down.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::Transformed;
use datafusion::common::utils::take_function_args;
use datafusion::common::{DFSchema, Result as DataFusionResult, ScalarValue};
use datafusion::logical_expr::expr::{Cast, ScalarFunction, TryCast};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};

use crate::base::cast::{OnFailure, cast_values, is_ours};
use crate::base::domain::Domain;
use crate::base::error::Result;
use crate::base::types::sql_type_name;
use crate::operator::error::{from_datafusion, to_datafusion};
use crate::plan::source::domain_of;
use crate::plan::walk::{WalkDeep, rewrite_node};

/// Replaces the casts between numbers that DataFusion's analyzer made, or the root projection, by ours.
pub(crate) fn own_casts(plan: LogicalPlan) -> Result<LogicalPlan> {
    use datafusion::common::tree_node::TransformedResult;
    plan.transform_up_deep(|node| {
        let schema = merge_schema(&node.inputs());
        rewrite_node(node, &mut |expr| own_cast(expr, &schema, false))
    })
    .data()
    .map_err(from_datafusion)
}

/// One cast; text and bytes are told apart only in casts that were written.
pub(super) fn own_cast(expr: Expr, schema: &DFSchema, written: bool) -> DataFusionResult<Transformed<Expr>> {
    let (inner, field, on_failure) = match &expr {
        Expr::Cast(Cast { expr, field }) => (expr, field, OnFailure::Error),
        Expr::TryCast(TryCast { expr, field }) => (expr, field, OnFailure::Null),
        _ => return Ok(Transformed::no(expr)),
    };
    let domain = domain_of(field);
    let to = field.data_type();
    // What has no type yet (a parameter) is given one by the analyzer.
    let Ok(from) = inner.get_type(schema) else { return Ok(Transformed::no(expr)) };
    let bytes = !written && (is_binary(&from) || is_binary(to));
    if domain.is_none() && (bytes || !is_ours(&from, to)) {
        return Ok(Transformed::no(expr));
    }
    let (cast, to) = (ValueCast::new(to.clone(), domain, on_failure), to.clone());
    let inner = match expr {
        Expr::Cast(cast) => *cast.expr,
        Expr::TryCast(cast) => *cast.expr,
        other => other,
    };
    if domain.is_none() || from.is_string() {
        return Ok(Transformed::yes(apply(cast, inner)));
    }
    // What becomes text first does so as any cast to TEXT.
    let text = match on_failure {
        OnFailure::Error => Expr::Cast(Cast::new(Box::new(inner), to)),
        OnFailure::Null => Expr::TryCast(TryCast::new(Box::new(inner), to)),
    };
    Ok(Transformed::yes(value_cast(cast, own_cast(text, schema, written)?.data)))
}

/// `expr` as `to`, by our rules.
pub(crate) fn cast_to(expr: Expr, to: DataType) -> Expr {
    apply(ValueCast::new(to, None, OnFailure::Error), expr)
}

/// A text as a value of `domain`.
pub(super) fn cast_to_domain(expr: Expr, domain: Domain) -> Expr {
    apply(ValueCast::new(DataType::Utf8View, Some(domain), OnFailure::Error), expr)
}

fn apply(cast: ValueCast, expr: Expr) -> Expr {
    if let Expr::Literal(value, _) = &expr
        && let Ok(ColumnarValue::Scalar(value)) = cast.scalar(value)
    {
        return Expr::Literal(value, None);
    }
    value_cast(cast, expr)
}

fn value_cast(cast: ValueCast, inner: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::from(cast)), vec![inner]))
}

/// Whether values of the type are bytes.
pub(super) fn is_binary(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

/// A cast that rounds, checks and reads text by our rules.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct ValueCast {
    to: DataType,
    domain: Option<Domain>,
    on_failure: OnFailure,
    signature: Signature,
}

impl ValueCast {
    fn new(to: DataType, domain: Option<Domain>, on_failure: OnFailure) -> Self {
        ValueCast { to, domain, on_failure, signature: Signature::any(1, Volatility::Immutable) }
    }

    /// The type of the result.
    pub(crate) fn to(&self) -> &DataType {
        &self.to
    }

    fn named(&self, args: impl Iterator<Item = String>) -> String {
        let cast = if self.on_failure == OnFailure::Error { "CAST" } else { "TRY_CAST" };
        let name = self.domain.map_or_else(|| sql_type_name(&self.to), |domain| domain.to_string());
        format!("{cast}({} AS {name})", args.collect::<Vec<_>>().join(", "))
    }

    fn scalar(&self, value: &ScalarValue) -> DataFusionResult<ColumnarValue> {
        let cast = self.evaluate(&value.to_array()?).map_err(to_datafusion)?;
        ScalarValue::try_from_array(&cast, 0).map(ColumnarValue::Scalar)
    }

    fn evaluate(&self, array: &arrow::array::ArrayRef) -> Result<arrow::array::ArrayRef> {
        let cast = cast_values(array, &self.to, self.on_failure)?;
        match self.domain {
            Some(domain) => domain.cast(&cast, self.on_failure),
            None => Ok(cast),
        }
    }
}

impl ScalarUDFImpl for ValueCast {
    fn name(&self) -> &str {
        match self.on_failure {
            OnFailure::Error => "value_cast",
            OnFailure::Null => "try_value_cast",
        }
    }

    fn display_name(&self, args: &[Expr]) -> DataFusionResult<String> {
        Ok(self.named(args.iter().map(ToString::to_string)))
    }

    fn schema_name(&self, args: &[Expr]) -> DataFusionResult<String> {
        // DataFusion names a cast by what is cast, and renames it where both stand in one list. Here they differ.
        Ok(self.named(args.iter().map(|argument| argument.schema_name().to_string())))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> DataFusionResult<DataType> {
        Ok(self.to.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> DataFusionResult<FieldRef> {
        let nullable = self.on_failure == OnFailure::Null || args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.to.clone(), nullable)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        if let [ColumnarValue::Scalar(value)] = args.args.as_slice() {
            return self.scalar(value);
        }
        let [argument] = take_function_args(self.name(), args.args)?;
        let array = argument.to_array(args.number_rows)?;
        Ok(ColumnarValue::Array(self.evaluate(&array).map_err(to_datafusion)?))
    }
}
