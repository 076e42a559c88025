//! Grids: box, table and markdown.
//!
//! Columns are as wide as their widest cell; numbers stand to the right. Where the terminal is narrower, wide cells
//! are cut (`…`) first and columns from the middle left out second. A box shows at most 40 rows, the first and the
//! last 20, and keeps no others; a line in the middle and one below say what is missing.

use std::collections::VecDeque;
use std::io::{self, Write};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use eddydb::sql_type_name;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::value::{formatter, is_null, is_number};
use super::{Printer, Style, push_printable};

/// The looks of a grid.
#[derive(Debug, Clone, Copy)]
pub struct Looks {
    /// The rule above all, below the head and below all: left, line, cross, right.
    top: Option<[&'static str; 4]>,
    middle: [&'static str; 4],
    bottom: Option<[&'static str; 4]>,
    bar: &'static str,
    types: bool,
    most_rows: usize,
    markdown: bool,
}

/// Lines of Unicode, a row of types, at most 40 rows.
pub const BOX: Looks = Looks {
    top: Some(["┌", "─", "┬", "┐"]),
    middle: ["├", "─", "┼", "┤"],
    bottom: Some(["└", "─", "┴", "┘"]),
    bar: "│",
    types: true,
    most_rows: 40,
    markdown: false,
};

/// Plain ASCII, all rows.
pub const TABLE: Looks = Looks {
    top: Some(["+", "-", "+", "+"]),
    middle: ["+", "-", "+", "+"],
    bottom: Some(["+", "-", "+", "+"]),
    bar: "|",
    types: false,
    most_rows: usize::MAX,
    markdown: false,
};

/// A table as Markdown knows it, all rows.
pub const MARKDOWN: Looks = Looks {
    top: None,
    middle: ["|", "-", "|", "|"],
    bottom: None,
    bar: "|",
    types: false,
    most_rows: usize::MAX,
    markdown: true,
};

/// Below this a cell is not cut to fit: a few characters say nothing.
const LEAST_WIDTH: usize = 12;

/// Prints a grid once all rows are known.
pub struct GridPrinter {
    looks: Looks,
    schema: SchemaRef,
    style: Style,
    /// All rows while they are few; then the first half of what is shown.
    head: Vec<RecordBatch>,
    head_rows: usize,
    /// The last rows: at least the second half of what is shown.
    tail: VecDeque<RecordBatch>,
    tail_rows: usize,
    rows: usize,
}

impl GridPrinter {
    /// A printer that has seen no rows yet.
    pub fn new(looks: Looks, schema: SchemaRef, style: Style) -> Self {
        GridPrinter { looks, schema, style, head: vec![], head_rows: 0, tail: VecDeque::new(), tail_rows: 0, rows: 0 }
    }

    fn keep(&mut self, batch: &RecordBatch) {
        let half = self.looks.most_rows / 2;
        self.rows += batch.num_rows();
        let first = batch.num_rows().min(half.saturating_sub(self.head_rows));
        if first > 0 {
            self.head.push(batch.slice(0, first));
            self.head_rows += first;
        }
        if first < batch.num_rows() {
            self.tail.push_back(batch.slice(first, batch.num_rows() - first));
            self.tail_rows += batch.num_rows() - first;
        }
        while let Some(oldest) = self.tail.front().map(RecordBatch::num_rows)
            && self.tail_rows - oldest >= half
        {
            self.tail.pop_front();
            self.tail_rows -= oldest;
        }
    }

    /// The kept rows as cells: the first part, how many rows are left out, and the last part.
    fn cells(&self) -> (Vec<Vec<Cell>>, usize, Vec<Vec<Cell>>) {
        let half = self.looks.most_rows / 2;
        let head = self.head.iter().flat_map(|batch| rows_of(batch, self.looks.markdown)).collect();
        let mut tail: Vec<_> = self.tail.iter().flat_map(|batch| rows_of(batch, self.looks.markdown)).collect();
        let surplus = tail.len().saturating_sub(half);
        tail.drain(..surplus);
        (head, self.rows.saturating_sub(self.head_rows + tail.len()), tail)
    }
}

impl Printer for GridPrinter {
    fn batch(&mut self, batch: &RecordBatch, _out: &mut dyn Write) -> io::Result<()> {
        self.keep(batch);
        Ok(())
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let (head, missing, tail) = self.cells();
        let columns: Vec<Column> = self
            .schema
            .fields()
            .iter()
            .enumerate()
            .map(|(index, field)| {
                let right = is_number(field.data_type());
                let mut name = String::new();
                push_printable(field.name(), &mut name);
                let type_name = if self.looks.types { sql_type_name(field.data_type()) } else { String::new() };
                let cells = head.iter().chain(&tail).map(|row| row[index].text.width()).max().unwrap_or(0);
                let width = cells.max(name.width()).max(type_name.width());
                Column { index, name, type_name, right, width: if self.looks.markdown { width.max(3) } else { width } }
            })
            .collect();
        let total = columns.len();
        let columns = if self.looks.markdown { Fitted::all(columns) } else { fit(columns, self.style.width) };
        let mut grid = Grid { looks: self.looks, style: self.style, columns };
        if missing > 0 {
            grid.widen_to(missing_text(missing).width());
        }
        grid.print(&head, missing, &tail, out)?;
        let shown = grid.columns.list.len();
        let mut footer = vec![];
        if missing > 0 {
            footer.push(format!("{} rows ({} shown)", grouped(self.rows), head.len() + tail.len()));
        } else if self.rows == 0 && !self.looks.markdown {
            footer.push("0 rows".into());
        }
        if shown < total {
            footer.push(format!("{total} columns ({shown} shown)"));
        }
        if !footer.is_empty() {
            writeln!(out, "{}", self.style.dim(&footer.join(", ")))?;
        }
        Ok(())
    }
}

struct Cell {
    text: String,
    null: bool,
}

struct Column {
    index: usize,
    name: String,
    type_name: String,
    right: bool,
    width: usize,
}

/// The columns that fit, and before which of them some were left out.
struct Fitted {
    list: Vec<Column>,
    gap: Option<usize>,
}

impl Fitted {
    fn all(list: Vec<Column>) -> Self {
        Fitted { list, gap: None }
    }
}

fn rows_of(batch: &RecordBatch, markdown: bool) -> Vec<Vec<Cell>> {
    let columns: Vec<_> = batch.columns().iter().map(|array| (array, formatter(array.as_ref()))).collect();
    let cell = |row: usize, (array, format): &(&arrow::array::ArrayRef, super::value::Formatter<'_>)| {
        if is_null(array.as_ref(), row) {
            return Cell { text: "NULL".into(), null: true };
        }
        let (mut raw, mut text) = (String::new(), String::new());
        format(row, &mut raw);
        push_printable(&raw, &mut text);
        Cell { text: if markdown { text.replace('|', "\\|") } else { text }, null: false }
    };
    (0..batch.num_rows()).map(|row| columns.iter().map(|column| cell(row, column)).collect()).collect()
}

/// Makes the columns fit into `limit` characters: the widest are cut first, then columns in the middle left out.
fn fit(mut columns: Vec<Column>, limit: Option<usize>) -> Fitted {
    let Some(limit) = limit else {
        return Fitted::all(columns);
    };
    let needed = |columns: &[Column]| columns.iter().map(|column| column.width + 3).sum::<usize>() + 1;
    while needed(&columns) > limit {
        let over = needed(&columns) - limit;
        let widest = columns.iter().map(|column| column.width).max().unwrap_or(0);
        if widest <= LEAST_WIDTH {
            break;
        }
        let second = columns.iter().map(|column| column.width).filter(|&width| width < widest).max().unwrap_or(0);
        let count = columns.iter().filter(|column| column.width == widest).count();
        let target = second.max(widest.saturating_sub(over.div_ceil(count))).max(LEAST_WIDTH);
        columns.iter_mut().filter(|column| column.width == widest).for_each(|column| column.width = target);
    }
    let mut gap = None;
    while columns.len() > 1 && needed(&columns) + gap.map_or(0, |_| 4) > limit {
        let middle = columns.len() / 2;
        columns.remove(middle);
        gap = Some(middle);
    }
    Fitted { list: columns, gap }
}

struct Grid {
    looks: Looks,
    style: Style,
    columns: Fitted,
}

impl Grid {
    /// The characters between the outer bars.
    fn inside(&self) -> usize {
        let gap = self.columns.gap.map_or(0, |_| 4);
        (self.columns.list.iter().map(|column| column.width + 3).sum::<usize>() + gap).saturating_sub(1)
    }

    /// Makes the last column wider where a line of `width` would not fit inside.
    fn widen_to(&mut self, width: usize) {
        let lacking = width.saturating_sub(self.inside());
        if let Some(last) = self.columns.list.last_mut() {
            last.width += lacking;
        }
    }

    fn print(&self, head: &[Vec<Cell>], missing: usize, tail: &[Vec<Cell>], out: &mut dyn Write) -> io::Result<()> {
        if let Some(top) = self.looks.top {
            self.rule(top, out)?;
        }
        self.row(out, |column| column.name.clone(), |_| None)?;
        if self.looks.types {
            self.row(out, |column| column.type_name.clone(), |_| Some("2"))?;
        }
        self.rule(self.looks.middle, out)?;
        for row in head {
            self.cells(row, out)?;
        }
        if missing > 0 {
            self.missing(missing, out)?;
        }
        for row in tail {
            self.cells(row, out)?;
        }
        self.looks.bottom.map_or(Ok(()), |bottom| self.rule(bottom, out))
    }

    fn cells(&self, row: &[Cell], out: &mut dyn Write) -> io::Result<()> {
        self.row(out, |column| row[column.index].text.clone(), |column| row[column.index].null.then_some("2"))
    }

    fn row(
        &self,
        out: &mut dyn Write,
        text: impl Fn(&Column) -> String,
        colour: impl Fn(&Column) -> Option<&'static str>,
    ) -> io::Result<()> {
        let mut line = self.looks.bar.to_string();
        for (position, column) in self.columns.list.iter().enumerate() {
            if self.columns.gap == Some(position) {
                line.push_str(&format!(" … {}", self.looks.bar));
            }
            let text = cut(&text(column), column.width);
            let space = " ".repeat(column.width.saturating_sub(text.width()));
            let text = colour(column).map_or_else(|| text.clone(), |code| self.style.paint(code, &text));
            let (left, right) = if column.right { (space.as_str(), "") } else { ("", space.as_str()) };
            line.push_str(&format!(" {left}{text}{right} {}", self.looks.bar));
        }
        writeln!(out, "{line}")
    }

    fn rule(&self, [left, line, cross, right]: [&str; 4], out: &mut dyn Write) -> io::Result<()> {
        let mut text = left.to_string();
        for (position, column) in self.columns.list.iter().enumerate() {
            if position > 0 {
                text.push_str(cross);
            }
            if self.columns.gap == Some(position) {
                text.push_str(&format!("{}{cross}", line.repeat(3)));
            }
            // Markdown says with a colon that a column stands to the right.
            let colon = self.looks.markdown && column.right;
            text.push_str(&line.repeat(column.width + 2 - usize::from(colon)));
            text.push_str(if colon { ":" } else { "" });
        }
        writeln!(out, "{text}{right}")
    }

    fn missing(&self, rows: usize, out: &mut dyn Write) -> io::Result<()> {
        let inside = self.inside();
        let text = missing_text(rows);
        let left = inside.saturating_sub(text.width()) / 2;
        let right = inside.saturating_sub(text.width() + left);
        let text = self.style.dim(&text);
        writeln!(out, "{bar}{}{text}{}{bar}", " ".repeat(left), " ".repeat(right), bar = self.looks.bar)
    }
}

/// `text`, cut with an ellipsis where it is wider than `width`.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_string();
    }
    let mut kept = String::new();
    let mut used = 1;
    for character in text.chars() {
        used += character.width().unwrap_or(0);
        if used > width {
            break;
        }
        kept.push(character);
    }
    kept.push('…');
    kept
}

fn missing_text(rows: usize) -> String {
    format!("… {} rows …", grouped(rows))
}

/// A count with its thousands apart: 20 938.
fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::{batch, numbers, printed};
    use super::super::{Format, printer};
    use super::*;

