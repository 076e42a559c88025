//! DataFusion's window functions, where they are not what SQL asks for.
//!
//! Numbers of rows (`row_number`, `rank`, `dense_rank`, `ntile`) are BIGINT, not unsigned: so they compare with a
//! BIGINT without a detour over decimals. `lead` and `lag` with IGNORE NULLS are computed over a whole partition at a
//! time; row by row, DataFusion loses count of the values it has passed.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::{SortOptions, cast};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{
    ExpressionArgs, PartitionEvaluatorArgs, WindowFunctionSimplification, WindowUDFFieldArgs,
};
use datafusion::logical_expr::window_state::WindowAggState;
use datafusion::logical_expr::{LimitEffect, PartitionEvaluator, ReversedUDWF, Signature, WindowUDF, WindowUDFImpl};
use datafusion::physical_expr::PhysicalExpr;

/// The function as it is registered.
pub(crate) fn adapted(function: Arc<WindowUDF>) -> Arc<WindowUDF> {
    let counts = matches!(function.name(), "row_number" | "rank" | "dense_rank" | "ntile");
    match counts || matches!(function.name(), "lead" | "lag") {
        true => Arc::new(WindowUDF::from(Adapted { function, counts })),
        false => function,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Adapted {
    function: Arc<WindowUDF>,
    /// Whether the result is a number of rows.
    counts: bool,
}

impl WindowUDFImpl for Adapted {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        self.function.aliases()
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn expressions(&self, arguments: ExpressionArgs) -> Vec<Arc<dyn PhysicalExpr>> {
        self.function.expressions(arguments)
    }

    fn partition_evaluator(&self, arguments: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        let whole = arguments.ignore_nulls();
        let evaluator = self.function.partition_evaluator_factory(arguments)?;
        Ok(Box::new(AdaptedEvaluator { evaluator, counts: self.counts, whole }))
    }

    fn simplify(&self) -> Option<WindowFunctionSimplification> {
        self.function.simplify()
    }

    fn field(&self, arguments: WindowUDFFieldArgs) -> Result<FieldRef> {
        let field = self.function.field(arguments)?;
        Ok(match self.counts {
            true => Arc::new(field.as_ref().clone().with_data_type(DataType::Int64)),
            false => field,
        })
    }

    fn sort_options(&self) -> Option<SortOptions> {
        self.function.sort_options()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.function.coerce_types(types)
    }

    fn reverse_expr(&self) -> ReversedUDWF {
        match self.function.reverse_expr() {
            ReversedUDWF::Reversed(function) => ReversedUDWF::Reversed(adapted(function)),
            other => other,
        }
    }

    fn limit_effect(&self, arguments: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        self.function.inner().limit_effect(arguments)
    }
}

#[derive(Debug)]
struct AdaptedEvaluator {
    evaluator: Box<dyn PartitionEvaluator>,
    counts: bool,
    /// Whether it must be given whole partitions.
    whole: bool,
}

impl AdaptedEvaluator {
    fn adapt(&self, values: ArrayRef) -> Result<ArrayRef> {
        Ok(if self.counts { cast(&values, &DataType::Int64)? } else { values })
    }
}

impl PartitionEvaluator for AdaptedEvaluator {
    fn memoize(&mut self, state: &mut WindowAggState) -> Result<()> {
        self.evaluator.memoize(state)
    }

    fn get_range(&self, index: usize, rows: usize) -> Result<Range<usize>> {
        self.evaluator.get_range(index, rows)
    }

    fn is_causal(&self) -> bool {
        self.evaluator.is_causal()
    }

    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let values = self.evaluator.evaluate_all(values, rows)?;
        self.adapt(values)
    }

    fn evaluate(&mut self, values: &[ArrayRef], range: &Range<usize>) -> Result<ScalarValue> {
        let value = self.evaluator.evaluate(values, range)?;
        if self.counts { value.cast_to(&DataType::Int64) } else { Ok(value) }
    }

    fn evaluate_all_with_rank(&self, rows: usize, ranks: &[Range<usize>]) -> Result<ArrayRef> {
        self.adapt(self.evaluator.evaluate_all_with_rank(rows, ranks)?)
    }

    fn supports_bounded_execution(&self) -> bool {
        !self.whole && self.evaluator.supports_bounded_execution()
    }

    fn uses_window_frame(&self) -> bool {
        self.evaluator.uses_window_frame()
    }

    fn include_rank(&self) -> bool {
        self.evaluator.include_rank()
    }
}
