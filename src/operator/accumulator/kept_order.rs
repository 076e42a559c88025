//! `array_agg` and `string_agg` as DataFusion has them, but for one thing: no rule turns them round.
//!
//! DataFusion takes either over rows in the opposite order where those are at hand, and lets the accumulator turn its
//! answer round. Over a window that is the wrong answer, because without an order of its own the accumulator does not
//! know what to turn: `array_agg(x) OVER (ORDER BY x DESC ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)`
//! over rows sorted by x came out ascending. And two calls in opposite orders beside a third were refused. As they are
//! here, rows are sorted for them where need be. (Over frames that move, [`super::in_order`] has them.)

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result;
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::functions_aggregate::string_agg::string_agg_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature,
};

/// The two functions.
pub(super) fn functions() -> [Arc<AggregateUDF>; 2] {
    [array_agg_udaf(), string_agg_udaf()].map(|plain| Arc::new(AggregateUDF::from(KeptOrder { plain })))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct KeptOrder {
    plain: Arc<AggregateUDF>,
}

impl AggregateUDFImpl for KeptOrder {
    fn name(&self) -> &str {
        self.plain.name()
    }

    fn signature(&self) -> &Signature {
        self.plain.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.plain.return_type(arguments)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.plain.state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.plain.accumulator(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.plain.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        self.plain.create_groups_accumulator(args)
    }

    fn supports_null_handling_clause(&self) -> bool {
        self.plain.supports_null_handling_clause()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.plain.order_sensitivity()
    }

    fn with_beneficial_ordering(self: Arc<Self>, is_sorted: bool) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        let plain = self.plain.as_ref().clone().with_beneficial_ordering(is_sorted)?;
        Ok(plain.map(|plain| Arc::new(KeptOrder { plain: Arc::new(plain) }) as Arc<dyn AggregateUDFImpl>))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::NotSupported
    }
}
