//! Constants folded and conditions brought into shape, as far as that holds for NULL, errors and every value.
//!
//! In place of DataFusion's rule of the same purpose, which among hundreds of identities holds some that are not:
//! it merges `x NOT IN (5) OR x NOT IN (7)` to true, compares `CAST(b AS INT) > 1` as `b > 1` and so loses the error
//! or NULL of the cast, and makes `power(x, 0)` 1 for NULL. Here stand the few that others build on: literals where
//! nothing varies, AND and OR with constants, repeated and common conditions (which lets equalities below OR become
//! join keys), NOT moved inwards, BETWEEN as two comparisons, CASE with constant conditions, and casts taken off a
//! comparison where the cast neither fails nor maps two values to one.
//!
//! What fails to compute stays as it is, to fail when, and only if, it is evaluated.

use std::sync::{Arc, LazyLock};

use crate::plan::walk::Walk;
use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, DFSchemaRef, Result, ScalarValue};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::expr::{Between, BinaryExpr, Case, InList, Like, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::utils::{conjunction, merge_schema, split_conjunction};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Operator, Volatility, lit, not};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use datafusion::physical_expr::create_physical_expr;

/// The rule.
#[derive(Debug)]
pub(crate) struct Simplify;

/// Functions that are what their simplification says; the others compute what they are asked.
const DEFINED_BY_SIMPLIFICATION: [&str; 6] =
    ["coalesce", "nvl2", "arrow_cast", "arrow_try_cast", "cast_to_type", "try_cast_to_type"];

/// How often one simplification may open the way to another.
const CYCLES_MAX: usize = 4;

impl OptimizerRule for Simplify {
    fn name(&self) -> &str {
        "simplify"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        simplify_node(plan, config.options())
    }
}

/// Simplifies the expressions of one node; outputs keep their names.
pub(crate) fn simplify_node(plan: LogicalPlan, options: Arc<ConfigOptions>) -> Result<Transformed<LogicalPlan>> {
    let schema = match &plan {
        // Filters pushed into a scan may use columns that it does not give out.
        LogicalPlan::TableScan(scan) => {
            DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?
        }
        other => merge_schema(&other.inputs()),
    };
    let simplifier = Simplifier::new(Arc::new(schema), options);
    let names = NamePreserver::new(&plan);
    let mut simplify = |expr: Expr| {
        let name = names.save(&expr);
        Ok(simplifier.simplify(expr)?.update_data(|expr| name.restore(expr)))
    };
    plan.map_expressions(|expr| match expr {
        Expr::GroupingSet(_) => expr.map_children(&mut simplify),
        other => simplify(other),
    })
}

struct Simplifier {
    schema: DFSchemaRef,
    context: SimplifyContext,
    properties: ExecutionProps,
}

impl Simplifier {
    fn new(schema: DFSchemaRef, options: Arc<ConfigOptions>) -> Self {
        let context =
            SimplifyContext::builder().with_schema(schema.clone()).with_config_options(options.clone()).build();
        let mut properties = ExecutionProps::new();
        properties.config_options = Some(options);
        Simplifier { schema, context, properties }
    }

    fn simplify(&self, expr: Expr) -> Result<Transformed<Expr>> {
        let mut expr = Transformed::no(expr);
        for _ in 0..CYCLES_MAX {
            let next = expr.data.transform_up(|expr| self.step(expr))?;
            let changed = next.transformed;
            expr = Transformed::new_transformed(next.data, expr.transformed || changed);
            if !changed {
                break;
            }
        }
        Ok(expr)
    }

