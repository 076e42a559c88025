//! Joins: one operator where that is enough, else a composition of joins.
//!
//! An outer, semi or anti join with a condition across both sides needs to know of every row whether any pair of it
//! satisfies the condition. The inner join with that condition gives those pairs; so the rows alone are the rows that
//! are not among the rows of the pairs, compared by all their columns. NOT IN asks two more things of its list:
//! whether it is empty and whether it holds a NULL.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::{DFSchema, DFSchemaRef, JoinType, NullEquality};
use datafusion::logical_expr::type_coercion::binary::comparison_coercion;
use datafusion::logical_expr::{self as logical, Expr, ExprSchemable, cast as cast_expr, col, lit};

use super::{Attempt, Lowered, Lowering, all_columns, check_all, column_position, recompute, select, used_columns};
use crate::continuous::spec::{CallSpec, JoinNode, NodeSpec, OperatorSpec};
use crate::operator::accumulator::AggregateFunction;
use crate::operator::error::from_datafusion;
use crate::operator::join::{Alone, JoinKind, MARK, SideColumn};

/// Two inputs and the keys that join them.
#[derive(Clone)]
struct Sides {
    left: Lowered,
    right: Lowered,
    on: Vec<(Expr, Expr)>,
    null_equals_null: bool,
}

type Residual = (Expr, Vec<SideColumn>, DFSchemaRef);

