//! Table factors that DataFusion does not know: windows, set operations with multiplicities, files.
//!
//! TUMBLE, HOP and CUMULATE become projections ([`crate::plan::windows`]), `EXCEPT ALL` and `INTERSECT ALL` (which are
//! marked table functions by then) become counts ([`crate::plan::rewrite::set_operations`]). What DataFusion would
//! ignore in silence (TABLESAMPLE) is refused.

use arrow::datatypes::{DataType, IntervalUnit};
use datafusion::common::{DFSchema, Result as DataFusionResult};
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast};
use sqlparser::ast::{self, FunctionArg, FunctionArgExpr, Ident, TableAlias, TableAliasColumnDef, TableFactor};

use crate::base::error::{Error, Result};
use crate::operator::error::{from_datafusion, to_datafusion};
use crate::plan::optimizer::fold_constant;
use crate::plan::rewrite::set_operations::{SetOperation, with_multiplicities};
use crate::plan::rewrite::subquery::references::as_lateral;
use crate::plan::rules::dependencies::forget;
use crate::plan::shared;
use crate::plan::windows::{Window, length_us};
use crate::sql::rewrite::build;
use crate::sql::rewrite::marker::Marker;

/// Plans table factors beyond DataFusion's own.
#[derive(Debug)]
pub(crate) struct Relations;

impl RelationPlanner for Relations {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> DataFusionResult<RelationPlanning> {
        refuse(&relation).map_err(to_datafusion)?;
        let (name, arguments, alias) = match relation {
            TableFactor::Table { ref name, args: None, ref alias, .. } if file_name(name).is_some() => {
                let path = datafusion::logical_expr::lit(file_name(name).unwrap_or_default());
                let source = context.context_provider().get_table_function_source(Marker::File.name(), vec![path])?;
                let plan = LogicalPlanBuilder::scan("file", source, None)?.build()?;
                return planned(plan, alias.clone());
            }
            TableFactor::Table { args: None, .. } | TableFactor::Derived { .. } => return named(relation, context),
            TableFactor::Table { name, args: Some(args), alias, .. } => (name, args.args, alias),
            TableFactor::Function { lateral: false, name, args, alias, .. } => (name, args, alias),
            other => return Ok(RelationPlanning::Original(Box::new(other))),
        };
        let marker = Marker::of_name(&name);
        let name = match name.0.as_slice() {
            [part] => part.as_ident().map(|ident| context.normalize_ident(ident.clone())).unwrap_or_default(),
            _ => name.to_string(),
        };
        let plan = match marker {
            Some(marker) => plan_marked(marker, arguments, context),
            None => plan_function(&name, arguments, context),
        };
        let plan = plan.map_err(to_datafusion)?;
        planned(forget(plan)?, alias)
    }
}

/// A relation or a query in FROM, as DataFusion plans it, without what it may wrongly believe of its rows.
fn named(mut relation: TableFactor, context: &mut dyn RelationPlannerContext) -> DataFusionResult<RelationPlanning> {
    let is_lateral = matches!(relation, TableFactor::Derived { lateral: true, .. });
    // DataFusion asks here again for the same factor; what it does not read tells that one from others.
    let alias = match &mut relation {
        TableFactor::Table { partitions, alias, .. } => match partitions.as_slice() {
            [mark] if Marker::of(mark) == Some(Marker::Asked) => {
                return Ok(RelationPlanning::Original(Box::new(relation)));
            }
            _ => {
                *partitions = vec![Marker::Asked.ident()];
                alias.take()
            }
        },
        TableFactor::Derived { subquery, alias, .. } => match subquery.settings.as_deref() {
            Some([]) => return Ok(RelationPlanning::Original(Box::new(relation))),
            _ => {
                subquery.settings = Some(vec![]);
                alias.take()
            }
        },
        _ => return Ok(RelationPlanning::Original(Box::new(relation))),
    };
    let plan = forget(context.plan(relation)?)?;
    planned(if is_lateral { as_lateral(plan)? } else { plan }, alias)
}

fn planned(plan: LogicalPlan, alias: Option<TableAlias>) -> DataFusionResult<RelationPlanning> {
    let alias = alias.map(|alias| with_all_names(alias, &plan));
    Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
}

/// `AS t (a)` may name the first columns only: the others keep their names.
fn with_all_names(mut alias: TableAlias, plan: &LogicalPlan) -> TableAlias {
    let given = alias.columns.len();
    if given > 0 {
        let others = plan.schema().fields().iter().skip(given);
        let named = others.map(|field| Ident::with_quote('"', field.name()));
        alias.columns.extend(named.map(|name| TableAliasColumnDef { name, data_type: None }));
    }
    alias
}

