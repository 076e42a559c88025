//! The demo's data, inside the binary: see README.md beside this file for what it is and where it is from.

use std::io::{Cursor, Read};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::csv::ReaderBuilder;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use eddydb::Result;
use flate2::read::GzDecoder;

const FLIGHTS: &[u8] = include_bytes!("data/flights.csv.gz");
const PLANES: &[u8] = include_bytes!("data/planes.csv.gz");
const AIRLINES: &[u8] = include_bytes!("data/airlines.csv");

/// The flights in the order in which they left.
pub fn flights() -> Result<RecordBatch> {
    let time = DataType::Timestamp(TimeUnit::Microsecond, None);
    let columns = [
        ("sched_ts", time.clone()),
        ("dep_ts", time),
        ("carrier", DataType::Utf8View),
        ("flight", DataType::Int32),
        ("tailnum", DataType::Utf8View),
        ("origin", DataType::Utf8View),
        ("dest", DataType::Utf8View),
        ("dep_delay", DataType::Int32),
        ("arr_delay", DataType::Int32),
        ("air_time", DataType::Int32),
        ("distance", DataType::Int32),
    ];
    read(GzDecoder::new(FLIGHTS), &columns)
}

/// The planes that flew them.
pub fn planes() -> Result<RecordBatch> {
    let columns = [
        ("tailnum", DataType::Utf8View),
        ("year", DataType::Int32),
        ("manufacturer", DataType::Utf8View),
        ("model", DataType::Utf8View),
        ("seats", DataType::Int32),
    ];
    read(GzDecoder::new(PLANES), &columns)
}

/// The airlines, by their later names.
pub fn airlines() -> Result<RecordBatch> {
    read(Cursor::new(AIRLINES), &[("carrier", DataType::Utf8View), ("name", DataType::Utf8View)])
}

fn read(mut file: impl Read, columns: &[(&str, DataType)]) -> Result<RecordBatch> {
    let mut text = vec![];
    file.read_to_end(&mut text)?;
    let fields: Vec<_> = columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let reader = ReaderBuilder::new(schema.clone()).with_header(true).build(Cursor::new(text))?;
    let batches = reader.collect::<Result<Vec<_>, _>>()?;
    Ok(arrow::compute::concat_batches(&schema, &batches)?)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::TimestampMicrosecondType;

    use super::*;

    #[test]
    fn the_data_is_whole_and_in_order() {
        let flights = flights().unwrap();
        assert_eq!(
            (flights.num_rows(), planes().unwrap().num_rows(), airlines().unwrap().num_rows()),
            (20_938, 2_508, 16)
        );
        let (scheduled, left) = (flights.column(0), flights.column(1));
        assert_eq!((scheduled.null_count(), left.null_count()), (0, 201));
        let left = left.as_primitive::<TimestampMicrosecondType>();
        let scheduled = scheduled.as_primitive::<TimestampMicrosecondType>();
        let times: Vec<_> =
            (0..left.len()).map(|row| if left.is_null(row) { scheduled.value(row) } else { left.value(row) }).collect();
        assert!(times.is_sorted());
        assert!(flights.column_by_name("tailnum").unwrap().null_count() > 0, "an empty field is NULL");
        assert_eq!(flights.column_by_name("carrier").unwrap().null_count(), 0);
    }
}
