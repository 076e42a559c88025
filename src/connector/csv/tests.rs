//! What people expect of CSV files.

use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::*;
use crate::base::access::FileAccess;
use crate::base::types::sql_type_name;
use crate::connector::options::OptionValue;
use crate::connector::relation::{FileRelation, open, open_with_schema};

fn text(value: &str) -> OptionValue {
    OptionValue::Text(value.into())
}

fn file(content: impl AsRef<[u8]>) -> (tempfile::TempDir, String) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("t.csv");
    std::fs::write(&path, content).unwrap();
    let path = path.to_str().unwrap().to_string();
    (root, path)
}

fn show(relation: &FileRelation, batch_rows: usize) -> Result<Vec<String>> {
    let mut rows = Vec::new();
    for batch in relation.read(None, batch_rows)? {
        let batch = batch?;
        let options = FormatOptions::default().with_null("~").with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"));
        let columns: Vec<_> =
            batch.columns().iter().map(|array| ArrayFormatter::try_new(array, &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            rows.push(columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|"));
        }
    }
    Ok(rows)
}

fn columns(relation: &FileRelation) -> String {
    let schema = relation.schema();
    let field = |field: &Arc<Field>| format!("{} {}", field.name(), sql_type_name(field.data_type()));
    schema.fields().iter().map(field).collect::<Vec<_>>().join(", ")
}

/// The columns, then the rows; the error's message with `F` for the file otherwise.
fn read_with(content: impl AsRef<[u8]>, options: &[(&str, OptionValue)]) -> Vec<String> {
    let (_root, path) = file(content);
    let list = options.iter().map(|(key, value)| (*key, value));
    let types = |name: &str| match name {
        "DECIMAL(6,2)" => Ok(DataType::Decimal128(6, 2)),
        "INTEGER" => Ok(DataType::Int32),
        "DATE" => Ok(DataType::Date32),
        _ => Ok(DataType::Utf8View),
    };
    let relation =
        ReadOptions::parse(list, types).and_then(|options| open(&path, None, &options, &FileAccess::read_only()));
    let all = relation.and_then(|relation| {
        let rows = show(&relation, 1000)?;
        assert_eq!(rows, show(&relation, 1)?, "the batch size changes nothing");
        Ok([vec![columns(&relation)], rows].concat())
    });
    all.unwrap_or_else(|error| vec![error.to_string().replace(&path, "F")])
}

fn read(content: impl AsRef<[u8]>) -> Vec<String> {
    read_with(content, &[])
}

#[test]
fn types_are_found() {
    let rows = read(
        "i,d,b,day,ts,t,empty\n\
         007,1e5,true,2013-01-01,2013-01-01 10:15:00,x,\n\
         +5,.5,FALSE,2013-02-28,2013-01-01T10:15:00.25,\"\",\n\
         ,,,,,,\n",
    );
    assert_eq!(
        rows,
        [
            "i BIGINT, d DOUBLE, b BOOLEAN, day DATE, ts TIMESTAMP, t TEXT, empty TEXT",
            "7|100000.0|true|2013-01-01|2013-01-01 10:15:00|x|~",
            "5|0.5|false|2013-02-28|2013-01-01 10:15:00.250||~",
            "~|~|~|~|~|~|~",
        ]
    );
    assert_eq!(read("a\n1\n18446744073709551616\n")[0], "a TEXT", "digits are never lost");
    assert_eq!(read("a\nnan\n1\n"), ["a DOUBLE", "NaN", "1.0"]);
    assert_eq!(read("a,b\nNan,1\n")[0], "a TEXT, b BIGINT");
    assert_eq!(read("a\n2013-01-01\n2013-01-01 00:00:01\n")[0], "a TIMESTAMP");
    assert_eq!(read("a\n2013-01-01 00:00:01Z\n")[0], "a TIMESTAMPTZ");
    assert_eq!(read("a,b\n1, 2\n3 , 4\n"), ["a BIGINT, b BIGINT", "1|2", "3|4"]);
}

#[test]
fn a_late_misfit_widens_the_column() {
    let numbers: String = (0..30_000).map(|number| format!("{number},{number}\n")).collect();
    let rows = read(format!("a,b\n{numbers}NA,1.5\n"));
    assert_eq!(rows[0], "a TEXT, b DOUBLE");
    assert_eq!((rows.len(), rows[30_001].as_str()), (30_002, "NA|1.5"));
    let rows = read_with(format!("a,b\n{numbers}NA,1.5\n"), &[("nullstr", text("NA"))]);
    assert_eq!((rows[0].as_str(), rows[30_001].as_str()), ("a BIGINT, b DOUBLE", "~|1.5"));
}

#[test]
fn dialects_are_found() {
    for (content, delimiter) in
        [("a;b\n1,5;x\n2,5;y\n", ';'), ("a\tb\n1,5\tx\n2,5\ty\n", '\t'), ("a|b\n1,5|x\n2,5|y\n", '|')]
    {
        assert_eq!(read(content), ["a TEXT, b TEXT", "1,5|x", "2,5|y"], "{delimiter}");
    }
    assert_eq!(read("a,b\n'x,y',1\n'z','2'\n"), ["a TEXT, b BIGINT", "x,y|1", "z|2"]);
    assert_eq!(read("a,b\n\"x\\\"y\",1\n"), ["a TEXT, b BIGINT", "x\"y|1"]);
    assert_eq!(read("a,b\r\n\"x\r\ny\",1\r\n\r\n"), ["a TEXT, b BIGINT", "x\r\ny|1"]);
    assert_eq!(read("\u{feff}a,b\n1,2\n")[0], "a BIGINT, b BIGINT");
    assert_eq!(read("name\nit's\nO'Neil\n"), ["name TEXT", "it's", "O'Neil"]);
    assert_eq!(read_with("a~b\n1~2\n", &[("sep", text("~"))]), ["a BIGINT, b BIGINT", "1|2"]);
}

#[test]
fn headers_are_found() {
    assert_eq!(read("1,2\n3,4\n"), ["column0 BIGINT, column1 BIGINT", "1|2", "3|4"]);
    assert_eq!(read("carrier,name\n9E,Endeavor\nAA,American\n")[0], "carrier TEXT, name TEXT");
    assert_eq!(read("red,big\nblue,big\nred,small\n")[0], "column0 TEXT, column1 TEXT", "names do not occur again");
    assert_eq!(read("a,b\n"), ["a TEXT, b TEXT"]);
    assert_eq!(read("a,a,\n1,2,3\n")[0], "a BIGINT, a_1 BIGINT, column2 BIGINT");
    assert_eq!(read_with("a,b\n1,2\n", &[("header", OptionValue::Boolean(false))])[1], "a|b");
    assert_eq!(read("2.5\n1\n2\n"), ["column0 DOUBLE", "2.5", "1.0", "2.0"]);
    assert_eq!(read(""), ["column0 TEXT"]);
    assert_eq!(read("\n\n"), ["column0 TEXT"]);
    assert_eq!(read("a\n1\n\n2\n"), ["a BIGINT", "1", "~", "2"], "a blank line in one column is a NULL");
    assert_eq!(read_with("#c\na,b\n1,2\n", &[("skip", OptionValue::Integer(1))])[0], "a BIGINT, b BIGINT");
}

#[test]
fn broken_files_are_errors_that_name_the_place() {
    assert_eq!(read("a,b\n1,2\n3\n4,5\n6,7\n8,9\n"), ["'F', line 3: expected 2 columns, found 1"]);
    assert_eq!(read("a,b\n1,2\n\"3,4\n"), ["'F': line 3: a quoted field is not closed before the end of the file"]);
    assert_eq!(
        read("a,b\n1,\"2\n3,4\n5,6\n"),
        ["'F': line 2: a quoted field is not closed before the end of the file"],
        "a broken file of two columns, not a file of one"
    );
    assert_eq!(read(b"a,b\n1,2\nx\xe9,4\n"), ["'F', line 3: text is not valid UTF-8"]);
    assert_eq!(read(b"\xff\xfea\0,\0b\0"), ["'F': file is UTF-16"]);
}

#[test]
fn given_types_are_strict() {
    let types = OptionValue::Map(vec![("B".into(), text("DECIMAL(6,2)"))]);
    let rows = read_with("a,b\n1,2.50\n2,\n", &[("types", types.clone())]);
    assert_eq!(rows, ["a BIGINT, b DECIMAL(6,2)", "1|2.50", "2|~"]);
    assert_eq!(
        read_with("a,b\n1,2.50\n2,NA\n", &[("types", types)]),
        ["'F', line 3, column \"b\": invalid input syntax for type decimal(6,2): \"NA\""]
    );
    let types = OptionValue::List(vec![text("INTEGER")]);
    assert_eq!(
        read_with("a,b\n99999999999,1\n", &[("types", types)]),
        ["'F', line 2, column \"a\": value \"99999999999\" is out of range for type integer"]
    );
    let columns = OptionValue::Map(vec![("x".into(), text("DATE")), ("y".into(), text("TEXT"))]);
    let options = [("columns", columns), ("dateformat", text("%d.%m.%Y"))];
    assert_eq!(read_with("31.12.2013,007\n", &options), ["x DATE, y TEXT", "2013-12-31|007"]);
    assert_eq!(read_with("a\n31.12.2013\n", &[("dateformat", text("%d.%m.%Y"))]), ["a DATE", "2013-12-31"]);
    let types = OptionValue::Map(vec![("c".into(), text("TEXT"))]);
    assert_eq!(read_with("a,b\n1,2\n", &[("types", types)]), ["'F': no column \"c\" in the file"]);
}

#[test]
fn several_files_are_one_relation() {
    let (root, first) = file("id,amount\n1,5\n007,6\n");
    std::fs::write(root.path().join("u.csv"), "amount,note\n2.5,x\nNA,y\n").unwrap();
    std::fs::write(root.path().join("v.csv"), "").unwrap();
    let pattern = first.replace("t.csv", "*.csv");
    let relation = open(&pattern, None, &ReadOptions::default(), &FileAccess::read_only()).unwrap();
    assert_eq!(columns(&relation), "id BIGINT, amount TEXT, note TEXT");
    assert_eq!(show(&relation, 10).unwrap(), ["1|5|~", "7|6|~", "~|2.5|x", "~|NA|y"]);
    let batches: Vec<_> = relation.read(Some(&[1]), 10).unwrap().collect::<Result<_>>().unwrap();
    assert_eq!(batches[0].schema().fields()[0].name(), "amount");
    assert_eq!(relation.read(Some(&[]), 3).unwrap().map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 4);
}

#[test]
fn a_target_gives_the_types() {
    let target = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int32, false),
        Field::new("name", DataType::Utf8View, true),
    ]));
    let copy = |content: &str, by_name: bool| {
        let (_root, path) = file(content);
        let options = ReadOptions::default();
        let relation = open_with_schema(&path, None, &options, &target, by_name, &FileAccess::read_only());
        let all = relation.and_then(|relation| Ok([vec![columns(&relation)], show(&relation, 10)?].concat()));
        all.unwrap_or_else(|error| vec![error.to_string().replace(&path, "F")])
    };
    assert_eq!(copy("1,007\n2,\n", false), ["id INTEGER, name TEXT", "1|007", "2|~"]);
    assert_eq!(copy("ID,other\n1,x\n", false), ["id INTEGER, name TEXT", "1|x"]);
    assert_eq!(copy("name,id\nx,1\n", false), ["id INTEGER, name TEXT", "1|x"], "all names are there");
    assert_eq!(copy("name\nx\n", true), ["name TEXT", "x"]);
    assert_eq!(copy("nam,id\nx,1\n", true), ["'F' has a column \"nam\" that the relation lacks"]);
    assert_eq!(copy("1\n", false), ["'F' has 1 columns, the relation takes 2"]);
    assert_eq!(
        copy("id,name\n1,a\nx,b\n", false),
        ["'F', line 3, column \"id\": invalid input syntax for type integer: \"x\""]
    );
    assert_eq!(copy("", false), ["id INTEGER, name TEXT"]);
}

