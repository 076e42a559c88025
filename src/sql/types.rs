//! SQL types as Arrow types, in the canonical form in which relations hold them.
//!
//! This is the one table of type names: of CREATE, CAST, `::`, typed literals, PREPARE and the options of file readers.
//! PostgreSQL's and DuckDB's names mean what they mean there; where the two differ, PostgreSQL's meaning holds: `FLOAT`
//! has 8 bytes, `CHAR` is one character. `DECIMAL` without precision is unbounded there, which Arrow has not; it is
//! `DECIMAL(38,10)`, which loses least: 28 digits before the point hold every BIGINT, ten behind it every currency and
//! most measurements. Precisions of times and timestamps are accepted and not enforced.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, IntervalUnit, TimeUnit};
use sqlparser::ast::{self, ArrayElemTypeDef, CharacterLength, ExactNumberInfo, TimezoneInfo};

use crate::base::domain::Domain;
use crate::base::error::{Error, ErrorKind, Result};

const PRECISION_MAX: u64 = 38;
const DECIMAL_DEFAULT: (u8, i8) = (38, 10);

/// The rule that texts of `sql_type` keep, if it is a type of such texts.
pub fn column_domain(sql_type: &ast::DataType) -> Option<Domain> {
    use ast::DataType as T;
    let length = |length: &Option<CharacterLength>| match length {
        Some(CharacterLength::IntegerLength { length, .. }) => Some(*length),
        _ => None,
    };
    match sql_type {
        T::Uuid => Some(Domain::Uuid),
        T::JSON => Some(Domain::Json),
        T::JSONB => Some(Domain::Jsonb),
        T::Varchar(given) | T::Nvarchar(given) | T::CharacterVarying(given) | T::CharVarying(given) => {
            length(given).map(Domain::Varchar)
        }
        T::Char(given) | T::Character(given) => Some(Domain::Char(length(given).unwrap_or(1))),
        _ => None,
    }
}

/// The type in which a relation holds a column declared as `sql_type`.
pub fn column_type(sql_type: &ast::DataType) -> Result<DataType> {
    use ast::DataType as T;
    Ok(match sql_type {
        T::Boolean | T::Bool => DataType::Boolean,
        T::TinyInt(_) => DataType::Int8,
        T::SmallInt(_) | T::Int2(_) | T::Int16 => DataType::Int16,
        T::Int(_) | T::Integer(_) | T::Int4(_) | T::Int32 | T::MediumInt(_) => DataType::Int32,
        T::BigInt(_) | T::Int8(_) | T::Int64 => DataType::Int64,
        T::HugeInt => DataType::Decimal128(38, 0),
        T::UTinyInt | T::TinyIntUnsigned(_) | T::UInt8 => DataType::UInt8,
        T::USmallInt | T::SmallIntUnsigned(_) | T::Int2Unsigned(_) | T::UInt16 => DataType::UInt16,
        T::IntUnsigned(_) | T::IntegerUnsigned(_) | T::Int4Unsigned(_) | T::UInt32 => DataType::UInt32,
        T::UBigInt | T::BigIntUnsigned(_) | T::Int8Unsigned(_) | T::UInt64 => DataType::UInt64,
        T::Real | T::Float4 | T::Float32 => DataType::Float32,
        T::Float(ExactNumberInfo::Precision(bits)) if *bits <= 24 => DataType::Float32,
        T::Float(_) | T::Float8 | T::Float64 | T::Double(_) | T::DoublePrecision => DataType::Float64,
        T::Decimal(info) | T::Numeric(info) | T::Dec(info) => decimal(info)?,
        T::Text
        | T::String(_)
        | T::Varchar(_)
        | T::Nvarchar(_)
        | T::Char(_)
        | T::Character(_)
        | T::CharacterVarying(_)
        | T::CharVarying(_)
        | T::Clob(_)
        | T::Uuid
        | T::JSON
        | T::JSONB => DataType::Utf8View,
        T::Bytea | T::Blob(_) | T::Binary(_) | T::Varbinary(_) | T::Bytes(_) => DataType::BinaryView,
        T::Date | T::Date32 => DataType::Date32,
        T::Time(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => DataType::Time64(TimeUnit::Microsecond),
        T::Timestamp(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) | T::TimestampNtz(_) | T::Datetime(_) => {
            DataType::Timestamp(TimeUnit::Microsecond, None)
        }
        T::Timestamp(..) => DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC"))),
        T::Interval { .. } => DataType::Interval(IntervalUnit::MonthDayNano),
        T::Array(
            ArrayElemTypeDef::AngleBracket(item)
            | ArrayElemTypeDef::SquareBracket(item, _)
            | ArrayElemTypeDef::Parenthesis(item),
        ) => DataType::List(Arc::new(Field::new("item", column_type(item)?, true))),
        T::Struct(fields, _) => DataType::Struct(struct_fields(fields)?),
        T::Custom(name, _) => custom(&name.to_string(), sql_type)?,
        _ => return Err(unknown(sql_type)),
    })
}

fn decimal(info: &ExactNumberInfo) -> Result<DataType> {
    let (precision, scale) = match info {
        ExactNumberInfo::None => return Ok(DataType::Decimal128(DECIMAL_DEFAULT.0, DECIMAL_DEFAULT.1)),
        ExactNumberInfo::Precision(precision) => (*precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (*precision, *scale),
    };
    let fits = (1..=PRECISION_MAX).contains(&precision) && scale >= 0 && scale.unsigned_abs() <= precision;
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(precision), Ok(scale)) if fits => Ok(DataType::Decimal128(precision, scale)),
        _ => Err(Error::new(ErrorKind::Type, format!("DECIMAL({precision},{scale}) is not possible"))
            .with_hint("the precision is 1 to 38, the scale 0 to the precision")),
    }
}

