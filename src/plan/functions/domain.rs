//! Functions of DOUBLE that have no result for some numbers: an error there, as in PostgreSQL, where the library below
//! gives NaN or infinity.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::Result as DataFusionResult;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};

use crate::base::error::{Error, Result};
use crate::operator::error::to_datafusion;

const LOGARITHMS: [&str; 4] = ["ln", "log", "log2", "log10"];
const OTHERS: [&str; 4] = ["asin", "acos", "acosh", "atanh"];

/// The function as it is registered.
pub(super) fn adapted(function: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    let is_logarithm = LOGARITHMS.contains(&function.name());
    match is_logarithm || OTHERS.contains(&function.name()) {
        true => Arc::new(ScalarUDF::from(WithinDomain { function, is_logarithm })),
        false => function,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct WithinDomain {
    function: Arc<ScalarUDF>,
    is_logarithm: bool,
}

impl WithinDomain {
    /// Refuses a result that is no number where all arguments are.
    fn check(&self, results: &ArrayRef, arguments: &[ArrayRef]) -> Result<()> {
        let results = cast(results, &DataType::Float64)?;
        let results = results.as_primitive::<Float64Type>();
        if results.values().iter().all(|value| value.is_finite()) {
            return Ok(());
        }
        let arguments: Vec<ArrayRef> = arguments
            .iter()
            .map(|argument| cast(argument, &DataType::Float64))
            .collect::<std::result::Result<_, _>>()?;
        let nowhere = (0..results.len()).filter(|row| results.is_valid(*row) && !results.value(*row).is_finite());
        nowhere.into_iter().try_for_each(|row| {
            let given: Vec<f64> = arguments.iter().map(|of| of.as_primitive::<Float64Type>().value(row)).collect();
            match given.iter().all(|number| number.is_finite()) {
                true => Err(self.outside(&given)),
                false => Ok(()),
            }
        })
    }

    fn outside(&self, given: &[f64]) -> Error {
        let least = given.iter().copied().fold(f64::INFINITY, f64::min);
        match self.is_logarithm {
            true if least == 0.0 => Error::data("cannot take logarithm of zero").with_sqlstate("2201E"),
            true if least < 0.0 => Error::data("cannot take logarithm of a negative number").with_sqlstate("2201E"),
            // To the base of 1.
            true => Error::data("division by zero").with_sqlstate("22012"),
            false => {
                let message = format!("{}() is not defined for {}", self.function.name(), given[0]);
                Error::data(message).with_sqlstate("22003")
            }
        }
    }
}

impl ScalarUDFImpl for WithinDomain {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        self.function.aliases()
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> DataFusionResult<Vec<DataType>> {
        self.function.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> DataFusionResult<DataType> {
        self.function.inner().return_type(types)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let (rows, given) = (args.number_rows, args.args.clone());
        let results = self.function.invoke_with_args(args)?;
        let arrays = ColumnarValue::values_to_arrays(&given)?;
        let computed = results.to_array(arrays.first().map_or(rows, |array| array.len()))?;
        self.check(&computed, &arrays).map_err(to_datafusion)?;
        Ok(results)
    }
}