    /// Simplifies an expression whose operands are simplified.
    fn step(&self, expr: Expr) -> Result<Transformed<Expr>> {
        if let Some(value) = self.constant(&expr) {
            return Ok(Transformed::yes(Expr::Literal(value, None)));
        }
        match expr {
            Expr::BinaryExpr(binary) => self.binary(binary),
            Expr::Not(inner) => Ok(negate(*inner)),
            Expr::Between(between) if !between.expr.is_volatile() => Ok(Transformed::yes(comparisons(between))),
            Expr::InList(list) => Ok(self.list(list)),
            Expr::Case(case) if case.expr.is_none() => self.case(case),
            Expr::ScalarFunction(ScalarFunction { func, args }) if DEFINED_BY_SIMPLIFICATION.contains(&func.name()) => {
                Ok(match func.simplify(args, &self.context)? {
                    ExprSimplifyResult::Simplified(expr) => Transformed::yes(expr),
                    ExprSimplifyResult::Original(args) => {
                        Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args }))
                    }
                })
            }
            other => Ok(Transformed::no(other)),
        }
    }

    /// The value of an expression of literals, if it can be computed and has the type that was settled for it.
    fn constant(&self, expr: &Expr) -> Option<ScalarValue> {
        let foldable = match expr {
            Expr::ScalarFunction(call) => call.func.signature().volatility == Volatility::Immutable,
            Expr::BinaryExpr(_)
            | Expr::Not(_)
            | Expr::Negative(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsNotTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsNotFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotUnknown(_)
            | Expr::Cast(_)
            | Expr::TryCast(_)
            | Expr::Between(_)
            | Expr::InList(_)
            | Expr::Like(_)
            | Expr::SimilarTo(_)
            | Expr::Case(_) => true,
            _ => false,
        };
        if !foldable || !has_literal_operands(expr) {
            return None;
        }
        let data_type = expr.get_type(&self.schema).ok()?;
        let context = PhysicalPlanningContext::default();
        let physical = create_physical_expr(expr, &NO_COLUMNS, &self.properties, &context).ok()?;
        let array = physical.evaluate(&ONE_ROW).and_then(|value| value.into_array(1)).ok()?;
        let value = ScalarValue::try_from_array(&array, 0).ok()?;
        (array.len() == 1 && value.data_type() == data_type).then_some(value)
    }

    fn binary(&self, binary: BinaryExpr) -> Result<Transformed<Expr>> {
        let BinaryExpr { left, op, right } = binary;
        if op.returns_null_on_null() && (is_null(&left) || is_null(&right)) {
            let whole = Expr::BinaryExpr(BinaryExpr { left, op, right });
            let null = ScalarValue::try_new_null(&whole.get_type(&self.schema)?)?;
            return Ok(Transformed::yes(Expr::Literal(null, None)));
        }
        let (left, right) = match op {
            Operator::And | Operator::Or => return Ok(logical(*left, op, *right)),
            _ => (*left, *right),
        };
        match op.swap() {
            // The literal stands on the right, where other rules look for it.
            Some(swapped) if matches!(left, Expr::Literal(..)) && !matches!(right, Expr::Literal(..)) => {
                let swapped = compared(right, swapped, left);
                Ok(Transformed::yes(self.without_cast(swapped).data))
            }
            Some(_) => match (op, as_bool(&right)) {
                (Operator::Eq, Some(true)) | (Operator::NotEq, Some(false)) => Ok(Transformed::yes(left)),
                (Operator::Eq, Some(false)) | (Operator::NotEq, Some(true)) => Ok(Transformed::yes(not(left))),
                _ => Ok(self.without_cast(compared(left, op, right))),
            },
            None => Ok(Transformed::no(compared(left, op, right))),
        }
    }

    /// `CAST(x AS wider) operator literal` as a comparison with x itself.
    fn without_cast(&self, expr: Expr) -> Transformed<Expr> {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return Transformed::no(expr) };
        if op.supports_propagation()
            && let Some((inner, data_type)) = self.lossless(&left)
            && let Some(literal) = narrowed(&right, &data_type)
        {
            return Transformed::yes(compared(inner.clone(), op, literal));
        }
        Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))
    }

    fn list(&self, list: InList) -> Transformed<Expr> {
        let InList { expr, mut list, negated } = list;
        if let [only] = list.as_mut_slice() {
            let op = if negated { Operator::NotEq } else { Operator::Eq };
            return Transformed::yes(compared(*expr, op, std::mem::take(only)));
        }
        if let Some((inner, data_type)) = self.lossless(&expr)
            && let Some(list) = list.iter().map(|item| narrowed(item, &data_type)).collect::<Option<Vec<_>>>()
        {
            return Transformed::yes(Expr::InList(InList { expr: Box::new(inner.clone()), list, negated }));
        }
        Transformed::no(Expr::InList(InList { expr, list, negated }))
    }

    /// The inside of a cast that neither fails nor maps two values to one nor changes their order, and its type.
    fn lossless<'a>(&self, expr: &'a Expr) -> Option<(&'a Expr, DataType)> {
        let (inner, target) = match expr {
            Expr::Cast(cast) => (cast.expr.as_ref(), cast.field.data_type()),
            Expr::TryCast(cast) => (cast.expr.as_ref(), cast.field.data_type()),
            _ => return None,
        };
        let source = inner.get_type(&self.schema).ok()?;
        is_lossless(&source, target).then_some((inner, source))
    }

    /// CASE without the branches that are never taken, and what stands behind one that always is.
    fn case(&self, case: Case) -> Result<Transformed<Expr>> {
        let constant = |when: &Expr| is_null(when) || as_bool(when).is_some();
        if !case.when_then_expr.iter().any(|(when, _)| constant(when)) {
            return Ok(Transformed::no(Expr::Case(case)));
        }
        let data_type = Expr::Case(case.clone()).get_type(&self.schema)?;
        let (mut branches, mut otherwise) = (vec![], case.else_expr);
        for (when, then) in case.when_then_expr {
            match as_bool(&when) {
                Some(true) => {
                    otherwise = Some(then);
                    break;
                }
                Some(false) => {}
                None if is_null(&when) => {}
                None => branches.push((when, then)),
            }
        }
        if !branches.is_empty() {
            return Ok(Transformed::yes(Expr::Case(Case {
                expr: None,
                when_then_expr: branches,
                else_expr: otherwise,
            })));
        }
        match otherwise {
            Some(value) => Ok(Transformed::yes(value.cast_to(&data_type, &self.schema)?)),
            None => Ok(Transformed::yes(Expr::Literal(ScalarValue::try_new_null(&data_type)?, None))),
        }
    }
}

