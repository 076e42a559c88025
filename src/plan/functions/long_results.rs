//! Functions that make texts or lists of any length, such as `repeat`, `lpad` and `range`: results that are too long are
//! an error before memory is taken for them, those of a batch together.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::Result as DataFusionResult;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};

use crate::base::error::{Error, ErrorKind};
use crate::operator::error::to_datafusion;

/// The most bytes that the results of a batch may have: a quarter of what PostgreSQL takes for one text.
const BYTES_MAX: u64 = 1 << 28;

/// The function as it is registered.
pub(super) fn adapted(function: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    match function.name() {
        "repeat" | "lpad" | "rpad" | "array_repeat" | "array_resize" | "range" | "generate_series" => {
            Arc::new(ScalarUDF::from(LongResult { function }))
        }
        _ => function,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct LongResult {
    function: Arc<ScalarUDF>,
}

impl LongResult {
    /// Refuses results that are too long together.
    fn check(&self, args: &ScalarFunctionArgs) -> DataFusionResult<()> {
        // One value for all rows is computed once.
        let is_constant = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if is_constant { 1 } else { args.number_rows };
        let arrays = args.args.iter().map(|argument| argument.to_array(rows));
        let arrays = arrays.collect::<DataFusionResult<Vec<_>>>()?;
        let numbers = |array: &ArrayRef| -> DataFusionResult<Int64Array> {
            Ok(cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
        };
        let bytes: u64 = match (self.function.name(), arrays.as_slice()) {
            ("repeat", [texts, counts]) => {
                let (texts, counts) = (cast(texts, &DataType::Utf8View)?, numbers(counts)?);
                let widths = texts.as_string_view().lengths().map(i64::from);
                total(widths.zip(&counts).map(|(width, count)| count.unwrap_or(0).saturating_mul(width)))
            }
            // A padded text has so many characters.
            ("lpad" | "rpad", [_, counts, ..]) => total(numbers(counts)?.iter().flatten()),
            ("array_repeat" | "array_resize", [_, counts, ..]) => total(items(numbers(counts)?.iter().flatten())),
            (_, [ends]) if ends.data_type().is_integer() => total(items(numbers(ends)?.iter().flatten())),
            (_, [starts, ends, steps @ ..]) if starts.data_type().is_integer() => {
                let (starts, ends) = (numbers(starts)?, numbers(ends)?);
                let steps = steps.first().map(numbers).transpose()?;
                let step = |row: usize| steps.as_ref().map_or(1, |steps| steps.value(row));
                let count = |row: usize| ends.value(row).saturating_sub(starts.value(row)).checked_div(step(row));
                total(items((0..rows).filter(|row| starts.is_valid(*row) && ends.is_valid(*row)).filter_map(count)))
            }
            _ => 0,
        };
        match bytes > BYTES_MAX {
            true => Err(to_datafusion(self.too_long())),
            false => Ok(()),
        }
    }

    fn too_long(&self) -> Error {
        let message = format!("requested length too large: the results of {}() are too long", self.function.name());
        let error = Error::new(ErrorKind::Resource, message).with_sqlstate("54000");
        error.with_hint(format!("together they may have {} MB", BYTES_MAX >> 20))
    }
}

/// The bytes of so many items of a list, eight each.
fn items(counts: impl Iterator<Item = i64>) -> impl Iterator<Item = i64> {
    counts.map(|count| count.saturating_mul(8))
}

fn total(lengths: impl Iterator<Item = i64>) -> u64 {
    lengths.fold(0, |sum: u64, length| sum.saturating_add(length.max(0).unsigned_abs()))
}

impl ScalarUDFImpl for LongResult {
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
        self.function.inner().is_strict()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        self.check(&args)?;
        self.function.invoke_with_args(args)
    }
}
