//! Values, rows and bags, and what SQL says about comparing them.
//!
//! Integers of all widths are one kind, so are decimals of all scales: two numbers are the same value if they are
//! equal, whatever their types. Nothing here knows a plan or an engine.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use chrono::{DateTime, NaiveDate};

/// The type of a column or an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// SMALLINT.
    Small,
    /// INTEGER.
    Int,
    /// BIGINT.
    Big,
    /// DOUBLE.
    Double,
    /// DECIMAL(precision, scale).
    Decimal(u8, u8),
    /// TEXT.
    Text,
    /// BOOLEAN.
    Bool,
    /// DATE.
    Date,
    /// TIMESTAMP.
    Timestamp,
    /// A list of integers.
    List,
    /// STRUCT(a INT, b TEXT).
    Struct,
}

impl Type {
    /// As SQL spells it.
    pub fn sql(self) -> String {
        match self {
            Type::Small => "SMALLINT".into(),
            Type::Int => "INT".into(),
            Type::Big => "BIGINT".into(),
            Type::Double => "DOUBLE".into(),
            Type::Decimal(precision, scale) => format!("DECIMAL({precision},{scale})"),
            Type::Text => "TEXT".into(),
            Type::Bool => "BOOLEAN".into(),
            Type::Date => "DATE".into(),
            Type::Timestamp => "TIMESTAMP".into(),
            Type::List => "INT[]".into(),
            Type::Struct => "STRUCT(a INT, b TEXT)".into(),
        }
    }

    /// Whether it is SMALLINT, INTEGER or BIGINT.
    pub fn is_integer(self) -> bool {
        matches!(self, Type::Small | Type::Int | Type::Big)
    }
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// NULL of any type.
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer of any width.
    Int(i64),
    /// `mantissa / 10^scale`.
    Decimal(i128, u8),
    /// A double.
    Double(f64),
    /// A text.
    Text(String),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970-01-01.
    Timestamp(i64),
    /// A list.
    List(Vec<Value>),
    /// The fields of a struct, in order.
    Struct(Vec<Value>),
}

/// A row.
pub type Row = Vec<Value>;

/// Microseconds of a day.
pub const DAY: i64 = 86_400_000_000;

/// The power of ten that a scale stands for.
pub fn power_of_ten(scale: u8) -> i128 {
    10_i128.pow(u32::from(scale))
}

impl Value {
    /// Whether it is NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Compares two values as SQL's `=` and `<` do; None if one of them is NULL or they cannot be compared.
    pub fn compare(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            (Value::Text(a), Value::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            (Value::Date(a), Value::Date(b)) => Some(a.cmp(b)),
            (Value::Date(_) | Value::Timestamp(_), Value::Date(_) | Value::Timestamp(_)) => {
                Some(self.micros()?.cmp(&other.micros()?))
            }
            (Value::Double(_), _) | (_, Value::Double(_)) => Some(compare_doubles(self.double()?, other.double()?)),
            (Value::List(a), Value::List(b)) | (Value::Struct(a), Value::Struct(b)) => compare_items(a, b),
            _ => {
                let ((a, a_scale), (b, b_scale)) = (self.exact()?, other.exact()?);
                let scale = a_scale.max(b_scale);
                Some((a * power_of_ten(scale - a_scale)).cmp(&(b * power_of_ten(scale - b_scale))))
            }
        }
    }

