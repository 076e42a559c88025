//! GROUP BY by change.
//!
//! [`AggregateOperator`] interns the keys of a batch once, adds the weights to the groups and the values to the
//! accumulators, and at the end of the step emits what became of the touched groups: -old and +new, only where they
//! differ. DISTINCT is the same without calls. `count`, `sum` and `avg` of one integer argument, the commonest calls,
//! need no accumulator: their state lies in the group itself ([`super::integer_lane`]), so that a row costs one memory
//! access beside the key's. Invariants: a group lives while the weights of its rows sum to more
//! than zero; without keys there is exactly one group, and it always lives.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{self, concat_batches};
use arrow::datatypes::{DataType, Schema, SchemaRef};

use crate::base::change::{ChangeBatch, Weights};
use crate::base::error::{Error, Result};
use crate::base::types::canonical_array;
use crate::operator::accumulator::{self, Accumulator, AggregateCall, AggregateFunction, Fraction};
use crate::operator::error::copy;
use crate::operator::expression::{Expression, assemble, evaluate_all, evaluate_or_fail, row_text};
use crate::operator::integer_lane::{IntegerLane, Lane, LaneValue};
use crate::operator::{CHUNK_ROWS, Operator, Output};
use crate::state::key_table::KeyTable;

/// Up to this many rows -old and +new go out as one batch: the cost per batch downstream outweighs the copy.
const SMALL_ROWS: usize = 512;

/// One aggregate call of the select list.
#[derive(Debug, Clone)]
pub struct Call {
    /// The function.
    pub function: AggregateFunction,
    /// Whether equal arguments count once.
    pub distinct: bool,
    /// The arguments over the input's columns.
    pub arguments: Vec<Expression>,
    /// `FILTER (WHERE ..)`.
    pub filter: Option<Expression>,
    /// Whether the call counts rows, whatever they hold: `count(*)` without FILTER and DISTINCT.
    pub counts_rows: bool,
    /// The fraction of a percentile.
    pub fraction: Option<Fraction>,
}

/// Where the value of a call comes from.
#[derive(Debug, Clone, Copy)]
enum Origin {
    RowCount,
    Lane(LaneValue),
    State(usize),
}

/// An accumulator with the positions of its arguments and filter among the evaluated expressions.
struct State {
    accumulator: Box<dyn Accumulator>,
    arguments: Vec<usize>,
    filter: Option<usize>,
}

#[derive(Clone, Copy, Default)]
struct Group<L> {
    lane: L,
    /// The sum of the weights of its rows.
    weight: i64,
    /// The step that last touched it.
    step: u32,
}

/// Groups first touched by one batch of the step, and what they were before.
struct Touched<L> {
    ids: Vec<u32>,
    before: Vec<Group<L>>,
    /// The values of the calls before the step; `None` if none of the groups had a row.
    old: Option<Values>,
}

/// The values of all calls for a list of groups.
struct Values {
    columns: Vec<ArrayRef>,
    /// Groups whose value could not be read, by position in the list.
    errors: Vec<(usize, Error)>,
}

/// Groups by keys, aggregates by calls.
///
/// # Contract
/// - The output of a step is consolidated (not checkable here, because it would need a hash of every row).
/// - Each touched group emits at most one row of weight -1 and one of +1, and none if nothing changed.
/// - A group whose value cannot be read emits no row; it is reported failed by +1, and by -1 when that ends.
pub struct AggregateOperator<L> {
    keys: Vec<Expression>,
    key_schema: SchemaRef,
    inputs: Vec<Expression>,
    states: Vec<State>,
    origins: Vec<Origin>,
    /// The input whose values the lane takes.
    lane_input: Option<usize>,
    schema: SchemaRef,
    table: KeyTable,
    groups: Vec<Group<L>>,
    step: u32,
    touched: Vec<Touched<L>>,
    /// Whether a row for "no groups yet" was emitted: without keys there is always one.
    started: bool,
    ids: Vec<u32>,
}

