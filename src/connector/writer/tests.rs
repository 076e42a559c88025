//! What is written reads back as it was, and a failure leaves nothing.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array};
use arrow::array::{StringViewArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Schema};

use super::*;
use crate::connector::options::{ColumnTypes, OptionValue, ReadOptions};
use crate::connector::relation::open;

fn rows() -> RecordBatch {
    let micros = vec![Some(1_357_035_300_000_000), Some(-1), None];
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("i", Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(7)]))),
        ("d", Arc::new(Float64Array::from(vec![Some(0.1), Some(1e300), None]))),
        ("b", Arc::new(BooleanArray::from(vec![None, Some(true), Some(false)]))),
        ("t", Arc::new(StringViewArray::from(vec![Some("a,\"b\"\r\nc \u{e4}"), Some(""), None]))),
        ("day", Arc::new(Date32Array::from(vec![Some(0), Some(-719_162), None]))),
        ("ts", Arc::new(TimestampMicrosecondArray::from(micros.clone()))),
        ("tz", Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC"))),
        (
            "m",
            Arc::new(Decimal128Array::from(vec![Some(150), None, Some(-1)]).with_precision_and_scale(12, 2).unwrap()),
        ),
        ("x", Arc::new(BinaryViewArray::from(vec![Some(&b"\0\xff"[..]), Some(b""), None]))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

fn typed(batch: &RecordBatch) -> ReadOptions {
    let types = batch.schema().fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect();
    ReadOptions { types: Some(ColumnTypes::ByName(types)), ..Default::default() }
}

fn write_one(path: &Path, options: &WriteOptions, batch: &RecordBatch) -> Result<u64> {
    let path = path.to_str().unwrap();
    let batches = [Ok(batch.clone()), Ok(batch.slice(0, 0))].into_iter();
    write(path, None, options, &batch.schema(), batches, &FileAccess::unrestricted())
}

fn read_all(path: &Path, options: &ReadOptions) -> RecordBatch {
    let relation = open(path.to_str().unwrap(), None, options, &FileAccess::unrestricted()).unwrap();
    let batches: Vec<_> = relation.read(None, 2).unwrap().collect::<Result<_>>().unwrap();
    arrow::compute::concat_batches(&relation.schema(), &batches).unwrap()
}

#[test]
fn every_format_reads_back() {
    let root = tempfile::tempdir().unwrap();
    let batch = rows();
    for name in ["a.csv", "a.tsv", "a.csv.gz", "a.ndjson.zst", "a.ndjson", "a.json", "a.parquet", "a.arrow"] {
        let path = root.path().join(name);
        // JSON has no bytes of its own and Arrow writes them as bare digits, which read back as text.
        let batch =
            if name.contains("json") { batch.project(&[0, 1, 2, 3, 4, 5, 6, 7]).unwrap() } else { batch.clone() };
        assert_eq!(write_one(&path, &WriteOptions::default(), &batch).unwrap(), 3, "{name}");
        let binary = name.ends_with("parquet") || name.ends_with("arrow");
        let options = if binary { ReadOptions::default() } else { typed(&batch) };
        let back = read_all(&path, &options);
        assert_eq!(back.columns(), batch.columns(), "{name}");
        assert_eq!(back.schema().fields(), batch.schema().fields(), "{name}");
    }
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 8, "no temporary files");
}

#[test]
fn text_looks_as_people_expect() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a.csv");
    let batch = rows();
    write_one(&path, &WriteOptions::default(), &batch).unwrap();
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "i,d,b,t,day,ts,tz,m,x\n\
         -9223372036854775808,0.1,,\"a,\"\"b\"\"\r\nc \u{e4}\",1970-01-01,2013-01-01 10:15:00,2013-01-01 10:15:00+00,1.50,\\x00ff\n\
         ,1e300,true,\"\",0001-01-01,1969-12-31 23:59:59.999999,1969-12-31 23:59:59.999999+00,,\\x\n\
         7,,false,,,,,-0.01,\n"
    );
    let options = [
        ("header", OptionValue::Boolean(false)),
        ("delim", OptionValue::Text("|".into())),
        ("nullstr", OptionValue::Text("NULL".into())),
    ];
    let given = options;
    let mut options = WriteOptions::default();
    given.iter().try_for_each(|(key, value)| options.set(&key.to_lowercase(), value)).unwrap();
    let texts: ArrayRef = Arc::new(StringViewArray::from(vec![Some("NULL"), None, Some("a|b"), Some("")]));
    let batch = RecordBatch::try_from_iter_with_nullable([("t", texts, true)]).unwrap();
    write_one(&path, &options, &batch).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "\"NULL\"\nNULL\n\"a|b\"\n\"\"\n");
    let path = root.path().join("a.ndjson");
    write_one(&path, &WriteOptions::default(), &rows().project(&[0, 5, 7]).unwrap().slice(0, 1)).unwrap();
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "{\"i\":-9223372036854775808,\"ts\":\"2013-01-01 10:15:00\",\"m\":1.50}\n"
    );
}