    /// Whether GROUP BY, DISTINCT and set operations take the two for one.
    pub fn same(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::List(a), Value::List(b)) | (Value::Struct(a), Value::Struct(b)) => same_row(a, b),
            _ => self.compare(other) == Some(Ordering::Equal),
        }
    }

    /// A number without a fraction that is lost: mantissa and scale.
    pub fn exact(&self) -> Option<(i128, u8)> {
        match self {
            Value::Int(n) => Some((i128::from(*n), 0)),
            Value::Decimal(mantissa, scale) => Some((*mantissa, *scale)),
            _ => None,
        }
    }

    /// A number as a double.
    pub fn double(&self) -> Option<f64> {
        match self {
            Value::Double(d) => Some(*d),
            // Through the text, because division would round twice.
            Value::Decimal(..) => self.to_string().parse().ok(),
            Value::Int(n) => Some(*n as f64),
            _ => None,
        }
    }

    fn micros(&self) -> Option<i64> {
        match self {
            Value::Date(days) => Some(i64::from(*days) * DAY),
            Value::Timestamp(micros) => Some(*micros),
            _ => None,
        }
    }

    /// A text that is equal for the values that are the same and for no others; numbers come without their scale.
    pub fn key(&self) -> String {
        match self {
            Value::Decimal(mantissa, scale) => {
                let (mut mantissa, mut scale) = (*mantissa, *scale);
                while scale > 0 && mantissa % 10 == 0 {
                    (mantissa, scale) = (mantissa / 10, scale - 1);
                }
                Value::Decimal(mantissa, scale).to_string()
            }
            Value::Double(d) if d.is_nan() => "NaN as double".to_string(),
            Value::Double(d) => format!("{:?} as double", if *d == 0.0 { 0.0 } else { *d }),
            Value::Text(text) => format!("{text:?}"),
            Value::List(values) => format!("[{}]", row_key(values)),
            Value::Struct(values) => format!("{{{}}}", row_key(values)),
            value => value.to_string(),
        }
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => write!(f, "NULL"),
            Value::Bool(b) => write!(f, "{b}"),
            Value::Int(n) => write!(f, "{n}"),
            Value::Decimal(mantissa, 0) => write!(f, "{mantissa}"),
            Value::Decimal(mantissa, scale) => {
                let (sign, digits) = (if *mantissa < 0 { "-" } else { "" }, mantissa.unsigned_abs());
                let unit = power_of_ten(*scale).unsigned_abs();
                write!(f, "{sign}{}.{:0width$}", digits / unit, digits % unit, width = usize::from(*scale))
            }
            Value::Double(d) => write!(f, "{d:?}"),
            Value::Text(text) => write!(f, "{text}"),
            Value::Date(days) => match date(*days) {
                Some(date) => write!(f, "{}", date.format("%Y-%m-%d")),
                None => write!(f, "day {days}"),
            },
            Value::Timestamp(micros) => match DateTime::from_timestamp_micros(*micros) {
                Some(time) => write!(f, "{}", time.format("%Y-%m-%d %H:%M:%S%.f")),
                None => write!(f, "microsecond {micros}"),
            },
            Value::List(values) => write!(f, "[{}]", texts(values).join(", ")),
            Value::Struct(values) => write!(f, "{{{}}}", texts(values).join(", ")),
        }
    }
}

fn texts(values: &[Value]) -> Vec<String> {
    values.iter().map(Value::to_string).collect()
}

/// The calendar date of a day number.
pub fn date(days: i32) -> Option<NaiveDate> {
    NaiveDate::from_num_days_from_ce_opt(days + 719_163)
}

/// The day number of a calendar date.
pub fn day_number(date: NaiveDate) -> i32 {
    use chrono::Datelike;
    date.num_days_from_ce() - 719_163
}

/// Lists and structs are compared item by item; a NULL among them is above all values and equal to another.
fn compare_items(a: &[Value], b: &[Value]) -> Option<Ordering> {
    for (x, y) in a.iter().zip(b) {
        let order = match (x.is_null(), y.is_null()) {
            (false, false) => x.compare(y)?,
            (x_is_null, y_is_null) => x_is_null.cmp(&y_is_null),
        };
        if order.is_ne() {
            return Some(order);
        }
    }
    Some(a.len().cmp(&b.len()))
}

/// NaN is equal to itself and above all other numbers; the two zeros are one.
fn compare_doubles(a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        _ => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
    }
}

/// Whether two rows are the same to GROUP BY.
pub fn same_row(a: &[Value], b: &[Value]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b))
}

/// [`Value::key`] of a row.
pub fn row_key(row: &[Value]) -> String {
    row.iter().map(Value::key).collect::<Vec<_>>().join(" | ")
}

/// How often each row occurs.
pub fn bag<'a>(rows: impl IntoIterator<Item = &'a Row>) -> BTreeMap<String, usize> {
    let mut bag = BTreeMap::new();
    for row in rows {
        *bag.entry(row_key(row)).or_default() += 1;
    }
    bag
}

/// What `a` has more often than `b`.
pub fn surplus(a: &BTreeMap<String, usize>, b: &BTreeMap<String, usize>) -> Vec<String> {
    let more = |(key, count): (&String, &usize)| {
        let other = b.get(key).copied().unwrap_or_default();
        (*count > other).then(|| format!("{} x  {key}", count - other))
    };
    a.iter().filter_map(more).collect()
}
