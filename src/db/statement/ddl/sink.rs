//! CREATE SINK: a follower whose changes a connector takes out, or another stream takes in.

use std::sync::Arc;

use super::view::plan;
use super::{Definer, Proposal, refuse_emit};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::types::sql_type_name;
use crate::catalog::delta::CatalogChange;
use crate::catalog::relation::{CHANGES, Relation, RelationKind};
use crate::db::follower::ON_FULL;
use crate::db::names::{resolve, writable};
use crate::db::pump::connect;
use crate::db::version::Version;
use crate::sql::name::Name;
use crate::sql::statement::{CreateSink, RelationOrQuery};

impl Definer {
    pub(super) fn create_sink(&self, version: &Arc<Version>, create: &CreateSink) -> Result<Proposal> {
        refuse_emit(create.emit)?;
        let name = create.name.in_main()?;
        let catalog = &version.catalog;
        if catalog.get(name).is_some() && create.if_not_exists {
            return Ok(Proposal::notice(format!("\"{}\" exists already", create.name)));
        }
        catalog.expect_free(name)?;
        let RelationOrQuery::Relation(from) = &create.from else {
            return Err(Error::unsupported("a sink takes the changes of a relation, not of a query")
                .with_hint("CREATE MATERIALIZED VIEW v AS .., then CREATE SINK .. FROM v"));
        };
        let followed = resolve(catalog, from)?;
        let mut changes: Vec<CatalogChange> = self.kept_for_follower(version, &followed)?.into_iter().collect();
        let only_adds = self.only_adds(version, &followed)?;
        let mut sink = Relation::new(self.shared.new_relation_id(), name, RelationKind::Sink, followed.schema.clone());
        (sink.columns, sink.missing) = (followed.columns.clone(), followed.missing.clone());
        (sink.next_column, sink.domains) = (followed.next_column, followed.domains.clone());
        sink.dependencies = vec![followed.id];
        sink.options = create.options.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        match &create.into {
            Some(into) => {
                create.options.expect_known("a sink into a stream", &["paused"])?;
                create.options.truth("paused")?;
                sink.dependencies.push(self.target(version, into, &followed, only_adds)?);
            }
            None => {
                let options = connect::checked_sink(&create.options)?;
                let locate = |error| create.options.locate("path", error);
                connect::look_for_sink(&options, &self.shared.access).map_err(locate)?;
                let path = std::path::absolute(&options.path)?.to_string_lossy().into_owned();
                refuse_shared_directory(version, &path).map_err(locate)?;
                sink.options.insert("path".to_string(), path);
                if !only_adds {
                    sink.options.insert(CHANGES.to_string(), "true".to_string());
                }
            }
        }
        sink.options.insert(ON_FULL.to_string(), "block".to_string());
        changes.push(CatalogChange::Define(Arc::new(sink)));
        Ok(Proposal::of(changes))
    }

    /// Whether a relation only ever grows.
    fn only_adds(&self, version: &Arc<Version>, followed: &Arc<Relation>) -> Result<bool> {
        match followed.kind {
            RelationKind::Stream => Ok(true),
            RelationKind::MaterializedView => Ok(plan(self.reader(version), followed)?.1.append_only()),
            _ => Ok(false),
        }
    }

    /// The stream that a sink feeds, if it can.
    fn target(
        &self,
        version: &Version,
        into: &Name,
        followed: &Relation,
        only_adds: bool,
    ) -> Result<crate::catalog::relation::RelationId> {
        let target = writable(&version.catalog, into)?;
        let at = |error: Error| match into.position {
            Some(position) => error.at(position),
            None => error,
        };
        if target.kind != RelationKind::Stream || target.is_source() {
            let what = if target.is_source() { "a source: its connector feeds it" } else { "a table" };
            let error = Error::invalid(format!("\"{}\" is {what}: a sink feeds a stream", target.name));
            return Err(at(error.with_sqlstate("42809").with_hint("CREATE STREAM makes one")));
        }
        if !only_adds {
            let (kind, name) = (followed.kind.name(), &followed.name);
            let error = Error::unsupported(format!("{kind} \"{name}\" takes rows back: they cannot feed a stream"));
            return Err(at(
                error.with_hint("only what grows can: a stream, or a view that filters, joins or projects streams")
            ));
        }
        if version.catalog.below([followed.id]).contains(&target.id) {
            return Err(at(Error::invalid(format!("\"{}\" would feed itself", target.name))));
        }
        let (from, to) = (followed.schema.fields(), target.schema.fields());
        if from.len() != to.len() {
            let message = format!("\"{}\" has {} columns, \"{}\" {}", followed.name, from.len(), target.name, to.len());
            return Err(at(Error::invalid(message).with_sqlstate("42601")));
        }
        match from.iter().zip(to).find(|(from, to)| from.data_type() != to.data_type()) {
            None => Ok(target.id),
            Some((from, to)) => {
                let types = (sql_type_name(from.data_type()), sql_type_name(to.data_type()));
                let message = format!("\"{}\" is {}, \"{}\" {}", from.name(), types.0, to.name(), types.1);
                Err(at(Error::new(ErrorKind::Type, message).with_hint("cast the column in a view")))
            }
        }
    }
}

/// Two sinks would take each other's files for what an unfinished one left behind.
fn refuse_shared_directory(version: &Version, path: &str) -> Result<()> {
    let mut sinks = version.catalog.relations().filter(|relation| relation.kind == RelationKind::Sink);
    match sinks.find(|sink| sink.options.get("path").is_some_and(|other| other == path)) {
        None => Ok(()),
        Some(sink) => {
            let error = Error::invalid(format!("sink \"{}\" writes to that directory", sink.name));
            Err(error.with_sqlstate("22023").with_hint("each sink has a directory of its own"))
        }
    }
}