/// An aggregate operator; its output has the keys first, then the calls, in the types of `schema`.
pub fn aggregate_operator(
    keys: Vec<Expression>,
    calls: Vec<Call>,
    append_only: bool,
    schema: SchemaRef,
) -> Result<Box<dyn Operator>> {
    let mut inputs = Vec::new();
    let (mut states, mut origins) = (Vec::new(), Vec::new());
    let mut lane_input = None;
    let call_types = schema.fields().iter().skip(keys.len()).map(|field| field.data_type().clone());
    for (call, data_type) in calls.into_iter().zip(call_types.collect::<Vec<_>>()) {
        if call.counts_rows {
            origins.push(Origin::RowCount);
            continue;
        }
        let arguments: Vec<DataType> = call.arguments.iter().map(|argument| argument.data_type().clone()).collect();
        let positions: Vec<usize> =
            call.arguments.into_iter().map(|argument| position(&mut inputs, argument)).collect();
        if !call.distinct
            && call.filter.is_none()
            && let Some(value) = LaneValue::of(call.function, &arguments, &data_type)
            && *lane_input.get_or_insert(positions[0]) == positions[0]
        {
            origins.push(Origin::Lane(value));
            continue;
        }
        let call_type = AggregateCall {
            function: call.function,
            distinct: call.distinct,
            arguments,
            append_only,
            fraction: call.fraction,
        };
        origins.push(Origin::State(states.len()));
        states.push(State {
            accumulator: accumulator::create(&call_type)?,
            arguments: positions,
            filter: call.filter.map(|filter| position(&mut inputs, filter)),
        });
    }
    Ok(match lane_input {
        Some(_) => Box::new(AggregateOperator::<IntegerLane>::new(keys, inputs, states, origins, lane_input, schema)?),
        None => Box::new(AggregateOperator::<()>::new(keys, inputs, states, origins, None, schema)?),
    })
}

impl<L: Lane> AggregateOperator<L> {
    fn new(
        keys: Vec<Expression>,
        inputs: Vec<Expression>,
        states: Vec<State>,
        origins: Vec<Origin>,
        lane_input: Option<usize>,
        schema: SchemaRef,
    ) -> Result<Self> {
        let key_fields: Vec<_> = schema.fields().iter().take(keys.len()).cloned().collect();
        let key_types: Vec<DataType> = key_fields.iter().map(|field| field.data_type().clone()).collect();
        Ok(AggregateOperator {
            table: KeyTable::new(&key_types)?,
            key_schema: Arc::new(Schema::new(key_fields)),
            keys,
            inputs,
            states,
            origins,
            lane_input,
            schema,
            groups: Vec::new(),
            step: 1,
            touched: Vec::new(),
            started: false,
            ids: Vec::new(),
        })
    }

    fn is_global(&self) -> bool {
        self.keys.is_empty()
    }

    fn add(&mut self, batch: &ChangeBatch, keys: &[ArrayRef], inputs: &[ArrayRef]) -> Result<()> {
        let mut ids = std::mem::take(&mut self.ids);
        self.table.intern(keys, batch.num_rows(), &mut ids)?;
        let result = self.add_rows(&ids, batch.weights(), inputs);
        self.ids = ids;
        result
    }

    fn add_rows(&mut self, ids: &[u32], weights: &Weights, inputs: &[ArrayRef]) -> Result<()> {
        let capacity = self.table.capacity();
        if self.groups.len() < capacity {
            self.groups.resize(capacity, Group::default());
            for state in &mut self.states {
                state.accumulator.resize(capacity);
            }
        }
        let (met, before) = self.change_groups(ids, weights, inputs)?;
        if !met.is_empty() {
            let lived = before.iter().any(|group| group.weight != 0) || (self.is_global() && self.started);
            let old = if lived { Some(self.read(&met, &before)?) } else { None };
            self.touched.push(Touched { ids: met, before, old });
        }
        for state in &mut self.states {
            let arguments: Vec<ArrayRef> = state.arguments.iter().map(|&argument| inputs[argument].clone()).collect();
            let filter = state.filter.map(|filter| inputs[filter].as_boolean());
            state.accumulator.update(&arguments, ids, weights, filter)?;
        }
        Ok(())
    }

