//! EXCEPT ALL and INTERSECT ALL by counting.
//!
//! DataFusion lowers both to semi and anti joins, which lose multiplicities. Here both sides are united with a mark
//! of their side, counted per distinct row (NULL equals NULL), and each row is given back `l - r` or `min(l, r)` times
//! by unnesting a list of that length. Union, aggregate, filter and unnest are incremental, and so is this.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int8Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{
    AggregateUDF, ColumnarValue, Expr, LogicalPlan, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility, lit, when,
};

use crate::base::error::{Error, Result};
use crate::operator::error::{from_datafusion, to_datafusion};
use crate::plan::functions::one_argument;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SetOperation {
    /// A row occurs max(l - r, 0) times.
    Except,
    /// A row occurs min(l, r) times.
    Intersect,
}

const LEFT: &str = "__left";
const RIGHT: &str = "__right";
const COPIES: &str = "__copies";

/// The rows of the set operation with its multiplicities; columns are named as in `left`.
pub(crate) fn with_multiplicities(
    operation: SetOperation,
    left: LogicalPlan,
    right: LogicalPlan,
    count: Arc<AggregateUDF>,
) -> Result<LogicalPlan> {
    let (width, other) = (left.schema().fields().len(), right.schema().fields().len());
    if width != other {
        let message = format!("the sides of a set operation have {width} and {other} columns");
        return Err(Error::invalid(message).with_sqlstate("42601"));
    }
    let names: Vec<String> = left.schema().fields().iter().map(|field| field.name().clone()).collect();
    let columns = || (0..width).map(|index| bare(&format!("__c{index}")));
    let side = |plan: LogicalPlan, is_left: bool| {
        let renamed = plan.schema().columns().into_iter().enumerate();
        let renamed = renamed.map(|(index, column)| Expr::Column(column).alias(format!("__c{index}")));
        let mark = |set: bool| lit(ScalarValue::Int64(set.then_some(1)));
        let marks = [mark(is_left).alias(LEFT), mark(!is_left).alias(RIGHT)];
        let list: Vec<Expr> = renamed.chain(marks).collect();
        LogicalPlanBuilder::from(plan).project(list).and_then(LogicalPlanBuilder::build)
    };
    let counted = |name: &str| {
        let call = AggregateFunction::new_udf(count.clone(), vec![bare(name)], false, None, vec![], None);
        Expr::AggregateFunction(call).alias(format!("__n{name}"))
    };
    let (l, r) = (bare(&format!("__n{LEFT}")), bare(&format!("__n{RIGHT}")));
    let (keep, copies) = match operation {
        SetOperation::Except => (l.clone().gt(r.clone()), Ok(l - r)),
        SetOperation::Intersect => {
            (l.clone().gt(lit(0i64)).and(r.clone().gt(lit(0i64))), when(l.clone().lt(r.clone()), l).otherwise(r))
        }
    };
    let plan = || -> datafusion::common::Result<LogicalPlan> {
        let copies = ScalarUDF::from(Copies::new()).call(vec![copies?]).alias(COPIES);
        LogicalPlanBuilder::from(side(left, true)?)
            .union(side(right, false)?)?
            .aggregate(columns().collect::<Vec<_>>(), vec![counted(LEFT), counted(RIGHT)])?
            .filter(keep)?
            .project(columns().chain([copies]).collect::<Vec<_>>())?
            .unnest_column(Column::new_unqualified(COPIES))?
            .project(columns().zip(names).map(|(column, name)| column.alias(name)).collect::<Vec<_>>())?
            .build()
    };
    plan().map_err(from_datafusion)
}

fn bare(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

/// `eddy_copies(n)`: a list of n zeros.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Copies {
    signature: Signature,
}

impl Copies {
    fn new() -> Self {
        Copies { signature: Signature::exact(vec![DataType::Int64], Volatility::Immutable) }
    }
}

fn item() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Int8, true))
}

impl ScalarUDFImpl for Copies {
    fn name(&self) -> &str {
        "eddy_copies"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> datafusion::common::Result<DataType> {
        Ok(DataType::List(item()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> datafusion::common::Result<ColumnarValue> {
        let counts = one_argument(self.name(), &args)?;
        Ok(ColumnarValue::Array(copies(&counts).map_err(to_datafusion)?))
    }
}

fn copies(counts: &ArrayRef) -> Result<ArrayRef> {
    let counts =
        counts.as_primitive_opt::<Int64Type>().ok_or_else(|| Error::internal("copies are counted in BIGINT"))?;
    let lengths: Vec<usize> = (0..counts.len())
        .map(|row| if counts.is_null(row) { 0 } else { usize::try_from(counts.value(row)).unwrap_or(0) })
        .collect();
    let total = lengths.iter().try_fold(0usize, |total, length| total.checked_add(*length));
    let total = total.filter(|&total| total <= i32::MAX as usize);
    let total = total.ok_or_else(|| Error::data("a row occurs too often in a set operation"))?;
    let values = Arc::new(Int8Array::from(vec![0; total]));
    Ok(Arc::new(ListArray::try_new(item(), OffsetBuffer::from_lengths(lengths), values, None)?))
}
