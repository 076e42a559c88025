//! Closing a database from inside.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::Request;
use crate::base::error::Result;
use crate::base::vfs::MemoryVfs;
use crate::db::database::Database;

/// Who drops the last handle may be the sequencer's own thread: it holds what the checkpointer waits for.
#[test]
fn a_database_closes_wherever_its_last_handle_is_dropped() -> Result<()> {
    let run = || -> Result<()> {
        for round in 0..40 {
            let vfs = Arc::new(MemoryVfs::default());
            let database = Database::builder().target_partitions(1).checkpoint_every(1).open_in(vfs)?;
            let connection = database.connect()?;
            connection.execute_batch(
                "CREATE TABLE t (k BIGINT); CREATE MATERIALIZED VIEW v AS SELECT sum(k) AS s FROM t;
                 INSERT INTO t SELECT * FROM generate_series(1, 1000)",
            )?;
            let sequencer = database.sequencer.downgrade();
            let (give, given) = channel::<Database>();
            let task = Request::Task(Box::new(move |sequencer| {
                sequencer.call_for_checkpoint();
                std::thread::sleep(Duration::from_micros(round * 50));
                drop(given.recv());
            }));
            database.sequencer.send(task)?;
            drop(connection);
            drop(give.send(database));
            while sequencer.upgrade().is_some() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(())
    };
    let (closed, all) = channel();
    std::thread::spawn(move || closed.send(run()));
    all.recv_timeout(Duration::from_secs(120)).expect("no handle waits for itself")
}
