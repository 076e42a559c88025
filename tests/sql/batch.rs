//! The `batch` mode: a file runs record by record, as it stands.

use crate::arguments::Arguments;
use crate::record::Script;
use crate::report::FileReport;
use crate::session::Session;

/// Runs `script` on a fresh database.
pub fn run(script: &Script, arguments: &Arguments, report: &mut FileReport) {
    run_on(Session::new(script.printing), script, arguments, report, &mut |_| Ok(()));
}

/// Runs `script` in a session, with something to be done before each record; where that fails, so does the record.
pub fn run_on(
    session: Result<Session, String>,
    script: &Script,
    arguments: &Arguments,
    report: &mut FileReport,
    before: &mut dyn FnMut(&mut Session) -> Result<(), String>,
) {
    let mut session = match session {
        Ok(session) => session,
        Err(reason) => return report.refuse(reason),
    };
    for record in &script.records {
        if record.skipped || (report.failed() > 0 && !arguments.keep_going) {
            report.skip();
            continue;
        }
        match before(&mut session).and_then(|()| session.execute(record)) {
            Ok(()) => report.pass(),
            Err(message) => report.fail(&record.place, &record.sql, &message),
        }
    }
}
