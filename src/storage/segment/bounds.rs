//! The least and greatest value of each column of a block: which blocks a filter can leave out.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringViewArray, new_null_array};
use arrow::compute;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::base::error::Result;

/// Texts that are longer are not worth the room.
const TEXT_MAX: usize = 64;

/// Two rows: the least values and the greatest, NULL where nothing is said of a column.
pub fn of(rows: &RecordBatch) -> Result<RecordBatch> {
    let columns = rows.columns().iter().map(|column| match extremes(column) {
        Some(two) => Ok(two),
        None => Ok(new_null_array(column.data_type(), 2)),
    });
    let options = RecordBatchOptions::new().with_row_count(Some(2));
    Ok(RecordBatch::try_new_with_options(schema(&rows.schema()), columns.collect::<Result<_>>()?, &options)?)
}

/// The columns of bounds, any of which may be NULL.
pub fn schema(rows: &Schema) -> SchemaRef {
    let fields = rows.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<Field>>()))
}

/// The least and greatest value; `None` for types that have no order of their own, or where all are NULL. Floating
/// point numbers are left out: NaN is greater than all of them, and few filter by them.
fn extremes(column: &ArrayRef) -> Option<ArrayRef> {
    macro_rules! primitive {
        ($($type:ident),*) => {
            match column.data_type() {
                $(data_type if is_of::<arrow::datatypes::$type>(data_type) => {
                    let values = column.as_primitive::<arrow::datatypes::$type>();
                    let two = [compute::min(values)?, compute::max(values)?];
                    let two = arrow::array::PrimitiveArray::<arrow::datatypes::$type>::from_iter_values(two);
                    Some(Arc::new(two.with_data_type(column.data_type().clone())) as ArrayRef)
                })*
                DataType::Utf8View => {
                    let values = column.as_string_view();
                    let two = [compute::min_string_view(values)?, compute::max_string_view(values)?];
                    let is_short = two.iter().all(|text| text.len() <= TEXT_MAX);
                    is_short.then(|| Arc::new(StringViewArray::from_iter_values(two)) as ArrayRef)
                }
                _ => None,
            }
        };
    }
    primitive!(
        Int8Type,
        Int16Type,
        Int32Type,
        Int64Type,
        UInt8Type,
        UInt16Type,
        UInt32Type,
        UInt64Type,
        Decimal128Type,
        Date32Type,
        Time64MicrosecondType,
        TimestampMicrosecondType
    )
}

/// Whether arrays of a type are those of `T`, whatever its parameters: precision, scale or time zone.
fn is_of<T: arrow::datatypes::ArrowPrimitiveType>(data_type: &DataType) -> bool {
    match (data_type, &T::DATA_TYPE) {
        (DataType::Decimal128(..), DataType::Decimal128(..)) => true,
        (DataType::Timestamp(one, _), DataType::Timestamp(other, _)) => one == other,
        (one, other) => one == other,
    }
}
