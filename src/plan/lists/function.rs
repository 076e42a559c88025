//! The one shape of functions of lists.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::Result as DataFusionResult;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::items::not_taken;
use crate::base::error::Result;
use crate::operator::error::to_datafusion;

/// A function that SQL may call by any of its names.
pub(super) struct Definition {
    /// Its names, at least one.
    pub(super) names: &'static [&'static str],
    /// The types to which arguments of these types are cast; none where it does not take them.
    pub(super) takes: fn(&[DataType]) -> Option<Vec<DataType>>,
    /// The type of its result.
    pub(super) gives: fn(&[DataType]) -> DataType,
    /// Its values for so many rows.
    pub(super) computes: fn(&[ColumnarValue], usize) -> Result<ArrayRef>,
}

/// The functions as the planner knows them.
pub(super) fn functions(definitions: &'static [Definition]) -> Vec<Arc<ScalarUDF>> {
    definitions.iter().map(|definition| Arc::new(ScalarUDF::from(ListFunction::new(definition)))).collect()
}

struct ListFunction {
    definition: &'static Definition,
    aliases: Vec<String>,
    signature: Signature,
}

impl ListFunction {
    fn new(definition: &'static Definition) -> Self {
        let aliases = definition.names.iter().skip(1).map(|name| name.to_string()).collect();
        ListFunction { definition, aliases, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for ListFunction {
    fn name(&self) -> &str {
        self.definition.names.first().copied().unwrap_or_default()
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> DataFusionResult<Vec<DataType>> {
        (self.definition.takes)(types).ok_or_else(|| not_taken(self.name(), types))
    }

    fn return_type(&self, types: &[DataType]) -> DataFusionResult<DataType> {
        Ok((self.definition.gives)(types))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        (self.definition.computes)(&args.args, args.number_rows).map(ColumnarValue::Array).map_err(to_datafusion)
    }
}

// Functions are equal by name.
impl PartialEq for ListFunction {
    fn eq(&self, other: &Self) -> bool {
        self.definition.names == other.definition.names
    }
}

impl Eq for ListFunction {}

impl Hash for ListFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.definition.names.hash(state);
    }
}

impl std::fmt::Debug for ListFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
