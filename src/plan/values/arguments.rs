//! Arguments that must be of one type.
//!
//! DataFusion knows one type for the items of `[1.5]` and for `22.75`, but takes no decimal for another, so that
//! `array_append([1.5], 22.75)` would be a function that does not exist. Here lists and items are brought to the type
//! that holds both: DOUBLE where one is a float, as everywhere, else a DECIMAL.
//!
//! `coalesce`, `greatest` and their like give one of their arguments. A text beside dates or intervals among them,
//! which DataFusion refuses, becomes one; that it is a literal is seen to by [`settle`](super::settle).

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::utils::list_ndims;
use datafusion::functions_nested::concat::{array_append_udf, array_concat_udf, array_prepend_udf};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::type_coercion::binary::comparison_coercion;
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::{
    ArrayFunctionArgument, ArrayFunctionSignature, ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, TypeSignature,
};

use crate::base::decimal::DecimalType;

/// Functions whose result is one of their arguments, or a list of them: all have one type.
pub(super) const OF_ONE_TYPE: [&str; 6] = ["coalesce", "greatest", "least", "make_array", "nullif", "nvl2"];

/// The function that joins lists.
const JOIN: &str = "array_concat";

/// The function as it is registered.
pub(crate) fn adapted(function: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    let takes = if function.name() == JOIN {
        Takes::Lists
    } else if OF_ONE_TYPE.contains(&function.name()) {
        Takes::OneType
    } else if has_items(&function.signature().type_signature) {
        Takes::Items
    } else {
        return function;
    };
    let signature = Signature::user_defined(function.signature().volatility);
    Arc::new(ScalarUDF::from(Adapted { function, takes, signature }))
}

/// What `||` is between lists, and between a list and an item with decimals among them. NULL is no item, but no list.
pub(super) fn joining(left: &DataType, right: &DataType) -> Option<Arc<ScalarUDF>> {
    let (of_left, of_right) = (list_ndims(left), list_ndims(right));
    let function = match () {
        _ if of_left + of_right == 0 => return None,
        _ if left.is_null() || right.is_null() => array_concat_udf(),
        _ if !holds_decimal(left) && !holds_decimal(right) => return None,
        _ if of_left == of_right + 1 => array_append_udf(),
        _ if of_left + 1 == of_right => array_prepend_udf(),
        _ => return None,
    };
    Some(adapted(function))
}

fn holds_decimal(data_type: &DataType) -> bool {
    data_type.is_decimal() || item_of(data_type).is_some_and(|item| holds_decimal(item.data_type()))
}

/// Whether a signature takes several lists or items.
fn has_items(signature: &TypeSignature) -> bool {
    match signature {
        TypeSignature::ArraySignature(ArrayFunctionSignature::Array { arguments, .. }) => {
            arguments.iter().filter(|argument| is_item(argument)).count() > 1
        }
        TypeSignature::OneOf(signatures) => signatures.iter().any(has_items),
        _ => false,
    }
}

fn is_item(argument: &ArrayFunctionArgument) -> bool {
    matches!(argument, ArrayFunctionArgument::Element | ArrayFunctionArgument::Array)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Takes {
    /// Lists and items of one type.
    Items,
    /// Lists; a NULL of no type is one of them.
    Lists,
    /// Arguments of one type.
    OneType,
}

/// A function of DataFusion with other types for its arguments.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Adapted {
    function: Arc<ScalarUDF>,
    takes: Takes,
    signature: Signature,
}

impl Adapted {
    /// The types to which DataFusion casts these.
    fn own_types<'a>(&self, types: impl Iterator<Item = &'a DataType>) -> Result<Vec<DataType>> {
        let field = |data_type: &DataType| -> FieldRef { Arc::new(Field::new("item", data_type.clone(), true)) };
        let fields: Vec<FieldRef> = types.map(field).collect();
        let fields = fields_with_udf(&fields, self.function.as_ref())?;
        Ok(fields.iter().map(|field| field.data_type().clone()).collect())
    }
}

impl ScalarUDFImpl for Adapted {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        self.function.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let types = match self.takes {
            Takes::Items => with_common_items(&self.function.signature().type_signature, types),
            Takes::Lists => {
                let list = types.iter().find(|data_type| !data_type.is_null()).cloned().unwrap_or(DataType::Null);
                types.iter().map(|of| if of.is_null() { list.clone() } else { of.clone() }).collect()
            }
            // The first argument of nvl2 is only asked whether it is NULL.
            Takes::OneType if self.name() == "nvl2" && types.len() == 3 => {
                let results = without_texts(&types[1..]);
                let coerced = self.own_types(results.iter().take(1).chain(&results))?;
                return Ok(types.iter().take(1).cloned().chain(coerced.into_iter().skip(1)).collect());
            }
            Takes::OneType => match of_one_type(types) {
                Some(types) => return Ok(types),
                None => without_texts(types),
            },
        };
        self.own_types(types.iter())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.function.inner().return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.function.return_field_from_args(args)
    }

    fn is_strict(&self) -> bool {
        self.function.inner().is_strict()
    }

    fn short_circuits(&self) -> bool {
        self.function.inner().short_circuits()
    }

    fn conditional_arguments<'a>(&self, args: &'a [Expr]) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        self.function.inner().conditional_arguments(args)
    }

    fn with_updated_config(&self, config: &ConfigOptions) -> Option<ScalarUDF> {
        self.function.inner().with_updated_config(config)
    }

    fn simplify(&self, args: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.function.simplify(args, context)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.function.invoke_with_args(args)
    }
}

