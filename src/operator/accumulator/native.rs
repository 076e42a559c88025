//! Primitive arrays as the numbers they hold, whatever their type calls them.
//!
//! Arrow has 34 primitive types over 12 kinds of numbers: a DATE is an `i32`, a TIMESTAMP an `i64`. Accumulators are
//! compiled for each kind, not for each type.

use arrow::array::{Array, ArrayData, ArrayRef, make_array};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, DataType};

use super::foreign_state;
use crate::base::error::Result;

/// The numbers of a primitive array; those under NULLs are anything.
pub(super) fn natives<N: ArrowNativeType>(array: &ArrayRef) -> Result<ScalarBuffer<N>> {
    let data = array.to_data();
    match data.buffers() {
        [buffer] if data.data_type().primitive_width() == Some(size_of::<N>()) => {
            Ok(ScalarBuffer::new(buffer.clone(), data.offset(), data.len()))
        }
        _ => Err(foreign_state()),
    }
}

/// An array of `data_type`, whose numbers are of the kind `N`.
pub(super) fn primitive_array<N: ArrowNativeType>(
    data_type: &DataType,
    values: Vec<N>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    if data_type.primitive_width() != Some(size_of::<N>()) {
        return Err(foreign_state());
    }
    let data = ArrayData::builder(data_type.clone()).len(values.len()).nulls(nulls);
    Ok(make_array(data.add_buffer(ScalarBuffer::from(values).into_inner()).build()?))
}

/// `$body` with `$native` the kind of number that a primitive `$data_type` holds; `$other` for types that are not
/// primitive, whose numbers do not compare as the values do, or which nobody uses.
macro_rules! with_native {
    ($data_type:expr, $native:ident => $body:expr, _ => $other:expr) => {{
        macro_rules! of {
            ($kind:ty) => {{
                type $native = $kind;
                $body
            }};
        }
        use arrow::datatypes::DataType as T;
        match $data_type {
            T::Int8 => of!(i8),
            T::Int16 => of!(i16),
            T::Int32 | T::Date32 | T::Time32(_) => of!(i32),
            T::Int64 | T::Date64 | T::Time64(_) | T::Timestamp(_, _) | T::Duration(_) => of!(i64),
            T::UInt8 => of!(u8),
            T::UInt16 => of!(u16),
            T::UInt32 => of!(u32),
            T::UInt64 => of!(u64),
            T::Float32 => of!(f32),
            T::Float64 => of!(f64),
            T::Decimal128(_, _) => of!(i128),
            T::Decimal256(_, _) => of!(arrow::datatypes::i256),
            _ => $other,
        }
    }};
}
pub(super) use with_native;
