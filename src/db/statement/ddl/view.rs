//! Views: made, replaced under those that read them, refreshed.
//!
//! A view keeps its text, the columns that its relations had when it was made (by identity, so that `*` goes on meaning
//! those), and the settings it was bound under. Whoever runs the text of a view as a part of its own, because the view
//! is plain or not kept, is made again in the same commit when the text is replaced.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};

use super::{Definer, Proposal, expect_kind, options, refuse_emit};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::Interrupt;
use crate::batch::scan::Snapshots;
use crate::catalog::definitions::Catalog;
use crate::catalog::delta::CatalogChange;
use crate::catalog::relation::{Relation, RelationId, RelationKind};
use crate::continuous::lower::lower;
use crate::continuous::network::{Built, Maintained, Rebuild, guarded, recompute, same_columns};
use crate::continuous::spec::CircuitSpec;
use crate::continuous::step::StepContext;
use crate::db::commit::NewView;
use crate::db::names::resolve;
use crate::db::read::Reader;
use crate::db::shared::Shared;
use crate::db::version::{Contents, Version};
use crate::plan::query::Query;
use crate::sql::name::Name;
use crate::sql::statement::CreateView;
use crate::sql::walk::relations;
use crate::state::snapshot::Snapshot;

impl Definer {
    pub(super) fn create_view(&self, version: &Arc<Version>, create: &CreateView) -> Result<Proposal> {
        refuse_emit(create.emit)?;
        if create.refresh_every.is_some() {
            return Err(Error::unsupported("REFRESH EVERY does not exist yet")
                .with_hint("without it the view is current after every commit"));
        }
        let kind = if create.materialized { RelationKind::MaterializedView } else { RelationKind::View };
        let name = create.name.in_main()?;
        options::check(kind, name, &create.options)?;
        let old = version.catalog.get(name);
        match old {
            Some(old) if create.or_replace => expect_kind(old, &[kind])?,
            Some(_) if create.if_not_exists => {
                return Ok(Proposal::notice(format!("\"{}\" exists already", create.name)));
            }
            _ => version.catalog.expect_free(name)?,
        }
        let id = old.map_or_else(|| self.shared.new_relation_id(), |old| old.id);
        let view = Arc::new(self.define_view(version, create, kind, id)?);
        if let Some(old) = old {
            check_replacement(&version.catalog, old, &view)?;
        }
        let mut changes = vec![match kind {
            RelationKind::MaterializedView => {
                let kept = self.is_kept(version, &view)?;
                CatalogChange::Maintain { view, kept }
            }
            _ => CatalogChange::Define(view),
        }];
        if let Some(old) = old {
            changes.extend(
                inliners(version, old.id)
                    .into_iter()
                    .map(|(view, kept)| CatalogChange::Maintain { view: anew(&view), kept }),
            );
        }
        Ok(Proposal::of(changes))
    }

    pub(super) fn refresh(&self, version: &Arc<Version>, name: &Name) -> Result<Proposal> {
        let view = resolve(&version.catalog, name)?;
        expect_kind(&view, &[RelationKind::MaterializedView])?;
        // What is computed when it is read is always fresh; a view that was detached has no rows in the version either.
        let entry = version.entry(view.id)?;
        match (&entry.contents, &entry.failure) {
            (Contents::Lazy(_), None) => Ok(Proposal::default()),
            _ => Ok(Proposal::of(vec![CatalogChange::Maintain { view: anew(&view), kept: true }])),
        }
    }

