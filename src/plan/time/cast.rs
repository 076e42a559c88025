//! Casts from and to the types of time, as expressions.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Result as DataFusionResult;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::base::time::convert::convert;
use crate::base::time::zone::Zone;
use crate::base::types::sql_type_name;
use crate::operator::error::to_datafusion;

/// The expression in another type.
pub(crate) fn cast_to(expr: Expr, target: DataType, zone: Zone, safe: bool) -> Expr {
    let signature = Signature::any(1, Volatility::Immutable);
    ScalarUDF::from(TimeCast { target, zone, safe, signature }).call(vec![expr])
}

/// The cast as an expression.
#[derive(Debug, PartialEq, Eq, Hash)]
struct TimeCast {
    target: DataType,
    zone: Zone,
    safe: bool,
    signature: Signature,
}

impl ScalarUDFImpl for TimeCast {
    fn name(&self) -> &str {
        if self.safe { "try_cast_time" } else { "cast_time" }
    }

    fn schema_name(&self, args: &[Expr]) -> DataFusionResult<String> {
        // As DataFusion names its casts: by what is cast.
        Ok(args.iter().map(|argument| argument.schema_name().to_string()).collect::<Vec<_>>().join(","))
    }

    fn display_name(&self, args: &[Expr]) -> DataFusionResult<String> {
        let argument = args.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let word = if self.safe { "TRY_CAST" } else { "CAST" };
        Ok(format!("{word}({argument} AS {})", sql_type_name(&self.target)))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> DataFusionResult<DataType> {
        Ok(self.target.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> DataFusionResult<arrow::datatypes::FieldRef> {
        let nullable = self.safe || args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(arrow::datatypes::Field::new(self.name(), self.target.clone(), nullable)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let [argument] = datafusion::common::utils::take_function_args(self.name(), args.args)?;
        match argument {
            ColumnarValue::Array(array) => {
                convert(&array, &self.target, &self.zone, self.safe).map(ColumnarValue::Array).map_err(to_datafusion)
            }
            ColumnarValue::Scalar(value) => {
                let array = convert(&value.to_array()?, &self.target, &self.zone, self.safe).map_err(to_datafusion)?;
                Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&array, 0)?))
            }
        }
    }
}
