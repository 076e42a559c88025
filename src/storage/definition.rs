//! Definitions as JSON: how the log and the manifest keep what DDL made.
//!
//! An object names each part of a [`Relation`]; parts that are empty are left out, and a part that is not known is an
//! error, because a definition that is understood in half is another one. Types are kept as an Arrow IPC schema,
//! values stored before a column was as a message of one row; both in base64.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, new_null_array};
use arrow::buffer::Buffer;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::ipc::writer::IpcWriteContext;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::base::domain::Domain;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::CEILING;
use crate::catalog::delta::{CatalogChange, CatalogDelta};
use crate::catalog::layout::ColumnId;
use crate::catalog::relation::{Relation, RelationId, RelationKind, Watermark};
use crate::storage::ipc::{decode_rows, decode_schema, encode_rows, encode_schema};

/// A change of the catalog as JSON.
pub fn encode_delta(delta: &CatalogDelta) -> Result<Value> {
    delta.changes.iter().map(encode_change).collect::<Result<Vec<_>>>().map(Value::Array)
}

/// The change of the catalog that is `value`.
pub fn decode_delta(value: &Value) -> Result<CatalogDelta> {
    let changes = value.as_array().ok_or_else(|| damaged("a change of the catalog"))?;
    Ok(CatalogDelta::from(changes.iter().map(decode_change).collect::<Result<Vec<_>>>()?))
}

fn encode_change(change: &CatalogChange) -> Result<Value> {
    Ok(match change {
        CatalogChange::Define(relation) => json!({ "define": encode_relation(relation)? }),
        CatalogChange::Maintain { view, kept } => json!({ "maintain": encode_relation(view)?, "kept": kept }),
        CatalogChange::Convert { relation, from, to } => json!({ "convert": relation.0, "from": from.0, "to": to.0 }),
        CatalogChange::Drop(id) => json!({ "drop": id.0 }),
    })
}

fn decode_change(value: &Value) -> Result<CatalogChange> {
    let mut parts = Parts::of(value, "a change of the catalog")?;
    let change = if let Some(relation) = parts.take("define") {
        CatalogChange::Define(Arc::new(decode_relation(&relation)?))
    } else if let Some(view) = parts.take("maintain") {
        let kept = parts.require("kept")?.as_bool().ok_or_else(|| damaged("kept"))?;
        CatalogChange::Maintain { view: Arc::new(decode_relation(&view)?), kept }
    } else if let Some(relation) = parts.take("convert") {
        let column = |value: Value| number(&value).map(ColumnId);
        let (from, to) = (column(parts.require("from")?)?, column(parts.require("to")?)?);
        CatalogChange::Convert { relation: RelationId(number(&relation)?), from, to }
    } else {
        CatalogChange::Drop(RelationId(number(&parts.require("drop")?)?))
    };
    parts.end()?;
    Ok(change)
}

/// A definition as JSON.
pub fn encode_relation(relation: &Relation) -> Result<Value> {
    let columns = relation.columns.iter().map(|id| id.0);
    let reads = relation.columns_read.iter();
    let reads = reads.map(|(id, columns)| json!([id.0, columns.iter().map(|id| id.0).collect::<Vec<_>>()]));
    let watermark = relation.watermark.as_ref().map(|mark| json!([mark.column, mark.expression]));
    let domains = relation.domains.iter().map(|(column, domain)| json!([column.0, domain.to_string()]));
    let parts = [
        ("id", json!(relation.id.0)),
        ("name", json!(relation.name)),
        ("kind", json!(relation.kind.name())),
        ("schema", json!(STANDARD.encode(encode_schema(&relation.schema)?))),
        ("columns", json!(columns.collect::<Vec<_>>())),
        ("missing", encode_missing(relation)?),
        ("next_column", json!(relation.next_column)),
        ("defaults", json!(relation.defaults)),
        ("domains", json!(domains.collect::<Vec<_>>())),
        ("primary_key", json!(relation.primary_key)),
        ("unique", json!(relation.unique)),
        ("indexes", json!(relation.indexes)),
        ("watermark", json!(watermark)),
        ("options", json!(relation.options)),
        ("query", json!(relation.query)),
        ("dependencies", json!(relation.dependencies.iter().map(|id| id.0).collect::<Vec<_>>())),
        ("columns_read", json!(reads.collect::<Vec<_>>())),
        ("uses_now", json!(relation.uses_now)),
        ("settings", json!(relation.settings)),
    ];
    let said = parts.into_iter().filter(|(_, value)| !is_empty(value));
    Ok(Value::Object(said.map(|(name, value)| (name.to_string(), value)).collect()))
}

