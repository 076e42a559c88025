//! A block of panels that is drawn again in place.
//!
//! Panels stand two beside each other. Each drawing moves the cursor up to where the last one began; cells that are
//! not what they were stand out. It writes only to a terminal: the caller has made sure there is one.

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr;

use crate::print::Style;

/// Rows under a title.
#[derive(Debug, Clone, Default)]
pub struct Panel {
    /// What it shows.
    pub title: String,
    /// The rows; cells of a column stand under each other.
    pub rows: Vec<Vec<String>>,
    /// Which columns stand to the right.
    pub right: Vec<bool>,
    /// How many rows it takes, however many there are.
    pub height: usize,
}

/// The drawing on the terminal.
pub struct Screen {
    style: Style,
    width: usize,
    drawn: Vec<Panel>,
    lines: usize,
}

impl Screen {
    /// A screen that has drawn nothing.
    pub fn new(style: Style) -> Self {
        Screen { style, width: style.width.unwrap_or(80).clamp(40, 120), drawn: vec![], lines: 0 }
    }

    /// Draws the panels over those drawn before, with a line of progress above.
    pub fn draw(&mut self, progress: &str, panels: Vec<Panel>, out: &mut dyn Write) -> io::Result<()> {
        let column = (self.width - 3) / 2;
        let mut lines = vec![progress.to_string(), String::new()];
        for (index, pair) in panels.chunks(2).enumerate() {
            let height = pair.iter().map(|panel| panel.height).max().unwrap_or(0) + 1;
            let sides: Vec<_> = pair
                .iter()
                .enumerate()
                .map(|(side, panel)| self.panel(panel, self.drawn.get(index * 2 + side), column, height))
                .collect();
            for line in 0..height {
                let (left, left_width) = sides[0][line].clone();
                let right = sides.get(1).map_or(String::new(), |side| side[line].0.clone());
                lines.push(format!("{left}{}   {right}", " ".repeat(column.saturating_sub(left_width))));
            }
            lines.push(String::new());
        }
        let mut text = if self.lines > 0 { format!("\x1b[{}A", self.lines) } else { String::new() };
        for line in &lines {
            text.push_str(&format!("\r{line}\x1b[K\n"));
        }
        self.lines = lines.len();
        self.drawn = panels;
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// The lines of a panel, each with the characters it takes.
    fn panel(&self, panel: &Panel, before: Option<&Panel>, width: usize, height: usize) -> Vec<(String, usize)> {
        let title = clip(&panel.title, width);
        let mut lines = vec![(self.style.paint("1", &title), title.width())];
        let columns = panel.rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut widths: Vec<usize> = (0..columns)
            .map(|column| {
                panel.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max().unwrap_or(0)
            })
            .collect();
        let total = widths.iter().sum::<usize>() + 2 * columns.saturating_sub(1);
        if let Some(widest) = widths.iter_mut().max_by_key(|width| **width) {
            *widest = widest.saturating_sub(total.saturating_sub(width)).max(1);
        }
        for (index, row) in panel.rows.iter().take(panel.height).enumerate() {
            let (mut line, mut used) = (String::new(), 0);
            for (column, cell) in row.iter().enumerate() {
                let text = clip(cell, widths[column]);
                let space = " ".repeat(widths[column] - text.width());
                let same = before.and_then(|panel| panel.rows.get(index)?.get(column)) == Some(cell);
                let text = if same { text } else { self.style.paint("1;32", &text) };
                let gap = if column > 0 { "  " } else { "" };
                let right = panel.right.get(column).copied().unwrap_or(false);
                line.push_str(&if right { format!("{gap}{space}{text}") } else { format!("{gap}{text}{space}") });
                used += gap.len() + widths[column];
            }
            lines.push((line, used));
        }
        lines.resize(height, (String::new(), 0));
        lines
    }
}

fn clip(text: &str, width: usize) -> String {
    crate::print::cut(text, width)
}

/// Counts as a row of bars, the highest full: ` ▁▂▃▄▅▆▇█`.
pub fn bars(counts: &[i64]) -> String {
    const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    counts
        .iter()
        .map(|&count| {
            let eighths = (i128::from(count.max(0)) * 8 + i128::from(most) - 1) / i128::from(most);
            BARS[usize::try_from(eighths).unwrap_or(8).min(8)]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(cells: &[&[&str]]) -> Panel {
        let rows = cells.iter().map(|row| row.iter().map(|cell| cell.to_string()).collect()).collect();
        Panel { title: "title".into(), rows, right: vec![false, true], height: 3 }
    }

    #[test]
    fn the_second_drawing_covers_the_first() {
        let mut screen = Screen::new(Style { colour: true, width: Some(60) });
        let mut first = vec![];
        screen.draw("1", vec![panel(&[&["a", "1"]]), panel(&[])], &mut first).unwrap();
        let first = String::from_utf8(first).unwrap();
        let lines = first.matches('\n').count();
        assert!(first.starts_with("\r1"), "nothing to cover yet");
        let mut second = vec![];
        screen.draw("2", vec![panel(&[&["a", "2"], &["b", "10"]]), panel(&[])], &mut second).unwrap();
        let second = String::from_utf8(second).unwrap();
        assert!(second.starts_with(&format!("\x1b[{lines}A")));
        assert_eq!(second.matches('\n').count(), lines, "the height never changes");
        assert!(second.contains("\x1b[1;32m2\x1b[0m"), "what changed stands out");
        assert!(!second.contains("\x1b[1;32ma\x1b[0m"), "what stayed does not");
    }

    #[test]
    fn bars_are_relative_to_the_most() {
        assert_eq!(bars(&[0, 1, 8, 16]), " ▁▄█");
        assert_eq!(bars(&[]), "");
        assert_eq!(bars(&[0, 0]), "  ");
    }
}
