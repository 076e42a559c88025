//! `now()` and its relatives: functions of the epoch's time.
//!
//! They are known to the binder by name and type only. [`resolve`] replaces every call by an expression over the
//! placeholder [`NOW`], which a driver binds once per run or step, so that all mentions in a statement agree and no
//! optimiser can freeze the time at which a view was made.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, cast,
};

/// The placeholder of the epoch's time: TIMESTAMPTZ in microseconds, UTC. No parameter of a statement may begin with
/// `__`, so it is none of the user's.
const NOW: &str = "$__now";

/// A plan as text with `now()` where the epoch's time stands.
pub(crate) fn with_now(plan: &str) -> String {
    plan.replace(NOW, "now()")
}

/// The type of [`NOW`].
pub fn now_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The functions, under all their names.
pub fn functions() -> Vec<Arc<ScalarUDF>> {
    let names: [(&str, &[&str], DataType); 4] = [
        ("now", &["current_timestamp", "transaction_timestamp", "statement_timestamp"], now_type()),
        ("current_date", &["today"], DataType::Date32),
        ("current_time", &["localtime"], DataType::Time64(TimeUnit::Nanosecond)),
        ("localtimestamp", &[], DataType::Timestamp(TimeUnit::Microsecond, None)),
    ];
    names
        .into_iter()
        .map(|(name, aliases, result)| {
            let aliases = aliases.iter().map(|alias| alias.to_string()).collect();
            let signature = Signature::nullary(Volatility::Stable);
            Arc::new(ScalarUDF::from(ClockFunction { name, aliases, result, signature }))
        })
        .collect()
}

/// The expression over [`NOW`] that stands for `expr`, if it is a call of one of these functions.
pub fn resolve(expr: &Expr) -> Option<Expr> {
    let Expr::ScalarFunction(call) = expr else { return None };
    let function = call.func.inner().downcast_ref::<ClockFunction>()?;
    let field = Arc::new(Field::new(NOW, now_type(), false));
    let now = Expr::Placeholder(Placeholder::new_with_field(NOW.to_string(), Some(field)));
    Some(if function.result == now_type() { now } else { cast(now, function.result.clone()) })
}

/// Whether the expression is the epoch's time.
pub(crate) fn is_now(expr: &Expr) -> bool {
    matches!(expr, Expr::Placeholder(placeholder) if placeholder.id == NOW)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ClockFunction {
    name: &'static str,
    aliases: Vec<String>,
    result: DataType,
    signature: Signature,
}

impl ScalarUDFImpl for ClockFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.result.clone())
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("{}() was not bound to the epoch's time", self.name)
    }
}
