//! Lists to rows and structs to columns; values, which change only once.
//!
//! [`UnnestOperator`] follows DataFusion's `Unnest` node for lists unnested once: each row becomes as many rows as
//! its longest list is long, shorter lists are padded with NULL, all other columns are repeated. It keeps no state.
//! Lists unnested several levels deep are not done here.

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::{self, cast};
use arrow::datatypes::{DataType, Field, SchemaRef};

use crate::base::change::ChangeBatch;
use crate::base::error::{Error, Result};
use crate::operator::expression::assemble;
use crate::operator::{CHUNK_ROWS, Operator, Output};

/// How a list without elements is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmptyLists {
    /// A NULL list gives one row with NULL.
    pub null_gives_row: bool,
    /// An empty list gives one row with NULL.
    pub empty_gives_row: bool,
}

/// Unnests some columns of its input.
pub struct UnnestOperator {
    lists: Vec<usize>,
    structs: Vec<usize>,
    empty: EmptyLists,
    schema: SchemaRef,
}

/// Where the elements of the lists of one column are.
struct Lists {
    values: ArrayRef,
    /// Start and end of each row's elements; `None` where the list is NULL.
    ranges: Vec<Option<(usize, usize)>>,
}

/// The rows of one output chunk: for each the input row and the position within its lists.
#[derive(Default)]
struct Positions {
    rows: Vec<u32>,
    elements: Vec<usize>,
}

impl UnnestOperator {
    /// `lists` and `structs` are positions of input columns; `schema` is that of the output.
    pub fn new(lists: Vec<usize>, structs: Vec<usize>, empty: EmptyLists, schema: SchemaRef) -> Self {
        UnnestOperator { lists, structs, empty, schema }
    }

    fn emit(&self, batch: &ChangeBatch, lists: &[Lists], positions: Positions, out: &mut dyn Output) -> Result<()> {
        let rows = UInt32Array::from(positions.rows);
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for (index, column) in batch.rows().columns().iter().enumerate() {
            let column = match self.lists.iter().position(|&list| list == index) {
                Some(list) => lists[list].elements(&rows, &positions.elements)?,
                None => compute::take(column, &rows, None)?,
            };
            if self.structs.contains(&index) {
                columns.extend(struct_columns(&column)?);
            } else {
                columns.push(column);
            }
        }
        let output = assemble(&self.schema, columns, rows.len())?;
        out.emit(ChangeBatch::try_new(output, batch.weights().take(&rows)?)?)
    }

    /// How many rows the input row becomes.
    fn length(&self, lists: &[Lists], row: usize) -> usize {
        let lengths = lists.iter().map(|list| match list.ranges[row] {
            None => usize::from(self.empty.null_gives_row),
            Some((start, end)) if start == end => usize::from(self.empty.empty_gives_row),
            Some((start, end)) => end - start,
        });
        lengths.max().unwrap_or(1)
    }
}

impl Operator for UnnestOperator {
    fn push(&mut self, _port: usize, batch: ChangeBatch, out: &mut dyn Output) -> Result<()> {
        let lists = self.lists.iter().map(|&list| Lists::new(batch.rows().column(list))).collect::<Result<Vec<_>>>()?;
        let mut positions = Positions::default();
        for row in 0..batch.num_rows() {
            for element in 0..self.length(&lists, row) {
                positions.rows.push(row as u32);
                positions.elements.push(element);
                if positions.rows.len() == CHUNK_ROWS {
                    self.emit(&batch, &lists, std::mem::take(&mut positions), out)?;
                }
            }
        }
        if positions.rows.is_empty() {
            return Ok(());
        }
        self.emit(&batch, &lists, positions, out)
    }

    fn finish(&mut self, _out: &mut dyn Output) -> Result<()> {
        Ok(())
    }
}

impl Lists {
    fn new(column: &ArrayRef) -> Result<Self> {
        let element = match column.data_type() {
            DataType::List(field)
            | DataType::LargeList(field)
            | DataType::ListView(field)
            | DataType::LargeListView(field)
            | DataType::FixedSizeList(field, _) => field.data_type().clone(),
            other => return Err(Error::internal(format!("cannot unnest a value of type {other}"))),
        };
        let column = match column.data_type() {
            DataType::List(_) => column.clone(),
            _ => cast(column, &DataType::List(Field::new_list_field(element, true).into()))?,
        };
        let list = column.as_list::<i32>();
        let offsets = list.value_offsets();
        let range = |row: usize| (offsets[row] as usize, offsets[row + 1] as usize);
        let ranges = (0..list.len()).map(|row| list.is_valid(row).then(|| range(row))).collect();
        Ok(Lists { values: list.values().clone(), ranges })
    }

    fn elements(&self, rows: &UInt32Array, elements: &[usize]) -> Result<ArrayRef> {
        let indices = rows.values().iter().zip(elements).map(|(&row, &element)| {
            let (start, end) = self.ranges[row as usize]?;
            (start + element < end).then_some((start + element) as u32)
        });
        Ok(compute::take(&self.values, &indices.collect::<UInt32Array>(), None)?)
    }
}

/// The fields of a struct column as columns, NULL where the struct is.
fn struct_columns(column: &ArrayRef) -> Result<Vec<ArrayRef>> {
    let Some(values) = column.as_struct_opt() else {
        return Err(Error::internal(format!("cannot unnest a value of type {}", column.data_type())));
    };
    let Some(nulls) = values.nulls() else { return Ok(values.columns().to_vec()) };
    let absent = arrow::array::BooleanArray::new(!nulls.inner(), None);
    values.columns().iter().map(|field| Ok(compute::nullif(field, &absent)?)).collect()
}
