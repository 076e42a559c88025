//! The appender: the fast way in for rows, past the SQL parser.
//!
//! Rows are buffered and committed together, at [`Appender::flush`] or when enough have come. A commit is whole: it
//! is seen all at once, and by whoever reads after `flush` returned. What was not flushed when the appender is
//! dropped is flushed then, and an error then is lost; call `flush`.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::Interrupt;
use crate::catalog::relation::Relation;
use crate::db::commit::{Commit, Committed, Payload};
use crate::db::database::Database;
use crate::db::names::writable;
use crate::db::value::{Params, Value, assign};
use crate::db::write::Write;
use crate::sql;
use crate::sql::name::Name;

/// Buffered rows beyond which the appender commits by itself.
const FLUSH_ROWS: usize = 1 << 17;

/// Adds rows to one table or stream.
pub struct Appender {
    database: Database,
    relation: Arc<Relation>,
    rows: Vec<Vec<Value>>,
    batches: Vec<RecordBatch>,
    buffered: usize,
}

impl Appender {
    pub(super) fn open(database: &Database, relation: &str) -> Result<Self> {
        let catalog = database.shared.version().catalog.clone();
        // A name as in SQL, unless there is a relation of exactly that name.
        let relation = match catalog.get(relation) {
            Some(_) => writable(&catalog, &Name::new(vec![relation.to_string()], None))?,
            None => writable(&catalog, &sql::parse_name(relation)?)?,
        };
        Ok(Appender { database: database.clone(), relation, rows: Vec::new(), batches: Vec::new(), buffered: 0 })
    }

    /// Adds one row: a value for every column, in order.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Type`] or [`crate::ErrorKind::Data`] if a value does not fit its column; the row is not
    /// added then, the appender can be used on.
    pub fn append_row(&mut self, values: impl Params) -> Result<()> {
        let values = values.values();
        let fields = self.relation.schema.fields();
        if values.len() != fields.len() {
            return Err(Error::invalid(format!(
                "\"{}\" has {} columns, the row has {} values",
                self.relation.name,
                fields.len(),
                values.len()
            )));
        }
        for (column, (value, field)) in values.iter().zip(fields).enumerate() {
            value
                .to_array_of(field.data_type(), self.relation.domain(column))
                .map_err(|error| error.context(format!("column \"{}\"", field.name())))?;
        }
        self.rows.push(values);
        self.grow(1)
    }

    /// Adds the rows of a batch; its columns stand in the order of the relation's.
    pub fn append_record_batch(&mut self, batch: &RecordBatch) -> Result<()> {
        let fields = self.relation.schema.fields();
        if batch.num_columns() != fields.len() {
            return Err(Error::invalid(format!(
                "\"{}\" has {} columns, the batch has {}",
                self.relation.name,
                fields.len(),
                batch.num_columns()
            )));
        }
        let columns = batch.columns().iter().zip(fields).enumerate().map(|(column, (array, field))| {
            assign(array, field.data_type(), self.relation.domain(column))
                .map_err(|error| error.context(format!("column \"{}\"", field.name())))
        });
        let batch = RecordBatch::try_new(self.relation.schema.clone(), columns.collect::<Result<_>>()?)?;
        self.seal_rows()?;
        let rows = batch.num_rows();
        self.batches.push(batch);
        self.grow(rows)
    }

    /// Commits what is buffered; returns when it is published, with its epoch (`None` if nothing was buffered).
    pub fn flush(&mut self) -> Result<Option<u64>> {
        self.seal_rows()?;
        self.buffered = 0;
        let batches = std::mem::take(&mut self.batches);
        if batches.is_empty() {
            return Ok(None);
        }
        let committed = match self.commit(batches.clone()) {
            Err(error) if error.kind() == ErrorKind::Conflict => {
                let batches = self.follow(&batches)?;
                self.commit(batches)
            }
            committed => committed,
        };
        committed.map(|committed| Some(committed.epoch))
    }

    fn commit(&self, batches: Vec<RecordBatch>) -> Result<Committed> {
        let payload = Payload::rows_of(vec![Write::inserts(&self.relation, batches)]);
        let interrupt = Interrupt::default();
        let commit = Commit { read_epoch: u64::MAX, reads: BTreeSet::new(), payload, again: None, interrupt };
        self.database.sequencer.commit(commit)
    }

    /// Takes up the relation as it is now and gives rows made for the columns before the columns since: a new column
    /// has the value that older rows have. An error if a column that has values is gone.
    fn follow(&mut self, batches: &[RecordBatch]) -> Result<Vec<RecordBatch>> {
        let old = self.relation.clone();
        let catalog = self.database.shared.version().catalog.clone();
        let now = catalog.by_id(old.id).cloned().ok_or_else(|| catalog.not_found(&old.name))?;
        self.relation = now.clone();
        if let Some(gone) = old.columns.iter().position(|id| !now.columns.contains(id)) {
            let (column, name) = (old.schema.field(gone).name(), &old.name);
            let message = format!("column \"{column}\" of \"{name}\" was altered: the buffered rows were made for it");
            return Err(
                Error::new(ErrorKind::Conflict, message).with_hint("append the rows again in the columns of now")
            );
        }
        let (layout, places) = (now.layout(), now.layout().places(&old.columns));
        batches.iter().map(|rows| layout.rows(rows, &places)).collect()
    }

    fn grow(&mut self, rows: usize) -> Result<()> {
        self.buffered += rows;
        match self.buffered >= FLUSH_ROWS {
            true => self.flush().map(drop),
            false => Ok(()),
        }
    }

    /// Turns buffered single rows into a batch.
    fn seal_rows(&mut self) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.rows);
        let columns = self
            .relation
            .schema
            .fields()
            .iter()
            .enumerate()
            .map(|(column, field)| {
                let domain = self.relation.domain(column);
                let cells: Vec<ArrayRef> =
                    rows.iter().map(|row| row[column].to_array_of(field.data_type(), domain)).collect::<Result<_>>()?;
                let cells: Vec<_> = cells.iter().map(AsRef::as_ref).collect();
                Ok(compute::concat(&cells)?)
            })
            .collect::<Result<Vec<_>>>()?;
        let batch = RecordBatch::try_new(self.relation.schema.clone(), columns)
            .map_err(|error| Error::new(ErrorKind::Constraint, error.to_string()).with_sqlstate("23502"))?;
        self.batches.push(batch);
        Ok(())
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        let _ = self.flush();
    }
}

impl std::fmt::Debug for Appender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Appender").field("relation", &self.relation.name).field("rows", &self.buffered).finish()
    }
}
