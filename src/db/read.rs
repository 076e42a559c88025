//! Reading: planning a query against a version and running it there.
//!
//! A [`Reader`] is one version, an open transaction's overlay on top, and the statement's parameters. Whatever it
//! reads comes from that version alone; views that are not kept are computed once a version and shared by all readers.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use sqlparser::ast;

use crate::base::change::Weights;
use crate::base::error::{Error, Result};
use crate::base::limits::Interrupt;
use crate::batch::engine::Binding;
use crate::batch::scan::{Relations, ScanInput, Snapshots};
use crate::batch::stream::BatchStream;
use crate::catalog::relation::{Relation, RelationId, RelationKind};
use crate::db::files::Files;
use crate::db::names::resolve;
use crate::db::shared::Shared;
use crate::db::system;
use crate::db::transaction::Overlays;
use crate::db::version::{Contents, Version};
use crate::plan::context::{FileSources, Parameters, PlanContext};
use crate::plan::dml;
use crate::plan::query::{Query, plan_query};
use crate::sql;
use crate::sql::name::SchemaName;
use crate::sql::statement::{Delete, RelationOrQuery, Update};
use crate::state::row_arena::RowArena;
use crate::state::snapshot::Snapshot;

/// One version as a statement sees it.
pub struct Reader<'a> {
    pub shared: &'a Arc<Shared>,
    pub version: Arc<Version>,
    overlays: Overlays,
    parameters: &'a Parameters,
    interrupt: &'a Interrupt,
    /// Materialized views to be expanded to their queries.
    inline: HashSet<RelationId>,
    /// Contents that stand in for the version's.
    over: Option<Arc<Snapshots>>,
    /// The view whose query is planned.
    view: Option<Arc<Relation>>,
    /// What `now()` is; the version's time where nothing else is said.
    time_us: i64,
}

impl<'a> Reader<'a> {
    /// A reader of `version` with `overlays` on top.
    pub fn new(
        shared: &'a Arc<Shared>,
        version: Arc<Version>,
        overlays: Overlays,
        parameters: &'a Parameters,
        interrupt: &'a Interrupt,
    ) -> Self {
        let written = overlays.keys().copied().collect();
        let inline = views_over(&version, &written);
        let time_us = version.time_us;
        Reader { shared, version, overlays, parameters, interrupt, inline, over: None, view: None, time_us }
    }

    /// The same reader at a time of its own: `now()` is that time, also in views that are not kept because of it.
    pub fn at(mut self, time_us: i64) -> Self {
        if time_us != self.version.time_us {
            let timed = self.version.catalog.relations().filter(|relation| relation.uses_now);
            self.inline.extend(timed.map(|relation| relation.id));
        }
        self.time_us = time_us;
        self
    }

    /// The same reader, reading these contents only.
    pub fn over(mut self, snapshots: Snapshots) -> Self {
        self.over = Some(Arc::new(snapshots));
        self
    }

    /// The same reader, expanding the views that are not kept: what a continuous plan reads.
    pub fn continuous(mut self) -> Self {
        let lazy = |id: &RelationId| {
            self.version.entries.get(id).is_some_and(|entry| matches!(entry.contents, Contents::Lazy(_)))
        };
        self.inline = self.version.entries.keys().copied().filter(lazy).collect();
        self
    }

    /// The same reader, expanding every materialized view: recomputes from tables and streams alone.
    pub fn expanded(mut self) -> Self {
        let views = self.version.catalog.relations().filter(|r| r.kind == RelationKind::MaterializedView);
        self.inline = views.map(|relation| relation.id).collect();
        self
    }

    /// Plans the query of a view.
    pub fn plan_view(mut self, view: &Arc<Relation>) -> Result<(Self, Query)> {
        let text = view.query.as_deref().ok_or_else(|| Error::internal("a view without a query"))?;
        self.view = Some(view.clone());
        let planned = self.plan(sql::parse_query(text)?.as_ref())?;
        Ok((self, planned))
    }

    /// Plans a query.
    pub fn plan(&self, query: &ast::Query) -> Result<Query> {
        self.planned(|context| plan_query(query, context))
    }

