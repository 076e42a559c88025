//! What people expect of JSON files.

use super::*;
use crate::base::access::FileAccess;
use crate::base::types::sql_type_name;
use crate::connector::relation::{open, open_with_schema};

fn read(name: &str, content: &str) -> Vec<String> {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join(name);
    std::fs::write(&path, content).unwrap();
    let path = path.to_str().unwrap();
    rows(open(path, None, &ReadOptions::default(), &FileAccess::read_only()), path)
}

fn rows(relation: Result<crate::connector::relation::FileRelation>, path: &str) -> Vec<String> {
    let all = relation.and_then(|relation| {
        let schema = relation.schema();
        let field = |field: &Arc<Field>| format!("{} {}", field.name(), sql_type_name(field.data_type()));
        let mut out = vec![schema.fields().iter().map(field).collect::<Vec<_>>().join(", ")];
        for batch in relation.read(None, 2)? {
            let mut json = Vec::new();
            let mut writer = arrow::json::LineDelimitedWriter::new(&mut json);
            writer.write(&batch?)?;
            writer.finish()?;
            out.extend(String::from_utf8_lossy(&json).lines().map(String::from));
        }
        Ok(out)
    });
    all.unwrap_or_else(|error| vec![error.to_string().replace(path, "F")])
}

#[test]
fn lines_and_arrays() {
    let expected = ["a DOUBLE, t TIMESTAMP, b TEXT", r#"{"a":1.0,"t":"2013-01-01T10:15:00"}"#, r#"{"a":2.5,"b":"x"}"#];
    let (one, two) = (r#"{"a":1,"t":"2013-01-01 10:15:00"}"#, r#"{"b":"x","a":2.5}"#);
    assert_eq!(read("t.ndjson", &format!("{one}\n\n{two}")), expected);
    assert_eq!(read("t.jsonl", &format!("{one}\r\n{two}\r\n")), expected);
    assert_eq!(read("t.json", &format!("[{one},\n{two}]")), expected);
    assert_eq!(read("t.json", &format!("{one}\n{two}")), expected);
    assert_eq!(read("t", &format!("{one}\n{two}")), expected);
    assert_eq!(read("t.json", "[]"), ["column0 TEXT"]);
}

#[test]
fn nested_values() {
    assert_eq!(
        read("t.ndjson", "{\"s\":{\"x\":1},\"l\":[1,2]}\n{\"s\":null,\"l\":[]}\n"),
        ["s STRUCT(x BIGINT), l BIGINT[]", r#"{"s":{"x":1},"l":[1,2]}"#, r#"{"l":[]}"#]
    );
    assert_eq!(
        read("t.ndjson", "{\"m\":{\"x\":1}}\n{\"m\":7}\n{\"m\":[true]}\n"),
        ["m TEXT", r#"{"m":"{\"x\":1}"}"#, r#"{"m":"7"}"#, r#"{"m":"[true]"}"#]
    );
    assert_eq!(
        read("t.ndjson", "{\"z\":\"2013-01-01T10:15:00+02:00\"}\n"),
        ["z TIMESTAMPTZ", r#"{"z":"2013-01-01T08:15:00Z"}"#]
    );
}

#[test]
fn broken_values_name_their_line() {
    assert_eq!(
        read("t.ndjson", "{\"a\":1}\n{\"a\":\n"),
        ["'F': line 2, character 5: malformed JSON: EOF while parsing a value"]
    );
    assert_eq!(read("t.ndjson", "{\"a\":1}\n7\n"), ["'F': line 2: expected a JSON object"]);
    assert_eq!(
        read("t.ndjson", "{\"a\":1} {\"a\":2}\n"),
        ["'F': line 1, character 9: malformed JSON: trailing characters"]
    );
    let deep = format!("{{\"a\":{}", "[".repeat(100_000));
    assert!(read("t.ndjson", &deep)[0].contains("recursion limit"));
}

#[test]
fn a_target_gives_the_types() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("t.ndjson");
    let path = path.to_str().unwrap();
    let target = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int32, false),
        Field::new("amount", DataType::Decimal128(12, 2), true),
        Field::new("note", DataType::Utf8View, true),
    ]));
    let copy = |content: &str| {
        std::fs::write(path, content).unwrap();
        let access = FileAccess::read_only();
        rows(open_with_schema(path, None, &ReadOptions::default(), &target, true, &access), path)
    };
    assert_eq!(
        copy("{\"amount\":1.5,\"ID\":1}\n{\"note\":[1],\"ID\":2}"),
        ["id INTEGER, amount DECIMAL(12,2), note TEXT", r#"{"id":1,"amount":1.50}"#, r#"{"id":2,"note":"[1]"}"#]
    );
    let error = copy("{\"id\":1}\n{\"id\":2}\n{\"id\":\"x\"}");
    assert!(error[0].starts_with("'F', line 3, column \"id\": "), "{error:?}");
}
