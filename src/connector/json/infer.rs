//! The type of JSON values, from all of them.
//!
//! A [`Shape`] gathers what kinds of values were seen at one place; the type is decided at the end, so the order does
//! not matter: whole numbers and others make DOUBLE (with the texts "NaN" and "Infinity" among them, too), dates and
//! timestamps TIMESTAMP, and whatever else is mixed is TEXT, in which objects and arrays stand as JSON. Keys keep the
//! order of their first appearance.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::compute::kernels::cast_utils::string_to_datetime;
use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use chrono::Utc;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::connector::values;

const BOOLEAN: u16 = 1;
const INTEGER: u16 = 2;
const BEYOND: u16 = 4;
const DOUBLE: u16 = 8;
const DATE: u16 = 16;
const TIMESTAMP: u16 = 32;
const ZONED: u16 = 64;
const TEXT: u16 = 128;
const LIST: u16 = 256;
const OBJECT: u16 = 512;
/// A text for a float that JSON has no number for; text, unless all else are numbers.
const ODD_FLOAT: u16 = 1024;

/// Objects with more keys than this are taken for dictionaries and kept as text.
const KEYS_MAX: usize = 2000;

/// What was seen at one place of a file.
#[derive(Debug, Default)]
pub struct Shape {
    seen: u16,
    item: Option<Box<Shape>>,
    fields: Vec<(String, Shape)>,
    places: HashMap<String, usize>,
}

impl Shape {
    /// Takes account of one JSON value.
    pub fn observe(&mut self, value: &[u8]) -> Result<(), serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_slice(value);
        Place(self).deserialize(&mut deserializer)?;
        deserializer.end()
    }

    /// Whether anything but objects (and nulls) was seen.
    pub fn is_not_object(&self) -> bool {
        self.seen & !OBJECT != 0
    }

    /// The keys of the objects seen, with their types; a key that was always null has the type NULL.
    pub fn columns(&self) -> Vec<(String, DataType)> {
        self.fields.iter().map(|(name, shape)| (name.clone(), shape.data_type())).collect()
    }

    fn data_type(&self) -> DataType {
        let only = |kinds: u16| self.seen & !kinds == 0;
        match self.seen {
            0 => DataType::Null,
            BOOLEAN => DataType::Boolean,
            INTEGER => DataType::Int64,
            DATE => DataType::Date32,
            ZONED => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            LIST => {
                let item = self.item.as_ref().map_or(DataType::Null, |item| item.data_type());
                DataType::List(Arc::new(Field::new_list_field(text_for_null(item), true)))
            }
            OBJECT if !self.fields.is_empty() && self.fields.len() <= KEYS_MAX => {
                let field = |(name, shape): &(String, Shape)| Field::new(name, text_for_null(shape.data_type()), true);
                DataType::Struct(self.fields.iter().map(field).collect::<Fields>())
            }
            seen if seen & (DOUBLE | ODD_FLOAT) != 0
                && seen != ODD_FLOAT
                && only(INTEGER | BEYOND | DOUBLE | ODD_FLOAT) =>
            {
                DataType::Float64
            }
            _ if only(DATE | TIMESTAMP) => DataType::Timestamp(TimeUnit::Microsecond, None),
            _ => DataType::Utf8View,
        }
    }

    fn field(&mut self, key: &str, hint: usize) -> usize {
        if self.fields.get(hint).is_some_and(|(name, _)| name == key) {
            return hint;
        }
        if let Some(&place) = self.places.get(key) {
            return place;
        }
        self.places.insert(key.to_string(), self.fields.len());
        self.fields.push((key.to_string(), Shape::default()));
        self.fields.len() - 1
    }
}

fn text_for_null(data_type: DataType) -> DataType {
    if data_type == DataType::Null { DataType::Utf8View } else { data_type }
}

fn kind_of_text(text: &str) -> u16 {
    let bytes = text.as_bytes();
    if matches!(text, "NaN" | "Infinity" | "-Infinity") {
        return ODD_FLOAT;
    }
    // Only what Arrow's JSON decoder reads as well may count as a time.
    if !bytes.first().is_some_and(u8::is_ascii_digit) || bytes.get(4) != Some(&b'-') {
        return TEXT;
    }
    if values::date(bytes).is_some() {
        return DATE;
    }
    match values::timestamp(bytes) {
        Some((_, zoned)) if string_to_datetime(&Utc, text).is_ok() => {
            if zoned {
                ZONED
            } else {
                TIMESTAMP
            }
        }
        _ => TEXT,
    }
}

struct Place<'a>(&'a mut Shape);

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.0.seen |= BOOLEAN;
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.0.seen |= INTEGER;
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.0.seen |= if i64::try_from(value).is_ok() { INTEGER } else { BEYOND };
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.0.seen |= DOUBLE;
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if self.0.seen & TEXT == 0 {
            self.0.seen |= kind_of_text(text);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.0.seen |= LIST;
        let item = self.0.item.get_or_insert_default();
        while items.next_element_seed(Place(item))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        self.0.seen |= OBJECT;
        let mut hint = 0;
        while let Some(place) = entries.next_key_seed(Key { shape: self.0, hint })? {
            entries.next_value_seed(Place(&mut self.0.fields[place].1))?;
            hint = place + 1;
        }
        Ok(())
    }
}

/// Finds the place of a key without making a string of it.
struct Key<'a> {
    shape: &'a mut Shape,
    hint: usize,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<usize, E> {
        Ok(self.shape.field(key, self.hint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::types::sql_type_name;

    fn types(lines: &[&str]) -> String {
        let mut shape = Shape::default();
        lines.iter().for_each(|line| shape.observe(line.as_bytes()).unwrap());
        let columns = shape.columns();
        let columns = columns.iter().map(|(name, data_type)| format!("{name} {}", sql_type_name(data_type)));
        columns.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn types_are_widened_whatever_the_order() {
        assert_eq!(types(&[r#"{"a":1,"b":true}"#, r#"{"b":null,"a":1.5,"c":"x"}"#]), "a DOUBLE, b BOOLEAN, c TEXT");
        assert_eq!(types(&[r#"{"a":"2013-01-01"}"#]), "a DATE");
        assert_eq!(types(&[r#"{"a":"2013-01-01 10:15:00"}"#, r#"{"a":"2013-01-01"}"#]), "a TIMESTAMP");
        assert_eq!(types(&[r#"{"a":"2013-01-01T10:15:00Z"}"#]), "a TIMESTAMPTZ");
        assert_eq!(types(&[r#"{"a":"2013-01-01"}"#, r#"{"a":"soon"}"#]), "a TEXT");
        assert_eq!(types(&[r#"{"a":18446744073709551615}"#]), "a TEXT");
        assert_eq!(types(&[r#"{"a":{"x":1,"y":[1,2.5]}}"#, r#"{"a":null}"#]), "a STRUCT(x BIGINT, y DOUBLE[])");
        assert_eq!(types(&[r#"{"a":{"x":1}}"#, r#"{"a":7}"#]), "a TEXT");
        assert_eq!(types(&[r#"{"a":[],"b":null,"c":{}}"#]), "a TEXT[], b NULL, c TEXT");
    }
}
