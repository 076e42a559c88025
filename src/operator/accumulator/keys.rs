//! Values as keys of ordered tables: natively for primitive types, as order-preserving bytes for all others.
//!
//! A codec promises that keys compare as SQL compares the values, that equal values are equal keys, and that
//! `decode` gives back the values. It does not store anything.

use std::borrow::Borrow;
use std::cmp::Ordering;

use arrow::array::{ArrayRef, ArrowNativeTypeOp, AsArray, BinaryViewBuilder, UInt32Array};
use arrow::compute::{SortOptions, cast, take};
use arrow::datatypes::{DataType, ToByteSlice};
use arrow::row::{RowConverter, SortField};

use super::native::{natives, primitive_array};
use super::rows::{Rows, validity};
use super::{argument, foreign_state, state_column};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::types::{canonical_array, canonical_floats, sql_type_name};
use crate::state::hash::{hash_bytes, hash_u64};

/// Turns the values of one call's arguments into keys and back.
pub(super) trait Codec: Send + Sync {
    /// A key as it is looked up.
    type Query: Ord + ToOwned<Owned = Self::Key> + ?Sized;
    /// A key as it is stored.
    type Key: Ord + Borrow<Self::Query> + Send + Sync;

    /// Calls `f(row, group, key, weight)` for every row that counts.
    fn visit(&self, values: &[ArrayRef], rows: &Rows<'_>, f: impl FnMut(usize, usize, &Self::Query, i64))
    -> Result<()>;
    /// One array an argument with the values of `keys`; `None` is NULL.
    fn decode(&self, keys: &[Option<&Self::Key>]) -> Result<Vec<ArrayRef>>;
    /// Bytes that a key holds beside its own size.
    fn heap(key: &Self::Query) -> usize;
    /// The hash of a key.
    fn hash(key: &Self::Query) -> u64;

    /// [`Codec::decode`] of a single argument.
    fn decode_one(&self, keys: &[Option<&Self::Key>]) -> Result<ArrayRef> {
        state_column(&self.decode(keys)?, 0).cloned()
    }
}

/// A primitive value in its total order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Native<N>(pub(super) N);

impl<N: ArrowNativeTypeOp> Ord for Native<N> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.compare(other.0)
    }
}

impl<N: ArrowNativeTypeOp> PartialOrd for Native<N> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<N: ArrowNativeTypeOp> PartialEq for Native<N> {
    fn eq(&self, other: &Self) -> bool {
        self.0.is_eq(other.0)
    }
}

impl<N: ArrowNativeTypeOp> Eq for Native<N> {}

/// Keys of one primitive argument.
pub(super) struct NativeKeys<N> {
    data_type: DataType,
    _values: std::marker::PhantomData<fn() -> N>,
}

impl<N: ArrowNativeTypeOp> NativeKeys<N> {
    /// Keys of `data_type`, whose arrays hold numbers of the kind `N`.
    pub(super) fn new(data_type: &DataType) -> Self {
        NativeKeys { data_type: data_type.clone(), _values: std::marker::PhantomData }
    }
}

impl<N: ArrowNativeTypeOp> Codec for NativeKeys<N> {
    type Query = Native<N>;
    type Key = Native<N>;

    fn visit(
        &self,
        values: &[ArrayRef],
        rows: &Rows<'_>,
        mut f: impl FnMut(usize, usize, &Self::Query, i64),
    ) -> Result<()> {
        let values = canonical_floats(argument(values, &self.data_type)?);
        let values = natives::<N>(&values)?;
        rows.for_each(|row, group, weight| f(row, group, &Native(values[row]), weight));
        Ok(())
    }

    fn decode(&self, keys: &[Option<&Self::Key>]) -> Result<Vec<ArrayRef>> {
        let values = keys.iter().map(|key| key.map_or(N::default(), |key| key.0)).collect();
        let nulls = validity(keys.iter().map(Option::is_some).collect());
        Ok(vec![primitive_array(&self.data_type, values, nulls)?])
    }

