//! What only the inside can test: damage to a view's state, every aggregate by name, positions.

mod aggregates;
mod positions;

use crate::base::change::{ChangeBatch, Weights};
use crate::base::error::Result;
use crate::continuous::network::Upkeep;
use crate::db::database::Database;

#[test]
fn verify_names_the_row_in_which_a_damaged_view_differs() -> Result<()> {
    let database = Database::in_memory()?;
    let connection = database.connect()?;
    connection.execute_batch(
        "CREATE TABLE t (k BIGINT, v BIGINT); INSERT INTO t VALUES (1, 10), (2, 20);
         CREATE MATERIALIZED VIEW sums AS SELECT k, sum(v) AS s FROM t GROUP BY k",
    )?;
    connection.execute_batch("VERIFY MATERIALIZED VIEW sums")?;
    database.sequencer.task(&Default::default(), |sequencer| {
        let epoch = sequencer.shared.version().epoch + 1;
        let view = sequencer.network.views_mut().next().expect("there is a view");
        let Upkeep::Maintained(maintained) = &mut view.upkeep else { panic!("the view is kept") };
        let rows = maintained.contents.arena().snapshot(epoch).read_chunk(0, None, false)?.expect("rows");
        let damage = ChangeBatch::try_new(rows.slice(1, 1), Weights::Signed(vec![-1].into()))?;
        maintained.contents.apply_all(&[damage], epoch)
    })?;
    connection.execute_batch("INSERT INTO t VALUES (3, 30)")?;
    let error = connection.execute_batch("VERIFY MATERIALIZED VIEW sums").expect_err("the view is damaged");
    assert!(error.message().contains("differs from its query"), "{error}");
    assert!(error.message().contains("-1 (2, 20)"), "{error}");
    connection.execute_batch("REFRESH MATERIALIZED VIEW sums; VERIFY MATERIALIZED VIEW sums")
}
