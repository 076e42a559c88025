//! `typeof(x)` and `pg_typeof(x)`: the name of the type that an expression has, ours and PostgreSQL's.

use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use crate::base::types::sql_type_name;
use crate::plan::source::domain_of;

/// Both of them.
pub(super) fn functions() -> Vec<std::sync::Arc<ScalarUDF>> {
    let function = |name| {
        let signature = Signature::any(1, Volatility::Immutable);
        std::sync::Arc::new(ScalarUDF::from(TypeName { name, signature }))
    };
    vec![function("typeof"), function(PG_TYPEOF)]
}

const PG_TYPEOF: &str = "pg_typeof";

#[derive(Debug, PartialEq, Eq, Hash)]
struct TypeName {
    name: &'static str,
    signature: Signature,
}

impl ScalarUDFImpl for TypeName {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(field) = args.arg_fields.first() else {
            return Ok(ColumnarValue::Scalar(ScalarValue::Utf8View(None)));
        };
        let name = match domain_of(field) {
            Some(domain) => domain.to_string(),
            None => sql_type_name(field.data_type()),
        };
        let name = if self.name == PG_TYPEOF { of_postgres(&name) } else { name };
        Ok(ColumnarValue::Scalar(ScalarValue::Utf8View(Some(name))))
    }
}

/// What PostgreSQL calls a type of ours; it leaves out lengths and digits.
fn of_postgres(name: &str) -> String {
    if let Some(item) = name.strip_suffix("[]") {
        return format!("{}[]", of_postgres(item.trim_end_matches("[]")));
    }
    let bare = name.split('(').next().unwrap_or(name);
    match bare {
        "NULL" => "unknown",
        "DOUBLE" => "double precision",
        "DECIMAL" => "numeric",
        "TIMESTAMP" => "timestamp without time zone",
        "TIMESTAMPTZ" => "timestamp with time zone",
        "TIME" => "time without time zone",
        "VARCHAR" => "character varying",
        "CHAR" => "character",
        _ if name.starts_with("STRUCT") || name.starts_with("ROW") => "record",
        other => return other.to_lowercase(),
    }
    .to_string()
}