    fn define_view(
        &self,
        version: &Arc<Version>,
        create: &CreateView,
        kind: RelationKind,
        id: RelationId,
    ) -> Result<Relation> {
        // Directly read relations are dependencies, also those that the continuous plan expands.
        let reader = self.reader(version);
        let direct = reader.plan(&create.query)?;
        if !direct.parameters.is_empty() {
            return Err(Error::invalid("a view cannot have parameters").with_sqlstate("42P02"));
        }
        if direct.external {
            return Err(Error::unsupported("a view cannot read files or system tables: they change without a commit")
                .with_hint("CREATE TABLE .. AS SELECT * FROM 'file' brings the rows in"));
        }
        let schema = rename(&direct.schema, &create.columns)?;
        let domains = direct.domains.iter().copied();
        let mut view = Relation::new(id, create.name.in_main()?, kind, schema).with_domains(domains);
        view.query = Some(with_columns(&create.query_text, &create.columns, &view.schema));
        view.settings = self.settings.clone();
        view.dependencies = dependencies(&reader, &create.query, &direct);
        let columns = |id: &RelationId| Some((*id, version.catalog.by_id(*id)?.columns.clone()));
        view.columns_read = view.dependencies.iter().filter_map(columns).collect();
        let depends = |id: &RelationId| version.catalog.by_id(*id).is_some_and(|relation| relation.uses_now);
        view.uses_now = direct.uses_now || view.dependencies.iter().any(depends);
        if let (RelationKind::MaterializedView, Some(function)) = (kind, direct.volatile.as_ref()) {
            return Err(Error::invalid(format!("{function}() gives another value each time: a view cannot keep it"))
                .with_sqlstate("0A000")
                .with_hint("compute the value when the row is inserted"));
        }
        Ok(view)
    }

    /// Whether a view's rows are kept: not if all of it is recomputed anyway and nobody reads it change by change.
    fn is_kept(&self, version: &Arc<Version>, view: &Arc<Relation>) -> Result<bool> {
        let read = version.catalog.dependents(view.id).next().is_some();
        let (planned, spec) = plan(self.reader(version), view)?;
        Ok(read || !(spec.is_recomputed_whole() || planned.uses_now))
    }
}

/// The definition of a view whose rows are made anew: whoever was filled from the old ones must see that it is another.
fn anew(view: &Arc<Relation>) -> Arc<Relation> {
    Arc::new(view.as_ref().clone())
}

/// The continuous plan of a view as a circuit.
pub fn plan(reader: Reader<'_>, view: &Arc<Relation>) -> Result<(Query, CircuitSpec)> {
    let planned = reader.continuous().plan_view(view)?.1;
    let spec = lower(&planned)?;
    Ok((planned, spec))
}

/// Fills a circuit from a version, on this thread, while commits go on.
///
/// # Errors
/// It would hold more memory than there is, or was called off.
pub fn build(
    shared: &Shared,
    interrupt: &Interrupt,
    version: &Arc<Version>,
    relation: &Relation,
    spec: &CircuitSpec,
    rebuild: Option<&Rebuild>,
) -> Result<Built> {
    let from = snapshots_of(version, spec)?;
    if let Some(rebuild) = rebuild {
        rebuild.begin(from.iter().map(|(_, snapshot)| snapshot.num_rows()).sum());
    }
    let owner = format!("view \"{}\"", relation.name);
    let progress = |rows: u64, bytes: usize| {
        if let Some(rebuild) = rebuild {
            rebuild.advance(rows);
        }
        let used = shared.budget.used();
        shared.budget.resize(&owner, used, used.saturating_add(bytes))?;
        shared.budget.resize(&owner, used.saturating_add(bytes), used)
    };
    let kept = || Snapshots { kept: from.iter().cloned().collect() };
    let run = |plan: &_| recompute(&shared.engine, kept(), version.time_us, plan, interrupt);
    let cx = StepContext { now_us: version.time_us, interrupt, recompute: &run };
    let maintained = Maintained::build(spec, relation, &from, &cx, version.epoch, &progress)?;
    Ok(Built { maintained, from })
}

/// Carries a circuit on from the version that it was filled from to a later one.
pub fn carry_on(shared: &Shared, interrupt: &Interrupt, version: &Arc<Version>, view: &mut NewView) -> Result<()> {
    let Some(built) = &mut view.built else { return Ok(()) };
    let now = snapshots_of(version, &view.spec)?;
    let mut inputs = Vec::new();
    for ((id, before), (_, after)) in built.from.iter().zip(&now) {
        let changes = after.changes_since(before)?;
        if !changes.is_empty() {
            inputs.push((*id, changes));
        }
    }
    let kept = || Snapshots { kept: now.iter().cloned().collect() };
    let run = |plan: &_| recompute(&shared.engine, kept(), version.time_us, plan, interrupt);
    let cx = StepContext { now_us: version.time_us, interrupt, recompute: &run };
    guarded(|| built.maintained.step(&inputs, &cx, version.epoch))?;
    built.from = now;
    Ok(())
}

