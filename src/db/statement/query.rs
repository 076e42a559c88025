//! Queries: the batches of a result, computed while they are read.

use sqlparser::ast;

use crate::base::error::Result;
use crate::catalog::relation::RelationId;
use crate::db::outcome::Outcome;
use crate::db::read::Reader;
use crate::db::rows::ArrowRows;
use crate::db::sequencer::Sequencer;
use crate::db::session::Session;
use crate::plan::context::Parameters;
use crate::plan::query::Query;

/// Begins a query and hands out its rows.
pub fn query(session: &mut Session, query: &ast::Query, parameters: &Parameters) -> Result<Outcome> {
    let reader = session.reader(parameters);
    let planned = reader.plan(query)?;
    if session.transaction.is_none() && tells_time(&reader, &planned) {
        // The clock is an input like any other: time moves by a commit that everybody sees.
        let version = session.sequencer.task(&session.interrupt, Sequencer::moment)?;
        let batches = session.reader_of(&version, parameters).stream(&planned)?;
        return Ok(Outcome::Rows(ArrowRows::new(planned.schema, batches)));
    }
    let batches = reader.stream(&planned)?;
    let Some(open) = &mut session.transaction else {
        return Ok(Outcome::Rows(ArrowRows::new(planned.schema, batches)));
    };
    open.reads.extend(open.version.catalog.bases(planned.relations.iter().copied()));
    // The rows outlive the statement: what fails while they are read still fails the transaction.
    let failed = open.failed.clone();
    let batches = batches.inspect(move |batch| {
        if batch.is_err() {
            failed.set();
        }
    });
    Ok(Outcome::Rows(ArrowRows::new(planned.schema, batches)))
}

/// Whether the answer depends on what time it is.
fn tells_time(reader: &Reader<'_>, planned: &Query) -> bool {
    let timed = |id: &RelationId| reader.version.catalog.by_id(*id).is_some_and(|relation| relation.uses_now);
    planned.uses_now || planned.relations.iter().any(timed)
}
