//! The one shape of all functions of time.
//!
//! A [`Definition`] says what a function takes, gives and does with columns; [`TimeFunction`] is DataFusion's face of
//! it. A definition that is `zoned` is bound in UTC and gets the session's zone by [`TimeFunction::in_zone`].

use std::fmt::{self, Debug};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, StringViewArray};
use arrow::datatypes::{
    DataType, Date32Type, Field, FieldRef, Float64Type, Int64Type, IntervalMonthDayNanoType, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use datafusion::common::{Result as DataFusionResult, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::time::interval::Interval;
use crate::base::time::kind::{DATE, INTERVAL, Kind, TIME, TIMESTAMP, timestamptz};
use crate::base::time::zone::Zone;
use crate::base::types::sql_type_name;
use crate::operator::error::to_datafusion;

/// Literals among the arguments of a call.
pub(crate) type Literals<'a> = &'a [Option<&'a ScalarValue>];

/// A literal's value, for functions whose result depends on it.
pub(crate) fn literal_text<'a>(literals: Literals<'a>, at: usize) -> Option<&'a str> {
    literals.get(at).copied().flatten().and_then(ScalarValue::try_as_str).flatten()
}

/// A function of time.
pub(crate) struct Definition {
    pub(crate) name: &'static str,
    pub(crate) aliases: &'static [&'static str],
    /// For arguments of these types, the types to which they are cast; none if they are not taken.
    pub(crate) takes: fn(&[DataType]) -> Option<Vec<DataType>>,
    /// The type of the result for arguments of these types, some of them literals.
    pub(crate) gives: fn(&[DataType], Literals<'_>) -> DataType,
    /// Whether the result depends on the time zone of the session.
    pub(crate) zoned: bool,
    /// What it does with columns of one length.
    pub(crate) evaluate: fn(&Call<'_>) -> Result<ArrayRef>,
}

/// One evaluation.
pub(crate) struct Call<'a> {
    pub(crate) name: &'a str,
    pub(crate) arguments: &'a [ArrayRef],
    pub(crate) rows: usize,
    pub(crate) zone: Zone,
    /// The type that was announced.
    pub(crate) result: &'a DataType,
}

impl Call<'_> {
    pub(crate) fn kind(&self, at: usize) -> Kind {
        self.arguments.get(at).map_or(Kind::Null, |array| Kind::of(array.data_type()))
    }

    fn column(&self, at: usize, data_type: &DataType) -> Result<ArrayRef> {
        let array =
            self.arguments.get(at).ok_or_else(|| Error::internal(format!("{} misses an argument", self.name)))?;
        if array.data_type() == data_type {
            return Ok(array.clone());
        }
        Ok(arrow::compute::cast(array, data_type)?)
    }

    /// An argument as a column of primitive values, in the canonical type.
    pub(crate) fn primitive<T: ArrowPrimitiveType>(
        &self,
        at: usize,
        data_type: &DataType,
    ) -> Result<PrimitiveArray<T>> {
        let column = self.column(at, data_type)?;
        let values = column.as_primitive_opt::<T>();
        values.cloned().ok_or_else(|| Error::internal(format!("{} was given another type", self.name)))
    }

    pub(crate) fn dates(&self, at: usize) -> Result<PrimitiveArray<Date32Type>> {
        self.primitive(at, &DATE)
    }

    pub(crate) fn times(&self, at: usize) -> Result<PrimitiveArray<Time64MicrosecondType>> {
        self.primitive(at, &TIME)
    }

    /// Timestamps with or without zone, in microseconds.
    pub(crate) fn timestamps(&self, at: usize) -> Result<PrimitiveArray<TimestampMicrosecondType>> {
        match self.kind(at) {
            Kind::TimestampTz => self.primitive(at, &timestamptz()),
            _ => self.primitive(at, &TIMESTAMP),
        }
    }

    /// Intervals, and times of day as such.
    pub(crate) fn intervals(&self, at: usize) -> Result<PrimitiveArray<IntervalMonthDayNanoType>> {
        if self.kind(at) != Kind::Time {
            return self.primitive(at, &INTERVAL);
        }
        self.times(at)?.try_unary(|micros| Interval { micros, ..Default::default() }.to_arrow())
    }

    pub(crate) fn integers(&self, at: usize) -> Result<PrimitiveArray<Int64Type>> {
        self.primitive(at, &DataType::Int64)
    }

    pub(crate) fn doubles(&self, at: usize) -> Result<PrimitiveArray<Float64Type>> {
        self.primitive(at, &DataType::Float64)
    }

    pub(crate) fn texts(&self, at: usize) -> Result<StringViewArray> {
        Ok(self.column(at, &DataType::Utf8View)?.as_string_view().clone())
    }

    /// The result for one row after the other; NULL where `value` gives none.
    pub(crate) fn collect<T: ArrowPrimitiveType>(
        &self,
        mut value: impl FnMut(usize) -> Result<Option<T::Native>>,
    ) -> Result<ArrayRef> {
        let values = (0..self.rows).map(&mut value).collect::<Result<Vec<_>>>()?;
        let array: PrimitiveArray<T> = values.into_iter().collect();
        Ok(Arc::new(array.with_data_type(self.result.clone())))
    }

    /// The same for text.
    pub(crate) fn collect_text(&self, mut value: impl FnMut(usize) -> Result<Option<String>>) -> Result<ArrayRef> {
        let values = (0..self.rows).map(&mut value).collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(StringViewArray::from_iter(values)))
    }
}

