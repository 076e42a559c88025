//! Times moved: AT TIME ZONE and `justify_*`; and the arguments that functions of time share.

use arrow::array::{Array, ArrayRef, PrimitiveArray, StringViewArray};
use arrow::datatypes::{DataType, IntervalMonthDayNanoType, TimestampMicrosecondType};

use crate::base::error::{Error, Result};
use crate::base::time::interval::{Interval, Unit};
use crate::base::time::kind::{INTERVAL, Kind, TIMESTAMP, timestamptz};
use crate::base::time::out_of_range;
use crate::base::time::zone::Zone;
use crate::base::time::{DAY, SECOND};
use crate::plan::time::fields::unknown_field;
use crate::plan::time::function::{Call, Definition, interval};

pub(super) static FUNCTIONS: &[Definition] = &[
    Definition {
        name: "timezone",
        aliases: &[],
        takes: zone_takes,
        gives: |types, _| match types {
            [_, value] if Kind::of(value) == Kind::TimestampTz => TIMESTAMP,
            _ => timestamptz(),
        },
        zoned: false,
        evaluate: at_time_zone,
    },
    Definition {
        name: "justify_hours",
        aliases: &[],
        takes: one_interval,
        gives: |_, _| INTERVAL,
        zoned: false,
        evaluate: |call| justify(call, Interval::justify_hours),
    },
    Definition {
        name: "justify_days",
        aliases: &[],
        takes: one_interval,
        gives: |_, _| INTERVAL,
        zoned: false,
        evaluate: |call| justify(call, Interval::justify_days),
    },
    Definition {
        name: "justify_interval",
        aliases: &[],
        takes: one_interval,
        gives: |_, _| INTERVAL,
        zoned: false,
        evaluate: |call| justify(call, Interval::justify),
    },
];

/// Names as they are, a value in its canonical type.
pub(super) fn text(data_type: &DataType) -> Option<DataType> {
    match Kind::of(data_type) {
        Kind::Text => Some(data_type.clone()),
        Kind::Null => Some(DataType::Utf8View),
        _ => None,
    }
}

pub(super) fn unit_at(names: &StringViewArray, row: usize) -> Result<Unit> {
    Unit::named(names.value(row)).ok_or_else(|| unknown_field(names.value(row)))
}

/// Timestamps and dates in microseconds.
pub(super) fn timestamps(call: &Call<'_>, at: usize) -> Result<PrimitiveArray<TimestampMicrosecondType>> {
    match call.kind(at) {
        Kind::Date => {
            call.dates(at)?.try_unary(|day| i64::from(day).checked_mul(DAY).ok_or_else(|| out_of_range("timestamp")))
        }
        Kind::Time => Ok(call.times(at)?.unary(|micros| micros)),
        _ => call.timestamps(at),
    }
}

// ---- zones ----

/// Zones by name, the last one remembered.
pub(super) struct Zones {
    names: StringViewArray,
    last: std::cell::Cell<Option<(usize, Zone)>>,
}

impl Zones {
    pub(super) fn new(names: StringViewArray) -> Self {
        Zones { names, last: std::cell::Cell::new(None) }
    }

    pub(super) fn is_null(&self, row: usize) -> bool {
        self.names.is_null(row)
    }

    pub(super) fn at(&self, row: usize) -> Result<Zone> {
        let name = self.names.value(row);
        if let Some((known, zone)) = self.last.get()
            && self.names.value(known) == name
        {
            return Ok(zone);
        }
        let zone = Zone::parse(name)?;
        self.last.set(Some((row, zone)));
        Ok(zone)
    }
}

fn zone_takes(types: &[DataType]) -> Option<Vec<DataType>> {
    let [zone, value] = types else { return None };
    let zone = match Kind::of(zone) {
        Kind::Interval => INTERVAL,
        _ => text(zone)?,
    };
    let value = match Kind::of(value) {
        Kind::Timestamp => TIMESTAMP,
        Kind::TimestampTz | Kind::Date | Kind::Text | Kind::Null => timestamptz(),
        _ => return None,
    };
    Some(vec![zone, value])
}

fn at_time_zone(call: &Call<'_>) -> Result<ArrayRef> {
    let values = call.timestamps(1)?;
    let to_local = call.kind(1) == Kind::TimestampTz;
    let shift = |zone: Zone, micros: i64| {
        let shifted = if to_local { zone.to_local(micros) } else { zone.to_utc(micros) };
        shifted.map(Some).ok_or_else(|| out_of_range("timestamp"))
    };
    if call.kind(0) == Kind::Interval {
        let offsets = call.intervals(0)?;
        return call.collect::<TimestampMicrosecondType>(|row| match offsets.is_valid(row) && values.is_valid(row) {
            true => {
                let offset = interval(&offsets, row);
                let zone = (offset.months == 0 && offset.days == 0).then(|| Zone::fixed(offset.micros / SECOND));
                let error = || {
                    Error::data(format!("interval time zone \"{offset}\" must not include months or days"))
                        .with_sqlstate("22023")
                };
                shift(zone.flatten().ok_or_else(error)?, values.value(row))
            }
            false => Ok(None),
        });
    }
    let zones = Zones::new(call.texts(0)?);
    call.collect::<TimestampMicrosecondType>(|row| match zones.is_null(row) || values.is_null(row) {
        true => Ok(None),
        false => shift(zones.at(row)?, values.value(row)),
    })
}

// ---- intervals ----

fn one_interval(types: &[DataType]) -> Option<Vec<DataType>> {
    match types {
        [one] if matches!(Kind::of(one), Kind::Interval | Kind::Text | Kind::Null) => Some(vec![INTERVAL]),
        _ => None,
    }
}

fn justify(call: &Call<'_>, justify: fn(Interval) -> Result<Interval>) -> Result<ArrayRef> {
    let values = call.intervals(0)?;
    call.collect::<IntervalMonthDayNanoType>(|row| match values.is_valid(row) {
        true => justify(interval(&values, row))?.to_arrow().map(Some),
        false => Ok(None),
    })
}
