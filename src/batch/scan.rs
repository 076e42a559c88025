//! Scans of the shared plan over actual contents.
//!
//! [`Contents::attach`] replaces every source of a plan: relations by what [`Relations`] gives (a snapshot and a
//! transaction's own changes over it), external rows by themselves. A relation is read chunk by chunk, lazily, with
//! only the columns asked for; its chunks are dealt out to partitions in turn. Row counts are exact, because `count(*)`
//! may be answered from them. A filter right above a scan stays where it is, but the scan leaves out rows it will drop
//! ([`Prefilter`]), before dead rows are sorted out and the other columns are copied, and chunks in which there is none
//! that passes.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNodeRecursion};
use datafusion::common::{Result as DataFusionResult, internal_err};
use datafusion::datasource::provider_as_source;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Expr, LogicalPlan, TableType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::scalar_subquery::ScalarSubqueryExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, EmissionType};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::{ExecutionPlan, ReplaceChildrenOptions};
use futures::stream::BoxStream;
use roaring::RoaringTreemap;

use crate::base::error::{Error, Result};
use crate::batch::leaf::{Leaf, LeafExec};
use crate::batch::pruning::chunks_that_may_pass;
use crate::catalog::layout::Layout;
use crate::catalog::relation::RelationId;
use crate::operator::error::{from_datafusion, to_datafusion};
use crate::plan::source::{ExternalSource, ROW_ID, RelationSource, RowSource};
use crate::plan::walk::Walk;
use crate::state::snapshot::Snapshot;
use crate::storage::spool::Rows as Inserted;

/// The row ids of a transaction's own rows count up from here; a relation's own never get so far.
pub const OVERLAY_ROW_ID: u64 = 1 << 63;

/// What a statement sees of each relation.
pub trait Relations: Send + Sync {
    /// The contents of relation `id`.
    fn scan(&self, id: RelationId) -> Result<ScanInput>;
}

/// Contents by relation, outside of a published version.
#[derive(Debug, Default)]
pub struct Snapshots {
    /// The contents.
    pub kept: HashMap<RelationId, Snapshot>,
}

impl Relations for Snapshots {
    fn scan(&self, id: RelationId) -> Result<ScanInput> {
        let snapshot = self.kept.get(&id).cloned();
        let snapshot = snapshot.ok_or_else(|| Error::internal(format!("relation {id} is not kept")))?;
        Ok(ScanInput { snapshot, deleted: None, inserted: Vec::new(), places: None })
    }
}

/// The contents of one relation as a statement sees them.
#[derive(Clone)]
pub struct ScanInput {
    /// The committed rows.
    pub snapshot: Snapshot,
    /// The row ids that the transaction has deleted.
    pub deleted: Option<Arc<RoaringTreemap>>,
    /// The rows that the transaction has inserted; their ids are [`OVERLAY_ROW_ID`] and upwards, in order.
    pub inserted: Vec<Inserted>,
    /// Where the columns of the inserted rows stand, if they are not those of the snapshot.
    pub places: Option<Arc<[Option<usize>]>>,
}

impl ScanInput {
    /// Committed rows alone.
    #[cfg(test)]
    pub fn of(snapshot: Snapshot) -> Self {
        ScanInput { snapshot, deleted: None, inserted: vec![], places: None }
    }

    /// The same rows as a view sees them, which was made when their relation had other columns.
    fn seen_as(self, layout: &Layout) -> Result<Self> {
        if layout.is_of(&self.snapshot.layout().ids) {
            return Ok(self);
        }
        let places = layout.places(&self.snapshot.layout().ids).into();
        Ok(ScanInput { snapshot: self.snapshot.seen_as(layout.clone()), places: Some(places), ..self })
    }

    /// How many rows there are; not exact where a transaction deleted some.
    fn row_count(&self) -> Precision<usize> {
        let inserted: usize = self.inserted.iter().map(Inserted::len).sum();
        let total = usize::try_from(self.snapshot.num_rows()).ok().and_then(|rows| rows.checked_add(inserted));
        match (total, &self.deleted) {
            (Some(total), None) => Precision::Exact(total),
            (Some(total), Some(deleted)) if deleted.is_empty() => Precision::Exact(total),
            (Some(total), Some(deleted)) => Precision::Inexact(total.saturating_sub(deleted.len() as usize)),
            (None, _) => Precision::Absent,
        }
    }

    /// How many pieces can be read apart: chunks of the snapshot, then batches of the overlay.
    fn pieces(&self) -> usize {
        self.snapshot.chunks() + self.inserted.iter().map(Inserted::pieces).sum::<usize>()
    }

