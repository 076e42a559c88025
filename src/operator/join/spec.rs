//! What a join is told: what it emits, over which keys and columns.

use arrow::datatypes::SchemaRef;

use crate::operator::expression::Expression;

/// Which rows of one side are emitted alone, by whether they have a partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alone {
    /// None.
    Never,
    /// Rows without a partner: the other side's columns are NULL (outer joins) or not in the output (anti join).
    Unmatched,
    /// Rows with a partner, once each: semi join.
    Matched,
    /// All rows, with whether they have a partner in the column [`MARK`].
    Marked,
}

/// What a join emits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinKind {
    /// Whether pairs are emitted.
    pub pairs: bool,
    /// What the sides, left then right, emit alone.
    pub alone: [Alone; 2],
}

impl JoinKind {
    /// Pairs only.
    pub const INNER: JoinKind = JoinKind { pairs: true, alone: [Alone::Never, Alone::Never] };
}

/// A column of the output or of the residual predicate: its side (0 left, 1 right) and its position there.
pub type SideColumn = (usize, usize);

/// The output column of [`Alone::Marked`].
pub const MARK: SideColumn = (2, 0);

/// Everything a join needs to know.
pub struct JoinSpec {
    /// What is emitted.
    pub kind: JoinKind,
    /// The key expressions of the two sides, of equal types pair by pair.
    pub keys: [Vec<Expression>; 2],
    /// The input columns of the two sides.
    pub inputs: [SchemaRef; 2],
    /// Whether the two sides only ever insert.
    pub append_only: [bool; 2],
    /// Whether a NULL key equals a NULL key.
    pub null_equals_null: bool,
    /// A predicate on pairs, over a batch of just the listed columns with the given schema.
    pub residual: Option<(Expression, Vec<SideColumn>, SchemaRef)>,
    /// The columns of the output.
    pub output: Vec<SideColumn>,
    /// The output's schema.
    pub schema: SchemaRef,
}