/// An interval of a column.
pub(crate) fn interval(array: &PrimitiveArray<IntervalMonthDayNanoType>, row: usize) -> Interval {
    Interval::from_arrow(array.value(row))
}

/// The function as an expression may call it.
pub(crate) fn function(definition: &'static Definition) -> ScalarUDF {
    ScalarUDF::from(TimeFunction::new(definition))
}

/// A call of a function.
pub(crate) fn call(definition: &'static Definition, arguments: Vec<Expr>) -> Expr {
    function(definition).call(arguments)
}

/// DataFusion's face of a [`Definition`].
pub(crate) struct TimeFunction {
    definition: &'static Definition,
    /// None until the plan is settled.
    zone: Option<Zone>,
    aliases: Vec<String>,
    signature: Signature,
}

impl TimeFunction {
    fn new(definition: &'static Definition) -> Self {
        let aliases = definition.aliases.iter().map(|alias| alias.to_string()).collect();
        TimeFunction { definition, zone: None, aliases, signature: Signature::user_defined(Volatility::Immutable) }
    }

    /// The same function in a zone; none where it has one or needs none.
    pub(crate) fn in_zone(&self, zone: Zone) -> Option<ScalarUDF> {
        let open = self.definition.zoned && self.zone.is_none();
        open.then(|| ScalarUDF::from(TimeFunction { zone: Some(zone), ..TimeFunction::new(self.definition) }))
    }

    /// A call as text, an operator between its operands.
    fn written(&self, arguments: &[String]) -> String {
        let name = self.definition.name;
        match (self.is_operator(), arguments) {
            (true, [left, right]) => format!("{left} {name} {right}"),
            (true, [argument]) => format!("({name} {argument})"),
            _ => format!("{name}({})", arguments.join(",")),
        }
    }

    fn is_operator(&self) -> bool {
        !self.definition.name.starts_with(|c: char| c.is_ascii_alphabetic())
    }

    /// The error for arguments that are not taken.
    pub(crate) fn not_taken(&self, types: &[DataType]) -> Error {
        let names: Vec<String> = types.iter().map(sql_type_name).collect();
        let message = match (self.is_operator(), names.as_slice()) {
            (true, [left, right]) => format!("operator does not exist: {left} {} {right}", self.definition.name),
            _ => format!("function {}({}) does not exist", self.definition.name, names.join(", ")),
        };
        let error = Error::new(ErrorKind::Type, message).with_sqlstate("42883");
        error.with_hint("cast the arguments to types that it takes")
    }
}

impl Debug for TimeFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeFunction").field("name", &self.definition.name).field("zone", &self.zone).finish()
    }
}

impl PartialEq for TimeFunction {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.definition, other.definition) && self.zone == other.zone
    }
}

impl Eq for TimeFunction {}

impl Hash for TimeFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.definition.name.hash(state);
        self.zone.hash(state);
    }
}

impl ScalarUDFImpl for TimeFunction {
    fn name(&self) -> &str {
        self.definition.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn schema_name(&self, args: &[Expr]) -> DataFusionResult<String> {
        let names: Vec<String> = args.iter().map(|argument| argument.schema_name().to_string()).collect();
        Ok(self.written(&names))
    }

    fn display_name(&self, args: &[Expr]) -> DataFusionResult<String> {
        Ok(self.written(&args.iter().map(ToString::to_string).collect::<Vec<_>>()))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> DataFusionResult<Vec<DataType>> {
        (self.definition.takes)(types).ok_or_else(|| to_datafusion(self.not_taken(types)))
    }

    fn return_type(&self, types: &[DataType]) -> DataFusionResult<DataType> {
        Ok((self.definition.gives)(types, &[]))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> DataFusionResult<FieldRef> {
        let types: Vec<_> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let result = (self.definition.gives)(&types, args.scalar_arguments);
        Ok(Arc::new(Field::new(self.name(), result, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let constant = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arguments = args.args.iter().map(|value| value.to_array(rows)).collect::<DataFusionResult<Vec<_>>>()?;
        let call = Call {
            name: self.definition.name,
            arguments: &arguments,
            rows,
            zone: self.zone.unwrap_or(Zone::UTC),
            result: args.return_field.data_type(),
        };
        let result = (self.definition.evaluate)(&call).map_err(to_datafusion)?;
        match constant {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)),
            false => Ok(ColumnarValue::Array(result)),
        }
    }
}