#[test]
fn compressed_files_are_read_as_they_are() {
    use std::io::Write;
    let root = tempfile::tempdir().unwrap();
    let content = b"a,b\n1,2\n";
    let gz = root.path().join("t.csv.gz");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    std::fs::write(&gz, encoder.finish().unwrap()).unwrap();
    let zst = root.path().join("t.csv.zst");
    std::fs::write(&zst, zstd::encode_all(&content[..], 1).unwrap()).unwrap();
    for path in [gz, zst] {
        let relation = open(path.to_str().unwrap(), None, &ReadOptions::default(), &FileAccess::read_only()).unwrap();
        assert_eq!(show(&relation, 10).unwrap(), ["1|2"]);
    }
}

#[test]
fn a_header_is_found_however_wide_it_is() {
    let names: Vec<String> = (0..30_000).map(|column| format!("column_name_{column}xxx")).collect();
    let values: Vec<String> = (0..30_000).map(|column| column.to_string()).collect();
    let (_root, path) = file(format!("{}\n{}\n", names.join(","), values.join(",")));
    let relation = open(&path, None, &ReadOptions::default(), &FileAccess::read_only()).unwrap();
    let schema = relation.schema();
    assert_eq!(schema.fields().len(), 30_000);
    assert_eq!(schema.field(29_999), &Field::new("column_name_29999xxx", DataType::Int64, true));
    let batches = relation.read(Some(&[29_999]), 1000).and_then(|batches| batches.collect::<Result<Vec<_>>>());
    let rows: usize = batches.unwrap().iter().map(RecordBatch::num_rows).sum();
    assert_eq!(rows, 1);
}
