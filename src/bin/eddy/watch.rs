//! `.watch VIEW`: after each statement, what it changed in a view.
//!
//! A watch is a subscription that is emptied between statements and never waited for.

use std::io::{self, BufWriter, Write};

use eddydb::{Connection, Outcome, Subscription};

use crate::print::{Format, Printer, Style, streaming};
use crate::shell::{Settings, tell, with_epoch};

/// The views being watched, in the order they were asked for.
#[derive(Default)]
pub struct Watches(Vec<Watch>);

struct Watch {
    view: String,
    subscription: Subscription,
    /// Kept between statements for formats that have one head for a whole stream.
    printer: Option<(Format, Box<dyn Printer>)>,
}

impl Watches {
    /// Watches a view from now on.
    pub fn add(&mut self, connection: &Connection, view: &str) -> eddydb::Result<()> {
        self.remove(view);
        match connection.run(&format!("SUBSCRIBE {view} WITH (snapshot = false)"))? {
            Outcome::Subscription(subscription) => {
                self.0.push(Watch { view: view.into(), subscription, printer: None });
                Ok(())
            }
            _ => Err(eddydb::Error::internal(format!("SUBSCRIBE {view} gave no subscription"))),
        }
    }

    /// Watches a view no more; whether it was watched.
    pub fn remove(&mut self, view: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|watch| watch.view != view);
        self.0.len() < before
    }

    /// Watches nothing any more.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The names of the views watched.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|watch| watch.view.as_str())
    }

    /// Prints what has changed since the last time. A watch that fails says so and ends.
    pub fn print(&mut self, settings: &Settings, style: Style) -> io::Result<()> {
        let mut result = Ok(());
        self.0.retain_mut(|watch| match watch.print(settings.format, style) {
            Ok(kept) => kept,
            Err(error) => {
                result = Err(error);
                true
            }
        });
        result
    }
}

impl Watch {
    fn print(&mut self, format: Format, style: Style) -> io::Result<bool> {
        let mut batches = vec![];
        let failure = loop {
            match self.subscription.try_recv() {
                Ok(Some(event)) => {
                    tell(&event);
                    match event.as_record_batch() {
                        Ok(batch) if batch.num_rows() > 0 => batches.push(batch),
                        Ok(_) => {}
                        Err(error) => break Some(error),
                    }
                }
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        if !batches.is_empty() {
            let mut out = BufWriter::new(io::stdout().lock());
            let grid = matches!(format, Format::Box | Format::Table | Format::Markdown);
            if grid {
                writeln!(out, "{}", style.dim(&format!("{}:", self.view)))?;
            }
            let schema = with_epoch(&self.subscription.schema());
            let (_, printer) = match self.printer.take() {
                Some((kept, printer)) if kept == format && !grid => self.printer.insert((kept, printer)),
                _ => self.printer.insert((format, streaming(format, schema, style))),
            };
            for batch in &batches {
                printer.batch(batch, &mut out)?;
            }
            out.flush()?;
        }
        if let Some(error) = &failure {
            eprintln!("notice: {} is no longer watched: {error}", self.view);
        }
        Ok(failure.is_none())
    }
}