/// Refuses what DataFusion would ignore or answer with an error about itself.
fn refuse(relation: &TableFactor) -> Result<()> {
    let unsupported = |what: &str| Err(Error::unsupported(format!("{what} is not supported")));
    match relation {
        TableFactor::Table { sample: Some(_), .. } | TableFactor::Derived { sample: Some(_), .. } => {
            unsupported("TABLESAMPLE")
        }
        TableFactor::Table { version: Some(_), .. } => unsupported("reading a relation as of another time"),
        TableFactor::Table { with_ordinality: true, .. } => unsupported("WITH ORDINALITY"),
        TableFactor::Pivot { .. } => unsupported("PIVOT"),
        TableFactor::Unpivot { .. } => unsupported("UNPIVOT"),
        TableFactor::MatchRecognize { .. } => unsupported("MATCH_RECOGNIZE"),
        TableFactor::JsonTable { .. } | TableFactor::OpenJsonTable { .. } => unsupported("JSON_TABLE"),
        TableFactor::XmlTable { .. } => unsupported("XMLTABLE"),
        TableFactor::SemanticView { .. } => unsupported("SEMANTIC_VIEW"),
        _ => Ok(()),
    }
}

/// The path, if a table's name is a string literal.
fn file_name(name: &ast::ObjectName) -> Option<String> {
    match name.0.as_slice() {
        [part] => part.as_ident().filter(|ident| ident.quote_style == Some('\'')).map(|ident| ident.value.clone()),
        _ => None,
    }
}

