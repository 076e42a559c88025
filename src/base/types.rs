//! The column types of relations, and the one canonical form of each.
//!
//! A relation holds each SQL type in exactly one Arrow type: TEXT as `Utf8View`, BYTEA as `BinaryView`, timestamps in
//! microseconds, no dictionaries or run-end encodings. Floats have one zero and one NaN. Whatever enters a relation
//! passes [`canonical_batch`]; so equal values are equal bytes and no key is ever split in two.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Float64Array, RecordBatch, RecordBatchOptions, make_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type, Schema, SchemaRef, TimeUnit};

use super::error::Result;

/// The form in which a relation holds values of `data_type`.
pub fn canonical_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        DataType::Dictionary(_, values) => canonical_type(values),
        DataType::RunEndEncoded(_, values) => canonical_type(values.data_type()),
        DataType::Timestamp(_, zone) => {
            DataType::Timestamp(TimeUnit::Microsecond, zone.as_ref().map(|_| Arc::from("UTC")))
        }
        DataType::Date64 => DataType::Date32,
        DataType::Float16 => DataType::Float32,
        DataType::LargeList(field) | DataType::ListView(field) | DataType::LargeListView(field) => {
            DataType::List(canonical_field(field))
        }
        DataType::List(field) => DataType::List(canonical_field(field)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(canonical_field).collect()),
        other => other.clone(),
    }
}

fn canonical_field(field: &Arc<Field>) -> Arc<Field> {
    let data_type = canonical_type(field.data_type());
    if data_type == *field.data_type() {
        return field.clone();
    }
    Arc::new(Field::new(field.name(), data_type, field.is_nullable()))
}

/// The schema with every column in its canonical type; metadata is dropped.
pub fn canonical_schema(schema: &Schema) -> SchemaRef {
    Arc::new(Schema::new(
        schema
            .fields()
            .iter()
            .map(|field| Field::new(field.name(), canonical_type(field.data_type()), field.is_nullable()))
            .collect::<Vec<_>>(),
    ))
}

/// `array` as `data_type`, with floats canonical; the array itself where nothing has to change.
pub fn canonical_array(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    let array = if array.data_type() == data_type { array.clone() } else { cast(array, data_type)? };
    Ok(canonical_floats(array))
}

/// `batch` with the columns of `schema` (by position), each canonical.
pub fn canonical_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(array, field)| canonical_array(array, field.data_type()))
        .collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

/// One zero and one NaN: `-0.0` becomes `0.0`, every NaN the positive quiet one, also inside lists and structs.
pub fn canonical_floats(array: ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>();
            if values.values().iter().any(|&v| is_odd_64(v)) {
                let fixed: Float64Array = values.unary(|v| if v.is_nan() { f64::NAN } else { v + 0.0 });
                return Arc::new(fixed);
            }
            array
        }
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>();
            if values.values().iter().any(|&v| (v == 0.0 && v.is_sign_negative()) || v.is_nan()) {
                let fixed: Float32Array = values.unary(|v| if v.is_nan() { f32::NAN } else { v + 0.0 });
                return Arc::new(fixed);
            }
            array
        }
        data_type if data_type.is_nested() && has_float(data_type) => {
            let data = array.to_data();
            let children: Vec<ArrayRef> = data.child_data().iter().map(|child| make_array(child.clone())).collect();
            let fixed: Vec<ArrayRef> = children.iter().cloned().map(canonical_floats).collect();
            if children.iter().zip(&fixed).all(|(child, fixed)| Arc::ptr_eq(child, fixed)) {
                return array;
            }
            let fixed = fixed.iter().map(Array::to_data).collect();
            data.into_builder().child_data(fixed).build().map_or(array, make_array)
        }
        _ => array,
    }
}

/// Whether there are floats in values of the type.
pub fn has_float(data_type: &DataType) -> bool {
    match data_type {
        DataType::Float16 | DataType::Float32 | DataType::Float64 => true,
        nested => inner_fields(nested).any(|field| has_float(field.data_type())),
    }
}

/// Whether types lie in one another deeper than `levels`.
pub fn is_nested_deeper(data_type: &DataType, levels: usize) -> bool {
    let mut fields = inner_fields(data_type).peekable();
    match levels.checked_sub(1) {
        None => fields.peek().is_some(),
        Some(levels) => fields.any(|field| is_nested_deeper(field.data_type(), levels)),
    }
}

/// The fields that values of the type are made of.
pub fn inner_fields(data_type: &DataType) -> impl Iterator<Item = &FieldRef> {
    match data_type {
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => std::slice::from_ref(field).iter(),
        DataType::Struct(fields) => fields.iter(),
        _ => [].iter(),
    }
}

#[inline]
fn is_odd_64(value: f64) -> bool {
    value.to_bits() == 0x8000_0000_0000_0000 || value.is_nan()
}

/// The SQL name of a type, as DESCRIBE and the shell show it.
pub fn sql_type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "NULL".into(),
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INTEGER".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::UInt8 => "UTINYINT".into(),
        DataType::UInt16 => "USMALLINT".into(),
        DataType::UInt32 => "UINTEGER".into(),
        DataType::UInt64 => "UBIGINT".into(),
        DataType::Float16 | DataType::Float32 => "REAL".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => format!("DECIMAL({p},{s})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "TEXT".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "BYTEA".into()
        }
        DataType::Date32 | DataType::Date64 => "DATE".into(),
        DataType::Time32(_) | DataType::Time64(_) => "TIME".into(),
        DataType::Timestamp(_, None) => "TIMESTAMP".into(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMPTZ".into(),
        DataType::Interval(_) | DataType::Duration(_) => "INTERVAL".into(),
        DataType::List(field) | DataType::LargeList(field) => format!("{}[]", sql_type_name(field.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<_> =
                fields.iter().map(|field| format!("{} {}", field.name(), sql_type_name(field.data_type()))).collect();
            format!("STRUCT({})", fields.join(", "))
        }
        DataType::Dictionary(_, values) => sql_type_name(values),
        other => other.to_string(),
    }
}