    fn with(format: Format, style: Style, batches: &[RecordBatch]) -> String {
        printed(printer(format, batches[0].schema(), style), batches)
    }

    #[test]
    fn a_box_has_a_row_of_types() {
        assert_eq!(
            with(Format::Box, Style::default(), &[batch()]),
            "\
┌────────┬──────────┬───────────────┬────────────────────────────┐
│     id │ name     │        amount │ ts                         │
│ BIGINT │ TEXT     │ DECIMAL(12,2) │ TIMESTAMP                  │
├────────┼──────────┼───────────────┼────────────────────────────┤
│      1 │ a \"b\", c │         10.50 │ 1970-01-01 00:00:00        │
│     20 │ NULL     │         -0.05 │ 1970-01-01 00:00:01.500000 │
│    300 │          │          NULL │ NULL                       │
└────────┴──────────┴───────────────┴────────────────────────────┘
"
        );
    }

    #[test]
    fn a_table_is_plain_ascii() {
        let text = with(Format::Table, Style::default(), &[numbers(1), numbers(2)]);
        assert_eq!(text, "+---+\n| n |\n+---+\n| 0 |\n| 0 |\n| 1 |\n+---+\n");
        assert_eq!(with(Format::Table, Style::default(), &[numbers(100)]).lines().count(), 104);
    }