impl Lowering<'_> {
    pub(super) fn join(&mut self, join: &logical::Join, required: Option<&BTreeSet<usize>>) -> Attempt<Lowered> {
        let left = self.plan(&join.left, None)?;
        let right = self.plan(&join.right, None)?;
        let on = join.on.iter().map(|(a, b)| coerce_keys(a, b, &left.schema, &right.schema));
        let on = on.collect::<Attempt<Vec<_>>>()?;
        let null_equals_null = join.null_equality == NullEquality::NullEqualsNull;
        let sides = Sides { left, right, on, null_equals_null };
        if join.null_aware {
            return self.not_in(join, sides);
        }
        match (join_kind(join.join_type), &join.filter) {
            (Some(JoinKind::INNER), Some(filter)) => {
                let residual = residual(filter, &sides)?;
                self.plain_join(join, sides, JoinKind::INNER, Some(residual), required)
            }
            (Some(kind), None) => self.plain_join(join, sides, kind, None, required),
            (kind, filter) => self.composed_join(join, sides, kind, filter.as_ref()),
        }
    }

    fn plain_join(
        &mut self,
        join: &logical::Join,
        sides: Sides,
        kind: JoinKind,
        residual: Option<Residual>,
        required: Option<&BTreeSet<usize>>,
    ) -> Attempt<Lowered> {
        let all = output_columns(join);
        let kept: Vec<usize> = (0..all.len()).filter(|column| required.is_none_or(|r| r.contains(column))).collect();
        let schema = Arc::new(select(&join.schema, &kept)?);
        let output = kept.into_iter().map(|column| all[column]).collect();
        Ok(self.join_over(sides, kind, residual, output, schema))
    }

    fn join_over(
        &mut self,
        sides: Sides,
        kind: JoinKind,
        residual: Option<Residual>,
        output: Vec<SideColumn>,
        schema: DFSchemaRef,
    ) -> Lowered {
        let Sides { left, right, on, null_equals_null } = sides;
        let inputs = [&self.nodes[left.node], &self.nodes[right.node]];
        self.add(NodeSpec {
            append_only: inputs.iter().all(|input| input.append_only)
                && kind.alone.iter().all(|alone| matches!(alone, Alone::Never | Alone::Matched)),
            consolidated: false,
            unique_key: join_key(&kind, inputs, &on, [&left.schema, &right.schema], &output),
            inputs: vec![left.node, right.node],
            input_schemas: vec![left.schema, right.schema],
            operator: OperatorSpec::Join(Box::new(JoinNode { kind, on, null_equals_null, residual, output })),
            schema,
        })
    }

    /// Outer, semi and anti joins with a condition across both sides, and EXISTS or IN used as a value.
    fn composed_join(
        &mut self,
        join: &logical::Join,
        sides: Sides,
        kind: Option<JoinKind>,
        filter: Option<&Expr>,
    ) -> Attempt<Lowered> {
        let pairs = match filter {
            Some(filter) => {
                let residual = residual(filter, &sides)?;
                let schema = Arc::new(sides.left.schema.join(&sides.right.schema).map_err(from_datafusion)?);
                let output = both_sides(&sides);
                Some(self.join_over(sides.clone(), JoinKind::INNER, Some(residual), output, schema))
            }
            None => None,
        };
        let Some(kind) = kind else {
            return self.mark_join(join, &sides, pairs.as_ref());
        };
        let mut parts: Vec<Lowered> = pairs.iter().filter(|_| kind.pairs).cloned().collect();
        for side in [0, 1] {
            if kind.alone[side] != Alone::Never {
                let (own, partner) = existence(&sides, side, pairs.as_ref());
                let sides = Sides { left: own, ..partner };
                let left_columns = join.left.schema().fields().len();
                // The pairs hold the left side's columns before the right side's.
                let output = output_columns(join).into_iter().map(|(of, column)| match (of, of == side) {
                    (_, true) => (0, column),
                    (1, false) => (1, left_columns + column),
                    (_, false) => (1, column),
                });
                let alone = JoinKind { pairs: false, alone: [kind.alone[side], Alone::Never] };
                parts.push(self.join_over(sides, alone, None, output.collect(), join.schema.clone()));
            }
        }
        match parts.len() {
            1 => Ok(parts.remove(0)),
            _ => Ok(self.union_over(parts, join.schema.clone())),
        }
    }

    /// Every row of one side once, with whether it has a partner.
    fn mark_join(&mut self, join: &logical::Join, sides: &Sides, pairs: Option<&Lowered>) -> Attempt<Lowered> {
        let side = usize::from(join.join_type == JoinType::RightMark);
        let (own, partner) = existence(sides, side, pairs);
        let mut output: Vec<SideColumn> = (0..own.schema.fields().len()).map(|column| (0, column)).collect();
        output.push(MARK);
        let kind = JoinKind { pairs: false, alone: [Alone::Marked, Alone::Never] };
        let sides = Sides { left: own, ..partner };
        Ok(self.join_over(sides, kind, None, output, join.schema.clone()))
    }

    /// Rows whose key is in no row of the list: all of them where the list is empty; none where it holds a NULL;
    /// else those with a key that is not NULL and has no partner.
    fn not_in(&mut self, join: &logical::Join, sides: Sides) -> Attempt<Lowered> {
        let (JoinType::LeftAnti, None, [(left_key, right_key)]) = (join.join_type, &join.filter, sides.on.as_slice())
        else {
            return recompute("NOT IN with further conditions");
        };
        let (left_key, right_key) = (left_key.clone(), right_key.clone());
        let count = |name: &str, argument: Expr, counts_rows: bool| CallSpec {
            function: AggregateFunction::Count,
            distinct: false,
            arguments: vec![argument],
            filter: None,
            counts_rows,
            fraction: None,
            text: name.to_string(),
        };
        let calls = vec![count("count(*)", lit(1_i64), true), count("count of keys", right_key, false)];
        let counts = fields(&[("__rows", DataType::Int64), ("__keys", DataType::Int64)])?;
        let list = self.aggregate_over(sides.right.clone(), vec![], calls, counts);
        let facts = fields(&[("__is_empty", DataType::Boolean), ("__has_null", DataType::Boolean)])?;
        let projection = [col("__rows").eq(lit(0_i64)), col("__keys").lt(col("__rows"))];
        let facts = self.filter_project_over(list, vec![], Some((&projection, &facts)))?;
        // Most changes of the list leave the two facts as they are; then nothing must come through.
        let facts = self.distinct_over(facts);
        let left = sides.left.clone();
        let columns: Vec<SideColumn> = (0..left.schema.fields().len()).map(|column| (0, column)).collect();
        let kind = JoinKind { pairs: false, alone: [Alone::Unmatched, Alone::Never] };
        let unmatched = self.join_over(sides, kind, None, columns, left.schema.clone());
        let schema = Arc::new(left.schema.join(&facts.schema).map_err(from_datafusion)?);
        let crossed = Sides { left: unmatched, right: facts, on: vec![], null_equals_null: false };
        let output = both_sides(&crossed);
        let crossed = self.join_over(crossed, JoinKind::INNER, None, output, schema);
        let kept = col("__is_empty").or(col("__has_null").is_not_true().and(left_key.is_not_null()));
        let projection = all_columns(&left.schema);
        self.filter_project_over(crossed, vec![kept], Some((&projection, &join.schema)))
    }
}

/// The rows of one side, and what decides whether they have a partner: the other side, or the pairs that satisfy
/// the condition, of which the row must be one.
fn existence(sides: &Sides, side: usize, pairs: Option<&Lowered>) -> (Lowered, Sides) {
    let own = if side == 0 { &sides.left } else { &sides.right };
    let partner = match pairs {
        Some(pairs) => {
            let columns = all_columns(&own.schema);
            Sides {
                left: own.clone(),
                right: pairs.clone(),
                on: columns.iter().cloned().zip(columns.iter().cloned()).collect(),
                null_equals_null: true,
            }
        }
        None if side == 0 => sides.clone(),
        None => Sides {
            left: sides.right.clone(),
            right: sides.left.clone(),
            on: sides.on.iter().cloned().map(|(left, right)| (right, left)).collect(),
            null_equals_null: sides.null_equals_null,
        },
    };
    (own.clone(), partner)
}

