//! EXPLAIN: what a statement will do, and what a view does.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema};

use crate::base::error::{Error, Result};
use crate::catalog::relation::RelationKind;
use crate::continuous::lower::lower;
use crate::continuous::network::Upkeep;
use crate::db::names::resolve;
use crate::db::session::Session;
use crate::db::statement::ddl::plan;
use crate::plan::context::Parameters;
use crate::sql::name::Name;
use crate::sql::statement::{Explain, ExplainTarget, Statement};

/// Runs an EXPLAIN; one row a line.
pub fn explain(session: &mut Session, explain: &Explain, parameters: &Parameters) -> Result<RecordBatch> {
    for option in &explain.ignored {
        session.notice(format!("EXPLAIN shows the same with {option} as without"));
    }
    let text = match &explain.target {
        ExplainTarget::MaterializedView(name) => explain_view(session, name, explain.analyze)?,
        ExplainTarget::Window(_) => {
            return Err(Error::unsupported("EXPLAIN WINDOW does not exist yet: watermarks do not move"));
        }
        ExplainTarget::Statement(statement) => explain_statement(session, statement, explain, parameters)?,
    };
    let lines: Vec<&str> = text.lines().collect();
    let schema = Schema::new(vec![Field::new("plan", DataType::Utf8View, false)]);
    Ok(RecordBatch::try_new(Arc::new(schema), vec![Arc::new(StringViewArray::from(lines))])?)
}

fn explain_statement(
    session: &Session,
    statement: &Statement,
    explain: &Explain,
    parameters: &Parameters,
) -> Result<String> {
    let continuous = |query| {
        let reader = session.reader_of(&session.version(), parameters);
        lower(&reader.continuous().plan(query)?).map(|spec| spec.explain())
    };
    let reader = session.reader(parameters);
    match statement {
        Statement::Query { query, .. } => reader.explain(&reader.plan(query)?, explain.analyze),
        Statement::Update(update) if !explain.analyze => {
            let relation = resolve(&reader.version.catalog, &update.relation)?;
            Ok(format!("Update {}\n{}", relation.name, reader.explain(&reader.plan_update(&relation, update)?, false)?))
        }
        Statement::Delete(delete) if !explain.analyze => {
            let relation = resolve(&reader.version.catalog, &delete.relation)?;
            Ok(format!("Delete {}\n{}", relation.name, reader.explain(&reader.plan_delete(&relation, delete)?, false)?))
        }
        Statement::CreateView(create) if create.materialized => continuous(&create.query),
        Statement::Subscribe(clause) => continuous(&clause.query),
        _ => Err(Error::unsupported("EXPLAIN shows queries, UPDATE, DELETE, views and subscriptions")),
    }
}

fn explain_view(session: &Session, name: &Name, analyze: bool) -> Result<String> {
    let version = session.version();
    let relation = resolve(&version.catalog, name)?;
    if relation.kind != RelationKind::MaterializedView {
        return Err(Error::invalid(format!("\"{}\" is a {}", relation.name, relation.kind.name()))
            .with_sqlstate("42809")
            .with_hint("EXPLAIN SELECT * FROM it shows how it is read"));
    }
    let id = relation.id;
    if let Some(rebuild) = version.entries.get(&id).and_then(|entry| entry.contents.rebuild()) {
        let none = Parameters::default();
        let spec = plan(session.reader_of(&version, &none), &relation)?.1;
        let percent = rebuild.percent();
        return Ok(format!(
            "{}\nbeing filled again, {percent} % read: computed when it is read until then",
            spec.explain()
        ));
    }
    session.sequencer.task(&session.interrupt, move |sequencer| {
        let view = sequencer.network.get(id).ok_or_else(|| Error::internal("a view without state"))?;
        let mut text = match (&view.upkeep, analyze) {
            (Upkeep::Maintained(maintained), true) => view.spec.explain_with(&maintained.circuit.stats()),
            _ => view.spec.explain(),
        };
        if matches!(view.upkeep, Upkeep::Lazy) {
            text.push_str("\nnot kept: computed when it is first read in a version");
        }
        Ok(text)
    })
}
