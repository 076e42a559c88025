//! Grids of results that never end: each row is printed as it comes.
//!
//! The head is printed once, before the first rows. Columns are as wide as the first rows need, or as their types
//! usually do, and only ever grow, so most rows stand under each other. On a terminal, rows that came are green and
//! rows that went are red, where the result has a column `_weight` to tell them by.

use std::io::{self, Write};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use unicode_width::UnicodeWidthStr;

use super::value::{Formatter, formatter, is_null, is_number};
use super::{Printer, Style, push_printable};

/// What stands between and around cells.
#[derive(Debug, Clone, Copy)]
pub struct Marks {
    edge: &'static str,
    bar: &'static str,
    line: &'static str,
    cross: &'static str,
}

impl Marks {
    /// Unicode lines.
    pub const BOX: Marks = Marks { edge: "", bar: "│", line: "─", cross: "┼" };
    /// Plain ASCII.
    pub const TABLE: Marks = Marks { edge: "", bar: "|", line: "-", cross: "+" };
    /// Markdown.
    pub const MARKDOWN: Marks = Marks { edge: "|", bar: "|", line: "-", cross: "|" };
}

/// Prints rows as they come.
pub struct LivePrinter {
    marks: Marks,
    schema: SchemaRef,
    style: Style,
    widths: Vec<usize>,
    headed: bool,
}

impl LivePrinter {
    /// A printer that has printed nothing yet.
    pub fn new(marks: Marks, schema: SchemaRef, style: Style) -> Self {
        let widths = schema.fields().iter().map(|field| field.name().width()).collect();
        LivePrinter { marks, schema, style, widths, headed: false }
    }

    fn head(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.headed {
            return Ok(());
        }
        self.headed = true;
        let names: Vec<_> = self.schema.fields().iter().map(|field| field.name().clone()).collect();
        let line = self.line(&names);
        writeln!(out, "{line}")?;
        let rules: Vec<_> = self.widths.iter().map(|width| self.marks.line.repeat(width + 2)).collect();
        writeln!(out, "{edge}{}{edge}", rules.join(self.marks.cross), edge = self.marks.edge)
    }

    /// Room for rows that are still to come, by what their types usually need.
    fn make_room(&mut self) {
        for (width, field) in self.widths.iter_mut().zip(self.schema.fields()) {
            let usual = match field.data_type() {
                _ if field.name().starts_with('_') => 0,
                DataType::Boolean => 5,
                DataType::Utf8View | DataType::Utf8 => 16,
                DataType::Timestamp(..) => 19,
                _ => 10,
            };
            *width = (*width).max(usual);
        }
    }

    fn line(&self, cells: &[String]) -> String {
        let mut padded = vec![];
        for ((cell, width), field) in cells.iter().zip(&self.widths).zip(self.schema.fields()) {
            let space = " ".repeat(*width - cell.width());
            let right = is_number(field.data_type());
            padded.push(if right { format!(" {space}{cell} ") } else { format!(" {cell}{space} ") });
        }
        let line = format!("{edge}{}{edge}", padded.join(self.marks.bar), edge = self.marks.edge);
        line.trim_end().to_string()
    }
}

impl Printer for LivePrinter {
    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> io::Result<()> {
        if !self.headed && batch.num_rows() == 0 {
            self.make_room();
        }
        let columns: Vec<_> = batch.columns().iter().map(|array| (array, formatter(array.as_ref()))).collect();
        let weights = batch.column_by_name("_weight").and_then(|array| array.as_primitive_opt::<Int64Type>());
        let rows: Vec<Vec<String>> = (0..batch.num_rows())
            .map(|row| columns.iter().map(|(array, format)| cell(array.as_ref(), format, row)).collect())
            .collect();
        for cells in &rows {
            cells.iter().zip(&mut self.widths).for_each(|(cell, width)| *width = cell.width().max(*width));
        }
        self.head(out)?;
        for (row, cells) in rows.iter().enumerate() {
            let line = self.line(cells);
            let line = match weights.filter(|weights| weights.is_valid(row)).map(|weights| weights.value(row)) {
                Some(weight) if weight > 0 => self.style.paint("32", &line),
                Some(weight) if weight < 0 => self.style.paint("31", &line),
                _ => line,
            };
            writeln!(out, "{line}")?;
        }
        Ok(())
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.head(out)
    }
}

fn cell(array: &dyn Array, format: &Formatter<'_>, row: usize) -> String {
    let mut text = String::new();
    if is_null(array, row) {
        text.push_str("NULL");
    } else {
        let mut raw = String::new();
        format(row, &mut raw);
        push_printable(&raw, &mut text);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::super::tests::printed;
    use super::super::{Format, streaming};
    use super::*;

    fn changes() -> RecordBatch {
        let columns: [(&str, ArrayRef); 3] = [
            ("_epoch", Arc::new(Int64Array::from(vec![7, 7]))),
            ("_weight", Arc::new(Int64Array::from(vec![-1, 1]))),
            ("name", Arc::new(StringArray::from(vec![Some("ann"), None]))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn the_head_comes_once() {
        let text = printed(streaming(Format::Box, changes().schema(), Style::default()), &[changes(), changes()]);
        assert_eq!(text.lines().filter(|line| line.contains("_epoch")).count(), 1);
        assert!(text.contains("      7 │      -1 │ ann\n      7 │       1 │ NULL\n"), "{text}");
    }

    #[test]
    fn changes_have_the_colour_of_their_sign() {
        let style = Style { colour: true, width: None };
        let text = printed(streaming(Format::Table, changes().schema(), style), &[changes()]);
        assert!(text.contains("\x1b[31m") && text.contains("\x1b[32m"), "{text}");
    }
}