    /// One piece with the columns at `columns`, and row ids behind them if asked for; committed rows that `keep` drops
    /// may be missing.
    fn read(
        &self,
        piece: usize,
        columns: &[usize],
        row_ids: bool,
        keep: &dyn Fn(&RecordBatch) -> Option<BooleanArray>,
    ) -> Result<Option<RecordBatch>> {
        let chunks = self.snapshot.chunks();
        match piece.checked_sub(chunks) {
            None => match &self.deleted {
                Some(deleted) if !deleted.is_empty() => {
                    let batch = self.snapshot.read_chunk_where(piece, Some(columns), true, keep)?;
                    batch.map(|batch| without_deleted(&batch, deleted, row_ids)).transpose()
                }
                _ => self.snapshot.read_chunk_where(piece, Some(columns), row_ids, keep),
            },
            Some(index) => self.overlay(index, columns, row_ids),
        }
    }

    /// One piece of the rows that the transaction inserted.
    fn overlay(&self, index: usize, columns: &[usize], row_ids: bool) -> Result<Option<RecordBatch>> {
        let pieces = self.inserted.iter().flat_map(|rows| (0..rows.pieces()).map(move |number| (rows, number)));
        let (mut first, mut pieces) = (OVERLAY_ROW_ID, pieces);
        for (rows, number) in pieces.by_ref().take(index) {
            first += rows.piece_len(number) as u64;
        }
        let Some((rows, number)) = pieces.next() else { return Ok(None) };
        let (layout, count) = (self.snapshot.layout(), rows.piece_len(number));
        let column = |&column: &usize| match self.places.as_ref().map_or(Some(column), |places| places[column]) {
            Some(place) => rows.column(number, place),
            None => layout.missing_column(column, count),
        };
        let mut arrays = columns.iter().map(column).collect::<Result<Vec<_>>>()?;
        let mut fields = layout.schema.project(columns)?.fields().to_vec();
        if row_ids {
            arrays.push(Arc::new(UInt64Array::from_iter_values(first..first + count as u64)));
            fields.push(Arc::new(Field::new(ROW_ID, DataType::UInt64, false)));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        Ok(Some(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)?))
    }
}

/// The rows of a batch, with row ids in its last column, that are not deleted.
fn without_deleted(batch: &RecordBatch, deleted: &RoaringTreemap, row_ids: bool) -> Result<RecordBatch> {
    let last = batch.num_columns().saturating_sub(1);
    let ids = batch.column(last).as_primitive::<UInt64Type>();
    let mask: BooleanArray = ids.values().iter().map(|&id| Some(!deleted.contains(id))).collect();
    let batch = filter_record_batch(batch, &mask)?;
    match row_ids {
        true => Ok(batch),
        false => Ok(batch.project(&(0..last).collect::<Vec<_>>())?),
    }
}

/// What the plans of one query read.
pub(crate) struct Contents<'a> {
    relations: &'a dyn Relations,
    /// A relation that is scanned twice is asked for once, so that both scans see the same contents.
    inputs: BTreeMap<RelationId, ScanInput>,
}

impl<'a> Contents<'a> {
    pub(crate) fn of(relations: &'a dyn Relations) -> Self {
        Contents { relations, inputs: BTreeMap::new() }
    }

    /// The plan with every source replaced by one that DataFusion can read.
    pub(crate) fn attach(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let attached = plan.transform_up(|node| {
            let LogicalPlan::TableScan(mut scan) = node else { return Ok(Transformed::no(node)) };
            if let Some(source) = scan.source.downcast_ref::<RelationSource>() {
                let input = self.input(source.relation.id).map_err(to_datafusion)?;
                let input = Arc::new(input.seen_as(&source.relation.layout()).map_err(to_datafusion)?);
                let rows = Rows::Relation { name: source.relation.name.clone(), input, row_ids: source.row_ids };
                let schema = datafusion::logical_expr::TableSource::schema(source);
                scan.source = provider_as_source(Arc::new(Table { schema, rows }));
            } else if let Some(source) = scan.source.downcast_ref::<ExternalSource>() {
                let rows = Rows::External { name: source.name.clone(), rows: source.rows.clone() };
                scan.source = provider_as_source(Arc::new(Table { schema: source.rows.schema(), rows }));
            } else {
                return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
            }
            Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
        });
        attached.data().map_err(from_datafusion)
    }

    fn input(&mut self, id: RelationId) -> Result<ScanInput> {
        if let Some(input) = self.inputs.get(&id) {
            return Ok(input.clone());
        }
        let input = self.relations.scan(id)?;
        self.inputs.insert(id, input.clone());
        Ok(input)
    }
}