    /// Plans the query that finds what an UPDATE changes: new values of all columns, then the row id.
    pub fn plan_update(&self, relation: &Arc<Relation>, update: &Update) -> Result<Query> {
        let assignments: Vec<(String, ast::Expr)> =
            update.assignments.iter().map(|a| (a.column.clone(), a.value.clone())).collect();
        self.planned(|context| {
            dml::plan_update(
                relation,
                alias(update.alias.as_deref()).as_ref(),
                &assignments,
                &update.from,
                update.selection.as_ref(),
                context,
            )
        })
    }

    /// Plans the query that finds what a DELETE deletes: row ids.
    pub fn plan_delete(&self, relation: &Arc<Relation>, delete: &Delete) -> Result<Query> {
        self.planned(|context| {
            let alias = alias(delete.alias.as_deref());
            dml::plan_delete(relation, alias.as_ref(), &delete.using, delete.selection.as_ref(), context)
        })
    }

    fn planned(&self, plan: impl FnOnce(&PlanContext<'_>) -> Result<Query>) -> Result<Query> {
        let functions = self.shared.functions.read().clone();
        let files = Files { access: &self.shared.access, interrupt: self.interrupt, zone: self.parameters.zone };
        plan(&PlanContext {
            catalog: &self.version.catalog,
            functions: &functions,
            inline: &|id| self.inline.contains(&id),
            files: &files as &dyn FileSources,
            system: &|schema, name| system::table(self.shared, &self.version, schema, name),
            parse: &|text| sql::parse_query(text).map(|query| *query),
            view: self.view.as_ref(),
            zone: self.parameters.zone,
            parameters: Some(self.parameters),
        })
    }

    /// The query that reads a target.
    pub fn query_of(&self, target: &RelationOrQuery) -> Result<ast::Query> {
        let name = match target {
            RelationOrQuery::Query(query) => return Ok(query.as_ref().clone()),
            RelationOrQuery::Relation(name) => name,
        };
        let quote = |part: &str| format!("\"{}\"", part.replace('"', "\"\""));
        let text = match name.resolve()? {
            (SchemaName::System(schema), table) => format!("{}.{}", quote(schema), quote(table)),
            (SchemaName::Main, _) => quote(&resolve(&self.version.catalog, name)?.name),
        };
        sql::parse_query(&format!("SELECT * FROM {text}")).map(|query| *query)
    }

    /// Runs a query and hands out its batches as they come.
    pub fn stream(&self, query: &Query) -> Result<BatchStream> {
        let relations = self.relations(&query.relations)?;
        let binding = Binding { now_us: self.time_us, parameters: self.parameters.clone() };
        self.shared.engine.run(query, relations, &binding, self.interrupt)
    }

    /// Runs a query to its end.
    pub fn collect(&self, query: &Query) -> Result<Vec<RecordBatch>> {
        self.stream(query)?.collect()
    }

    /// The plan of a query as text; with `analyze` it is run and every operator tells what it did.
    pub fn explain(&self, query: &Query, analyze: bool) -> Result<String> {
        let relations = self.relations(&query.relations)?;
        let binding = Binding { now_us: self.time_us, parameters: self.parameters.clone() };
        self.shared.engine.explain(query, relations, &binding, analyze, self.interrupt)
    }

    /// The value of a constant expression given as text.
    pub fn constant(&self, text: &str) -> Result<ArrayRef> {
        self.constant_expression(sql::parse_expression(text)?)
    }

    /// The value of a constant expression, as an array of one.
    pub fn constant_expression(&self, expression: ast::Expr) -> Result<ArrayRef> {
        let mut query = sql::parse_query("SELECT 1")?;
        if let ast::SetExpr::Select(select) = query.body.as_mut() {
            select.projection = vec![ast::SelectItem::UnnamedExpr(expression)];
        }
        let batches = self.collect(&self.plan(&query)?)?;
        let first = batches.iter().find(|batch| batch.num_rows() == 1);
        first.map(|batch| batch.column(0).clone()).ok_or_else(|| Error::internal("a constant without a value"))
    }

    fn relations(&self, wanted: &BTreeSet<RelationId>) -> Result<Arc<dyn Relations>> {
        if let Some(over) = &self.over {
            return Ok(over.clone());
        }
        let mut computed = HashMap::new();
        for &id in wanted {
            let entry = self.version.entry(id)?;
            if let Some(failure) = &entry.failure {
                return Err(failure.to_error(&self.version.name(id)));
            }
            if entry.contents.computed().is_some() {
                computed.insert(id, self.computed(id)?);
            }
        }
        Ok(Arc::new(VersionRelations { version: self.version.clone(), overlays: self.overlays.clone(), computed }))
    }

    /// The contents of a view that is not kept, computed at most once a version.
    fn computed(&self, id: RelationId) -> Result<Snapshot> {
        let contents = &self.version.entry(id)?.contents;
        if contents.rebuild().is_some() {
            self.shared.awaited.ask(id);
        }
        let cell = contents.computed().ok_or_else(|| Error::internal("a kept view was to be computed"))?;
        let mut cell = cell.lock();
        if let Some(snapshot) = cell.as_ref() {
            return Ok(snapshot.clone());
        }
        let relation = self.version.catalog.by_id(id).ok_or_else(|| Error::internal("a view without definition"))?;
        let none = Parameters::default();
        let reader = Reader::new(self.shared, self.version.clone(), Overlays::new(), &none, self.interrupt);
        let snapshot = reader.materialize(relation)?;
        *cell = Some(snapshot.clone());
        Ok(snapshot)
    }

    /// Runs a view's query and keeps the result. An error names the view: whoever reads it has not said its query.
    pub fn materialize(self, relation: &Arc<Relation>) -> Result<Snapshot> {
        self.rows_of_view(relation).map_err(|error| error.context(format!("view \"{}\"", relation.name)))
    }

    fn rows_of_view(self, relation: &Arc<Relation>) -> Result<Snapshot> {
        let (reader, planned) = self.plan_view(relation)?;
        let mut arena = RowArena::new(relation.schema.clone());
        for batch in reader.stream(&planned)? {
            arena.append(batch?.with_schema(relation.schema.clone())?, &Weights::Ones)?;
        }
        Ok(arena.snapshot(reader.version.epoch))
    }
}

/// A normalised name as an identifier that stays as it is.
fn alias(name: Option<&str>) -> Option<ast::Ident> {
    name.map(|name| ast::Ident::with_quote('"', name))
}

/// The materialized views that read, through any number of others, one of `written`.
fn views_over(version: &Version, written: &HashSet<RelationId>) -> HashSet<RelationId> {
    let mut touched = written.clone();
    if !written.is_empty() {
        // Every view was made after what it reads, unless it was replaced: so until nothing is added.
        loop {
            let before = touched.len();
            for relation in version.catalog.relations() {
                if relation.dependencies.iter().any(|id| touched.contains(id)) {
                    touched.insert(relation.id);
                }
            }
            if touched.len() == before {
                break;
            }
        }
    }
    touched.retain(|id| version.catalog.by_id(*id).is_some_and(|r| r.kind == RelationKind::MaterializedView));
    touched
}

/// A version's contents with an overlay on top.
struct VersionRelations {
    version: Arc<Version>,
    overlays: Overlays,
    computed: HashMap<RelationId, Snapshot>,
}

impl Relations for VersionRelations {
    fn scan(&self, id: RelationId) -> Result<ScanInput> {
        let snapshot = match (&self.version.entry(id)?.contents, self.computed.get(&id)) {
            (Contents::Kept(snapshot), _) => snapshot.clone(),
            (_, Some(snapshot)) => snapshot.clone(),
            (_, None) => return Err(Error::internal("a view was not computed before it was read")),
        };
        let overlay = self.overlays.get(&id).cloned().unwrap_or_default();
        let deleted = Some(overlay.deleted).filter(|deleted| !deleted.is_empty());
        Ok(ScanInput { snapshot, deleted, inserted: overlay.inserted, places: None })
    }
}