#[test]
fn one_column_of_nulls_and_empty_texts_reads_back() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a.csv");
    let texts: ArrayRef = Arc::new(StringViewArray::from(vec![None, Some(""), Some("x"), None]));
    let batch = RecordBatch::try_from_iter_with_nullable([("t", texts, true)]).unwrap();
    write_one(&path, &WriteOptions::default(), &batch).unwrap();
    assert_eq!(read_all(&path, &ReadOptions::default()).columns(), batch.columns());
}

#[test]
fn a_failure_leaves_the_old_file() {
    let root = tempfile::tempdir().unwrap();
    let batch = rows();
    for name in ["a.csv", "a.csv.gz", "a.json", "a.parquet", "a.arrow"] {
        let path = root.path().join(name);
        let write = |batches: Vec<Result<RecordBatch>>| {
            let access = FileAccess::unrestricted();
            write(path.to_str().unwrap(), None, &WriteOptions::default(), &batch.schema(), batches.into_iter(), &access)
        };
        let fail = || write(vec![Ok(batch.clone()), Err(Error::data("division by zero"))]).unwrap_err();
        assert_eq!(fail().to_string(), "division by zero");
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0, "{name}");
        write(vec![Ok(batch.clone())]).unwrap();
        let before = std::fs::read(&path).unwrap();
        fail();
        assert_eq!(std::fs::read(&path).unwrap(), before, "{name}");
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn empty_results_and_refusals() {
    let root = tempfile::tempdir().unwrap();
    let schema = rows().schema();
    for name in ["a.csv", "a.json", "a.parquet", "a.arrow"] {
        let path = root.path().join(name);
        let path = path.to_str().unwrap();
        let none = std::iter::empty();
        assert_eq!(write(path, None, &WriteOptions::default(), &schema, none, &FileAccess::unrestricted()).unwrap(), 0);
        let relation = open(path, None, &ReadOptions::default(), &FileAccess::unrestricted()).unwrap();
        assert_eq!(relation.read(None, 10).unwrap().count(), 0, "{name}");
    }
    let write = |path: &str, access: FileAccess| {
        let schema = Arc::new(Schema::new(vec![arrow::datatypes::Field::new("a", DataType::Int64, true)]));
        write(path, None, &WriteOptions::default(), &schema, std::iter::empty(), &access).unwrap_err()
    };
    assert_eq!(write("x.csv", FileAccess::read_only()).sqlstate(), "42501");
    assert!(write("x.unknown", FileAccess::unrestricted()).hint().unwrap().contains("FORMAT"));
    let missing = root.path().join("none/x.csv");
    assert_eq!(write(missing.to_str().unwrap(), FileAccess::unrestricted()).sqlstate(), "58P01");
}

#[test]
fn damaged_files_are_errors_and_never_panics() {
    let root = tempfile::tempdir().unwrap();
    for name in ["a.csv", "a.csv.gz", "a.ndjson", "a.json", "a.parquet", "a.arrow"] {
        let path = root.path().join(name);
        write_one(&path, &WriteOptions::default(), &rows()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(whole.len() / 150 + 1) {
            let mut flipped = whole.clone();
            flipped[at] ^= 0xff;
            for damaged in [&whole[..at], &flipped] {
                std::fs::write(&path, damaged).unwrap();
                let relation = open(path.to_str().unwrap(), None, &ReadOptions::default(), &FileAccess::read_only());
                // Text may well be read as other text; nothing but an answer or an error is asked for.
                let _ = relation.and_then(|relation| relation.read(None, 2)?.collect::<Result<Vec<_>>>());
            }
        }
    }
}
