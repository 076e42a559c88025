//! ALTER: columns added, dropped, renamed, of another type, with other defaults; relations renamed.
//!
//! Nothing stored is touched but by a change of type: a column is known by its identity, rows keep the columns they
//! were stored with, and an added column has a value of its own for rows that are older. What a view needs is refused:
//! a view needs what makes its plan differ, so it is planned with the definition before and after and the two are
//! compared.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use sqlparser::ast::Expr;

use super::{Definer, Proposal, expect_kind};
use crate::base::domain::Domain;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::types::sql_type_name;
use crate::catalog::delta::{CatalogChange, CatalogDelta};
use crate::catalog::layout::ColumnId;
use crate::catalog::relation::{PAUSED, Relation, RelationKind};
use crate::db::names::{column_of, resolve};
use crate::db::value::{assign, assign_in};
use crate::db::version::Version;
use crate::sql;
use crate::sql::name::Name;
use crate::sql::statement::{Alter, AlterAction, Column, ColumnName};
use crate::sql::types::column_domain;
use crate::storage::log::Position;

/// What the actions of a statement come to so far.
struct Altered {
    relation: Relation,
    conversions: Vec<CatalogChange>,
    notices: Vec<String>,
    positions: Vec<Position>,
    /// Whether rows were looked at, or must be.
    reads: bool,
    /// Whether a view may need what is changed.
    breaking: bool,
}

impl Definer {
    pub(super) fn alter(&self, version: &Arc<Version>, alter: &Alter) -> Result<Proposal> {
        let old = match resolve(&version.catalog, &alter.relation) {
            Ok(relation) => relation,
            Err(error) if alter.if_exists && error.kind() == ErrorKind::NotFound => {
                return Ok(Proposal::notice(format!("{error}: nothing is altered")));
            }
            Err(error) => return Err(error),
        };
        match alter.view {
            true => expect_kind(&old, &[RelationKind::View, RelationKind::MaterializedView])?,
            false => expect_kind(&old, &[RelationKind::Table, RelationKind::Stream, RelationKind::Sink])?,
        }
        let mut altered = Altered {
            relation: old.as_ref().clone(),
            conversions: Vec::new(),
            notices: Vec::new(),
            positions: Vec::new(),
            reads: false,
            breaking: false,
        };
        for action in &alter.actions {
            self.apply(version, &mut altered, action)?;
        }
        let relation = Arc::new(altered.relation);
        let mut changes = altered.conversions;
        changes.push(CatalogChange::Define(relation));
        let delta = CatalogDelta::from(changes);
        if altered.breaking {
            self.check_readers(version, &old, &delta)?;
        }
        let reads = altered.reads.then_some(old.id).into_iter().collect();
        Ok(Proposal { delta, reads, notices: altered.notices, positions: altered.positions, ..Proposal::default() })
    }

    fn apply(&self, version: &Arc<Version>, altered: &mut Altered, action: &AlterAction) -> Result<()> {
        if altered.relation.kind.is_view() && !matches!(action, AlterAction::Rename { .. }) {
            return Err(
                Error::unsupported("a view can only be renamed").with_hint("CREATE OR REPLACE gives it another query")
            );
        }
        let is_of_sinks = matches!(action, AlterAction::Pause | AlterAction::Resume | AlterAction::Rename { .. });
        if altered.relation.kind == RelationKind::Sink && !is_of_sinks {
            return Err(Error::unsupported("a sink can only be paused, resumed and renamed")
                .with_hint("drop it and create it again"));
        }
        match action {
            AlterAction::AddColumn { if_not_exists, column } => {
                self.add_column(version, altered, column, *if_not_exists)
            }
            AlterAction::DropColumn { if_exists, column } => altered.drop_column(column, *if_exists),
            AlterAction::RenameColumn { column, to } => altered.rename_column(column, to),
            AlterAction::Rename { to } => altered.rename(version, to),
            AlterAction::Pause => altered.pause(true),
            AlterAction::Resume => altered.pause(false),
            AlterAction::SetType { column, sql_type, data_type } => {
                let place = altered.column(column)?;
                altered.set_type(place, data_type, column_domain(sql_type))?;
                // A default that does not fit the new type is refused now, not at the next INSERT.
                match altered.relation.defaults.get(place).cloned().flatten() {
                    Some(text) => self.check_default(version, &altered.relation, place, sql::parse_expression(&text)?),
                    None => Ok(()),
                }
            }
            AlterAction::SetDefault { column, default } => {
                let place = altered.column(column)?;
                if let Some(default) = default {
                    self.check_default(version, &altered.relation, place, default.expression.clone())?;
                }
                altered.defaults()[place] = default.as_ref().map(|default| default.text.clone());
                Ok(())
            }
            AlterAction::SetNullable { column, nullable } => altered.set_nullable(column, *nullable),
        }
    }

