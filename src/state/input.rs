//! Arrow columns as plain values, and back.
//!
//! State stores the physical value of a column, not its SQL type: a DATE and an INTEGER are both 4 bytes. [`Shape`]
//! says which physical form a type has, [`Input`] reads an array in that form, and the builders make arrays of the
//! full type again. Floats come in canonical: one zero, one NaN, nested ones too.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, BinaryViewArray, BinaryViewBuilder, LargeBinaryArray,
    LargeBinaryBuilder, LargeStringArray, LargeStringBuilder, StringArray, StringBuilder, StringViewArray,
    StringViewBuilder, make_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, DataType, IntervalUnit, i256};
use arrow::row::{RowConverter, Rows, SortField};

use crate::base::error::{Error, Result};
use crate::base::types::canonical_floats;

use super::hash::{self, NULL_HASH};
use super::heap::Bytes;

/// The physical form of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Only NULLs.
    Null,
    /// Bits.
    Boolean,
    /// 1 byte.
    Fixed1,
    /// 2 bytes.
    Fixed2,
    /// 4 bytes.
    Fixed4,
    /// 8 bytes.
    Fixed8,
    /// 16 bytes.
    Fixed16,
    /// 32 bytes.
    Fixed32,
    /// Strings of bytes.
    Bytes,
    /// Whatever else: kept as `arrow-row` bytes.
    Row,
}

impl Shape {
    /// The form of a type.
    pub fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Null => Shape::Null,
            DataType::Boolean => Shape::Boolean,
            DataType::Int8 | DataType::UInt8 => Shape::Fixed1,
            DataType::Int16 | DataType::UInt16 | DataType::Float16 => Shape::Fixed2,
            DataType::Int32
            | DataType::UInt32
            | DataType::Float32
            | DataType::Date32
            | DataType::Time32(_)
            | DataType::Decimal32(_, _)
            | DataType::Interval(IntervalUnit::YearMonth) => Shape::Fixed4,
            DataType::Int64
            | DataType::UInt64
            | DataType::Float64
            | DataType::Date64
            | DataType::Time64(_)
            | DataType::Timestamp(_, _)
            | DataType::Duration(_)
            | DataType::Decimal64(_, _) => Shape::Fixed8,
            DataType::Decimal128(_, _) => Shape::Fixed16,
            DataType::Decimal256(_, _) => Shape::Fixed32,
            DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView => Shape::Bytes,
            _ => Shape::Row,
        }
    }
}

/// A converter for one column of [`Shape::Row`]; an error for types that cannot be compared.
pub fn row_converter<'a>(types: impl IntoIterator<Item = &'a DataType>) -> Result<RowConverter> {
    Ok(RowConverter::new(types.into_iter().map(|data_type| SortField::new(data_type.clone())).collect())?)
}

/// The values of one array, with its NULLs.
#[derive(Debug)]
pub struct Input {
    /// The values; those under NULLs are arbitrary.
    pub values: Values,
    /// Where the NULLs are, if there are any. Never set for [`Values::Row`], whose bytes hold them.
    pub nulls: Option<NullBuffer>,
}

/// The values of one array in their physical form.
#[derive(Debug)]
pub enum Values {
    /// Only NULLs.
    Null,
    /// Bits.
    Boolean(BooleanBuffer),
    /// 1 byte.
    Fixed1(ScalarBuffer<u8>),
    /// 2 bytes.
    Fixed2(ScalarBuffer<u16>),
    /// 4 bytes.
    Fixed4(ScalarBuffer<u32>),
    /// 8 bytes.
    Fixed8(ScalarBuffer<u64>),
    /// 16 bytes.
    Fixed16(ScalarBuffer<u128>),
    /// 32 bytes.
    Fixed32(ScalarBuffer<i256>),
    /// Byte strings.
    Bytes(ByteValues),
    /// `arrow-row` bytes.
    Row(Rows),
}

impl Input {
    /// Reads an array, which must be of a type of form `shape`; `converter` is needed for [`Shape::Row`].
    pub fn new(array: &ArrayRef, shape: Shape, converter: Option<&RowConverter>) -> Result<Self> {
        if Shape::of(array.data_type()) != shape {
            return Err(Error::internal(format!("a column of {} where state expects {shape:?}", array.data_type())));
        }
        let array = canonical_floats(array.clone());
        let values = match shape {
            Shape::Null => Values::Null,
            Shape::Boolean => Values::Boolean(array.as_boolean().values().clone()),
            Shape::Fixed1 => Values::Fixed1(buffer(&array)),
            Shape::Fixed2 => Values::Fixed2(buffer(&array)),
            Shape::Fixed4 => Values::Fixed4(buffer(&array)),
            Shape::Fixed8 => Values::Fixed8(buffer(&array)),
            Shape::Fixed16 => Values::Fixed16(buffer(&array)),
            Shape::Fixed32 => Values::Fixed32(buffer(&array)),
            Shape::Bytes => Values::Bytes(ByteValues::new(&array)?),
            Shape::Row => {
                let converter = converter.ok_or_else(|| Error::internal("nested column without a row converter"))?;
                Values::Row(converter.convert_columns(std::slice::from_ref(&array))?)
            }
        };
        let nulls = match shape {
            Shape::Null | Shape::Row => None,
            _ => array.nulls().filter(|nulls| nulls.null_count() > 0).cloned(),
        };
        Ok(Input { values, nulls })
    }

