//! `length` of what is no text: the items of a list, the bytes of a BYTEA.
//!
//! DataFusion casts them to text and counts its characters.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::Result as DataFusionResult;
use datafusion::common::utils::take_function_args;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

/// Whether `length` of this type is one of this file.
pub(crate) fn has_length(data_type: &DataType) -> bool {
    is_list(data_type) || is_bytes(data_type)
}

fn is_list(data_type: &DataType) -> bool {
    matches!(data_type, DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(_, _))
}

fn is_bytes(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_))
}

/// How many items or bytes a value has.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct ItemCount {
    signature: Signature,
}

impl ItemCount {
    pub(crate) fn new() -> Self {
        ItemCount { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for ItemCount {
    fn name(&self) -> &str {
        "length"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> DataFusionResult<DataType> {
        Ok(DataType::Int64)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let [argument] = take_function_args(self.name(), args.args)?;
        let array = argument.to_array(args.number_rows)?;
        let counts: Int64Array = match array.data_type() {
            DataType::FixedSizeList(_, length) => counts(&array, |_| *length as usize),
            DataType::LargeList(_) => {
                let lists = array.as_list::<i64>();
                counts(&array, |row| lists.value_length(row) as usize)
            }
            DataType::List(_) => {
                let lists = array.as_list::<i32>();
                counts(&array, |row| lists.value_length(row) as usize)
            }
            _ => {
                let bytes = cast(&array, &DataType::BinaryView)?;
                let bytes = bytes.as_binary_view();
                counts(&array, |row| bytes.value(row).len())
            }
        };
        Ok(ColumnarValue::Array(Arc::new(counts)))
    }
}

fn counts(array: &ArrayRef, count: impl Fn(usize) -> usize) -> Int64Array {
    let count = |row| (!array.is_null(row)).then(|| count(row) as i64);
    (0..array.len()).map(count).collect()
}
