//! Functions written by the user.

use std::fmt::{self, Debug};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use crate::base::error::{Error, Result};
use crate::operator::error::to_datafusion;

/// From argument columns to a result column of the same length.
pub type ColumnFunction = Arc<dyn Fn(&[ArrayRef]) -> Result<ArrayRef> + Send + Sync>;

/// A scalar function written by the user, on columns.
pub struct UserFunction {
    /// Its name; calls are matched without regard to case.
    pub name: String,
    /// The types of its arguments.
    pub arguments: Vec<DataType>,
    /// The type of its result.
    pub result: DataType,
    /// Whether equal arguments always give equal results; a function that is not so is refused in views.
    pub deterministic: bool,
    /// Gives one result a row; all arguments have the same length.
    pub function: ColumnFunction,
}

impl UserFunction {
    /// The function as it is registered.
    pub(super) fn into_scalar(self) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::from(UserScalar::new(self)))
    }
}

/// DataFusion's face of a [`UserFunction`].
struct UserScalar {
    function: UserFunction,
    signature: Signature,
}

impl UserScalar {
    fn new(function: UserFunction) -> Self {
        let volatility = if function.deterministic { Volatility::Immutable } else { Volatility::Volatile };
        let signature = match function.arguments.is_empty() {
            true => Signature::nullary(volatility),
            false => Signature::exact(function.arguments.clone(), volatility),
        };
        let function = UserFunction { name: function.name.to_lowercase(), ..function };
        UserScalar { function, signature }
    }
}

impl Debug for UserScalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserScalar({})", self.function.name)
    }
}

impl PartialEq for UserScalar {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name && Arc::ptr_eq(&self.function.function, &other.function.function)
    }
}

impl Eq for UserScalar {}

impl Hash for UserScalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl ScalarUDFImpl for UserScalar {
    fn name(&self) -> &str {
        &self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> datafusion::common::Result<DataType> {
        Ok(self.function.result.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> datafusion::common::Result<ColumnarValue> {
        let arrays = args.args.iter().map(|arg| arg.to_array(args.number_rows)).collect::<Result<Vec<_>, _>>()?;
        let result = (self.function.function)(&arrays).map_err(to_datafusion)?;
        if result.len() != args.number_rows || result.data_type() != &self.function.result {
            return Err(to_datafusion(Error::data(format!(
                "function \"{}\" gave {} rows of {} for {} rows of {}",
                self.function.name,
                result.len(),
                result.data_type(),
                args.number_rows,
                self.function.result
            ))));
        }
        Ok(ColumnarValue::Array(result))
    }
}