    #[test]
    fn markdown_escapes_bars_and_marks_numbers() {
        use arrow::array::{ArrayRef, Int32Array, StringArray};
        let columns: [(&str, ArrayRef); 2] = [
            ("a", std::sync::Arc::new(StringArray::from(vec!["x|y"]))),
            ("n", std::sync::Arc::new(Int32Array::from(vec![7]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let text = with(Format::Markdown, Style { width: Some(8), ..Style::default() }, &[batch]);
        assert_eq!(text, "| a    |   n |\n|------|----:|\n| x\\|y |   7 |\n");
    }

    #[test]
    fn a_box_shows_forty_rows_however_they_are_cut_into_batches() {
        let all = numbers(10_000);
        let expected = with(Format::Box, Style::default(), std::slice::from_ref(&all));
        assert!(expected.contains("… 9 960 rows …"), "{expected}");
        assert!(expected.ends_with("10 000 rows (40 shown)\n"));
        for size in [1, 7, 19, 20, 21, 4_000] {
            let batches: Vec<_> = (0..10_000).step_by(size).map(|at| all.slice(at, size.min(10_000 - at))).collect();
            assert_eq!(with(Format::Box, Style::default(), &batches), expected, "batches of {size}");
        }
        let forty = with(Format::Box, Style::default(), &[numbers(40)]);
        assert!(!forty.contains('…') && !forty.contains("shown"));
        let more = with(Format::Box, Style::default(), &[numbers(41)]);
        assert!(more.ends_with("41 rows (40 shown)\n"), "{more}");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in [20, 30, 40, 50, 60, 70] {
            let text = with(Format::Box, Style { width: Some(width), ..Style::default() }, &[batch()]);
            let grid = text.lines().filter(|line| line.starts_with(['┌', '│', '├', '└']));
            assert!(grid.clone().all(|line| line.width() <= width), "width {width}:\n{text}");
            assert!(grid.map(|line| line.width()).collect::<std::collections::BTreeSet<_>>().len() == 1, "{text}");
        }
        let text = with(Format::Box, Style { width: Some(40), ..Style::default() }, &[batch()]);
        assert!(text.contains("4 columns ("), "{text}");
    }

    #[test]
    fn colour_only_where_asked_for() {
        let plain = with(Format::Box, Style::default(), &[batch()]);
        assert!(!plain.contains('\x1b'));
        assert!(with(Format::Box, Style { colour: true, width: None }, &[batch()]).contains("\x1b[2mNULL\x1b[0m"));
    }

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 6), "日本語");
        assert_eq!(grouped(1_234_567), "1 234 567");
        assert_eq!(grouped(123), "123");
    }
}
