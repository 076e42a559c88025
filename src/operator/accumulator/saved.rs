//! Saved states as columns of bytes: one string a group, all of one width or each of its own.
//!
//! What the bytes mean is the accumulator's matter. A column of another type or width than was saved is an error, and a
//! NULL is a state that nothing is added to.

use std::slice::from_ref;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryBuilder, FixedSizeBinaryArray};

use super::foreign_state;
use super::rows::Rows;
use crate::base::change::Weights;
use crate::base::error::Result;

/// A column of states of `width` bytes, which `write` appends for each group.
pub(super) fn save_fixed(groups: &[u32], width: usize, mut write: impl FnMut(u32, &mut Vec<u8>)) -> Result<ArrayRef> {
    let mut bytes = Vec::with_capacity(groups.len() * width);
    groups.iter().for_each(|&group| write(group, &mut bytes));
    Ok(Arc::new(FixedSizeBinaryArray::try_new(width as i32, bytes.into(), None)?))
}

/// Calls `merge` with the group and the bytes of each state of [`save_fixed`]; groups are below `capacity`.
pub(super) fn load_fixed(
    column: &ArrayRef,
    groups: &[u32],
    capacity: usize,
    width: usize,
    mut merge: impl FnMut(usize, &[u8]),
) -> Result<()> {
    let saved = column.as_fixed_size_binary_opt().filter(|saved| saved.value_length() as usize == width);
    let saved = saved.ok_or_else(foreign_state)?;
    let rows = Rows::new(from_ref(column), groups, &Weights::Ones, None, capacity)?;
    rows.for_each(|row, group, _| merge(group, saved.value(row)));
    Ok(())
}

/// A column of states of about `width` bytes, which `write` appends for each group.
pub(super) fn save_bytes(groups: &[u32], width: usize, mut write: impl FnMut(u32, &mut Vec<u8>)) -> ArrayRef {
    let mut builder = BinaryBuilder::with_capacity(groups.len(), groups.len() * width);
    let mut bytes = Vec::new();
    for &group in groups {
        bytes.clear();
        write(group, &mut bytes);
        builder.append_value(&bytes);
    }
    Arc::new(builder.finish())
}

/// Calls `merge` with the group and the bytes of each state of [`save_bytes`]; groups are below `capacity`.
pub(super) fn load_bytes(
    column: &ArrayRef,
    groups: &[u32],
    capacity: usize,
    mut merge: impl FnMut(usize, &[u8]) -> Result<()>,
) -> Result<()> {
    let saved = column.as_binary_opt::<i32>().ok_or_else(foreign_state)?;
    let rows = Rows::new(from_ref(column), groups, &Weights::Ones, None, capacity)?;
    let mut result = Ok(());
    rows.for_each(|row, group, _| {
        if result.is_ok() {
            result = merge(group, saved.value(row));
        }
    });
    result
}
