//! What a scan of a shared plan may read: a relation of the catalog, or rows from elsewhere.
//!
//! Drivers downcast a scan's `TableSource` to [`RelationSource`] or [`ExternalSource`]; any other source comes from
//! DataFusion itself (work tables of recursive queries, `generate_series`). A source knows columns, never contents.

use std::borrow::Cow;
use std::fmt::{self, Debug};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::logical_expr::{LogicalPlan, TableSource, TableType};

use crate::base::domain::Domain;
use crate::base::error::Result;
use crate::catalog::relation::Relation;

/// The hidden column of row ids (UInt64) that UPDATE and DELETE plans read.
pub const ROW_ID: &str = "_rowid";

/// The key in a field's metadata under which its domain stands, as far as columns are handed on as they are.
pub(crate) const DOMAIN: &str = "eddy.domain";

/// A scan of a relation's contents.
#[derive(Debug, Clone)]
pub struct RelationSource {
    /// The relation read.
    pub relation: Arc<Relation>,
    /// Whether the scan has the column [`ROW_ID`] after the relation's own.
    pub row_ids: bool,
    schema: SchemaRef,
}

impl RelationSource {
    /// A scan of `relation`; with `row_ids` its rows carry their identity as a last column.
    pub fn new(relation: Arc<Relation>, row_ids: bool) -> Self {
        let schema = if row_ids || !relation.domains.is_empty() {
            let fields = relation.schema.fields().iter().enumerate();
            let mut fields: Vec<_> = fields.map(|(column, field)| told(field, relation.domain(column))).collect();
            if row_ids {
                fields.push(Arc::new(Field::new(ROW_ID, DataType::UInt64, false)));
            }
            Arc::new(Schema::new(fields))
        } else {
            relation.schema.clone()
        };
        RelationSource { relation, row_ids, schema }
    }
}

/// The field with its domain, if it has one, for the planner to read.
fn told(field: &FieldRef, domain: Option<Domain>) -> FieldRef {
    match domain {
        Some(domain) => {
            let metadata = [(DOMAIN.to_string(), domain.to_string())].into();
            Arc::new(field.as_ref().clone().with_metadata(metadata))
        }
        None => field.clone(),
    }
}

/// The domain of a field of a plan, if it is known.
pub(crate) fn domain_of(field: &Field) -> Option<Domain> {
    field.metadata().get(DOMAIN).and_then(|name| Domain::named(name))
}

impl TableSource for RelationSource {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

/// Batches of rows, read to the end.
pub type RowIterator = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// Rows that do not live in a relation: a file, a system table.
pub trait RowSource: Debug + Send + Sync {
    /// The columns.
    fn schema(&self) -> SchemaRef;

    /// Reads all rows, with the columns at `projection` only where one is given.
    fn scan(&self, projection: Option<&[usize]>) -> Result<RowIterator>;

    /// How many rows there are, where that is known exactly.
    fn row_count(&self) -> Option<usize> {
        None
    }
}

/// Rows held in memory as one batch: system tables.
#[derive(Debug, Clone)]
pub struct BatchSource(pub RecordBatch);

impl RowSource for BatchSource {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn scan(&self, projection: Option<&[usize]>) -> Result<RowIterator> {
        let batch = match projection {
            Some(columns) => self.0.project(columns)?,
            None => self.0.clone(),
        };
        Ok(Box::new(std::iter::once(Ok(batch))))
    }

    fn row_count(&self) -> Option<usize> {
        Some(self.0.num_rows())
    }
}

/// A scan of rows that do not live in a relation.
#[derive(Debug, Clone)]
pub struct ExternalSource {
    /// What it is called in EXPLAIN and errors.
    pub name: String,
    /// Where the rows come from.
    pub rows: Arc<dyn RowSource>,
}

impl TableSource for ExternalSource {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }
}

/// A view, expanded to its plan where it is read.
pub struct ViewSource {
    schema: SchemaRef,
    plan: LogicalPlan,
}

impl ViewSource {
    /// A view with the columns of `schema`, computed by `plan`.
    pub fn new(schema: SchemaRef, plan: LogicalPlan) -> Self {
        ViewSource { schema, plan }
    }
}

impl Debug for ViewSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ViewSource").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl TableSource for ViewSource {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        Some(Cow::Borrowed(&self.plan))
    }
}