/// Where rows come from.
#[derive(Clone)]
enum Rows {
    Relation { name: String, input: Arc<ScanInput>, row_ids: bool },
    External { name: String, rows: Arc<dyn RowSource> },
}

impl Rows {
    fn name(&self) -> &str {
        match self {
            Rows::Relation { name, .. } | Rows::External { name, .. } => name,
        }
    }

    fn row_count(&self) -> Precision<usize> {
        match self {
            Rows::Relation { input, .. } => input.row_count(),
            Rows::External { rows, .. } => rows.row_count().map_or(Precision::Absent, Precision::Exact),
        }
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// DataFusion's face of rows.
#[derive(Debug)]
struct Table {
    schema: SchemaRef,
    rows: Rows,
}

#[async_trait]
impl TableProvider for Table {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let columns = match projection {
            Some(columns) => columns.clone(),
            None => (0..self.schema.fields().len()).collect(),
        };
        let partitions = state.config().target_partitions();
        Ok(Arc::new(Scan::node(self.rows.clone(), &self.schema, columns, partitions)?))
    }
}

/// Reads rows.
#[derive(Debug, Clone)]
struct Scan {
    rows: Rows,
    /// The columns read, by position in the source; a row id's position is behind the relation's columns.
    columns: Vec<usize>,
    partitions: usize,
    /// Rows for which this is not true are not wanted, but may come.
    filter: Option<Arc<dyn PhysicalExpr>>,
}

impl Scan {
    /// A node that reads `columns` of rows with the columns of `schema`.
    fn node(
        rows: Rows,
        schema: &SchemaRef,
        columns: Vec<usize>,
        partitions: usize,
    ) -> DataFusionResult<LeafExec<Scan>> {
        let partitions = match &rows {
            Rows::Relation { input, .. } => input.pieces().clamp(1, partitions.max(1)),
            Rows::External { .. } => 1,
        };
        let schema = Arc::new(schema.project(&columns)?);
        let scan = Scan { rows, columns, partitions, filter: None };
        Ok(LeafExec::new(scan, schema, partitions, EmissionType::Incremental))
    }

    /// The batches of one partition, each read when it is asked for.
    fn read(
        &self,
        partition: usize,
        schema: &SchemaRef,
    ) -> Result<Box<dyn Iterator<Item = Result<RecordBatch>> + Send>> {
        let schema = schema.clone();
        match &self.rows {
            Rows::External { rows, .. } => {
                let batches = rows.scan(Some(&self.columns))?;
                Ok(Box::new(batches.map(move |batch| with_schema(&batch?, &schema))))
            }
            Rows::Relation { input, row_ids, .. } => {
                let (input, all) = (input.clone(), self.columns.clone());
                let width = input.snapshot.schema().fields().len();
                // The row id may stand anywhere among the columns asked for; it is read last and moved there.
                let wanted: Vec<usize> = all.iter().copied().filter(|&column| column < width).collect();
                let with_ids = *row_ids && wanted.len() != all.len();
                let mut next = 0;
                let order: Vec<usize> = all
                    .iter()
                    .map(|&column| {
                        if column >= width {
                            return wanted.len();
                        }
                        next += 1;
                        next - 1
                    })
                    .collect();
                let mut prefilter = self.filter.as_ref().and_then(|filter| over_columns(filter, &order, wanted.len()));
                let may_pass =
                    prefilter.as_ref().and_then(|filter| chunks_that_may_pass(filter, &wanted, &input.snapshot));
                let is_wanted =
                    move |piece: &usize| may_pass.as_ref().is_none_or(|may| may.get(*piece) != Some(&false));
                let pieces = (0..input.pieces()).filter(is_wanted).skip(partition).step_by(self.partitions.max(1));
                Ok(Box::new(pieces.filter_map(move |piece| {
                    let passed = Cell::new(false);
                    let keep = |rows: &RecordBatch| {
                        let mask = kept(prefilter.as_ref()?, rows);
                        passed.set(mask.is_none());
                        mask
                    };
                    let batch = input.read(piece, &wanted, with_ids, &keep).transpose();
                    if passed.get() {
                        // Where it drops little or fails, to filter twice costs more than it saves.
                        prefilter = None;
                    }
                    let batch = batch?;
                    let batch = batch.and_then(|batch| match with_ids {
                        true => Ok(batch.project(&order)?),
                        false => Ok(batch),
                    });
                    Some(batch.and_then(|batch| with_schema(&batch, &schema)))
                })))
            }
        }
    }
}

/// The filter over the columns that are read, whose position is `order` of that in the scan's output; `None` if it
/// needs what is not a column of the relation.
fn over_columns(filter: &Arc<dyn PhysicalExpr>, order: &[usize], width: usize) -> Option<Arc<dyn PhysicalExpr>> {
    let moved = filter.clone().transform_up(|expr| {
        let Some(column) = expr.downcast_ref::<Column>() else { return Ok(Transformed::no(expr)) };
        match order.get(column.index()) {
            Some(&place) if place < width => Ok(Transformed::yes(Arc::new(Column::new(column.name(), place)) as _)),
            _ => internal_err!("a filter on row ids"),
        }
    });
    moved.data().ok()
}

/// The rows that the filter keeps, if it can be said beforehand and is worth it.
fn kept(filter: &Arc<dyn PhysicalExpr>, rows: &RecordBatch) -> Option<BooleanArray> {
    // An error may come from a dead row; if not, the filter above finds it again.
    let mask = filter.evaluate(rows).ok()?.into_array(rows.num_rows()).ok()?;
    let mask = mask.as_boolean_opt()?.clone();
    (mask.true_count() * 4 <= mask.len()).then_some(mask)
}

/// Shows each scan the filter right above it.
#[derive(Debug)]
pub(crate) struct Prefilter;

impl PhysicalOptimizerRule for Prefilter {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let shown = plan.transform_up(|node| {
            let Some(filter) = node.downcast_ref::<FilterExec>() else { return Ok(Transformed::no(node)) };
            let Some(leaf) = filter.input().downcast_ref::<LeafExec<Scan>>() else { return Ok(Transformed::no(node)) };
            let scan = leaf.leaf();
            if scan.filter.is_some() || !is_repeatable(filter.predicate())? {
                return Ok(Transformed::no(node));
            }
            let scan = Scan { filter: Some(filter.predicate().clone()), ..scan.clone() };
            let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
            Ok(Transformed::yes(node.clone().replace_children(vec![Arc::new(leaf.with_leaf(scan))], options)?))
        });
        shown.data()
    }