fn residual(filter: &Expr, sides: &Sides) -> Attempt<Residual> {
    let all = sides.left.schema.join(&sides.right.schema).map_err(from_datafusion)?;
    let columns: Vec<usize> = used_columns([filter], &all).into_iter().collect();
    let schema = Arc::new(select(&all, &columns)?);
    check_all([filter], &schema)?;
    let both = both_sides(sides);
    Ok((filter.clone(), columns.into_iter().map(|column| both[column]).collect(), schema))
}

fn both_sides(sides: &Sides) -> Vec<SideColumn> {
    let left = (0..sides.left.schema.fields().len()).map(|column| (0, column));
    left.chain((0..sides.right.schema.fields().len()).map(|column| (1, column))).collect()
}

/// Where the columns of the plan's join come from.
fn output_columns(join: &logical::Join) -> Vec<SideColumn> {
    let columns = |side: usize, input: &logical::LogicalPlan| {
        (0..input.schema().fields().len()).map(move |column| (side, column)).collect::<Vec<_>>()
    };
    match join.join_type {
        JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => columns(0, &join.left),
        JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => columns(1, &join.right),
        _ => [columns(0, &join.left), columns(1, &join.right)].concat(),
    }
}

fn fields(columns: &[(&str, DataType)]) -> Attempt<DFSchemaRef> {
    let fields = columns.iter().map(|(name, data_type)| (None, Arc::new(Field::new(*name, data_type.clone(), true))));
    Ok(Arc::new(DFSchema::new_with_metadata(fields.collect(), HashMap::new()).map_err(from_datafusion)?))
}

/// What one join operator does for the type; `None` for the types that are composed.
fn join_kind(join_type: JoinType) -> Option<JoinKind> {
    use Alone::{Matched, Never, Unmatched};
    let (pairs, alone) = match join_type {
        JoinType::Inner => return Some(JoinKind::INNER),
        JoinType::Left => (true, [Unmatched, Never]),
        JoinType::Right => (true, [Never, Unmatched]),
        JoinType::Full => (true, [Unmatched, Unmatched]),
        JoinType::LeftSemi => (false, [Matched, Never]),
        JoinType::RightSemi => (false, [Never, Matched]),
        JoinType::LeftAnti => (false, [Unmatched, Never]),
        JoinType::RightAnti => (false, [Never, Unmatched]),
        JoinType::LeftMark | JoinType::RightMark => return None,
    };
    Some(JoinKind { pairs, alone })
}

/// Both keys in one type.
fn coerce_keys(left: &Expr, right: &Expr, left_schema: &DFSchema, right_schema: &DFSchema) -> Attempt<(Expr, Expr)> {
    check_all([left], left_schema)?;
    check_all([right], right_schema)?;
    let left_type = left.get_type(left_schema).map_err(from_datafusion)?;
    let right_type = right.get_type(right_schema).map_err(from_datafusion)?;
    if left_type == right_type {
        return Ok((left.clone(), right.clone()));
    }
    let Some(common) = comparison_coercion(&left_type, &right_type) else {
        return recompute(format!("join of {left_type} with {right_type}"));
    };
    let to_common = |key: &Expr, from: &DataType| {
        if *from == common { key.clone() } else { cast_expr(key.clone(), common.clone()) }
    };
    Ok((to_common(left, &left_type), to_common(right, &right_type)))
}

/// The columns that identify a row of the join, where both sides have such columns.
fn join_key(
    kind: &JoinKind,
    sides: [&NodeSpec; 2],
    on: &[(Expr, Expr)],
    schemas: [&DFSchemaRef; 2],
    output: &[SideColumn],
) -> Option<Vec<usize>> {
    let find = |column: SideColumn| output.iter().position(|kept| *kept == column);
    if !kind.pairs {
        let side = usize::from(kind.alone[0] == Alone::Never);
        return sides[side].unique_key.as_ref()?.iter().map(|&column| find((side, column))).collect();
    }
    if kind.alone != [Alone::Never, Alone::Never] && kind.alone != [Alone::Unmatched, Alone::Never] {
        return None;
    }
    let joined = |side: usize| -> Vec<usize> {
        let keys = on.iter().map(|pair| if side == 0 { &pair.0 } else { &pair.1 });
        keys.filter_map(|key| column_position(key, schemas[side])).collect()
    };
    let keys = [sides[0].unique_key.as_ref()?, sides[1].unique_key.as_ref()?];
    if keys[1].iter().all(|column| joined(1).contains(column)) {
        return keys[0].iter().map(|&column| find((0, column))).collect();
    }
    if kind.alone != [Alone::Never, Alone::Never] {
        return None;
    }
    if keys[0].iter().all(|column| joined(0).contains(column)) {
        return keys[1].iter().map(|&column| find((1, column))).collect();
    }
    let both = keys[0].iter().map(|&column| (0, column)).chain(keys[1].iter().map(|&column| (1, column)));
    both.map(find).collect()
}