    /// Adds the rows to their groups; the groups met for the first time in this step, and what they were before.
    fn change_groups(
        &mut self,
        ids: &[u32],
        weights: &Weights,
        inputs: &[ArrayRef],
    ) -> Result<(Vec<u32>, Vec<Group<L>>)> {
        let values = match self.lane_input {
            Some(input) => Some(compute::cast(&inputs[input], &DataType::Int64)?),
            None => None,
        };
        let values = values.as_ref().map(|values| values.as_primitive::<arrow::datatypes::Int64Type>());
        let (groups, step) = (self.groups.as_mut_slice(), self.step);
        match (weights, values) {
            (Weights::Ones, None) => touch_rows(groups, step, ids, |_| 1, |_| None),
            (Weights::Signed(weights), None) => touch_rows(groups, step, ids, |row| weights[row], |_| None),
            (Weights::Ones, Some(values)) if values.null_count() == 0 => {
                let values = values.values();
                touch_rows(groups, step, ids, |_| 1, |row| Some(values[row]))
            }
            (Weights::Ones, Some(values)) => {
                touch_rows(groups, step, ids, |_| 1, |row| values.is_valid(row).then(|| values.value(row)))
            }
            (Weights::Signed(weights), Some(values)) => {
                let value = |row: usize| values.is_valid(row).then(|| values.value(row));
                touch_rows(groups, step, ids, |row| weights[row], value)
            }
        }
    }

    /// The values of all calls; `groups` are the groups of `ids` as they are to be read.
    fn read(&self, ids: &[u32], groups: &[Group<L>]) -> Result<Values> {
        let mut errors = Vec::new();
        let mut columns = Vec::with_capacity(self.origins.len());
        for (index, origin) in self.origins.iter().enumerate() {
            let column: ArrayRef = match origin {
                Origin::RowCount => Arc::new(Int64Array::from_iter_values(groups.iter().map(|group| group.weight))),
                Origin::Lane(value) => L::read(groups.iter().map(|group| &group.lane), *value, &mut errors),
                Origin::State(state) => self.states[*state].accumulator.read(ids, &mut errors)?,
            };
            columns.push(canonical_array(&column, self.schema.field(self.keys.len() + index).data_type())?);
        }
        Ok(Values { columns, errors })
    }

    /// Emits what became of the groups first touched by one batch; those that died are added to `dead`.
    fn emit_difference(&mut self, touched: &Touched<L>, dead: &mut Vec<u32>, out: &mut dyn Output) -> Result<()> {
        let ids = &touched.ids;
        let now: Vec<Group<L>> = ids.iter().map(|&id| self.groups[id as usize]).collect();
        let keys = self.table.keys(ids)?;
        let mut lived = Present::Nowhere;
        let mut lives = Present::Everywhere;
        if self.is_global() {
            lived = if touched.old.is_some() { Present::Everywhere } else { Present::Nowhere };
        } else {
            if touched.old.is_some() {
                lived = Present::of(touched.before.iter().map(|group| group.weight > 0));
            }
            if let Some(index) = now.iter().position(|group| group.weight < 0) {
                let row = row_text(&assemble(&self.key_schema, keys, ids.len())?, index);
                return Err(Error::internal(format!("more rows deleted than inserted in the group of {row}")));
            }
            lives = Present::of(now.iter().map(|group| group.weight > 0));
            if !matches!(lives, Present::Everywhere) {
                dead.extend(ids.iter().zip(&now).filter(|(_, group)| group.weight == 0).map(|(&id, _)| id));
            }
        }
        let new = self.read(ids, &now)?;
        if let Some(old) = &touched.old {
            self.fail(&keys, &old.errors, &mut lived, -1, out)?;
        }
        self.fail(&keys, &new.errors, &mut lives, 1, out)?;
        let (gone, come) = differences(touched.old.as_ref(), &new, &lived, &lives, ids.len())?;
        let old = touched.old.as_ref().map(|old| old.columns.as_slice()).unwrap_or_default();
        let gone = self.rows(&keys, old, gone)?;
        let come = self.rows(&keys, &new.columns, come)?;
        emit_both(gone, come, out)
    }

    /// Reports groups that cannot be read, and takes them out of those that have a row.
    fn fail(
        &self,
        keys: &[ArrayRef],
        errors: &[(usize, Error)],
        present: &mut Present,
        weight: i64,
        out: &mut dyn Output,
    ) -> Result<()> {
        let Some((last, _)) = errors.last() else { return Ok(()) };
        let groups = keys.first().map_or(last + 1, |key| key.len());
        let rows = assemble(&self.key_schema, keys.to_vec(), groups)?;
        for (index, error) in errors {
            if present.take_out(*index, groups) {
                out.fail(copy(error), row_text(&rows, *index), weight);
            }
        }
        Ok(())
    }

