//! GROUP BY by change.
//!
//! [`AggregateOperator`] interns the keys of a batch once, adds the weights to the groups and the values to the
//! accumulators, and at the end of the step emits what became of the touched groups: -old and +new, only where they
//! differ. DISTINCT is the same without calls. Invariants: a group lives while the weights of its rows sum to more
//! than zero; without keys there is exactly one group, and it always lives.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{self, concat_batches};
use arrow::datatypes::{DataType, SchemaRef};

use crate::base::change::{ChangeBatch, Weights};
use crate::base::error::{Error, Result};
use crate::base::types::canonical_array;
use crate::operator::accumulator::{self, Accumulator, AggregateCall, AggregateFunction};
use crate::operator::expression::{Expression, assemble, evaluate_all, evaluate_or_fail, row_text};
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
}

/// Where the value of a call comes from.
#[derive(Debug, Clone, Copy)]
enum Source {
    RowCount,
    State(usize),
}

/// An accumulator with the positions of its arguments and filter among the evaluated expressions.
struct State {
    accumulator: Box<dyn Accumulator>,
    arguments: Vec<usize>,
    filter: Option<usize>,
}

#[derive(Clone, Copy, Default)]
struct Group {
    /// The sum of the weights of its rows.
    weight: i64,
    /// The step that last touched it.
    step: u32,
}

