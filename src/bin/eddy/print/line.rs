//! One value a line, names to the left: for rows too wide for a grid.

use std::io::{self, Write};

use arrow::array::RecordBatch;
use unicode_width::UnicodeWidthStr;

use super::value::{formatter, is_null};
use super::{Printer, Style, push_printable};

/// Prints lines of `name = value`, with an empty line between rows.
pub struct LinePrinter {
    style: Style,
    begun: bool,
}

impl LinePrinter {
    /// A printer that has printed nothing yet.
    pub fn new(style: Style) -> Self {
        LinePrinter { style, begun: false }
    }
}

impl Printer for LinePrinter {
    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> io::Result<()> {
        let schema = batch.schema();
        let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let width = names.iter().map(|name| name.width()).max().unwrap_or(0);
        let columns: Vec<_> = batch.columns().iter().map(|array| (array, formatter(array.as_ref()))).collect();
        for row in 0..batch.num_rows() {
            if self.begun {
                writeln!(out)?;
            }
            self.begun = true;
            for (name, (array, format)) in names.iter().zip(&columns) {
                let mut text = String::new();
                if is_null(array.as_ref(), row) {
                    text = self.style.dim("NULL");
                } else {
                    let mut raw = String::new();
                    format(row, &mut raw);
                    push_printable(&raw, &mut text);
                }
                writeln!(out, "{}{name} = {text}", " ".repeat(width - name.width()))?;
            }
        }
        Ok(())
    }

    fn end(&mut self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{batch, printed};
    use super::super::{Format, Style, printer};

    #[test]
    fn names_stand_to_the_left() {
        let batch = batch().slice(1, 2);
        let text = printed(printer(Format::Line, batch.schema(), Style::default()), &[batch]);
        assert_eq!(
            text,
            "    id = 20\n  name = NULL\namount = -0.05\n    ts = 1970-01-01 00:00:01.500000\n\n    \
             id = 300\n  name = \namount = NULL\n    ts = NULL\n"
        );
    }
}
