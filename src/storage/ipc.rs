//! Rows and schemas as Arrow IPC messages: the bytes that the log and segments hold of them.
//!
//! A message is `metadata length u32, body length u32, metadata, body`; both parts are padded to 8 bytes, so a buffer
//! that starts aligned holds aligned values. No compression here: who wants it compresses files.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, make_array};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use arrow::ipc::{MetadataVersion, convert, reader, root_as_message};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::types::is_nested_deeper;

/// What is before the metadata of a message.
const PREFIX: usize = 8;
/// How deep types may lie in one another. Who reads a message bounds its tables to 64 levels, of which each type is one.
const TYPE_LEVELS: usize = 60;

/// The message of a schema.
///
/// # Errors
/// A type is nested so deep that it could not be read again (54001).
pub fn encode_schema(schema: &Schema) -> Result<Vec<u8>> {
    if let Some(field) = schema.fields().iter().find(|field| is_nested_deeper(field.data_type(), TYPE_LEVELS)) {
        let message = format!("the type of column \"{}\" is nested deeper than {TYPE_LEVELS} levels", field.name());
        return Err(Error::new(ErrorKind::Resource, message)
            .with_sqlstate("54001")
            .with_hint("a database in a directory stores no deeper types"));
    }
    let (mut dictionaries, options) = (DictionaryTracker::new(false), options()?);
    Ok(IpcDataGenerator {}.schema_to_bytes_with_dictionary_tracker(schema, &mut dictionaries, &options).ipc_message)
}

/// The schema of a message.
pub fn decode_schema(bytes: &[u8]) -> Result<SchemaRef> {
    let schema = convert::try_schema_from_flatbuffer_bytes(bytes).map_err(|_| damaged("a schema"))?;
    Ok(Arc::new(schema))
}

/// Appends the message of rows to `out`, which must be as long as a multiple of 8 bytes.
pub fn encode_rows(rows: &RecordBatch, context: &mut IpcWriteContext, out: &mut Vec<u8>) -> Result<()> {
    let (mut dictionaries, options) = (DictionaryTracker::new(false), options()?);
    let rows = without_unused_bytes(rows)?;
    let (_, message) = IpcDataGenerator {}.encode(&rows, &mut dictionaries, &options, context)?;
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| too_long());
    out.extend(length(&message.ipc_message)?.to_le_bytes());
    out.extend(length(&message.arrow_data)?.to_le_bytes());
    for part in [&message.ipc_message, &message.arrow_data] {
        out.extend_from_slice(part);
        out.resize(out.len().next_multiple_of(8), 0);
    }
    Ok(())
}

/// Takes the message of rows from `offset` of `bytes`, which are shared with the rows; where it ends.
pub fn decode_rows(bytes: &Buffer, offset: usize, schema: &SchemaRef) -> Result<(RecordBatch, usize)> {
    let number = |at: usize| -> Option<usize> {
        let bytes = bytes.get(at..at.checked_add(4)?)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
    };
    let lengths = || Some((number(offset)?, number(offset + 4)?));
    let (metadata, body) = lengths().ok_or_else(|| damaged("rows"))?;
    let metadata_start = offset + PREFIX;
    let body_start = metadata_start + metadata.next_multiple_of(8);
    let end = body_start + body.next_multiple_of(8);
    let message = bytes.get(metadata_start..metadata_start + metadata).filter(|_| end <= bytes.len());
    let message = message.and_then(|message| root_as_message(message).ok()).ok_or_else(|| damaged("rows"))?;
    let batch = message.header_as_record_batch().ok_or_else(|| damaged("rows"))?;
    let body = bytes.slice_with_length(body_start, body);
    let rows = reader::read_record_batch(&body, batch, schema.clone(), &HashMap::new(), None, &MetadataVersion::V5)?;
    Ok((rows, end))
}

fn options() -> Result<IpcWriteOptions> {
    Ok(IpcWriteOptions::try_new(8, false, MetadataVersion::V5)?)
}

/// The rows, copied where a column's values lie in buffers that hold much besides them: a message has whole buffers.
fn without_unused_bytes(rows: &RecordBatch) -> Result<RecordBatch> {
    let columns = rows.columns().iter().map(compact).collect::<Result<_>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(rows.schema(), columns, &options)?)
}

fn compact(column: &ArrayRef) -> Result<ArrayRef> {
    let held = |buffers: &[Buffer]| buffers.iter().map(Buffer::len).sum::<usize>();
    let compacted: ArrayRef = match column.data_type() {
        DataType::Utf8View => {
            let texts = column.as_string_view();
            match texts.total_buffer_bytes_used() * 2 < held(texts.data_buffers()) {
                true => Arc::new(texts.gc()),
                false => column.clone(),
            }
        }
        DataType::BinaryView => {
            let bytes = column.as_binary_view();
            match bytes.total_buffer_bytes_used() * 2 < held(bytes.data_buffers()) {
                true => Arc::new(bytes.gc()),
                false => column.clone(),
            }
        }
        DataType::List(_) | DataType::Struct(_) => {
            let data = column.to_data();
            let children = data.child_data().iter().map(|child| Ok(compact(&make_array(child.clone()))?.to_data()));
            let children = children.collect::<Result<Vec<_>>>()?;
            make_array(data.into_builder().child_data(children).build()?)
        }
        _ => column.clone(),
    };
    Ok(compacted)
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Io, format!("the bytes of {what} do not make sense")).with_sqlstate("XX001")
}

fn too_long() -> Error {
    Error::new(ErrorKind::Resource, "a batch of rows takes more than 4 GB").with_sqlstate("54000")
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Field;

    #[test]
    fn every_type_that_is_written_can_be_read() {
        let list = |inner: DataType| DataType::List(Arc::new(Field::new("item", inner, true)));
        let row = |inner: DataType| DataType::Struct(vec![Field::new("f", inner, true)].into());
        for wrap in [list, row] {
            let deep = |levels: usize| (0..levels).fold(DataType::Int32, |inner, _| wrap(inner));
            let schema = |levels: usize| Schema::new(vec![Field::new("a", deep(levels), true)]);
            let read = decode_schema(&encode_schema(&schema(TYPE_LEVELS)).unwrap()).unwrap();
            assert_eq!(*read, schema(TYPE_LEVELS));
            assert_eq!(encode_schema(&schema(TYPE_LEVELS + 1)).unwrap_err().sqlstate(), "54001");
        }
    }
}