/// The definition that is `value`.
pub fn decode_relation(value: &Value) -> Result<Relation> {
    let mut parts = Parts::of(value, "a definition")?;
    let schema = decode_schema(&bytes(&parts.require("schema")?)?)?;
    let kind = text(&parts.require("kind")?)?;
    let kinds = [
        RelationKind::Table,
        RelationKind::Stream,
        RelationKind::View,
        RelationKind::MaterializedView,
        RelationKind::Subscription,
        RelationKind::Sink,
    ];
    let kind = kinds.into_iter().find(|known| known.name() == kind).ok_or_else(|| damaged("a kind of relation"))?;
    let id: u64 = number(&parts.require("id")?)?;
    if id >= CEILING {
        return Err(damaged("the number of a relation"));
    }
    let (id, name) = (RelationId(id), text(&parts.require("name")?)?);
    let columns: Arc<[ColumnId]> = parts.list("columns", &|value| number(value).map(ColumnId))?.into();
    let mut relation = Relation {
        next_column: number(&parts.take("next_column").unwrap_or(json!(0)))?,
        defaults: parts.list("defaults", &optional(&text))?,
        domains: parts.list("domains", &decode_domain)?.into_iter().collect(),
        primary_key: parts.list("primary_key", &number)?,
        unique: parts.list("unique", &decode_key)?,
        indexes: parts.list("indexes", &decode_key)?,
        watermark: parts.take("watermark").map(|value| decode_watermark(&value)).transpose()?,
        options: parts.texts("options")?,
        query: parts.take("query").map(|value| text(&value)).transpose()?,
        dependencies: parts.list("dependencies", &|value| number(value).map(RelationId))?,
        columns_read: parts.list("columns_read", &decode_columns_read)?.into_iter().collect(),
        uses_now: parts.take("uses_now").is_some_and(|value| value == json!(true)),
        settings: parts.texts("settings")?,
        ..Relation::new(id, &name, kind, schema)
    };
    let missing = parts.take("missing").map(|value| bytes(&value)).transpose()?;
    parts.end()?;
    if columns.len() != relation.columns.len() {
        return Err(damaged("a definition"));
    }
    relation.columns = columns;
    if let Some(missing) = missing {
        let schema = nullable(&relation.schema);
        let (row, _) = decode_rows(&Buffer::from_vec(missing), 0, &schema)?;
        let values = row.columns().iter().map(|column| (column.null_count() == 0).then(|| column.clone()));
        relation.missing = values.collect();
    }
    Ok(relation)
}

/// One row of the values that stand for columns in rows stored before them; nothing where all are NULL.
fn encode_missing(relation: &Relation) -> Result<Value> {
    if relation.missing.iter().all(Option::is_none) {
        return Ok(Value::Null);
    }
    let schema = nullable(&relation.schema);
    let values = relation.missing.iter().zip(schema.fields());
    let values = values.map(|(one, field)| one.clone().unwrap_or_else(|| new_null_array(field.data_type(), 1)));
    let row = RecordBatch::try_new(schema.clone(), values.collect())?;
    let mut bytes = Vec::new();
    encode_rows(&row, &mut IpcWriteContext::default(), &mut bytes)?;
    Ok(json!(STANDARD.encode(bytes)))
}

fn nullable(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<Field>>()))
}

fn decode_domain(value: &Value) -> Result<(ColumnId, Domain)> {
    let (column, name) = pair(value)?;
    let domain = Domain::named(&text(name)?).ok_or_else(|| damaged("a rule of texts"))?;
    Ok((ColumnId(number(column)?), domain))
}

fn decode_key(value: &Value) -> Result<(String, Vec<usize>)> {
    let (name, columns) = pair(value)?;
    Ok((text(name)?, list(columns, &number)?))
}

fn decode_watermark(value: &Value) -> Result<Watermark> {
    let (column, expression) = pair(value)?;
    Ok(Watermark { column: number(column)?, expression: text(expression)? })
}

fn decode_columns_read(value: &Value) -> Result<(RelationId, Arc<[ColumnId]>)> {
    let (id, columns) = pair(value)?;
    Ok((RelationId(number(id)?), list(columns, &|value| number(value).map(ColumnId))?.into()))
}

/// The parts of an object, each taken once.
struct Parts {
    parts: Map<String, Value>,
    what: &'static str,
}

impl Parts {
    fn of(value: &Value, what: &'static str) -> Result<Self> {
        let parts = value.as_object().cloned().ok_or_else(|| damaged(what))?;
        Ok(Parts { parts, what })
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.parts.remove(name)
    }

    fn require(&mut self, name: &str) -> Result<Value> {
        self.take(name).ok_or_else(|| damaged(self.what))
    }

    fn list<T>(&mut self, name: &str, item: &dyn Fn(&Value) -> Result<T>) -> Result<Vec<T>> {
        self.take(name).map_or_else(|| Ok(Vec::new()), |value| list(&value, item))
    }

    fn texts(&mut self, name: &str) -> Result<BTreeMap<String, String>> {
        let Some(value) = self.take(name) else { return Ok(BTreeMap::new()) };
        let object = value.as_object().ok_or_else(|| damaged(self.what))?;
        object.iter().map(|(name, value)| Ok((name.clone(), text(value)?))).collect()
    }

    /// An error if something is left that nobody asked for.
    fn end(&self) -> Result<()> {
        match self.parts.keys().next() {
            None => Ok(()),
            Some(name) => {
                Err(Error::unsupported(format!("{} has a part \"{name}\" that is not known here", self.what))
                    .with_hint("a newer version wrote it"))
            }
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(parts) => parts.is_empty(),
        _ => false,
    }
}

fn optional<T>(item: &dyn Fn(&Value) -> Result<T>) -> impl Fn(&Value) -> Result<Option<T>> {
    move |value| if value.is_null() { Ok(None) } else { item(value).map(Some) }
}

fn list<T>(value: &Value, item: &dyn Fn(&Value) -> Result<T>) -> Result<Vec<T>> {
    value.as_array().ok_or_else(|| damaged("a list"))?.iter().map(item).collect()
}

fn pair(value: &Value) -> Result<(&Value, &Value)> {
    match value.as_array().map(Vec::as_slice) {
        Some([one, two]) => Ok((one, two)),
        _ => Err(damaged("a pair")),
    }
}

fn number<N: TryFrom<u64>>(value: &Value) -> Result<N> {
    value.as_u64().and_then(|number| N::try_from(number).ok()).ok_or_else(|| damaged("a number"))
}

fn text(value: &Value) -> Result<String> {
    value.as_str().map(str::to_string).ok_or_else(|| damaged("a text"))
}

fn bytes(value: &Value) -> Result<Vec<u8>> {
    STANDARD.decode(text(value)?).map_err(|_| damaged("base64"))
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Io, format!("{what} in a stored definition makes no sense")).with_sqlstate("XX001")
}
