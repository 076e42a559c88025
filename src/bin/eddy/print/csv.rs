//! Comma separated values (RFC 4180, lines end in a bare newline).
//!
//! One header line a result, also for a result without rows. NULL is an empty field and the empty text is `""`, so
//! the two can be told apart; other fields are quoted only when they hold a comma, a quote or a line break.

use std::io::{self, Write};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::Printer;
use super::value::{formatter, is_null};

/// Prints csv.
pub struct CsvPrinter {
    schema: SchemaRef,
    headed: bool,
    line: String,
    cell: String,
}

impl CsvPrinter {
    /// A printer that has printed nothing yet.
    pub fn new(schema: SchemaRef) -> Self {
        CsvPrinter { schema, headed: false, line: String::new(), cell: String::new() }
    }

    fn header(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if !self.headed {
            self.headed = true;
            let mut line = String::new();
            for (column, field) in self.schema.fields().iter().enumerate() {
                if column > 0 {
                    line.push(',');
                }
                push_field(field.name(), &mut line);
            }
            writeln!(out, "{line}")?;
        }
        Ok(())
    }
}

impl Printer for CsvPrinter {
    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> io::Result<()> {
        self.header(out)?;
        let columns: Vec<_> = batch.columns().iter().map(|array| (array, formatter(array.as_ref()))).collect();
        for row in 0..batch.num_rows() {
            self.line.clear();
            for (column, (array, format)) in columns.iter().enumerate() {
                if column > 0 {
                    self.line.push(',');
                }
                if !is_null(array.as_ref(), row) {
                    self.cell.clear();
                    format(row, &mut self.cell);
                    push_field(&self.cell, &mut self.line);
                }
            }
            self.line.push('\n');
            out.write_all(self.line.as_bytes())?;
        }
        Ok(())
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.header(out)
    }
}

fn push_field(text: &str, line: &mut String) {
    if text.is_empty() || text.contains([',', '"', '\n', '\r']) {
        line.push('"');
        line.push_str(&text.replace('"', "\"\""));
        line.push('"');
    } else {
        line.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{batch, numbers, printed};
    use super::super::{Format, Style, printer};

    #[test]
    fn null_and_empty_text_can_be_told_apart() {
        let batch = batch();
        let text = printed(printer(Format::Csv, batch.schema(), Style::default()), &[batch]);
        assert_eq!(
            text,
            "id,name,amount,ts\n\
             1,\"a \"\"b\"\", c\",10.50,1970-01-01 00:00:00\n\
             20,,-0.05,1970-01-01 00:00:01.500000\n\
             300,\"\",,\n"
        );
    }

    #[test]
    fn a_result_without_rows_has_its_header() {
        let csv = || printer(Format::Csv, numbers(0).schema(), Style::default());
        assert_eq!(printed(csv(), &[]), "n\n");
        assert_eq!(printed(csv(), &[numbers(0), numbers(1), numbers(2)]), "n\n0\n0\n1\n");
    }
}
