//! Which file runs which statement.

use crate::base::error::{Error, ErrorKind, Result};
use crate::continuous::network::guarded;
use crate::db::outcome::Outcome;
use crate::db::session::Session;
use crate::db::settings::Settings;
use crate::db::statement::dml::Dml;
use crate::db::statement::modify::modify;
use crate::db::statement::query::query;
use crate::db::statement::{backup, copy, ddl, explain, export, prepared, show, subscribe, transaction, verify};
use crate::plan::context::Parameters;
use crate::sql::statement::Statement;

/// Runs a parsed statement; a failure inside a transaction fails the transaction.
pub fn run(session: &mut Session, statement: &Statement, parameters: &Parameters) -> Result<Outcome> {
    session.interrupt.start(session.settings.statement_timeout);
    let ends = matches!(statement, Statement::Rollback | Statement::Commit);
    if !ends && session.transaction.as_ref().is_some_and(|open| open.failed.is_set()) {
        return Err(Error::new(ErrorKind::Transaction, "the transaction has failed: only ROLLBACK is possible")
            .with_sqlstate("25P02"));
    }
    let parameters = &Parameters { zone: session.settings.zone, ..parameters.clone() };
    // A defect in planning, or in a function that is called there, must not take the program down.
    let outcome = guarded(|| dispatch(session, statement, parameters));
    if outcome.is_err()
        && let Some(open) = &session.transaction
    {
        open.failed.set();
    }
    outcome.map(|outcome| match outcome {
        Outcome::Rows(rows) => Outcome::Rows(rows.in_zone(parameters.zone)),
        other => other,
    })
}

fn dispatch(session: &mut Session, statement: &Statement, parameters: &Parameters) -> Result<Outcome> {
    use Statement as S;
    match statement {
        S::Query { query: asked, emit } => {
            ddl::refuse_emit(*emit)?;
            query(session, asked, parameters)
        }
        S::Insert(insert) => modify(session, Dml::Insert(insert.clone()), parameters),
        S::Update(update) => modify(session, Dml::Update(update.clone()), parameters),
        S::Delete(delete) => modify(session, Dml::Delete(delete.clone()), parameters),
        S::Truncate { relations } => modify(session, Dml::Truncate(relations.clone()), parameters),
        S::CopyFrom(from) => modify(session, Dml::Copy(Box::new(from.clone())), parameters),
        S::CopyTo(to) => copy::copy_to(&session.reader(parameters), to).map(Outcome::Changed),
        S::Subscribe(clause) => {
            session.refuse_in_transaction("SUBSCRIBE")?;
            subscribe::subscribe(session, clause, parameters).map(Outcome::Subscription)
        }
        S::Show(asked) => show::show(&session.shared, &session.version(), &session.settings, asked).map(Outcome::one),
        S::Describe { target } => show::describe(&session.reader(parameters), target).map(Outcome::one),
        S::Summarize { target } => {
            let summary = show::summarize(&session.reader(parameters), target)?;
            query(session, &summary, parameters)
        }
        S::Explain(asked) => explain::explain(session, asked, parameters).map(Outcome::one),
        S::Verify { name } => verify::verify(session, name).map(Outcome::one),
        S::Resume { name } => subscribe::resume(session, name).map(Outcome::Subscription),
        S::Acknowledge { name, epoch } => {
            session.refuse_in_transaction("ACKNOWLEDGE")?;
            subscribe::acknowledge(session, name, *epoch).map(|()| Outcome::Done)
        }
        S::CreateRelation(_)
        | S::CreateView(_)
        | S::CreateIndex(_)
        | S::CreateSubscription(_)
        | S::CreateSink(_)
        | S::Drop(_)
        | S::Alter(_)
        | S::Refresh { .. } => {
            session.refuse_in_transaction("a change of the catalog")?;
            ddl::run(session, statement).map(|()| Outcome::Done)
        }
        S::Execute { name, arguments } => {
            let (statement, bound) = prepared::bind(session, name, arguments, parameters)?;
            dispatch(session, &statement, &bound)
        }
        S::Begin { .. } | S::Commit | S::Rollback => control(session, statement),
        S::Prepare { .. } | S::Deallocate { .. } | S::Set { .. } | S::Reset { .. } => control(session, statement),
        S::Checkpoint => session.sequencer.checkpoint(&session.interrupt).map(|()| Outcome::Done),
        S::Backup { directory } => backup::backup(session, directory).map(|()| Outcome::Done),
        S::Export { directory, format } => export::export(session, directory, format).map(Outcome::Changed),
        S::Import { directory } => {
            session.refuse_in_transaction("IMPORT DATABASE")?;
            let run = |session: &mut Session, statement: &_| dispatch(session, statement, parameters).map(drop);
            export::import(session, directory, &run).map(|()| Outcome::Done)
        }
        S::IntegrityCheck => backup::integrity_check(session).map(Outcome::one),
        S::AdvanceWatermark { .. } | S::Flush { .. } => {
            Err(Error::unsupported("watermarks are declared but do not move yet: nothing is ever late in this version"))
        }
        S::CreateExternalTable(_) => Err(Error::unsupported("external tables do not exist yet").with_hint(
            "read the file in place (FROM 'file.parquet') or CREATE TABLE .. AS SELECT * FROM 'file.parquet'",
        )),
    }
}

/// Transactions, prepared statements, settings.
fn control(session: &mut Session, statement: &Statement) -> Result<Outcome> {
    use Statement as S;
    match statement {
        S::Begin { read_only } => transaction::begin(session, *read_only)?,
        S::Commit => transaction::commit(session)?,
        S::Rollback => transaction::rollback(session),
        S::Prepare { name, statement, .. } => prepared::prepare(session, name, statement)?,
        S::Deallocate { name } => prepared::deallocate(session, name.as_deref())?,
        S::Set { name, value } => session.settings.set(&session.shared, name, Some(value))?,
        S::Reset { name: Some(name) } => session.settings.set(&session.shared, name, None)?,
        S::Reset { name: None } => session.settings = Settings::default(),
        _ => return Err(Error::internal("a statement that controls nothing")),
    }
    Ok(Outcome::Done)
}
