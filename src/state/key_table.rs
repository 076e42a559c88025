//! Key columns to dense group ids; NULL equals NULL.
//!
//! Three forms, chosen once by the key's types: fixed-width columns packed into at most four 64-bit lanes, kept in the
//! table itself ([`fixed`]); one string or binary column; anything else as `arrow-row` bytes (both [`heap`]). A hash is
//! never an identity: values are compared. Floats are canonical before they are looked at. It does not count
//! references: who releases a group knows that nobody needs it.

mod dense;
mod fixed;
mod heap;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;

use crate::base::error::{Error, ErrorKind, Result};

use super::input::Shape;
use fixed::{FixedTable, Layout};
use heap::HeapTable;

/// Stands for "no such group".
pub const NO_GROUP: u32 = u32::MAX;

/// A set of keys, each with a small dense number.
///
/// # Contract
/// - Columns have the types given to [`KeyTable::new`]: their physical form is checked on every call, the rest is the
///   caller's (not checkable here, because nested types differ in names and nullability that mean nothing to a key).
/// - Equal keys have equal ids until released; a released id is given to a later key.
pub struct KeyTable {
    types: Vec<DataType>,
    keys: Keys,
}

enum Keys {
    /// No key columns: one group, which exists or not.
    Unit(bool),
    One(FixedTable<1>),
    Two(FixedTable<2>),
    Three(FixedTable<3>),
    Four(FixedTable<4>),
    Heap(HeapTable),
}

/// Calls the same method on whichever table there is.
macro_rules! delegate {
    ($keys:expr, $unit:pat => $without:expr, $table:ident => $with:expr) => {
        match $keys {
            Keys::Unit($unit) => $without,
            Keys::One($table) => $with,
            Keys::Two($table) => $with,
            Keys::Three($table) => $with,
            Keys::Four($table) => $with,
            Keys::Heap($table) => $with,
        }
    };
}

impl KeyTable {
    /// An empty table for keys of these types; an error for types that cannot be compared.
    pub fn new(types: &[DataType]) -> Result<Self> {
        let shapes: Vec<Shape> = types.iter().map(Shape::of).collect();
        let keys = match Layout::new(&shapes) {
            _ if types.is_empty() => Keys::Unit(false),
            Some(layout) => match layout.lanes() {
                0 | 1 => Keys::One(FixedTable::new(layout)),
                2 => Keys::Two(FixedTable::new(layout)),
                3 => Keys::Three(FixedTable::new(layout)),
                _ => Keys::Four(FixedTable::new(layout)),
            },
            None => Keys::Heap(HeapTable::new(types)?),
        };
        Ok(KeyTable { types: types.to_vec(), keys })
    }

    /// Sets `groups` to one id a row; unknown keys get new ids.
    pub fn intern(&mut self, keys: &[ArrayRef], rows: usize, groups: &mut Vec<u32>) -> Result<()> {
        self.check(keys, rows)?;
        groups.clear();
        groups.reserve(rows);
        delegate!(&mut self.keys, exists => {
            *exists |= rows > 0;
            groups.resize(rows, 0);
            Ok(())
        }, table => table.intern(keys, rows, groups))
    }

    /// Sets `groups` to one id a row, [`NO_GROUP`] where the key is unknown.
    pub fn find(&self, keys: &[ArrayRef], rows: usize, groups: &mut Vec<u32>) -> Result<()> {
        self.check(keys, rows)?;
        groups.clear();
        groups.reserve(rows);
        delegate!(&self.keys, exists => {
            groups.resize(rows, if *exists { 0 } else { NO_GROUP });
            Ok(())
        }, table => table.find(keys, rows, groups))
    }

    /// The keys of these groups, in the types given to [`KeyTable::new`]. A group that does not exist has no defined
    /// key.
    pub fn keys(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        delegate!(&self.keys, _ => Ok(vec![]), table => table.keys(&self.types, groups))
    }

    /// Forgets groups; unknown ids are passed over.
    pub fn release(&mut self, groups: &[u32]) {
        delegate!(&mut self.keys, exists => *exists &= !groups.contains(&0), table => table.release(groups));
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        delegate!(&self.keys, exists => usize::from(*exists), table => table.len())
    }

    /// Whether there are no groups.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every id is below this.
    pub fn capacity(&self) -> usize {
        delegate!(&self.keys, exists => usize::from(*exists), table => table.capacity())
    }

    /// The bytes held.
    pub fn size(&self) -> usize {
        delegate!(&self.keys, _ => 0, table => table.size())
    }

    fn check(&self, keys: &[ArrayRef], rows: usize) -> Result<()> {
        if keys.len() != self.types.len() || keys.iter().any(|key| key.len() != rows) {
            return Err(Error::internal(format!(
                "{} key columns of {:?} rows where {} of {rows} are expected",
                keys.len(),
                keys.iter().map(|key| key.len()).collect::<Vec<_>>(),
                self.types.len()
            )));
        }
        Ok(())
    }
}

/// The id after `used` ids.
#[inline]
fn next_id(used: usize) -> Result<u32> {
    match u32::try_from(used) {
        Ok(id) if id < NO_GROUP - 1 => Ok(id),
        _ => Err(Error::new(ErrorKind::Resource, "more than 4 billion groups in one key table")),
    }
}

#[cfg(test)]
mod tests;