/// The one list or struct type that these are but for NULLs. DataFusion would take NULL beside a list for a text.
fn of_one_type(types: &[DataType]) -> Option<Vec<DataType>> {
    let mut known = types.iter().filter(|data_type| !data_type.is_null());
    let first = known.next().filter(|data_type| data_type.is_nested())?;
    known.all(|other| other == first).then(|| vec![first.clone(); types.len()])
}

/// Types in which a text beside others is one of the others, which it will be cast to.
fn without_texts(types: &[DataType]) -> Vec<DataType> {
    // The values of a dictionary may be texts.
    let is_plain = |data_type: &DataType| !data_type.is_nested() && !matches!(data_type, DataType::Dictionary(..));
    let other = types.iter().find(|data_type| !data_type.is_string() && !data_type.is_null());
    match other.filter(|_| types.iter().all(is_plain)) {
        Some(other) => {
            let settled = |data_type: &DataType| if data_type.is_string() { other.clone() } else { data_type.clone() };
            types.iter().map(settled).collect()
        }
        None => types.to_vec(),
    }
}

/// The types of the arguments of a function over lists, with items of one type where decimals are among them.
fn with_common_items(signature: &TypeSignature, types: &[DataType]) -> Vec<DataType> {
    let unchanged = types.to_vec();
    let Some(roles) = roles(signature, types.len()) else { return unchanged };
    let items = types.iter().zip(roles).filter_map(|(given, role)| match role {
        ArrayFunctionArgument::Element => Some(given.clone()),
        ArrayFunctionArgument::Array => Some(item_of(given).map_or(given, |item| item.data_type()).clone()),
        _ => None,
    });
    let common = items.map(Some).reduce(|left, right| common(&left?, &right?)).flatten();
    let Some(common) = common.filter(is_settled) else { return unchanged };
    let settled = types.iter().zip(roles).map(|(given, role)| match role {
        ArrayFunctionArgument::Element => common.clone(),
        ArrayFunctionArgument::Array => with_item(given, &common),
        _ => given.clone(),
    });
    settled.collect()
}

/// What the arguments are to a function over lists, so many of them.
fn roles(signature: &TypeSignature, count: usize) -> Option<&[ArrayFunctionArgument]> {
    match signature {
        TypeSignature::ArraySignature(ArrayFunctionSignature::Array { arguments, .. }) if arguments.len() == count => {
            Some(arguments)
        }
        TypeSignature::OneOf(signatures) => signatures.iter().find_map(|signature| roles(signature, count)),
        _ => None,
    }
}

fn item_of(list: &DataType) -> Option<&FieldRef> {
    match list {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => Some(item),
        _ => None,
    }
}

/// The same kind of list with items of another type.
fn with_item(list: &DataType, item: &DataType) -> DataType {
    let of = |field: &FieldRef| Arc::new(field.as_ref().clone().with_data_type(item.clone()));
    match list {
        DataType::LargeList(field) => DataType::LargeList(of(field)),
        DataType::FixedSizeList(field, size) => DataType::FixedSizeList(of(field), *size),
        DataType::List(field) => DataType::List(of(field)),
        other => other.clone(),
    }
}

/// The type in which a value of one type and one of the other are compared; a text is read as the other's.
pub(crate) fn comparison_type(left: &DataType, right: &DataType) -> Option<DataType> {
    if let (Some(of_left), Some(of_right)) = (item_of(left), item_of(right)) {
        let item = comparison_type(of_left.data_type(), of_right.data_type())?;
        return Some(DataType::new_list(item, true));
    }
    match (left, right) {
        _ if left.is_string() && !right.is_string() && !right.is_null() => Some(right.clone()),
        _ if right.is_string() && !left.is_string() && !left.is_null() => Some(left.clone()),
        _ => common(left, right).or_else(|| comparison_coercion(left, right)),
    }
}

/// The type that holds the values of both; none where DataFusion has to find one.
fn common(left: &DataType, right: &DataType) -> Option<DataType> {
    if left == right || right.is_null() {
        return Some(left.clone());
    }
    if left.is_null() {
        return Some(right.clone());
    }
    if let (Some(of_left), Some(of_right)) = (item_of(left), item_of(right)) {
        return Some(with_item(left, &common(of_left.data_type(), of_right.data_type())?));
    }
    if left.is_integer() && right.is_integer() {
        // An integer stays one.
        return None;
    }
    if left.is_numeric() && right.is_numeric() && (left.is_floating() || right.is_floating()) {
        return Some(DataType::Float64);
    }
    DecimalType::of(left)?.common(DecimalType::of(right)?).map(DecimalType::arrow)
}

/// Whether the type is one that this file brings items to.
fn is_settled(data_type: &DataType) -> bool {
    match item_of(data_type) {
        Some(item) => is_settled(item.data_type()),
        None => data_type.is_decimal() || *data_type == DataType::Float64,
    }
}
