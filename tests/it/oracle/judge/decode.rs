//! Arrow batches as rows of values.

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::array::{AsArray, BooleanArray, Date32Array, Float64Array, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal256Type, TimeUnit};

use super::value::{Row, Value};

/// The rows of batches.
pub fn rows(batches: &[RecordBatch]) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for batch in batches {
        let columns = batch.columns().iter().map(values).collect::<Result<Vec<_>, _>>()?;
        rows.extend((0..batch.num_rows()).map(|row| columns.iter().map(|column| column[row].clone()).collect::<Row>()));
    }
    Ok(rows)
}

fn values(column: &ArrayRef) -> Result<Vec<Value>, String> {
    let converted = |ty: &DataType| cast(column, ty).map_err(|error| error.to_string());
    let filled = |value: &dyn Fn(usize) -> Value| {
        let value = |row| if column.is_null(row) { Value::Null } else { value(row) };
        Ok((0..column.len()).map(value).collect())
    };
    match column.data_type() {
        DataType::Null => Ok(vec![Value::Null; column.len()]),
        DataType::Boolean => {
            let array: &BooleanArray = column.as_boolean();
            filled(&|row| Value::Bool(array.value(row)))
        }
        ty if ty.is_integer() => {
            // UBIGINT is wider than BIGINT, so all go through the widest decimal.
            let array = converted(&DataType::Decimal128(20, 0))?;
            let array = array.as_primitive::<arrow::datatypes::Decimal128Type>();
            filled(&|row| match i64::try_from(array.value(row)) {
                Ok(n) => Value::Int(n),
                Err(_) => Value::Decimal(array.value(row), 0),
            })
        }
        DataType::Decimal128(_, scale) => {
            let array = column.as_primitive::<arrow::datatypes::Decimal128Type>();
            let scale = u8::try_from(*scale).map_err(|_| "a negative scale".to_string())?;
            filled(&|row| Value::Decimal(array.value(row), scale))
        }
        DataType::Decimal256(_, scale) => {
            let array = column.as_primitive::<Decimal256Type>();
            let scale = u8::try_from(*scale).map_err(|_| "a negative scale".to_string())?;
            filled(&|row| array.value(row).to_i128().map_or(Value::Null, |mantissa| Value::Decimal(mantissa, scale)))
        }
        DataType::Float32 | DataType::Float64 => {
            let array = converted(&DataType::Float64)?;
            let array: &Float64Array = array.as_primitive();
            filled(&|row| Value::Double(array.value(row)))
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let array = converted(&DataType::Utf8)?;
            let array: &StringArray = array.as_string();
            filled(&|row| Value::Text(array.value(row).to_string()))
        }
        DataType::Date32 => {
            let array: &Date32Array = column.as_primitive();
            filled(&|row| Value::Date(array.value(row)))
        }
        DataType::Timestamp(_, _) => {
            let array = converted(&DataType::Timestamp(TimeUnit::Microsecond, None))?;
            let array: &TimestampMicrosecondArray = array.as_primitive();
            filled(&|row| Value::Timestamp(array.value(row)))
        }
        DataType::List(_) => {
            let array = column.as_list::<i32>();
            let lists = (0..array.len()).map(|row| values(&array.value(row))).collect::<Result<Vec<_>, _>>()?;
            filled(&|row| Value::List(lists[row].clone()))
        }
        DataType::Struct(_) => {
            let fields = column.as_struct().columns().iter().map(values).collect::<Result<Vec<_>, _>>()?;
            filled(&|row| Value::Struct(fields.iter().map(|field| field[row].clone()).collect()))
        }
        ty => Err(format!("the judge knows no values of type {ty}")),
    }
}
