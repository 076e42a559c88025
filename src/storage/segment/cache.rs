//! Columns of blocks that were read lately, up to so many bytes.

use arrow::array::{Array, ArrayRef};
use quick_cache::Weighter;
use quick_cache::sync::Cache as Columns;

use crate::base::error::Result;

/// Columns by file and place.
pub struct Cache(Columns<(u64, u64), ArrayRef, Bytes>);

/// A column weighs what it holds.
#[derive(Clone)]
struct Bytes;

/// The bytes of a column that a cache is made for.
const TYPICAL: u64 = 256 << 10;

impl Weighter<(u64, u64), ArrayRef> for Bytes {
    fn weight(&self, _: &(u64, u64), column: &ArrayRef) -> u64 {
        column.get_buffer_memory_size() as u64 + 64
    }
}

impl Cache {
    /// A cache that holds up to so many bytes.
    pub fn new(bytes: u64) -> Self {
        Cache(Columns::with_weighter((bytes / TYPICAL) as usize + 1, bytes, Bytes))
    }

    /// Holds up to so many bytes from here on.
    pub fn resize(&self, bytes: u64) {
        self.0.set_capacity(bytes);
    }

    /// The column at `key`, fetched where it is not there.
    pub fn column(&self, key: (u64, u64), fetch: impl FnOnce() -> Result<ArrayRef>) -> Result<ArrayRef> {
        if let Some(column) = self.get(key) {
            return Ok(column);
        }
        let column = fetch()?;
        self.put(key, &column);
        Ok(column)
    }

    /// The column at `key`, if it is there.
    pub fn get(&self, key: (u64, u64)) -> Option<ArrayRef> {
        self.0.get(&key)
    }

    /// Keeps a column for a while.
    pub fn put(&self, key: (u64, u64), column: &ArrayRef) {
        self.0.insert(key, column.clone());
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("bytes", &self.0.weight()).finish_non_exhaustive()
    }
}
