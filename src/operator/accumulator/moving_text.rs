//! `string_agg` over frames that move, which DataFusion's own cannot do: the texts of the frame are kept in order.
//!
//! Everything else about the function is DataFusion's.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::string_agg::string_agg_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, GroupsAccumulator, ReversedUDAF, Signature,
};

use super::foreign_state;
use crate::base::error::Error;
use crate::operator::error::to_datafusion;

/// `string_agg`, over any frame.
pub(super) fn string_agg() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::from(StringAgg { plain: string_agg_udaf() }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct StringAgg {
    plain: Arc<AggregateUDF>,
}

impl AggregateUDFImpl for StringAgg {
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

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let not_constant = || Error::unsupported("the delimiter of string_agg must be a constant");
        let delimiter = args.exprs.get(1).ok_or_else(|| to_datafusion(foreign_state()))?;
        let no_row = arrow::array::RecordBatch::new_empty(Arc::new(arrow::datatypes::Schema::empty()));
        let Ok(ColumnarValue::Scalar(delimiter)) = delimiter.evaluate(&no_row) else {
            return Err(to_datafusion(not_constant()));
        };
        let delimiter = delimiter.try_as_str().ok_or_else(|| to_datafusion(not_constant()))?.unwrap_or_default();
        Ok(Box::new(MovingText {
            delimiter: delimiter.to_string(),
            is_distinct: args.is_distinct,
            texts: VecDeque::new(),
        }))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.plain.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        self.plain.create_groups_accumulator(args)
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        // The order of the texts is that of the frame; turning the frame round would turn them round.
        ReversedUDAF::NotSupported
    }
}

/// The texts of a frame, first to last.
#[derive(Debug)]
struct MovingText {
    delimiter: String,
    is_distinct: bool,
    texts: VecDeque<Option<String>>,
}

impl Accumulator for MovingText {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = values.first().ok_or_else(|| to_datafusion(foreign_state()))?;
        let values = cast(values, &DataType::Utf8View)?;
        self.texts.extend(values.as_string_view().iter().map(|text| text.map(str::to_string)));
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        // Rows leave a frame in the order in which they came.
        let leaving = values.first().map_or(0, |values| values.len());
        self.texts.drain(..leaving.min(self.texts.len()));
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut texts: Vec<&str> = Vec::with_capacity(self.texts.len());
        for text in self.texts.iter().flatten() {
            if !self.is_distinct || !texts.contains(&text.as_str()) {
                texts.push(text);
            }
        }
        Ok(ScalarValue::LargeUtf8((!texts.is_empty()).then(|| texts.join(&self.delimiter))))
    }

    fn size(&self) -> usize {
        let texts: usize = self.texts.iter().flatten().map(String::capacity).sum();
        size_of_val(self) + texts + self.texts.capacity() * size_of::<Option<String>>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Err(to_datafusion(Error::internal("a moving frame has no partial state")))
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        Err(to_datafusion(Error::internal("a moving frame has no partial state")))
    }
}
