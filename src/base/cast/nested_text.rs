//! Lists and structs as text, and lists from text.
//!
//! Written as DuckDB writes them, `[1, NULL]` and `{'a': 1}`. A list is read from that form and from PostgreSQL's,
//! `{1,NULL}`; items may stand in single or double quotes, within which a backslash keeps the character behind it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StringViewArray, StringViewBuilder};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef};

use super::{OnFailure, cast_values};
use crate::base::error::{Error, Result};
use crate::base::time::display::formatter;
use crate::base::time::text::Fraction;
use crate::base::time::zone::Zone;

/// The text of every list or struct.
pub(super) fn write(array: &ArrayRef) -> Result<StringViewArray> {
    match array.data_type() {
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let items = write(list.values())?;
            let offsets = list.offsets();
            Ok(texts(array, |row, out| {
                let places = offsets[row] as usize..offsets[row + 1] as usize;
                enclosed(out, ['[', ']'], places.map(|place| ("", text_at(&items, place))));
            }))
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns().iter().map(write).collect::<Result<Vec<_>>>()?;
            let names: Vec<String> = fields.iter().map(|field| format!("'{}': ", field.name())).collect();
            Ok(texts(array, |row, out| {
                let values = names.iter().zip(&columns).map(|(name, column)| (name.as_str(), text_at(column, row)));
                enclosed(out, ['{', '}'], values);
            }))
        }
        _ => match formatter(array.as_ref(), Zone::UTC, Fraction::Short) {
            Some(write) => Ok(texts(array, write)),
            None => Ok(cast(array, &DataType::Utf8View)?.as_string_view().clone()),
        },
    }
}

fn texts(array: &ArrayRef, write: impl Fn(usize, &mut String)) -> StringViewArray {
    let mut texts = StringViewBuilder::with_capacity(array.len());
    let mut text = String::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            texts.append_null();
            continue;
        }
        text.clear();
        write(row, &mut text);
        texts.append_value(&text);
    }
    texts.finish()
}

fn text_at(texts: &StringViewArray, row: usize) -> &str {
    if texts.is_valid(row) { texts.value(row) } else { "NULL" }
}

fn enclosed<'a>(out: &mut String, brackets: [char; 2], parts: impl Iterator<Item = (&'a str, &'a str)>) {
    out.push(brackets[0]);
    for (position, (name, text)) in parts.enumerate() {
        out.push_str(if position > 0 { ", " } else { "" });
        out.push_str(name);
        out.push_str(text);
    }
    out.push(brackets[1]);
}

/// Lists with such items from texts; `invalid` makes the error for a text that is none.
pub(super) fn read(
    texts: &StringViewArray,
    item: &FieldRef,
    on_failure: OnFailure,
    invalid: impl Fn(&str) -> Error,
) -> Result<ArrayRef> {
    let (mut items, mut lengths, mut valid) = (StringViewBuilder::new(), Vec::new(), Vec::new());
    for text in texts {
        let list = text.map(parse);
        if let (Some(text), Some(None), OnFailure::Error) = (text, &list, on_failure) {
            return Err(invalid(text));
        }
        let list = list.flatten();
        valid.push(list.is_some());
        let list = list.unwrap_or_default();
        lengths.push(list.len());
        list.into_iter().for_each(|item| items.append_option(item));
    }
    let items: ArrayRef = Arc::new(items.finish());
    let items = cast_values(&items, item.data_type(), on_failure)?;
    let nulls = NullBuffer::from(valid);
    Ok(Arc::new(ListArray::try_new(item.clone(), OffsetBuffer::from_lengths(lengths), items, Some(nulls))?))
}

/// The items of a list; none where the text is no list.
fn parse(text: &str) -> Option<Vec<Option<String>>> {
    let text = text.trim();
    let inner =
        [('[', ']'), ('{', '}')].iter().find_map(|(open, close)| text.strip_prefix(*open)?.strip_suffix(*close));
    let inner = inner?;
    if inner.trim().is_empty() {
        return Some(vec![]);
    }
    let mut items = vec![Item::default()];
    let (mut depth, mut quote) = (0usize, None);
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        let item = items.last_mut()?;
        match (character, quote) {
            ('\\', Some(_)) if depth == 0 => item.text.push(characters.next()?),
            (_, Some(open)) => {
                if character == open {
                    quote = None;
                }
                if character != open || depth > 0 {
                    item.text.push(character);
                }
            }
            ('"' | '\'', None) if depth > 0 || item.text.trim().is_empty() => {
                quote = Some(character);
                if depth > 0 {
                    item.text.push(character);
                } else {
                    *item = Item { quoted: true, text: String::new() };
                }
            }
            (',', None) if depth == 0 => items.push(Item::default()),
            _ => {
                match character {
                    '[' | '{' => depth += 1,
                    ']' | '}' => depth = depth.checked_sub(1)?,
                    _ => {}
                }
                // Behind a quote there is nothing but a comma.
                if item.quoted && !character.is_whitespace() {
                    return None;
                }
                if !item.quoted {
                    item.text.push(character);
                }
            }
        }
    }
    if depth > 0 || quote.is_some() {
        return None;
    }
    items.into_iter().map(Item::value).collect()
}

#[derive(Default)]
struct Item {
    quoted: bool,
    text: String,
}

impl Item {
    /// What it stands for, NULL being none; none at all where nothing stands.
    fn value(self) -> Option<Option<String>> {
        let text = self.text.trim();
        match self.quoted {
            true => Some(Some(self.text)),
            false if text.is_empty() => None,
            false if text.eq_ignore_ascii_case("null") => Some(None),
            false => Some(Some(text.to_string())),
        }
    }
}