    fn heap(_: &Self::Query) -> usize {
        0
    }

    fn hash(key: &Self::Query) -> u64 {
        let bytes = key.0.to_byte_slice();
        match bytes.try_into() {
            Ok(lane) => hash_u64(u64::from_le_bytes(lane)),
            Err(_) => hash_bytes(bytes),
        }
    }
}

/// Keys as order-preserving bytes: the text or bytes themselves, or arrow's row format.
pub(super) struct RowKeys {
    types: Vec<DataType>,
    converter: Option<RowConverter>,
}

impl RowKeys {
    /// Keys of arguments of these types; an error if one has no order.
    pub(super) fn try_new(types: &[DataType]) -> Result<Self> {
        let is_bytes = |data_type: &DataType| {
            use DataType::*;
            matches!(data_type, Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView)
        };
        let converter = match types {
            [data_type] if is_bytes(data_type) => None,
            _ => {
                // NULL inside a list or struct is greater than any value, as ORDER BY has it.
                let order = SortOptions { descending: false, nulls_first: false };
                let field = |data_type: &DataType| SortField::new_with_options(data_type.clone(), order);
                let fields: Vec<_> = types.iter().map(field).collect();
                if !RowConverter::supports_fields(&fields) {
                    let names: Vec<_> = types.iter().map(sql_type_name).collect();
                    return Err(Error::new(ErrorKind::Type, format!("no order is defined for {}", names.join(", "))));
                }
                Some(RowConverter::new(fields)?)
            }
        };
        Ok(RowKeys { types: types.to_vec(), converter })
    }
}

impl Codec for RowKeys {
    type Query = [u8];
    type Key = Vec<u8>;

    fn visit(&self, values: &[ArrayRef], rows: &Rows<'_>, mut f: impl FnMut(usize, usize, &[u8], i64)) -> Result<()> {
        let Some(converter) = &self.converter else {
            let data_type = self.types.first().ok_or_else(foreign_state)?;
            let views = cast(&argument(values, data_type)?, &DataType::BinaryView)?;
            let views = views.as_binary_view_opt().ok_or_else(foreign_state)?;
            rows.for_each(|row, group, weight| f(row, group, views.value(row), weight));
            return Ok(());
        };
        if values.len() != self.types.len() {
            return Err(foreign_state());
        }
        let typed = values.iter().zip(&self.types).map(|(array, data_type)| canonical_array(array, data_type));
        let encoded = converter.convert_columns(&typed.collect::<Result<Vec<_>>>()?)?;
        rows.for_each(|row, group, weight| f(row, group, encoded.row(row).data(), weight));
        Ok(())
    }

    fn decode(&self, keys: &[Option<&Vec<u8>>]) -> Result<Vec<ArrayRef>> {
        let Some(converter) = &self.converter else {
            let mut builder = BinaryViewBuilder::with_capacity(keys.len());
            keys.iter().for_each(|key| builder.append_option(key.map(Vec::as_slice)));
            let data_type = self.types.first().ok_or_else(foreign_state)?;
            return Ok(vec![cast(&builder.finish(), data_type)?]);
        };
        let parser = converter.parser();
        let arrays = converter.convert_rows(keys.iter().flatten().map(|key| parser.parse(key)))?;
        if keys.iter().all(Option::is_some) {
            return Ok(arrays);
        }
        let mut next = 0;
        let positions = keys.iter().map(|key| {
            key.map(|_| {
                next += 1;
                next - 1
            })
        });
        let positions: UInt32Array = positions.collect();
        arrays.iter().map(|array| Ok(take(array, &positions, None)?)).collect()
    }

    fn heap(key: &[u8]) -> usize {
        key.len()
    }

    fn hash(key: &[u8]) -> u64 {
        hash_bytes(key)
    }
}