fn struct_fields(fields: &[ast::StructField]) -> Result<Fields> {
    let fields: Fields = fields
        .iter()
        .map(|field| {
            let name = match &field.field_name {
                Some(name) if name.quote_style.is_none() => name.value.to_lowercase(),
                Some(name) => name.value.clone(),
                None => return Err(Error::new(ErrorKind::Syntax, "every field of a STRUCT has a name")),
            };
            Ok(Arc::new(Field::new(name, column_type(&field.field_type)?, true)))
        })
        .collect::<Result<Vec<_>>>()
        .map(Fields::from)?;
    expect_fields_once(fields.iter().map(|field| field.name().as_str()))?;
    Ok(fields)
}

/// Refuses two fields of one name: a name would not say which is meant.
pub(crate) fn expect_fields_once<'a>(names: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut seen = BTreeSet::new();
    let mut names = names;
    match names.find(|name| !seen.insert(*name)) {
        Some(name) => {
            let error = Error::invalid(format!("field \"{name}\" of a STRUCT is given more than once"));
            Err(error.with_sqlstate("42701").with_hint("give one of them another name"))
        }
        None => Ok(()),
    }
}

/// Names that sqlparser does not know.
fn custom(name: &str, sql_type: &ast::DataType) -> Result<DataType> {
    Ok(match name.to_ascii_uppercase().as_str() {
        "INT1" => DataType::Int8,
        "SHORT" => DataType::Int16,
        "SIGNED" => DataType::Int32,
        "LONG" => DataType::Int64,
        "UINTEGER" => DataType::UInt32,
        "TEXT" | "BPCHAR" | "NAME" => DataType::Utf8View,
        "TIMESTAMP_S" | "TIMESTAMP_MS" | "TIMESTAMP_US" | "TIMESTAMP_NS" => {
            DataType::Timestamp(TimeUnit::Microsecond, None)
        }
        "TIMESTAMP_LTZ" | "TIMESTAMPTZ" => DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC"))),
        "SERIAL" | "BIGSERIAL" | "SMALLSERIAL" => {
            return Err(
                Error::unsupported(format!("{name} is not supported")).with_hint("use BIGINT and give the value")
            );
        }
        _ => return Err(unknown(sql_type)),
    })
}

fn unknown(sql_type: &ast::DataType) -> Error {
    const KNOWN: [&str; 16] = [
        "BIGINT",
        "INTEGER",
        "SMALLINT",
        "TINYINT",
        "DOUBLE",
        "REAL",
        "DECIMAL",
        "BOOLEAN",
        "TEXT",
        "VARCHAR",
        "BYTEA",
        "DATE",
        "TIME",
        "TIMESTAMP",
        "TIMESTAMPTZ",
        "INTERVAL",
    ];
    let error = Error::new(ErrorKind::Type, format!("there is no column type {sql_type}")).with_sqlstate("42704");
    match crate::catalog::suggest::nearest(&sql_type.to_string(), KNOWN.into_iter()) {
        Some(near) => error.with_hint(format!("did you mean {near}?")),
        None => error,
    }
}