    fn rows(&self, keys: &[ArrayRef], values: &[ArrayRef], selection: Selection) -> Result<Option<RecordBatch>> {
        let columns = keys.iter().chain(values);
        match selection {
            Selection::None => Ok(None),
            Selection::All(rows) => Ok(Some(assemble(&self.schema, columns.cloned().collect(), rows)?)),
            Selection::Some(indices) => {
                let columns = columns.map(|column| Ok(compute::take(column, &indices, None)?));
                Ok(Some(assemble(&self.schema, columns.collect::<Result<_>>()?, indices.len())?))
            }
        }
    }

    fn bury(&mut self, dead: &[u32]) {
        if dead.is_empty() {
            return;
        }
        for state in &mut self.states {
            state.accumulator.clear(dead);
        }
        for &id in dead {
            self.groups[id as usize] = Group::default();
        }
        self.table.release(dead);
    }
}

impl<L: Lane> Operator for AggregateOperator<L> {
    fn push(&mut self, _port: usize, batch: ChangeBatch, out: &mut dyn Output) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let (keys, key_fields, inputs) = (&self.keys, self.key_schema.fields(), &self.inputs);
        let pieces = evaluate_or_fail(&batch, out, &|rows| {
            let keys: Vec<ArrayRef> = keys
                .iter()
                .zip(key_fields)
                .map(|(key, field)| canonical_array(&key.evaluate(rows)?, field.data_type()))
                .collect::<Result<_>>()?;
            Ok((keys, evaluate_all(inputs, rows)?))
        })?;
        for piece in pieces {
            let (keys, inputs) = piece.values;
            self.add(&piece.batch, &keys, &inputs)?;
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Output) -> Result<()> {
        if self.is_global() && !self.started && self.touched.is_empty() {
            let mut ids = Vec::new();
            self.table.intern(&[], 1, &mut ids)?;
            self.groups.resize(1, Group::default());
            for state in &mut self.states {
                state.accumulator.resize(1);
            }
            self.touched.push(Touched { ids, before: vec![Group::default()], old: None });
        }
        let mut dead = Vec::new();
        for touched in std::mem::take(&mut self.touched) {
            self.emit_difference(&touched, &mut dead, out)?;
        }
        self.started = true;
        self.bury(&dead);
        self.step = match self.step.checked_add(1) {
            Some(step) => step,
            None => {
                self.groups.iter_mut().for_each(|group| group.step = 0);
                1
            }
        };
        Ok(())
    }

    fn size(&self) -> usize {
        self.table.size()
            + self.groups.capacity() * size_of::<Group<L>>()
            + self.states.iter().map(|state| state.accumulator.size()).sum::<usize>()
    }

    fn state_rows(&self) -> usize {
        self.table.len()
    }
}

/// Adds rows to groups; the ids of the groups met for the first time in the step, and the groups as they were.
#[inline(always)]
fn touch_rows<L: Lane>(
    groups: &mut [Group<L>],
    step: u32,
    ids: &[u32],
    weight: impl Fn(usize) -> i64,
    value: impl Fn(usize) -> Option<i64>,
) -> Result<(Vec<u32>, Vec<Group<L>>)> {
    let (mut met, mut before) = (Vec::new(), Vec::new());
    for (row, &id) in ids.iter().enumerate() {
        let group = &mut groups[id as usize];
        if group.step != step {
            met.push(id);
            before.push(*group);
            group.step = step;
        }
        let weight = weight(row);
        group.weight = group.weight.checked_add(weight).ok_or_else(weight_overflow)?;
        if let Some(value) = value(row) {
            group.lane.add(value, weight);
        }
    }
    Ok((met, before))
}

/// Which of the touched groups have a row.
enum Present {
    Nowhere,
    Everywhere,
    Some(Vec<bool>),
}

impl Present {
    fn of(mut mask: impl Iterator<Item = bool> + Clone) -> Self {
        if mask.clone().all(|present| present) {
            return Present::Everywhere;
        }
        if !mask.clone().any(|present| present) {
            return Present::Nowhere;
        }
        Present::Some(mask.by_ref().collect())
    }

    #[inline]
    fn at(&self, index: usize) -> bool {
        match self {
            Present::Nowhere => false,
            Present::Everywhere => true,
            Present::Some(mask) => mask[index],
        }
    }

    /// Takes one of `groups` groups out; whether it was in.
    fn take_out(&mut self, index: usize, groups: usize) -> bool {
        if !self.at(index) {
            return false;
        }
        if let Present::Everywhere = self {
            *self = Present::Some(vec![true; groups]);
        }
        if let Present::Some(mask) = self {
            mask[index] = false;
        }
        true
    }
}

