//! JSON: an array of objects, or one object a line.
//!
//! Numbers stay numbers with all their digits, decimals too; booleans, lists and structs are JSON's own; NULL is
//! `null`. Everything else is its text, so are the floats JSON cannot write (`"NaN"`, `"Infinity"`).

use std::io::{self, Write};

use arrow::array::{Array, AsArray, GenericListArray, OffsetSizeTrait, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type};

use super::Printer;
use super::value::{Formatter, formatter, is_null};

/// Prints JSON.
pub struct JsonPrinter {
    array: bool,
    begun: bool,
    line: String,
}

impl JsonPrinter {
    /// An array with an object for each row.
    pub fn array() -> Self {
        JsonPrinter { array: true, begun: false, line: String::new() }
    }

    /// One object a line.
    pub fn lines() -> Self {
        JsonPrinter { array: false, begun: false, line: String::new() }
    }
}

impl Printer for JsonPrinter {
    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> io::Result<()> {
        let schema = batch.schema();
        let columns: Vec<_> = schema
            .fields()
            .iter()
            .zip(batch.columns())
            .map(|(field, array)| (key(field.name()), json(array.as_ref())))
            .collect();
        for row in 0..batch.num_rows() {
            self.line.clear();
            if self.array {
                self.line.push_str(if self.begun { ",\n" } else { "[" });
            }
            self.begun = true;
            push_object(&columns, row, &mut self.line);
            if !self.array {
                self.line.push('\n');
            }
            out.write_all(self.line.as_bytes())?;
        }
        Ok(())
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        match (self.array, self.begun) {
            (true, true) => writeln!(out, "]"),
            (true, false) => writeln!(out, "[]"),
            (false, _) => Ok(()),
        }
    }
}

/// Appends the value of a row as JSON, NULL included.
fn json(array: &dyn Array) -> Formatter<'_> {
    let value = value(array);
    Box::new(move |row, out| if is_null(array, row) { out.push_str("null") } else { value(row, out) })
}

fn value(array: &dyn Array) -> Formatter<'_> {
    let text = |array| {
        let format = formatter(array);
        move |row: usize, out: &mut String| {
            let mut text = String::new();
            format(row, &mut text);
            push_text(&text, out);
        }
    };
    match array.data_type() {
        DataType::Float64 => {
            let (floats, bare, quoted) = (array.as_primitive::<Float64Type>(), formatter(array), text(array));
            Box::new(move |row, out| if floats.value(row).is_finite() { bare(row, out) } else { quoted(row, out) })
        }
        DataType::Float32 => {
            let (floats, bare, quoted) = (array.as_primitive::<Float32Type>(), formatter(array), text(array));
            Box::new(move |row, out| if floats.value(row).is_finite() { bare(row, out) } else { quoted(row, out) })
        }
        DataType::Boolean => formatter(array),
        other if other.is_numeric() => formatter(array),
        DataType::List(_) => list(array.as_list::<i32>()),
        DataType::LargeList(_) => list(array.as_list::<i64>()),
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let fields: Vec<_> =
                fields.iter().zip(columns).map(|(field, array)| (key(field.name()), json(array.as_ref()))).collect();
            Box::new(move |row, out| push_object(&fields, row, out))
        }
        _ => Box::new(text(array)),
    }
}

fn list<O: OffsetSizeTrait>(array: &GenericListArray<O>) -> Formatter<'_> {
    let values = json(array.values().as_ref());
    Box::new(move |row, out| {
        let offsets = array.value_offsets();
        out.push('[');
        for (position, index) in (offsets[row].as_usize()..offsets[row + 1].as_usize()).enumerate() {
            if position > 0 {
                out.push(',');
            }
            values(index, out);
        }
        out.push(']');
    })
}

fn push_object(columns: &[(String, Formatter<'_>)], row: usize, out: &mut String) {
    out.push('{');
    for (position, (key, value)) in columns.iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        out.push_str(key);
        value(row, out);
    }
    out.push('}');
}

fn key(name: &str) -> String {
    let mut key = String::new();
    push_text(name, &mut key);
    key.push(':');
    key
}

fn push_text(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            other if u32::from(other) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(other))),
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::*;
    use arrow::datatypes::Int32Type;

    use super::super::tests::{batch, numbers, printed};
    use super::super::{Format, Style, printer};

    #[test]
    fn rows_are_objects() {
        let batch = batch();
        let text = printed(printer(Format::Ndjson, batch.schema(), Style::default()), &[batch]);
        assert_eq!(
            text,
            "{\"id\":1,\"name\":\"a \\\"b\\\", c\",\"amount\":10.50,\"ts\":\"1970-01-01 00:00:00\"}\n\
             {\"id\":20,\"name\":null,\"amount\":-0.05,\"ts\":\"1970-01-01 00:00:01.500000\"}\n\
             {\"id\":300,\"name\":\"\",\"amount\":null,\"ts\":null}\n"
        );
    }

    #[test]
    fn an_array_is_closed_over_all_batches() {
        let json = || printer(Format::Json, numbers(0).schema(), Style::default());
        assert_eq!(printed(json(), &[]), "[]\n");
        assert_eq!(printed(json(), &[numbers(2), numbers(1)]), "[{\"n\":0},\n{\"n\":1},\n{\"n\":0}]\n");
    }

    #[test]
    fn what_json_cannot_write_is_text() {
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None]);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("x", Arc::new(Float64Array::from(vec![f64::NAN, 0.5]))),
            ("l", Arc::new(lists)),
            ("t", Arc::new(StringArray::from(vec!["a\\\u{1}\n", "é"]))),
            ("nothing", Arc::new(NullArray::new(2))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let text = printed(printer(Format::Ndjson, batch.schema(), Style::default()), &[batch]);
        assert_eq!(
            text,
            "{\"x\":\"NaN\",\"l\":[1,null],\"t\":\"a\\\\\\u0001\\n\",\"nothing\":null}\n\
             {\"x\":0.5,\"l\":null,\"t\":\"é\",\"nothing\":null}\n"
        );
        for line in text.lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
    }
}
