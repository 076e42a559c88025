//! The bytes that values take.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;

/// The bytes of the rows' own values, not of what a slice was cut from.
pub fn rows_bytes(rows: &RecordBatch) -> usize {
    rows.columns().iter().map(array_bytes).sum()
}

/// The bytes of the array's own values, not of what a slice was cut from.
pub fn array_bytes(array: &ArrayRef) -> usize {
    match array.data_type() {
        DataType::Utf8View => array.len() * 16 + array.as_string_view().total_buffer_bytes_used(),
        DataType::BinaryView => array.len() * 16 + array.as_binary_view().total_buffer_bytes_used(),
        DataType::Struct(_) => array.as_struct().columns().iter().map(array_bytes).sum(),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let offsets = list.value_offsets();
            let (start, end) = (offsets[0] as usize, offsets[list.len()] as usize);
            array.len() * 4 + array_bytes(&list.values().slice(start, end - start))
        }
        _ => array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, ListArray, StringViewArray};
    use arrow::datatypes::Int64Type;

    use super::*;

    #[test]
    fn of_a_slice_its_own_rows_are_counted() {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100_000));
        let texts: ArrayRef =
            Arc::new(StringViewArray::from_iter_values((0..100_000).map(|n| format!("a text that is long, {n}"))));
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(
            (0..100_000).map(|n| Some(vec![Some(n), None])),
        ));
        for array in [numbers, texts, lists] {
            let (whole, slice) = (array_bytes(&array), array_bytes(&array.slice(50_000, 1_000)));
            assert!(slice * 90 < whole && whole < slice * 110, "{slice} of {whole}: {}", array.data_type());
        }
    }
}