fn plan_function(
    name: &str,
    arguments: Vec<FunctionArg>,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan> {
    match name {
        "tumble" | "hop" | "cumulate" => window(name, arguments, context),
        "session" => Err(Error::unsupported("SESSION windows are not supported yet")
            .with_hint("TUMBLE, HOP and CUMULATE windows are")),
        _ => function(name, arguments, context),
    }
}

/// Plans what a pass has put into FROM.
fn plan_marked(
    marker: Marker,
    arguments: Vec<FunctionArg>,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan> {
    match marker {
        Marker::ExceptAll => set_operation(SetOperation::Except, arguments, context),
        Marker::IntersectAll => set_operation(SetOperation::Intersect, arguments, context),
        Marker::SharedRows => shared_rows(arguments, context),
        other => function(other.name(), arguments, context),
    }
}

/// Plans a call of a table function with constant arguments.
fn function(name: &str, arguments: Vec<FunctionArg>, context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
    let arguments = arguments
        .into_iter()
        .map(|argument| {
            let (name, value) = split(argument)?;
            let value = context.sql_to_expr(value, &DFSchema::empty()).map_err(from_datafusion)?;
            Ok(match name {
                Some(name) => value.alias(name),
                None => value,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let source = context.context_provider().get_table_function_source(name, arguments).map_err(from_datafusion)?;
    LogicalPlanBuilder::scan(name, source, None).and_then(|plan| plan.build()).map_err(from_datafusion)
}

/// The name of a named argument, in lower case, and the argument itself.
fn split(argument: FunctionArg) -> Result<(Option<String>, ast::Expr)> {
    let (name, value) = match argument {
        FunctionArg::Unnamed(value) => (None, value),
        FunctionArg::Named { name, arg, .. } => (Some(name.value.to_lowercase()), arg),
        FunctionArg::ExprNamed { name, arg, .. } => (Some(name.to_string().to_lowercase()), arg),
    };
    match value {
        FunctionArgExpr::Expr(value) => Ok((name, value)),
        other => Err(Error::invalid(format!("{other} is no argument of a table function"))),
    }
}

fn set_operation(
    operation: SetOperation,
    arguments: Vec<FunctionArg>,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan> {
    let mut sides = arguments.into_iter().map(split);
    match (sides.next(), sides.next(), sides.next()) {
        (Some(left), Some(right), None) => {
            let left = relation(left?.1, context)?;
            let right = relation(right?.1, context)?;
            let provider = context.context_provider();
            let count = provider.get_aggregate_meta("count");
            let count = count.ok_or_else(|| Error::internal("no built-in aggregate \"count\""))?;
            with_multiplicities(operation, left, right, count)
        }
        _ => Err(Error::internal("a set operation has two sides")),
    }
}

/// A WITH query and the name of its rows.
fn shared_rows(arguments: Vec<FunctionArg>, context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
    let mut arguments = arguments.into_iter().map(split);
    let (Some(query), Some(id)) = (arguments.next().transpose()?, arguments.next().transpose()?) else {
        return Err(Error::internal("shared rows have a query and a name"));
    };
    match id.1 {
        ast::Expr::Value(value) => {
            let id = value.value.into_string().ok_or_else(|| Error::internal("shared rows have a name"))?;
            Ok(shared::mark(id, relation(query.1, context)?))
        }
        _ => Err(Error::internal("shared rows have a name")),
    }
}

/// The relation given as an argument: a query or a name.
fn relation(argument: ast::Expr, context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
    let name = match argument {
        ast::Expr::Subquery(subquery) => {
            let derived = TableFactor::Derived { lateral: false, subquery, alias: None, sample: None };
            return context.plan(derived).map_err(from_datafusion);
        }
        ast::Expr::Identifier(name) => vec![name],
        ast::Expr::CompoundIdentifier(names) => names,
        other => {
            return Err(Error::invalid(format!("a relation was expected where {other} stands"))
                .with_hint("give a relation's name or a query in parentheses"));
        }
    };
    context.plan(build::relation(name.into())).map_err(from_datafusion)
}

/// Plans `TUMBLE(relation, time, size [, offset])`, `HOP(relation, time, slide, size [, offset])` and
/// `CUMULATE(relation, time, step, size [, offset])`; arguments may be given by name.
fn window(name: &str, arguments: Vec<FunctionArg>, context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
    let parameters: &[&str] = match name {
        "tumble" => &["data", "timecol", "size", "offset"],
        "hop" => &["data", "timecol", "slide", "size", "offset"],
        _ => &["data", "timecol", "step", "size", "offset"],
    };
    let upper = name.to_uppercase();
    let mut values: Vec<Option<ast::Expr>> = vec![None; parameters.len()];
    for (index, argument) in arguments.into_iter().enumerate() {
        let (given, value) = split(argument)?;
        let index = match given.as_deref() {
            None => index,
            Some(given) => {
                let given = match given {
                    "table" | "relation" | "rel" => "data",
                    "ts" | "time" | "time_col" | "descriptor" => "timecol",
                    other => other,
                };
                let found = parameters.iter().position(|parameter| *parameter == given);
                found.ok_or_else(|| Error::invalid(format!("{upper} has no argument \"{given}\"")))?
            }
        };
        let slot = values.get_mut(index);
        *slot.ok_or_else(|| Error::invalid(format!("{upper} has too many arguments")))? = Some(value);
    }
    let mut values = values.into_iter().zip(parameters);
    let mut next = || values.next().map_or((None, &""), |(value, parameter)| (value, parameter));
    let missing = |parameter: &str| Error::invalid(format!("{upper} needs the argument \"{parameter}\""));
    let (data, parameter) = next();
    let input = relation(data.ok_or_else(|| missing(parameter))?, context)?;
    let (time, parameter) = next();
    let time = column_name(time.ok_or_else(|| missing(parameter))?, context)?;
    let (first, parameter) = next();
    let first = length(first.ok_or_else(|| missing(parameter))?, context)?;
    let (second, parameter) = next();
    let second = second.map(|second| length(second, context)).transpose()?;
    let (third, _) = next();
    let third = third.map(|third| length(third, context)).transpose()?.unwrap_or(0);
    let window = match (name, second) {
        ("tumble", offset) => Window::Tumble { size: first, offset: offset.unwrap_or(0) },
        ("hop", Some(size)) => Window::Hop { slide: first, size, offset: third },
        ("cumulate", Some(size)) => Window::Cumulate { step: first, size, offset: third },
        _ => return Err(missing(parameter)),
    };
    window.apply(input, &time)
}

/// A column given as a name, a string, or `DESCRIPTOR(name)`.
fn column_name(argument: ast::Expr, context: &dyn RelationPlannerContext) -> Result<String> {
    match argument {
        ast::Expr::Identifier(name) => Ok(context.normalize_ident(name)),
        ast::Expr::CompoundIdentifier(names) if !names.is_empty() => {
            Ok(names.into_iter().last().map(|name| context.normalize_ident(name)).unwrap_or_default())
        }
        ast::Expr::Value(value) => {
            let text = value.value.into_string();
            text.ok_or_else(|| Error::invalid("the event time of a window must be a column's name"))
        }
        ast::Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("descriptor") => {
            match function.args {
                ast::FunctionArguments::List(mut list) if list.args.len() == 1 => {
                    let argument = list.args.pop().map(split).transpose()?;
                    argument.map_or_else(
                        || Err(Error::invalid("DESCRIPTOR needs a column")),
                        |(_, value)| column_name(value, context),
                    )
                }
                _ => Err(Error::invalid("DESCRIPTOR needs exactly one column")),
            }
        }
        other => Err(Error::invalid(format!("a column's name was expected where {other} stands"))),
    }
}

fn length(argument: ast::Expr, context: &mut dyn RelationPlannerContext) -> Result<i64> {
    let expr = context.sql_to_expr(argument, &DFSchema::empty()).map_err(from_datafusion)?;
    let expr = match expr {
        // A plain string is read as an interval.
        Expr::Literal(value, _) if value.try_as_str().is_some() => {
            cast(Expr::Literal(value, None), DataType::Interval(IntervalUnit::MonthDayNano))
        }
        other => other,
    };
    match fold_constant(expr)? {
        Expr::Literal(value, _) => length_us(&value),
        other => Err(Error::invalid(format!("the length of a window must be a constant, not {other}"))),
    }
}