    fn name(&self) -> &str {
        "prefilter"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether evaluating the expression once more, and earlier, changes nothing.
fn is_repeatable(expr: &Arc<dyn PhysicalExpr>) -> DataFusionResult<bool> {
    let mut repeatable = true;
    expr.apply(|expr| {
        repeatable &= !expr.is_volatile_node() && expr.downcast_ref::<ScalarSubqueryExpr>().is_none();
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(repeatable)
}

/// The columns under the scan's own schema, which promises no more than the relation does.
fn with_schema(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), batch.columns().to_vec(), &options)?)
}

/// Pieces of at most `rows` rows: what DataFusion's operators keep in the cache. Slicing copies nothing.
fn pieces_of(batch: RecordBatch, rows: usize) -> impl Iterator<Item = RecordBatch> {
    let total = batch.num_rows();
    let rows = rows.max(1);
    (0..total).step_by(rows).map(move |offset| batch.slice(offset, rows.min(total - offset)))
}

impl Leaf for Scan {
    const NAME: &'static str = "Scan";

    fn describe(&self, schema: &SchemaRef, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        write!(f, "{}, columns=[{}], partitions={}", self.rows.name(), names.join(", "), self.partitions)?;
        match self.rows.row_count() {
            Precision::Exact(rows) => write!(f, ", rows={rows}"),
            Precision::Inexact(rows) => write!(f, ", rows~{rows}"),
            Precision::Absent => Ok(()),
        }
    }

    fn batches(
        &self,
        schema: &SchemaRef,
        partition: usize,
        context: &Arc<TaskContext>,
    ) -> DataFusionResult<BoxStream<'static, DataFusionResult<RecordBatch>>> {
        let rows = context.session_config().batch_size();
        let batches = self.read(partition, schema).map_err(to_datafusion)?;
        let batches = batches.flat_map(move |batch| match batch {
            Ok(batch) => batches_or_error(Ok(pieces_of(batch, rows))),
            Err(error) => batches_or_error(Err(error)),
        });
        Ok(Box::pin(futures::stream::iter(batches)))
    }

    fn row_count(&self, partition: Option<usize>) -> Precision<usize> {
        let rows = match partition {
            None => self.rows.row_count(),
            Some(_) if self.partitions == 1 => self.rows.row_count(),
            Some(_) => Precision::Absent,
        };
        if self.filter.is_some() { rows.to_inexact() } else { rows }
    }
}

/// Batches, or one error.
fn batches_or_error(
    batches: Result<impl Iterator<Item = RecordBatch> + Send>,
) -> impl Iterator<Item = DataFusionResult<RecordBatch>> + Send {
    let (batches, error) = match batches {
        Ok(batches) => (Some(batches), None),
        Err(error) => (None, Some(Err(to_datafusion(error)))),
    };
    batches.into_iter().flatten().map(Ok).chain(error)
}