/// Which of the touched groups emit a row.
enum Selection {
    None,
    All(usize),
    Some(UInt32Array),
}

impl Selection {
    fn of(rows: usize, chosen: Vec<u32>) -> Self {
        match chosen.len() {
            0 => Selection::None,
            count if count == rows => Selection::All(rows),
            _ => Selection::Some(chosen.into()),
        }
    }
}

/// The groups whose old row goes, and those whose new row comes.
fn differences(
    old: Option<&Values>,
    new: &Values,
    lived: &Present,
    lives: &Present,
    rows: usize,
) -> Result<(Selection, Selection)> {
    let all = |present: &Present| Selection::of(rows, (0..rows).filter(|&i| present.at(i)).map(|i| i as u32).collect());
    let (old, lived) = match old {
        Some(old) if !matches!(lived, Present::Nowhere) => (old, lived),
        _ if matches!(lives, Present::Everywhere) => return Ok((Selection::None, Selection::All(rows))),
        _ => return Ok((Selection::None, all(lives))),
    };
    if matches!(lives, Present::Nowhere) {
        return Ok((all(lived), Selection::None));
    }
    let mut differs: Option<BooleanArray> = None;
    for (old, new) in old.columns.iter().zip(&new.columns) {
        let column = distinct(old, new)?;
        differs = Some(match differs {
            Some(differs) => compute::or(&differs, &column)?,
            None => column,
        });
    }
    let differs = differs.unwrap_or_else(|| BooleanArray::from(vec![false; rows]));
    if let (Present::Everywhere, Present::Everywhere) = (lived, lives) {
        let changed: Vec<u32> = differs.values().set_indices().map(|index| index as u32).collect();
        return Ok((Selection::of(rows, changed.clone()), Selection::of(rows, changed)));
    }
    let (mut gone, mut come) = (Vec::new(), Vec::new());
    for index in 0..rows {
        let (before, after) = (lived.at(index), lives.at(index));
        let differs = before != after || differs.value(index);
        if before && differs {
            gone.push(index as u32);
        }
        if after && differs {
            come.push(index as u32);
        }
    }
    Ok((Selection::of(rows, gone), Selection::of(rows, come)))
}

/// Which values are distinct, null being equal to null.
fn distinct(left: &ArrayRef, right: &ArrayRef) -> Result<BooleanArray> {
    if !left.data_type().is_nested() {
        return Ok(compute::kernels::cmp::distinct(left, right)?);
    }
    let differs = (0..left.len()).map(|row| left.slice(row, 1).to_data() != right.slice(row, 1).to_data());
    Ok(differs.map(Some).collect())
}

fn emit_both(gone: Option<RecordBatch>, come: Option<RecordBatch>, out: &mut dyn Output) -> Result<()> {
    if let (Some(gone), Some(come)) = (&gone, &come)
        && gone.num_rows() + come.num_rows() <= SMALL_ROWS
        && gone.num_columns() > 0
    {
        let mut weights = vec![-1; gone.num_rows()];
        weights.resize(gone.num_rows() + come.num_rows(), 1);
        let rows = concat_batches(gone.schema_ref(), [gone, come])?;
        return out.emit(ChangeBatch::try_new(rows, Weights::Signed(weights.into()))?);
    }
    if let Some(gone) = gone {
        emit_chunks(&ChangeBatch::deletes(gone), out)?;
    }
    if let Some(come) = come {
        emit_chunks(&ChangeBatch::inserts(come), out)?;
    }
    Ok(())
}

fn emit_chunks(batch: &ChangeBatch, out: &mut dyn Output) -> Result<()> {
    for start in (0..batch.num_rows()).step_by(CHUNK_ROWS) {
        out.emit(batch.slice(start, CHUNK_ROWS.min(batch.num_rows() - start)))?;
    }
    Ok(())
}

/// The position of `expression` in the list, added to it where it is new.
fn position(expressions: &mut Vec<Expression>, expression: Expression) -> usize {
    if let Some(known) = expressions.iter().position(|known| *known == expression) {
        return known;
    }
    expressions.push(expression);
    expressions.len() - 1
}

fn weight_overflow() -> Error {
    Error::data("weight overflow").with_sqlstate("22003")
}
