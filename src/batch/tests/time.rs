//! Time in one-shot queries: `now()` is bound, windows hold their rows.

use super::{World, ints, times};
use crate::base::limits::Interrupt;
use crate::batch::engine::Binding;
use crate::plan::context::Parameters;

const MINUTE: i64 = 60_000_000;

fn events() -> World {
    let mut world = World::new();
    let ts = times(&[Some(0), Some(30_000_000), Some(MINUTE), Some(-1), None]);
    world.add("e", &[("ts", ts), ("v", ints(&[Some(1), Some(2), Some(3), Some(4), Some(5)]))]);
    world
}

#[test]
fn now_is_bound_when_a_query_runs() {
    let world = events();
    let query = world.plan("SELECT now(), count(*) FROM e WHERE ts > now() - INTERVAL '1 minute'").expect("valid");
    assert!(query.uses_now);
    assert!(query.plan.display_indent().to_string().contains("$__now"), "{}", query.plan.display_indent());
    for (now_us, rows) in [(MINUTE, "1970-01-01T00:01:00Z 2"), (2 * MINUTE, "1970-01-01T00:02:00Z 0")] {
        let binding = Binding { now_us, parameters: Parameters::default() };
        let batches = world.engine.collect(&query, world.relations(), &binding, &Interrupt::default());
        assert_eq!(super::show(&batches.expect("runs")), [rows]);
    }
    assert_eq!(world.rows("SELECT current_date, CURRENT_TIMESTAMP = now()"), ["1970-01-01 true"]);
    assert!(!world.plan("SELECT 1").expect("valid").uses_now);
}

#[test]
fn tumbling_windows() {
    let world = events();
    let sql = "SELECT window_start, window_end, sum(v) AS s FROM TUMBLE(e, ts, INTERVAL '1 minute') \
               GROUP BY window_start, window_end ORDER BY 1";
    assert_eq!(
        world.rows(sql),
        [
            "1969-12-31T23:59:00 1970-01-01T00:00:00 4",
            "1970-01-01T00:00:00 1970-01-01T00:01:00 3",
            "1970-01-01T00:01:00 1970-01-01T00:02:00 3",
            "NULL NULL 5"
        ]
    );
    for source in [
        "TUMBLE((SELECT * FROM e), 'ts', INTERVAL '1 minute')",
        "tumble(e, ts, '1 minute')",
        "TUMBLE(e, DESCRIPTOR(ts), size => INTERVAL '60' SECOND)",
        "TUMBLE(data => e, timecol => ts, size => INTERVAL '1 minute') AS w",
    ] {
        assert_eq!(world.rows(&format!("SELECT count(DISTINCT window_start) FROM {source}")), ["3"], "{source}");
    }
    assert_eq!(
        world.sorted(
            "SELECT e.v FROM TUMBLE(e, ts, INTERVAL '1 minute') WHERE window_start = TIMESTAMP '1970-01-01 00:01:00'"
        ),
        ["3"]
    );
}

#[test]
fn hopping_and_cumulating_windows() {
    let world = events();
    let sql = "SELECT window_start, v FROM HOP(e, ts, INTERVAL '30 seconds', INTERVAL '1 minute') WHERE v IN (1, 2) \
               ORDER BY v, window_start";
    assert_eq!(
        world.rows(sql),
        ["1969-12-31T23:59:30 1", "1970-01-01T00:00:00 1", "1970-01-01T00:00:00 2", "1970-01-01T00:00:30 2"]
    );
    let sql = "SELECT window_end, v FROM CUMULATE(e, ts, INTERVAL '30 seconds', INTERVAL '1 minute') WHERE v < 3 \
               ORDER BY v, window_end";
    assert_eq!(world.rows(sql), ["1970-01-01T00:00:30 1", "1970-01-01T00:01:00 1", "1970-01-01T00:01:00 2"]);
}

#[test]
fn windows_that_mean_nothing() {
    let world = events();
    assert_eq!(world.error("SELECT * FROM TUMBLE(e, nope, INTERVAL '1 minute')").sqlstate(), "42703");
    assert_eq!(world.error("SELECT * FROM TUMBLE(e, v, INTERVAL '1 minute')").sqlstate(), "42804");
    assert_eq!(world.error("SELECT * FROM TUMBLE(e, ts, INTERVAL '1 month')").sqlstate(), "0A000");
    assert_eq!(world.error("SELECT * FROM TUMBLE(e, ts, INTERVAL '0 seconds')").sqlstate(), "42000");
    assert_eq!(world.error("SELECT * FROM HOP(e, ts, INTERVAL '1 second')").sqlstate(), "42601");
}
