//! Which chunks of a relation a filter can leave out: those whose bounds say that no row in them passes.
//!
//! Only comparisons of columns with values, and what AND, OR and IN make of them, are looked at. What cannot be told
//! keeps the chunk: to leave none out is never wrong.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, new_null_array};
use arrow::compute;
use arrow::datatypes::SchemaRef;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column as Name, ScalarValue};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, InListExpr, Literal};
use datafusion::physical_expr::{PhysicalExpr, conjunction, split_conjunction};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;

use crate::base::error::Result;
use crate::plan::walk::Walk;
use crate::state::snapshot::Snapshot;

/// Whether each chunk of `snapshot` may have rows that pass `filter`, which is over the columns at `places`; `None` if
/// nothing can be told.
pub fn chunks_that_may_pass(
    filter: &Arc<dyn PhysicalExpr>,
    places: &[usize],
    snapshot: &Snapshot,
) -> Option<Vec<bool>> {
    if !snapshot.has_bounds() {
        return None;
    }
    let told: Vec<_> = split_conjunction(filter).into_iter().filter(|part| is_told(part)).cloned().collect();
    if told.is_empty() {
        return None;
    }
    let filter = conjunction(told);
    let schema: SchemaRef = Arc::new(snapshot.schema().project(places).ok()?);
    let mut columns = HashMap::new();
    filter
        .apply(|expr| {
            if let Some(column) = expr.downcast_ref::<Column>() {
                columns.insert(column.name().to_string(), column.index());
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .ok()?;
    // Columns are known by name from here on: two of one name cannot be told apart.
    let is_unique = |name: &str| schema.fields().iter().filter(|field| field.name() == name).count() == 1;
    if !columns.keys().all(|name| is_unique(name)) {
        return None;
    }
    let bounds = columns.into_iter().map(|(name, place)| Some((name, all_bounds(snapshot, *places.get(place)?).ok()?)));
    let bounds = Bounds { chunks: snapshot.chunks(), bounds: bounds.collect::<Option<_>>()? };
    PruningPredicateBuilder::new().with_file_schema(schema).try_build(filter).ok()?.prune(&bounds).ok()
}

/// Whether the expression is of those that are looked at.
fn is_told(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let (mut told, mut names) = (true, false);
    let walked = expr.apply(|expr| {
        use Operator as O;
        let compares = |op: &O| matches!(op, O::Eq | O::Lt | O::LtEq | O::Gt | O::GtEq | O::And | O::Or);
        names |= expr.downcast_ref::<Column>().is_some();
        told &= expr.downcast_ref::<BinaryExpr>().is_some_and(|binary| compares(binary.op()))
            || expr.downcast_ref::<InListExpr>().is_some_and(|list| !list.negated())
            || expr.downcast_ref::<Column>().is_some()
            || expr.downcast_ref::<Literal>().is_some();
        Ok(TreeNodeRecursion::Continue)
    });
    walked.is_ok() && told && names
}

/// The least and greatest values of a column, one of each a chunk; NULL where they are not known.
fn all_bounds(snapshot: &Snapshot, column: usize) -> Result<(ArrayRef, ArrayRef)> {
    let unknown = new_null_array(snapshot.schema().field(column).data_type(), 1);
    let (mut least, mut greatest) = (Vec::new(), Vec::new());
    for chunk in 0..snapshot.chunks() {
        let (one, other) = snapshot.bounds(chunk, column)?.unwrap_or_else(|| (unknown.clone(), unknown.clone()));
        least.push(one);
        greatest.push(other);
    }
    let concat = |parts: &[ArrayRef]| compute::concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<&dyn Array>>());
    Ok((concat(&least)?, concat(&greatest)?))
}

/// Bounds of columns by name.
struct Bounds {
    chunks: usize,
    bounds: HashMap<String, (ArrayRef, ArrayRef)>,
}

impl PruningStatistics for Bounds {
    fn min_values(&self, column: &Name) -> Option<ArrayRef> {
        self.bounds.get(&column.name).map(|(least, _)| least.clone())
    }

    fn max_values(&self, column: &Name) -> Option<ArrayRef> {
        self.bounds.get(&column.name).map(|(_, greatest)| greatest.clone())
    }

    fn num_containers(&self) -> usize {
        self.chunks
    }

    fn null_counts(&self, _column: &Name) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        None
    }

    fn contained(&self, _column: &Name, _values: &std::collections::HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
