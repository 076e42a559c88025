//! What a checkpoint takes over of the rows of a relation.

use std::sync::Arc;

use roaring::RoaringTreemap;

use super::chunk::Chunk;

/// What a checkpoint takes over of an arena: the rows that are there now.
pub struct Saving {
    /// Every id is below.
    pub high: u64,
    /// All chunks in order, each with whether its rows have to be written.
    pub chunks: Vec<(Arc<Chunk>, bool)>,
    /// Rows of chunks saved before that died since the checkpoint before.
    pub deaths: RoaringTreemap,
}
