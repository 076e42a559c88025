//! The aggregates as DataFusion functions: names, types, optimizer hooks.
//!
//! The states behind them are those of the continuous driver; partial states that travel between plan nodes are the
//! exact saved states, never rounded numbers. Functions that DataFusion defines under the same names are replaced.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::count::Count;
use datafusion::functions_aggregate::min_max::{Max, Min};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, GroupsAccumulator, ReversedUDAF, SetMonotonicity,
    Signature, StatisticsArgs, TypeSignature, Volatility,
};
use datafusion::physical_plan::PhysicalExpr;

use super::create::create;
use super::datafusion_accumulators::{AllGroups, OneGroup};
use super::function::{AggregateCall, AggregateFunction, coerced_types, result_type};
use super::kept_order;
use super::percentile::Fraction;
use crate::base::error::Error;
use crate::operator::error::to_datafusion;

/// Every aggregate function of this folder, to be registered in a DataFusion session.
pub fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    let ours = AggregateFunction::ALL.map(|function| Arc::new(AggregateUDF::from(Function::new(function))));
    ours.into_iter().chain(kept_order::functions()).collect()
}

/// Which function of this folder a DataFusion function is.
pub fn from_udf(udf: &AggregateUDF) -> Option<AggregateFunction> {
    udf.inner().downcast_ref::<Function>().map(|function| function.function)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Function {
    function: AggregateFunction,
    aliases: Vec<String>,
    signature: Signature,
}

impl Function {
    fn new(function: AggregateFunction) -> Self {
        let mut signature = match function {
            AggregateFunction::Count => {
                Signature::one_of(vec![TypeSignature::VariadicAny, TypeSignature::Nullary], Volatility::Immutable)
            }
            _ => Signature::user_defined(Volatility::Immutable),
        };
        signature.parameter_names = function.parameter_names().map(|names| names.map(str::to_string).to_vec());
        let aliases = function.names()[1..].iter().map(|name| name.to_string()).collect();
        Function { function, aliases, signature }
    }

    fn call(&self, args: &AccumulatorArgs, append_only: bool) -> Result<AggregateCall> {
        let mut call = self.typed_call(args.expr_fields, args.is_distinct, append_only);
        if self.function.is_ordered_set() {
            let descending = args.order_bys.first().is_some_and(|key| key.options.descending);
            let value = match self.function.fraction_argument().and_then(|index| args.exprs.get(index)) {
                Some(fraction) => constant_double(fraction)?,
                None => None,
            };
            call.fraction = Some(Fraction::try_new(value, descending).map_err(to_datafusion)?);
        }
        Ok(call)
    }

    fn typed_call(&self, arguments: &[FieldRef], distinct: bool, append_only: bool) -> AggregateCall {
        let arguments = arguments.iter().map(|field| field.data_type().clone()).collect();
        AggregateCall { function: self.function, distinct, arguments, append_only, fraction: None }
    }
}

/// The value of an argument that must not depend on the row.
fn constant_double(argument: &Arc<dyn PhysicalExpr>) -> Result<Option<f64>> {
    let no_row = RecordBatch::new_empty(Arc::new(Schema::empty()));
    let Ok(ColumnarValue::Scalar(value)) = argument.evaluate(&no_row) else {
        return Err(to_datafusion(fraction_not_constant()));
    };
    match value.cast_to(&DataType::Float64)? {
        ScalarValue::Float64(value) => Ok(value),
        _ => Err(to_datafusion(fraction_not_constant())),
    }
}

fn fraction_not_constant() -> Error {
    Error::unsupported("the fraction of a percentile must be a constant")
}

impl AggregateUDFImpl for Function {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        coerced_types(self.function, arguments).map_err(to_datafusion)
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        result_type(self.function, arguments).map_err(to_datafusion)
    }

    fn is_nullable(&self) -> bool {
        !self.function.is_count()
    }

    fn supports_within_group_clause(&self) -> bool {
        self.function.is_ordered_set()
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        match self.function {
            function if function.is_count() => Ok(ScalarValue::Int64(Some(0))),
            _ => ScalarValue::try_from(data_type),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let call = self.call(&args, true)?;
        Ok(Box::new(OneGroup::try_new(&call, args.return_type())?))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let call = self.call(&args, false)?;
        Ok(Box::new(OneGroup::try_new(&call, args.return_type())?))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let call = self.call(&args, true)?;
        Ok(Box::new(AllGroups::try_new(call, args.return_type().clone())?))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let call = self.typed_call(args.input_fields, args.is_distinct, true);
        let state = create(&call).and_then(|accumulator| accumulator.save(&[])).map_err(to_datafusion)?;
        let field = |(index, data_type): (usize, DataType)| {
            Arc::new(Field::new(format_state_name(args.name, &format!("state {index}")), data_type, true))
        };
        Ok(state.iter().map(|column| column.data_type().clone()).enumerate().map(field).collect())
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn is_descending(&self) -> Option<bool> {
        match self.function {
            AggregateFunction::Min => Some(false),
            AggregateFunction::Max => Some(true),
            _ => None,
        }
    }

    fn value_from_stats(&self, args: &StatisticsArgs) -> Option<ScalarValue> {
        let value = match self.function {
            AggregateFunction::Count => Count::new().value_from_stats(args),
            // File statistics of floats leave NaN out, which is our greatest value.
            _ if args.return_type.is_floating() => None,
            AggregateFunction::Min => Min::new().value_from_stats(args),
            AggregateFunction::Max => Max::new().value_from_stats(args),
            _ => None,
        };
        value.filter(|value| value.data_type() == *args.return_type)
    }

    fn set_monotonicity(&self, _: &DataType) -> SetMonotonicity {
        // The extremes are not: over no value yet they are NULL, which no order puts where they would have it.
        match self.function {
            AggregateFunction::Count => SetMonotonicity::Increasing,
            _ => SetMonotonicity::NotMonotonic,
        }
    }
}
