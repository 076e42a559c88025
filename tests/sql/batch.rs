//! The `batch` mode: a file runs record by record, as it stands.

use crate::arguments::Arguments;
use crate::record::Script;
use crate::report::FileReport;
use crate::session::Session;

/// Runs `script` on a fresh database.
pub fn run(script: &Script, arguments: &Arguments, report: &mut FileReport) {
    let mut session = match Session::new(script.printing) {
        Ok(session) => session,
        Err(reason) => return report.refuse(reason),
    };
    for record in &script.records {
        if record.skipped || (report.failed() > 0 && !arguments.keep_going) {
            report.skip();
            continue;
        }
        match session.execute(record) {
            Ok(()) => report.pass(),
            Err(message) => report.fail(&record.place, &record.sql, &message),
        }
    }
}