/// What a circuit reads, as of a version.
fn snapshots_of(version: &Version, spec: &CircuitSpec) -> Result<Vec<(RelationId, Snapshot)>> {
    spec.inputs()
        .into_iter()
        .map(|id| match &version.entry(id)?.contents {
            Contents::Kept(snapshot) => Ok((id, snapshot.clone())),
            Contents::Lazy(_) => Err(Error::internal("a continuous plan reads a view that is not kept")),
            Contents::Awaited { .. } => {
                let message = format!("view \"{}\" is being filled again", version.name(id));
                Err(Error::new(ErrorKind::Conflict, message).with_hint("run the statement again"))
            }
        })
        .collect()
}

/// The relations and views that a query names, plain views included, and all that its plan reads.
pub fn dependencies(reader: &Reader<'_>, query: &sqlparser::ast::Query, planned: &Query) -> Vec<RelationId> {
    let mut found: BTreeSet<RelationId> = planned.relations.clone();
    let _ = relations(query, |name| {
        if let Some(name) = Name::of_object(name)
            && let Some(relation) = name.in_main().ok().and_then(|name| reader.version.catalog.get(name))
        {
            found.insert(relation.id);
        }
        std::ops::ControlFlow::<()>::Continue(())
    });
    found.into_iter().collect()
}

fn rename(schema: &SchemaRef, names: &[String]) -> Result<SchemaRef> {
    if names.len() > schema.fields().len() {
        return Err(Error::invalid(format!("{} names for {} columns", names.len(), schema.fields().len()))
            .with_sqlstate("42601"));
    }
    let fields = schema.fields().iter().enumerate().map(|(n, field)| match names.get(n) {
        Some(name) => field.as_ref().clone().with_name(name),
        None => field.as_ref().clone(),
    });
    Ok(Arc::new(Schema::new(fields.collect::<Vec<Field>>())))
}

/// The text of a view's query with its column names.
fn with_columns(text: &str, names: &[String], schema: &Schema) -> String {
    if names.is_empty() {
        return text.to_string();
    }
    let quoted: Vec<String> =
        schema.fields().iter().map(|field| format!("\"{}\"", field.name().replace('"', "\"\""))).collect();
    format!("SELECT * FROM ({text}) AS q({})", quoted.join(", "))
}

/// Whether `new` may take the place of `old` under the views that read it.
fn check_replacement(catalog: &Catalog, old: &Relation, new: &Relation) -> Result<()> {
    if catalog.below(new.dependencies.iter().copied()).contains(&old.id) {
        return Err(Error::invalid(format!("\"{}\" would read itself", old.name)));
    }
    match catalog.dependents(old.id).next() {
        Some(reader) if !same_columns(&old.schema, &new.schema) => Err(Error::new(
            ErrorKind::Dependency,
            format!("\"{}\" reads \"{}\", whose columns would change", reader.name, old.name),
        )
        .with_hint("names, types and number of its columns must stay, or drop the reader first")),
        _ => Ok(()),
    }
}

/// The materialized views that run the query of `id` as a part of their own, each behind those it reads, and whether
/// they are kept. Views that read it by change get its difference and are not among them.
fn inliners(version: &Version, id: RelationId) -> Vec<(Arc<Relation>, bool)> {
    let is_kept =
        |id: RelationId| version.entries.get(&id).is_some_and(|entry| !matches!(entry.contents, Contents::Lazy(_)));
    let mut found = Vec::new();
    let mut open = if is_kept(id) { Vec::new() } else { vec![id] };
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        for reader in version.catalog.dependents(id).filter(|reader| seen.insert(reader.id)) {
            match is_kept(reader.id) {
                true => found.push((reader.clone(), true)),
                // What is computed when read has the new text in its plan by itself, and so have its readers.
                false => open.push(reader.id),
            }
        }
    }
    let order = version.catalog.in_order();
    found.sort_by_key(|(view, _)| order.iter().position(|id| *id == view.id));
    found
}