/// Groups first touched by one batch of the step, and what they were before.
struct Touched {
    groups: Vec<u32>,
    /// Their weights before the step; all zero in `None`.
    weights: Option<Vec<i64>>,
    /// The values of the calls before the step, where any of the groups lived.
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
pub struct AggregateOperator {
    keys: Vec<Expression>,
    key_types: Vec<DataType>,
    inputs: Vec<Expression>,
    states: Vec<State>,
    sources: Vec<Source>,
    schema: SchemaRef,
    table: KeyTable,
    groups: Vec<Group>,
    step: u32,
    touched: Vec<Touched>,
    /// Whether a row for "no groups yet" was emitted: without keys there is always one.
    started: bool,
    ids: Vec<u32>,
}

impl AggregateOperator {
    /// The output has the keys first, then the calls, in the types of `schema`.
    pub fn new(keys: Vec<Expression>, calls: Vec<Call>, append_only: bool, schema: SchemaRef) -> Result<Self> {
        let key_types: Vec<DataType> =
            schema.fields().iter().take(keys.len()).map(|field| field.data_type().clone()).collect();
        let mut inputs = Vec::new();
        let (mut states, mut sources) = (Vec::new(), Vec::new());
        for call in calls {
            if call.counts_rows {
                sources.push(Source::RowCount);
                continue;
            }
            sources.push(Source::State(states.len()));
            states.push(State {
                accumulator: accumulator::create(&AggregateCall {
                    function: call.function,
                    distinct: call.distinct,
                    arguments: call.arguments.iter().map(|argument| argument.data_type().clone()).collect(),
                    append_only,
                })?,
                arguments: call.arguments.into_iter().map(|argument| position(&mut inputs, argument)).collect(),
                filter: call.filter.map(|filter| position(&mut inputs, filter)),
            });
        }
        Ok(AggregateOperator {
            table: KeyTable::new(&key_types)?,
            keys,
            key_types,
            inputs,
            states,
            sources,
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
        let result = self.touch(&ids, batch.weights()).and_then(|()| self.update(&ids, batch.weights(), inputs));
        self.ids = ids;
        result
    }

    /// Adds the weights of the rows, and remembers what the groups met for the first time in this step were before.
    fn touch(&mut self, ids: &[u32], weights: &Weights) -> Result<()> {
        let capacity = self.table.capacity();
        if self.groups.len() < capacity {
            self.groups.resize(capacity, Group::default());
            for state in &mut self.states {
                state.accumulator.resize(capacity);
            }
        }
        let step = self.step;
        let (mut first, mut before) = (Vec::new(), Vec::new());
        let mut lived = false;
        let mut meet = |group: &mut Group, id: u32| {
            if group.step != step {
                group.step = step;
                lived |= group.weight != 0;
                first.push(id);
                before.push(group.weight);
            }
        };
        match weights {
            Weights::Ones => {
                for &id in ids {
                    let group = &mut self.groups[id as usize];
                    meet(group, id);
                    group.weight = group.weight.checked_add(1).ok_or_else(weight_overflow)?;
                }
            }
            Weights::Signed(weights) => {
                for (&id, &weight) in ids.iter().zip(weights.iter()) {
                    let group = &mut self.groups[id as usize];
                    meet(group, id);
                    group.weight = group.weight.checked_add(weight).ok_or_else(weight_overflow)?;
                }
            }
        }
        if !first.is_empty() {
            self.remember(first, lived.then_some(before))?;
        }
        Ok(())
    }

    fn remember(&mut self, groups: Vec<u32>, weights: Option<Vec<i64>>) -> Result<()> {
        let old = match &weights {
            Some(weights) => Some(self.read(&groups, |index| weights[index])?),
            None if self.is_global() && self.started => Some(self.read(&groups, |_| 0)?),
            None => None,
        };
        self.touched.push(Touched { groups, weights, old });
        Ok(())
    }

    fn update(&mut self, ids: &[u32], weights: &Weights, inputs: &[ArrayRef]) -> Result<()> {
        for state in &mut self.states {
            let arguments: Vec<ArrayRef> = state.arguments.iter().map(|&argument| inputs[argument].clone()).collect();
            let filter = state.filter.map(|filter| inputs[filter].as_boolean());
            state.accumulator.update(&arguments, ids, weights, filter)?;
        }
        Ok(())
    }

    fn read(&self, groups: &[u32], weight: impl Fn(usize) -> i64) -> Result<Values> {
        let mut errors = Vec::new();
        let mut columns = Vec::with_capacity(self.sources.len());
        for (index, source) in self.sources.iter().enumerate() {
            let column: ArrayRef = match source {
                Source::RowCount => {
                    std::sync::Arc::new(arrow::array::Int64Array::from_iter_values((0..groups.len()).map(&weight)))
                }
                Source::State(state) => self.states[*state].accumulator.read(groups, &mut errors)?,
            };
            columns.push(canonical_array(&column, self.schema.field(self.keys.len() + index).data_type())?);
        }
        Ok(Values { columns, errors })
    }

    /// Emits what became of the groups first touched by one batch; those that died are added to `dead`.
    fn settle(&mut self, touched: &Touched, dead: &mut Vec<u32>, out: &mut dyn Output) -> Result<()> {
        let groups = &touched.groups;
        let new = self.read(groups, |index| self.groups[groups[index] as usize].weight)?;
        let keys = self.table.keys(groups)?;
        let mut lives = vec![true; groups.len()];
        if !self.is_global() {
            for (index, &id) in groups.iter().enumerate() {
                let weight = self.groups[id as usize].weight;
                if weight < 0 {
                    let row = row_text(&assemble(&self.key_schema(), keys.clone(), groups.len())?, index);
                    return Err(Error::internal(format!("more rows deleted than inserted in the group of {row}")));
                }
                lives[index] = weight > 0;
                if weight == 0 {
                    dead.push(id);
                }
            }
        }
        let mut lived = match (&touched.old, &touched.weights) {
            (None, _) => vec![false; groups.len()],
            (Some(_), _) if self.is_global() => vec![true; groups.len()],
            (Some(_), None) => vec![false; groups.len()],
            (Some(_), Some(weights)) => weights.iter().map(|&weight| weight > 0).collect(),
        };
        if let Some(old) = &touched.old {
            self.fail(&keys, &old.errors, &mut lived, -1, out)?;
        }
        self.fail(&keys, &new.errors, &mut lives, 1, out)?;
        let (gone, come) = differences(touched.old.as_ref(), &new, &lived, &lives)?;
        let old = touched.old.as_ref().map(|old| old.columns.as_slice()).unwrap_or_default();
        let gone = self.rows(&keys, old, gone)?;
        let come = self.rows(&keys, &new.columns, come)?;
        emit_both(gone, come, out)
    }

    fn key_schema(&self) -> SchemaRef {
        let fields: Vec<_> = self.schema.fields().iter().take(self.keys.len()).cloned().collect();
        std::sync::Arc::new(arrow::datatypes::Schema::new(fields))
    }

    /// Reports groups that cannot be read, and takes them out of those that have a row.
    fn fail(
        &self,
        keys: &[ArrayRef],
        errors: &[(usize, Error)],
        lives: &mut [bool],
        weight: i64,
        out: &mut dyn Output,
    ) -> Result<()> {
        if errors.is_empty() {
            return Ok(());
        }
        let rows = assemble(&self.key_schema(), keys.to_vec(), lives.len())?;
        for (index, error) in errors {
            if std::mem::replace(&mut lives[*index], false) {
                out.fail(super::error::copy(error), row_text(&rows, *index), weight);
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

impl Operator for AggregateOperator {
    fn push(&mut self, _port: usize, batch: ChangeBatch, out: &mut dyn Output) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let (keys, key_types, inputs) = (&self.keys, &self.key_types, &self.inputs);
        let pieces = evaluate_or_fail(&batch, out, &|rows| {
            let keys: Vec<ArrayRef> = keys
                .iter()
                .zip(key_types)
                .map(|(key, data_type)| canonical_array(&key.evaluate(rows)?, data_type))
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
            self.touch(&ids, &Weights::Signed(vec![0].into()))?;
        }
        let mut dead = Vec::new();
        for touched in std::mem::take(&mut self.touched) {
            self.settle(&touched, &mut dead, out)?;
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
            + self.groups.capacity() * size_of::<Group>()
            + self.states.iter().map(|state| state.accumulator.size()).sum::<usize>()
    }

    fn state_rows(&self) -> usize {
        self.table.len()
    }
}

/// Which of the touched groups emit a row.
enum Selection {
    None,
    All(usize),
    Some(UInt32Array),
}

impl Selection {
    fn of(mask: impl ExactSizeIterator<Item = bool>) -> Self {
        let rows = mask.len();
        let chosen: Vec<u32> = mask.enumerate().filter_map(|(index, chosen)| chosen.then_some(index as u32)).collect();
        match chosen.len() {
            0 => Selection::None,
            count if count == rows => Selection::All(rows),
            _ => Selection::Some(chosen.into()),
        }
    }
}

/// The groups whose old row goes, and those whose new row comes.
fn differences(old: Option<&Values>, new: &Values, lived: &[bool], lives: &[bool]) -> Result<(Selection, Selection)> {
    let Some(old) = old else {
        return Ok((Selection::None, Selection::of(lives.iter().copied())));
    };
    let mut differs: Option<BooleanArray> = None;
    for (old, new) in old.columns.iter().zip(&new.columns) {
        let column = distinct(old, new)?;
        differs = Some(match differs {
            Some(differs) => compute::or(&differs, &column)?,
            None => column,
        });
    }
    let differs = |index: usize| differs.as_ref().is_some_and(|differs| differs.value(index));
    let rows = lived.len();
    Ok((
        Selection::of((0..rows).map(|index| lived[index] && (!lives[index] || differs(index)))),
        Selection::of((0..rows).map(|index| lives[index] && (!lived[index] || differs(index)))),
    ))
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