static NO_COLUMNS: LazyLock<DFSchema> = LazyLock::new(DFSchema::empty);

/// One row without columns, over which constants are computed.
static ONE_ROW: LazyLock<RecordBatch> = LazyLock::new(|| {
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).expect("no columns to disagree")
});

/// Whether all direct operands are literals: what could not be folded keeps what is above it from being folded.
fn has_literal_operands(expr: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNodeRecursion;
    let mut literal = true;
    let visited = expr.apply_children(|operand| {
        literal &= matches!(operand, Expr::Literal(..));
        Ok(if literal { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    literal && visited.is_ok()
}

fn compared(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr { left: Box::new(left), op, right: Box::new(right) })
}

fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value, _) if value.is_null())
}

fn as_bool(expr: &Expr) -> Option<bool> {
    match expr {
        Expr::Literal(ScalarValue::Boolean(value), _) => *value,
        _ => None,
    }
}

/// AND and OR over simplified operands.
fn logical(left: Expr, op: Operator, right: Expr) -> Transformed<Expr> {
    // The value that decides, whatever the other operand is.
    let decisive = op == Operator::Or;
    match (as_bool(&left), as_bool(&right)) {
        (Some(value), _) if value == decisive => return Transformed::yes(left),
        (_, Some(value)) if value == decisive => return Transformed::yes(right),
        (Some(_), _) => return Transformed::yes(right),
        (_, Some(_)) => return Transformed::yes(left),
        _ => {}
    }
    match op {
        Operator::And => match split_conjunction(&left).contains(&&right) && !right.is_volatile() {
            true => Transformed::yes(left),
            false => Transformed::no(left.and(right)),
        },
        _ => factored(left, right),
    }
}

