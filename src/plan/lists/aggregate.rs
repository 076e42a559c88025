//! `list_sum(list)` and its like: aggregates over the items of a list, with their types and their exactness.
//!
//! Every aggregate of one argument has such a function, so `list_sum` of integers is a BIGINT, of decimals a DECIMAL,
//! of doubles the exact sum rounded once; `list_aggregate(list, 'sum')` calls one by its name.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::{cast, take};
use arrow::datatypes::DataType;
use datafusion::common::{Result as DataFusionResult, ScalarValue, exec_datafusion_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::items::{Lists, item_type, list_of, not_taken};
use crate::base::change::Weights;
use crate::base::error::{Error, ErrorKind, Result};
use crate::operator::accumulator::{AggregateCall, AggregateFunction, create, result_type};
use crate::operator::error::to_datafusion;
use arrow::datatypes::{Field, FieldRef};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let named = AggregateFunction::ALL.into_iter().filter(|function| takes_one(*function)).map(|function| {
        let mut names: Vec<String> = function.names().iter().map(|name| format!("list_{name}")).collect();
        names.extend(function.names().iter().map(|name| format!("array_{name}")));
        ListAggregate::new(Some(Called { function, distinct: false }), names)
    });
    let unique = Called { function: AggregateFunction::Count, distinct: true };
    let unique = ListAggregate::new(Some(unique), vec!["list_unique".into(), "array_unique".into()]);
    let names = ["list_aggregate", "list_aggr", "array_aggregate", "array_aggr"].map(String::from).to_vec();
    let all = named.chain([unique, ListAggregate::new(None, names)]);
    all.map(|function| Arc::new(ScalarUDF::from(function))).collect()
}

/// Whether an aggregate is over the items of one list. `any_value` of a list is its first, which is DataFusion's.
fn takes_one(function: AggregateFunction) -> bool {
    use AggregateFunction as F;
    !matches!(function, F::AnyValue | F::SingleValue) && result_type(function, &[DataType::Null]).is_ok()
}

/// An aggregate, perhaps over distinct items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Called {
    function: AggregateFunction,
    distinct: bool,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ListAggregate {
    /// What is called; none where an argument names it.
    called: Option<Called>,
    names: Vec<String>,
    signature: Signature,
}

impl ListAggregate {
    fn new(called: Option<Called>, names: Vec<String>) -> Self {
        ListAggregate { called, names, signature: Signature::user_defined(Volatility::Immutable) }
    }

    /// The aggregate of a call, and what it is made for.
    fn call(&self, item: &DataType, name: Option<&ScalarValue>) -> Result<AggregateCall> {
        let Called { function, distinct } = match self.called {
            Some(called) => called,
            None => {
                let name = name.and_then(|name| name.try_as_str().flatten()).unwrap_or_default().to_lowercase();
                let is_meant = |function: &AggregateFunction| function.names().contains(&name.as_str());
                let found =
                    AggregateFunction::ALL.into_iter().find(|function| is_meant(function) && takes_one(*function));
                let missing = || {
                    let message = format!("there is no aggregate \"{name}\" over the items of a list");
                    Error::new(ErrorKind::NotFound, message).with_sqlstate("42883")
                };
                Called { function: found.ok_or_else(missing)?, distinct: false }
            }
        };
        Ok(AggregateCall { function, distinct, arguments: vec![item.clone()], append_only: true, fraction: None })
    }

    fn evaluate(&self, lists: &Lists, call: &AggregateCall, result: &DataType) -> Result<ArrayRef> {
        let (places, owners) = lists.places();
        let items = take(lists.values(), &places, None)?;
        let mut accumulator = create(call)?;
        accumulator.resize(lists.len());
        accumulator.update(&[items], &owners, &Weights::Ones, None)?;
        let groups: Vec<u32> = (0..lists.len() as u32).collect();
        let mut errors = vec![];
        let values = accumulator.read(&groups, &mut errors)?;
        if let Some((_, error)) = errors.into_iter().next() {
            return Err(error);
        }
        // The aggregate of no list is NULL, also where that of an empty one is not.
        let places: arrow::array::UInt32Array =
            (0..lists.len()).map(|row| lists.range(row).map(|_| row as u32)).collect();
        Ok(cast(&take(&values, &places, None)?, result)?)
    }
}

impl ScalarUDFImpl for ListAggregate {
    fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    fn aliases(&self) -> &[String] {
        self.names.get(1..).unwrap_or_default()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> DataFusionResult<Vec<DataType>> {
        match (types, self.called) {
            ([list], Some(Called { function, .. })) => {
                let item = item_type(list).ok_or_else(|| not_taken(self.name(), types))?;
                let item = function.coerced_argument(item).map_err(|_| not_taken(self.name(), types))?;
                Ok(vec![list_of(&item)])
            }
            ([list, name], None) if name.is_string() => {
                Ok(vec![list_of(item_type(list).ok_or_else(|| not_taken(self.name(), types))?), DataType::Utf8])
            }
            _ => Err(not_taken(self.name(), types)),
        }
    }

    fn return_type(&self, _types: &[DataType]) -> DataFusionResult<DataType> {
        Err(exec_datafusion_err!("the type of {} depends on its arguments", self.name()))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> DataFusionResult<FieldRef> {
        let list = args.arg_fields.first().map(|field| field.data_type()).and_then(item_type);
        let item = list.ok_or_else(|| not_taken(self.name(), &[]))?;
        let name = args.scalar_arguments.get(1).copied().flatten();
        let call = self.call(item, name).map_err(to_datafusion)?;
        let result = result_type(call.function, &call.arguments).map_err(to_datafusion)?;
        Ok(Arc::new(Field::new(self.name(), result, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let Some((list, names)) = args.args.split_first() else { return Err(not_taken(self.name(), &[])) };
        let name = match names.first() {
            Some(ColumnarValue::Scalar(name)) => Some(name),
            _ => None,
        };
        let evaluated = Lists::of(list, args.number_rows).and_then(|lists| {
            let call = self.call(lists.values().data_type(), name)?;
            self.evaluate(&lists, &call, args.return_field.data_type())
        });
        evaluated.map(ColumnarValue::Array).map_err(to_datafusion)
    }
}