    fn add_column(
        &self,
        version: &Arc<Version>,
        altered: &mut Altered,
        column: &Column,
        if_not_exists: bool,
    ) -> Result<()> {
        let name = &column.name;
        if altered.relation.schema.index_of(name).is_ok() {
            if if_not_exists {
                altered.notices.push(format!("column \"{name}\" of \"{}\" exists already", altered.relation.name));
                return Ok(());
            }
            return Err(taken(&altered.relation, name));
        }
        let missing = match &column.default {
            Some(default) => {
                let value = self.reader(version).constant_expression(default.expression.clone())?;
                let value = assign_in(&value, &column.data_type, column.domain, &self.parameters.zone);
                Some(value.map_err(|error| in_default(error, name))?)
            }
            None => None,
        };
        let default = column.default.as_ref().map(|default| default.text.clone());
        let field = Field::new(name, column.data_type.clone(), column.nullable);
        altered.reads |= !column.nullable;
        altered.defaults().push(default);
        let relation = &mut altered.relation;
        let fields = relation.schema.fields().iter().cloned().chain([Arc::new(field)]);
        relation.schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        relation.columns = relation.columns.iter().copied().chain([ColumnId(relation.next_column)]).collect();
        relation.missing = relation.missing.iter().cloned().chain([missing]).collect();
        if let Some(domain) = column.domain {
            relation.domains.insert(ColumnId(relation.next_column), domain);
        }
        relation.next_column += 1;
        Ok(())
    }

    /// Refuses a default that has no value or none of the column's type: now, not at the first INSERT.
    pub(super) fn check_default(
        &self,
        version: &Arc<Version>,
        relation: &Relation,
        place: usize,
        default: Expr,
    ) -> Result<()> {
        let field = relation.schema.field(place);
        let value = self.reader(version).constant_expression(default);
        let value = value.map_err(|error| in_default(error, field.name()))?;
        let stored = assign_in(&value, field.data_type(), relation.domain(place), &self.parameters.zone);
        stored.map_err(|error| in_default(error, field.name())).map(drop)
    }

    /// Refuses what a view needs as it is.
    fn check_readers(&self, version: &Arc<Version>, old: &Arc<Relation>, delta: &CatalogDelta) -> Result<()> {
        let after = Version { catalog: Arc::new(version.catalog.changed_by(delta)), ..version.as_ref().clone() };
        let after = Arc::new(after);
        let now = after.catalog.by_id(old.id).map(|relation| relation.columns.clone()).unwrap_or_default();
        let gone = |follower: &&Arc<Relation>| follower.columns.iter().any(|column| !now.contains(column));
        let mut followers = version.catalog.dependents(old.id).filter(|relation| relation.kind.is_follower());
        if let Some(follower) = followers.find(gone) {
            let (kind, follower) = (follower.kind.name(), &follower.name);
            let message = format!("{kind} \"{follower}\" needs the columns of \"{}\" as they are", old.name);
            return Err(Error::new(ErrorKind::Dependency, message).with_hint("drop it first"));
        }
        for view in version.catalog.dependents(old.id).filter(|relation| relation.kind.is_view()) {
            let plan = |version| self.reader(version).plan_view(view).map(|(_, planned)| planned.text());
            let before = plan(version)?;
            if plan(&after).ok().as_ref() != Some(&before) {
                let (kind, view) = (view.kind.name(), &view.name);
                let message = format!("{kind} \"{view}\" needs \"{}\" as it is", old.name);
                return Err(Error::new(ErrorKind::Dependency, message)
                    .with_hint("drop the view first and create it again afterwards"));
            }
        }
        Ok(())
    }
}