/// `(a AND b) OR (a AND c)` as `a AND (b OR c)`.
fn factored(left: Expr, right: Expr) -> Transformed<Expr> {
    let (of_left, of_right) = (split_conjunction(&left), split_conjunction(&right));
    let is_common = |expr: &&Expr| of_right.contains(expr) && !expr.is_volatile();
    let common: Vec<&Expr> = of_left.iter().copied().filter(is_common).collect();
    if common.is_empty() {
        return Transformed::no(left.or(right));
    }
    let rest = |of: &[&Expr]| conjunction(of.iter().filter(|expr| !common.contains(expr)).map(|expr| (*expr).clone()));
    let differing = match (rest(&of_left), rest(&of_right)) {
        (Some(left), Some(right)) => Some(left.or(right)),
        // One side is the common part alone, and the other asks for more.
        _ => None,
    };
    let factored = conjunction(common.into_iter().cloned().chain(differing));
    Transformed::yes(factored.unwrap_or_else(|| lit(true)))
}

/// NOT, moved to where it disappears.
fn negate(expr: Expr) -> Transformed<Expr> {
    Transformed::yes(match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => not(*left).or(not(*right)),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => not(*left).and(not(*right)),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op.negate() {
            Some(op) => Expr::BinaryExpr(BinaryExpr { left, op, right }),
            None => return Transformed::no(not(Expr::BinaryExpr(BinaryExpr { left, op, right }))),
        },
        Expr::Not(inner) => *inner,
        Expr::IsNull(inner) => Expr::IsNotNull(inner),
        Expr::IsNotNull(inner) => Expr::IsNull(inner),
        Expr::InList(InList { expr, list, negated }) => Expr::InList(InList { expr, list, negated: !negated }),
        Expr::Between(between) => Expr::Between(Between { negated: !between.negated, ..between }),
        Expr::Like(like) => Expr::Like(Like { negated: !like.negated, ..like }),
        other => return Transformed::no(not(other)),
    })
}

fn comparisons(between: Between) -> Expr {
    let Between { expr, negated, low, high } = between;
    let expr = *expr;
    match negated {
        true => expr.clone().lt(*low).or(expr.gt(*high)),
        false => expr.clone().gt_eq(*low).and(expr.lt_eq(*high)),
    }
}

fn is_lossless(source: &DataType, target: &DataType) -> bool {
    if source.is_string() && target.is_string() {
        return true;
    }
    let digits = |data_type: &DataType| match data_type {
        DataType::Int8 | DataType::UInt8 => Some(3),
        DataType::Int16 | DataType::UInt16 => Some(5),
        DataType::Int32 | DataType::UInt32 => Some(10),
        DataType::Int64 => Some(19),
        DataType::UInt64 => Some(20),
        _ => None,
    };
    match (source, target) {
        (
            DataType::Decimal128(p, s),
            DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale),
        ) => scale >= s && i16::from(*precision) - i16::from(*scale) >= i16::from(*p) - i16::from(*s),
        (source, DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale)) => {
            digits(source).is_some_and(|digits| i16::from(*precision) - i16::from(*scale) >= digits)
        }
        (source, DataType::Float64) => {
            let exact = [DataType::Int8, DataType::Int16, DataType::Int32];
            exact.contains(source)
                || matches!(source, DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::Float32)
        }
        (source, target) if source.is_integer() && target.is_integer() => {
            let (from, to) = (source.primitive_width(), target.primitive_width());
            match (source.is_signed_integer(), target.is_signed_integer()) {
                (true, false) => false,
                (false, true) => from < to,
                _ => from <= to,
            }
        }
        _ => false,
    }
}

/// The literal in the narrower type, if that holds its value.
fn narrowed(literal: &Expr, data_type: &DataType) -> Option<Expr> {
    let Expr::Literal(value, _) = literal else { return None };
    let narrow = value.cast_to(data_type).ok()?;
    let back = narrow.cast_to(&value.data_type()).ok()?;
    (back == *value).then_some(Expr::Literal(narrow, None))
}