    /// Folds the values into one hash a row.
    pub fn hash(&self, hashes: &mut [u64]) {
        match &self.values {
            Values::Null => hashes.iter_mut().for_each(|hash| *hash = hash::combine(*hash, NULL_HASH)),
            Values::Boolean(values) => self.fold(hashes, |row| u64::from(values.value(row))),
            Values::Fixed1(values) => self.fold(hashes, |row| u64::from(values[row])),
            Values::Fixed2(values) => self.fold(hashes, |row| u64::from(values[row])),
            Values::Fixed4(values) => self.fold(hashes, |row| u64::from(values[row])),
            Values::Fixed8(values) => self.fold(hashes, |row| values[row]),
            Values::Fixed16(values) => self.fold(hashes, |row| hash::hash_short(values[row])),
            Values::Fixed32(values) => self.fold(hashes, |row| {
                let (low, high) = values[row].to_parts();
                hash::combine(hash::hash_short(low), hash::hash_short(high as u128))
            }),
            Values::Bytes(values) => self.fold(hashes, |row| values.value(row).hash()),
            Values::Row(values) => self.fold(hashes, |row| hash::hash_bytes(values.row(row).data())),
        }
    }

    #[inline]
    fn fold(&self, hashes: &mut [u64], value: impl Fn(usize) -> u64) {
        match &self.nulls {
            None => hashes.iter_mut().enumerate().for_each(|(row, hash)| *hash = hash::combine(*hash, value(row))),
            Some(nulls) => hashes.iter_mut().enumerate().for_each(|(row, hash)| {
                let value = if nulls.is_valid(row) { value(row) } else { NULL_HASH };
                *hash = hash::combine(*hash, value);
            }),
        }
    }
}

/// The byte strings of an array of any string or binary type.
#[derive(Debug)]
#[allow(missing_docs, reason = "the variants are the Arrow types of their names")]
pub enum ByteValues {
    Utf8(StringArray),
    LargeUtf8(LargeStringArray),
    Utf8View(StringViewArray),
    Binary(BinaryArray),
    LargeBinary(LargeBinaryArray),
    BinaryView(BinaryViewArray),
}

impl ByteValues {
    fn new(array: &ArrayRef) -> Result<Self> {
        Ok(match array.data_type() {
            DataType::Utf8 => ByteValues::Utf8(array.as_string().clone()),
            DataType::LargeUtf8 => ByteValues::LargeUtf8(array.as_string().clone()),
            DataType::Utf8View => ByteValues::Utf8View(array.as_string_view().clone()),
            DataType::Binary => ByteValues::Binary(array.as_binary().clone()),
            DataType::LargeBinary => ByteValues::LargeBinary(array.as_binary().clone()),
            DataType::BinaryView => ByteValues::BinaryView(array.as_binary_view().clone()),
            other => return Err(Error::internal(format!("{other} has no byte strings"))),
        })
    }

    /// The value of a row; that of a NULL is arbitrary.
    #[inline]
    pub fn value(&self, row: usize) -> Bytes<'_> {
        match self {
            ByteValues::Utf8(array) => Bytes::new(array.value(row).as_bytes()),
            ByteValues::LargeUtf8(array) => Bytes::new(array.value(row).as_bytes()),
            ByteValues::Utf8View(array) => {
                let view = array.views()[row];
                if view as u32 <= 12 { Bytes::short(view) } else { Bytes::new(array.value(row).as_bytes()) }
            }
            ByteValues::Binary(array) => Bytes::new(array.value(row)),
            ByteValues::LargeBinary(array) => Bytes::new(array.value(row)),
            ByteValues::BinaryView(array) => {
                let view = array.views()[row];
                if view as u32 <= 12 { Bytes::short(view) } else { Bytes::new(array.value(row)) }
            }
        }
    }
}

fn buffer<T: ArrowNativeType>(array: &ArrayRef) -> ScalarBuffer<T> {
    let data = array.to_data();
    ScalarBuffer::new(data.buffers()[0].clone(), data.offset(), data.len())
}

/// An array of a fixed-width type from its plain values.
pub fn fixed_array<T: ArrowNativeType>(
    data_type: &DataType,
    values: Vec<T>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    let len = values.len();
    let data = arrow::array::ArrayData::builder(data_type.clone())
        .len(len)
        .add_buffer(Buffer::from_vec(values))
        .nulls(nulls.filter(|nulls| nulls.null_count() > 0));
    Ok(make_array(data.build()?))
}

/// An array of a string or binary type from its bytes.
pub fn bytes_array<'a>(
    data_type: &DataType,
    len: usize,
    values: impl Iterator<Item = Option<&'a [u8]>>,
) -> Result<ArrayRef> {
    macro_rules! build {
        ($builder:expr, $value:expr) => {{
            let mut builder = $builder;
            for bytes in values {
                match bytes {
                    Some(bytes) => builder.append_value($value(bytes)?),
                    None => builder.append_null(),
                }
            }
            Ok(Arc::new(builder.finish()) as ArrayRef)
        }};
    }
    let text = |bytes: &'a [u8]| -> Result<&'a str> {
        std::str::from_utf8(bytes).map_err(|error| Error::internal("stored text is not UTF-8").with_source(error))
    };
    let plain = |bytes: &'a [u8]| -> Result<&'a [u8]> { Ok(bytes) };
    match data_type {
        DataType::Utf8 => build!(StringBuilder::with_capacity(len, len * 8), text),
        DataType::LargeUtf8 => build!(LargeStringBuilder::with_capacity(len, len * 8), text),
        DataType::Utf8View => build!(StringViewBuilder::with_capacity(len), text),
        DataType::Binary => build!(BinaryBuilder::with_capacity(len, len * 8), plain),
        DataType::LargeBinary => build!(LargeBinaryBuilder::with_capacity(len, len * 8), plain),
        DataType::BinaryView => build!(BinaryViewBuilder::with_capacity(len), plain),
        other => Err(Error::internal(format!("{other} is not made of bytes"))),
    }
}