impl Altered {
    /// Lets the connector of a source rest, or go on with a clean slate.
    fn pause(&mut self, rests: bool) -> Result<()> {
        let Relation { id, name, .. } = &self.relation;
        if !self.relation.is_pumped() {
            let error = Error::invalid(format!("\"{name}\" has no connector that could be paused"));
            return Err(error.with_sqlstate("42809"));
        }
        let position = || Position { relation: *id, split: String::new(), value: r#"{"bad":0}"#.to_string() };
        self.positions.extend((!rests && self.relation.is_source()).then(position));
        self.relation.options.insert(PAUSED.to_string(), rests.to_string());
        Ok(())
    }

    fn column(&self, column: &ColumnName) -> Result<usize> {
        column_of(&self.relation, &column.name).map_err(|error| match column.position {
            Some(position) => error.at(position),
            None => error,
        })
    }

    /// The defaults, one a column.
    fn defaults(&mut self) -> &mut Vec<Option<String>> {
        let columns = self.relation.schema.fields().len();
        self.relation.defaults.resize(columns, None);
        &mut self.relation.defaults
    }

    fn drop_column(&mut self, column: &ColumnName, if_exists: bool) -> Result<()> {
        if if_exists && self.relation.schema.index_of(&column.name).is_err() {
            self.notices.push(format!("column \"{}\" of \"{}\" does not exist", column.name, self.relation.name));
            return Ok(());
        }
        let place = self.column(column)?;
        self.expect_unused(place, "dropped")?;
        if self.relation.schema.fields().len() == 1 {
            return Err(Error::invalid(format!(
                "\"{}\" is the only column of \"{}\"",
                column.name, self.relation.name
            ))
            .with_hint("DROP TABLE drops the relation"));
        }
        self.breaking = true;
        self.defaults().remove(place);
        let kept: Vec<usize> = (0..self.relation.schema.fields().len()).filter(|&other| other != place).collect();
        let moved = |column: &usize| kept.iter().position(|kept| kept == column).unwrap_or(*column);
        let relation = &mut self.relation;
        let fields = kept.iter().map(|&place| relation.schema.fields()[place].clone());
        relation.schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        relation.columns = kept.iter().map(|&place| relation.columns[place]).collect();
        relation.missing = kept.iter().map(|&place| relation.missing[place].clone()).collect();
        relation.primary_key = relation.primary_key.iter().map(moved).collect();
        for (_, columns) in relation.unique.iter_mut().chain(&mut relation.indexes) {
            *columns = columns.iter().map(moved).collect();
        }
        if let Some(watermark) = &mut relation.watermark {
            watermark.column = moved(&watermark.column);
        }
        Ok(())
    }

    /// Refuses a column that a key, an index or the watermark is made of.
    fn expect_unused(&self, place: usize, what: &str) -> Result<()> {
        let relation = &self.relation;
        let name = relation.schema.field(place).name();
        let refuse = |by: String, hint: &str| {
            let message = format!("column \"{name}\" of \"{}\" cannot be {what}: {by} is made of it", relation.name);
            Err(Error::new(ErrorKind::Dependency, message).with_hint(hint))
        };
        if relation.primary_key.contains(&place) {
            return refuse("the primary key".into(), "make a new relation with CREATE TABLE .. AS SELECT");
        }
        if relation.watermark.as_ref().is_some_and(|watermark| watermark.column == place) {
            return refuse("the watermark".into(), "make a new stream");
        }
        match relation.unique.iter().chain(&relation.indexes).find(|(_, columns)| columns.contains(&place)) {
            Some((index, _)) => refuse(format!("index \"{index}\""), "DROP INDEX drops it"),
            None => Ok(()),
        }
    }

    fn rename_column(&mut self, column: &ColumnName, to: &str) -> Result<()> {
        let place = self.column(column)?;
        if self.relation.schema.index_of(to).is_ok() {
            return Err(taken(&self.relation, to));
        }
        if self.relation.watermark.as_ref().is_some_and(|watermark| watermark.column == place) {
            return Err(Error::unsupported(format!("\"{}\" is the column of a watermark", column.name))
                .with_hint("make a new stream"));
        }
        self.breaking = true;
        self.replace_field(place, |field| field.with_name(to));
        Ok(())
    }

    fn rename(&mut self, version: &Version, to: &Name) -> Result<()> {
        let name = to.in_main()?;
        version.catalog.expect_free(name)?;
        let mut readers = version.catalog.dependents(self.relation.id).filter(|reader| !reader.kind.is_follower());
        if let Some(reader) = readers.next() {
            // Its text names the relation.
            let (kind, reader) = (reader.kind.name(), &reader.name);
            let message = format!("{kind} \"{reader}\" reads \"{}\" by its name", self.relation.name);
            return Err(Error::new(ErrorKind::Dependency, message).with_hint("drop it first"));
        }
        self.relation.name = name.to_string();
        Ok(())
    }

    fn set_type(&mut self, place: usize, data_type: &arrow::datatypes::DataType, domain: Option<Domain>) -> Result<()> {
        let field = self.relation.schema.field(place).clone();
        if field.data_type() == data_type && self.relation.domain(place) == domain {
            return Ok(());
        }
        if !arrow::compute::can_cast_types(field.data_type(), data_type) {
            let (from, to) = (sql_type_name(field.data_type()), sql_type_name(data_type));
            let message = format!("column \"{}\" cannot be turned from {from} into {to}", field.name());
            return Err(Error::new(ErrorKind::Type, message));
        }
        self.expect_unused(place, "given another type")?;
        (self.breaking, self.reads) = (true, true);
        let relation = &mut self.relation;
        let (from, to) = (relation.columns[place], ColumnId(relation.next_column));
        relation.next_column += 1;
        let mut columns = relation.columns.to_vec();
        columns[place] = to;
        relation.columns = columns.into();
        relation.domains.remove(&from);
        relation.domains.extend(domain.map(|domain| (to, domain)));
        let mut missing = relation.missing.to_vec();
        missing[place] = missing[place].as_ref().map(|value| assign(value, data_type, domain)).transpose()?;
        relation.missing = missing.into();
        self.conversions.push(CatalogChange::Convert { relation: relation.id, from, to });
        self.replace_field(place, |field| field.with_data_type(data_type.clone()));
        Ok(())
    }

    fn set_nullable(&mut self, column: &ColumnName, nullable: bool) -> Result<()> {
        let place = self.column(column)?;
        if nullable {
            if self.relation.primary_key.contains(&place) {
                let message = format!("column \"{}\" is of the primary key, which is never NULL", column.name);
                return Err(Error::invalid(message).with_sqlstate("42P16"));
            }
            if self.relation.watermark.as_ref().is_some_and(|watermark| watermark.column == place) {
                let message = format!("column \"{}\" is the watermark's, which is never NULL", column.name);
                return Err(Error::invalid(message).with_sqlstate("42P16"));
            }
            self.breaking = true;
        }
        self.reads |= !nullable;
        self.replace_field(place, |field| field.with_nullable(nullable));
        Ok(())
    }

    fn replace_field(&mut self, place: usize, change: impl FnOnce(Field) -> Field) {
        let mut fields: Vec<Arc<Field>> = self.relation.schema.fields().to_vec();
        fields[place] = Arc::new(change(fields[place].as_ref().clone()));
        self.relation.schema = Arc::new(Schema::new(fields));
    }
}

fn taken(relation: &Relation, column: &str) -> Error {
    Error::new(ErrorKind::AlreadyExists, format!("column \"{column}\" of \"{}\" already exists", relation.name))
        .with_sqlstate("42701")
}

fn in_default(error: Error, column: &str) -> Error {
    error.context(format!("default of column \"{column}\""))
}
