//! What the arguments and the frame of a window function must be, before DataFusion takes them.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result as DataFusionResult};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{WindowFrame, WindowFrameUnits};

use super::cast::is_binary;
use super::one_type::{of_one_type, type_of};
use crate::base::error::{Error, ErrorKind};
use crate::base::types::sql_type_name;
use crate::operator::error::to_datafusion;
use crate::plan::properties::has_distance;

/// Settles a window function whose arguments are settled.
pub(super) fn settled(mut call: WindowFunction, schema: &DFSchema) -> DataFusionResult<Transformed<WindowFunction>> {
    expect_whole_number(&call, schema)?;
    expect_constant_default(&call)?;
    let changed = frame_of_peers(&mut call, schema);
    let settled = with_default(call, schema);
    Ok(Transformed::new_transformed(settled.data, settled.transformed || changed))
}

/// A number of rows is a whole one, where DataFusion would cut what is none.
fn expect_whole_number(call: &WindowFunction, schema: &DFSchema) -> DataFusionResult<()> {
    let place = match call.fun.name() {
        "nth_value" | "lead" | "lag" => 1,
        _ => return Ok(()),
    };
    let given = call.params.args.get(place).and_then(|count| type_of(count, schema));
    match given {
        Some(given) if given.is_decimal() || given.is_floating() => {
            let message = format!("{}() takes a whole number of rows, not {}", call.fun.name(), sql_type_name(&given));
            Err(to_datafusion(Error::new(ErrorKind::Type, message).with_sqlstate("42883")))
        }
        _ => Ok(()),
    }
}

/// The default of `lag` and `lead` is one for all rows.
fn expect_constant_default(call: &WindowFunction) -> DataFusionResult<()> {
    let name = call.fun.name();
    match call.params.args.get(2) {
        Some(default) if matches!(name, "lag" | "lead") && default.any_column_refs() => {
            let error = Error::unsupported(format!("the default of {name}() must be a constant"));
            Err(to_datafusion(error.with_hint(format!("coalesce({name}(x), default) serves where x is never NULL"))))
        }
        _ => Ok(()),
    }
}

/// The default of `lag` and `lead` and the value it stands for, of one type.
fn with_default(mut call: WindowFunction, schema: &DFSchema) -> Transformed<WindowFunction> {
    if !matches!(call.fun.name(), "lag" | "lead") || call.params.args.len() != 3 {
        return Transformed::no(call);
    }
    let default = call.params.args.pop();
    let value = std::mem::take(&mut call.params.args[0]);
    let settled = of_one_type(std::iter::once(value).chain(default).collect(), schema);
    for (position, argument) in settled.data.into_iter().enumerate() {
        match position {
            0 => call.params.args[0] = argument,
            _ => call.params.args.push(argument),
        }
    }
    Transformed::new_transformed(call, settled.transformed)
}

/// Makes a RANGE frame one of GROUPS where its key is of a type that DataFusion has no ranges of: without a distance
/// both end with a row's peers. Whether it changed.
fn frame_of_peers(call: &mut WindowFunction, schema: &DFSchema) -> bool {
    let frame = &call.params.window_frame;
    let key = call.params.order_by.first().and_then(|key| type_of(&key.expr, schema));
    let has_no_ranges = key.is_some_and(|data_type| {
        matches!(data_type, DataType::Struct(_) | DataType::Interval(_) | DataType::Time64(_)) || is_binary(&data_type)
    });
    if frame.units != WindowFrameUnits::Range || !has_no_ranges || has_distance(frame) {
        return false;
    }
    let (start, end) = (frame.start_bound.clone(), frame.end_bound.clone());
    call.params.window_frame = WindowFrame::new_bounds(WindowFrameUnits::Groups, start, end);
    true
}
