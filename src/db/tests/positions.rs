//! Positions move with their commit, are there again after a restart and in a replay, and go with their relation.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::error::Result;
use crate::base::vfs::SimulatedVfs;
use crate::catalog::relation::RelationId;
use crate::db::commit::{Commit, Committed, Payload};
use crate::db::database::Database;
use crate::storage::log::{MemoryLog, Position};

fn commit(database: &Database, positions: &[(RelationId, &str, &str)]) -> Result<Committed> {
    let position = |&(relation, split, value): &(RelationId, &str, &str)| Position {
        relation,
        split: split.to_string(),
        value: value.to_string(),
    };
    let payload = Payload { positions: positions.iter().map(position).collect(), ..Payload::default() };
    let (read_epoch, reads, interrupt) = (u64::MAX, BTreeSet::new(), Default::default());
    database.sequencer.commit(Commit { read_epoch, reads, payload, again: None, interrupt })
}

fn relation(database: &Database, name: &str) -> Result<RelationId> {
    Ok(database.shared.version().catalog.expect(name)?.id)
}

fn shown(database: &Database) -> Vec<(u64, String, String)> {
    let all = database.shared.version().positions.all().collect::<Vec<_>>();
    all.into_iter().map(|position| (position.relation.0, position.split, position.value)).collect()
}

#[test]
fn positions_live_as_long_as_their_relation() -> Result<()> {
    let (disk, log) = (SimulatedVfs::new(3), MemoryLog::default());
    let open = || Database::builder().open_in(Arc::new(disk.clone()));
    let database = open()?;
    database.connect()?.execute_batch("CREATE STREAM a (x BIGINT); CREATE STREAM b (x BIGINT)")?;
    let (a, b) = (relation(&database, "a")?, relation(&database, "b")?);
    let before = database.epoch();
    let committed = commit(&database, &[(a, "x", "1"), (a, "y\u{0}\"", "{\"at\":2}"), (b, "", "7"), (a, "x", "3")])?;
    assert_eq!(committed.epoch, before + 1, "positions alone make an epoch");
    commit(&database, &[(b, "z", "1")])?;
    commit(&database, &[(b, "z", "")])?;
    let expected = vec![
        (a.0, "x".to_string(), "3".to_string()),
        (a.0, "y\u{0}\"".to_string(), "{\"at\":2}".to_string()),
        (b.0, String::new(), "7".to_string()),
    ];
    assert_eq!(shown(&database), expected);
    drop(database);
    disk.restart();
    let database = open()?;
    assert_eq!(shown(&database), expected, "after the power was lost");
    assert_eq!(database.shared.version().positions.get(a, "x"), Some("3"));
    assert_eq!(database.shared.version().positions.of(b).collect::<Vec<_>>(), [("", "7")]);
    database.connect()?.execute_batch("DROP STREAM a")?;
    assert_eq!(shown(&database), expected[2..]);
    let error = commit(&database, &[(b, "", "8"), (a, "x", "4")]).unwrap_err();
    assert_eq!(error.sqlstate(), "42P01");
    assert_eq!(shown(&database), expected[2..], "the commit was refused whole");

    let database = Database::builder().record(log.clone()).build()?;
    database.connect()?.execute_batch("CREATE STREAM a (x BIGINT)")?;
    commit(&database, &[(relation(&database, "a")?, "x", "1")])?;
    let replayed = Database::in_memory()?;
    replayed.replay(&log.records())?;
    assert_eq!(shown(&replayed), shown(&database));
    Ok(())
}
