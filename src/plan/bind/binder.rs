//! DataFusion's view of what a query may refer to: synchronous lookups by name, views expanded where they are read.
//!
//! A view is planned by itself, ties included, before it becomes part of a query; so its rows do not depend on which of
//! its columns the query uses.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::alias::AliasGenerator;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result as DataFusionResult, TableReference};
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::provider_as_source;
use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner, TypePlanner};
use datafusion::logical_expr::{AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF};

use super::relations::Relations;
use super::shared_plan;
use super::types::SqlTypes;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::time::zone::Zone;
use crate::catalog::relation::{Relation, RelationId, RelationKind};
use crate::operator::error::{from_datafusion, to_datafusion};
use crate::plan::context::{Arguments, PlanContext};
use crate::plan::optimizer::fold_constant;
use crate::plan::rewrite::root::Target;
use crate::plan::rewrite::subquery::outer_reference::CompoundNames;
use crate::plan::shared;
use crate::plan::source::{ExternalSource, RelationSource, RowSource, ViewSource};
use crate::plan::time::operators::TimeOperators;
use crate::plan::time::settle::settle_constant;
use crate::plan::values::settle::DecimalOperators;
use crate::sql::name::MAIN;
use crate::sql::rewrite::marker::Marker;

/// How deep views may lie upon views.
const VIEW_DEPTH_MAX: usize = 64;

/// How operators and the like are bound: ours before DataFusion's.
static EXPRESSIONS: LazyLock<Vec<Arc<dyn ExprPlanner>>> = LazyLock::new(|| {
    let ours: [Arc<dyn ExprPlanner>; 3] =
        [Arc::new(CompoundNames), Arc::new(TimeOperators), Arc::new(DecimalOperators)];
    ours.into_iter().chain(SessionStateDefaults::default_expr_planners()).collect()
});

/// How relations in FROM are bound.
static RELATIONS: LazyLock<Vec<Arc<dyn RelationPlanner>>> = LazyLock::new(|| vec![Arc::new(Relations)]);

/// DataFusion's view of a [`PlanContext`], for one statement.
pub(crate) struct Binder<'a> {
    pub(crate) context: &'a PlanContext<'a>,
    /// Aliases made by the optimiser are unique over the statement and all views in it.
    pub(crate) aliases: Arc<AliasGenerator>,
    /// Whether the target of UPDATE or DELETE may be read with its row ids.
    pub(crate) row_ids: bool,
    /// The views being expanded, outermost first.
    expanding: RefCell<Vec<Arc<Relation>>>,
    /// The views expanded so far: read again, a view is the same rows.
    expanded: RefCell<BTreeMap<RelationId, LogicalPlan>>,
    /// Whether a file or system table was read.
    pub(crate) external: Cell<bool>,
}

impl<'a> Binder<'a> {
    pub(crate) fn new(context: &'a PlanContext<'a>, row_ids: bool) -> Self {
        Binder {
            context,
            aliases: Arc::new(AliasGenerator::new()),
            row_ids,
            expanding: RefCell::default(),
            expanded: RefCell::default(),
            external: Cell::new(false),
        }
    }

    /// The time zone in which the query being planned is: a view's own, else the session's.
    pub(crate) fn zone(&self) -> Zone {
        let expanding = self.expanding.borrow();
        expanding.last().or(self.context.view).map_or(self.context.zone, |view| view.zone())
    }

    fn table(&self, reference: &TableReference) -> Result<Arc<dyn TableSource>> {
        let name = reference.table();
        match reference.schema() {
            None | Some(MAIN) => self.relation(self.context.catalog.expect(name)?),
            // Other schemas than the system's have been refused by the pass over schemas.
            Some(schema) => match (self.context.system)(schema, name) {
                Some(rows) => Ok(self.external(format!("{schema}.{name}"), rows)),
                None => Err(self.context.catalog.not_found(&format!("{schema}.{name}"))),
            },
        }
    }

    /// A relation by name, as the query being planned sees it.
    pub(crate) fn seen(&self, name: &str) -> Option<Arc<Relation>> {
        self.context.catalog.get(name).map(|relation| self.as_seen(relation))
    }

    fn as_seen(&self, relation: &Arc<Relation>) -> Arc<Relation> {
        let expanding = self.expanding.borrow();
        expanding.last().or(self.context.view).map_or_else(|| relation.clone(), |view| view.sees(relation))
    }

    fn relation(&self, relation: &Arc<Relation>) -> Result<Arc<dyn TableSource>> {
        let expand = match relation.kind {
            RelationKind::View => true,
            RelationKind::MaterializedView => (self.context.inline)(relation.id),
            RelationKind::Table | RelationKind::Stream => false,
            RelationKind::Sink => {
                let error = Error::invalid(format!("\"{}\" is a sink: it has no rows", relation.name));
                return Err(error.with_sqlstate("42809").with_hint("SHOW SINKS tells how far it has come"));
            }
            RelationKind::Subscription => {
                let (kind, name) = (relation.kind.name(), &relation.name);
                return Err(Error::invalid(format!("\"{name}\" is a {kind}: it has no rows"))
                    .with_sqlstate("42809")
                    .with_hint(format!("SUBSCRIBE SUBSCRIPTION {name} reads its changes")));
            }
        };
        match expand {
            true => self.view(relation),
            false => Ok(Arc::new(RelationSource::new(self.as_seen(relation), false))),
        }
    }

    fn view(&self, relation: &Arc<Relation>) -> Result<Arc<dyn TableSource>> {
        if let Some(plan) = self.expanded.borrow().get(&relation.id) {
            return Ok(Arc::new(ViewSource::new(relation.schema.clone(), plan.clone())));
        }
        let text = relation.query.as_deref();
        let text = text.ok_or_else(|| Error::internal(format!("view \"{}\" has no query", relation.name)))?;
        {
            let mut expanding = self.expanding.borrow_mut();
            if expanding.iter().any(|view| view.id == relation.id) {
                return Err(Error::invalid(format!("view \"{}\" reads itself", relation.name)));
            }
            if expanding.len() >= VIEW_DEPTH_MAX {
                let message = format!("view \"{}\" lies on more than {VIEW_DEPTH_MAX} others", relation.name);
                return Err(Error::new(ErrorKind::Resource, message).with_sqlstate("54001"));
            }
            expanding.push(relation.clone());
        }
        let plan =
            (self.context.parse)(text).and_then(|query| shared_plan(&query, self, Target::Schema(&relation.schema)));
        self.expanding.borrow_mut().pop();
        // A place in the view's text would point into the wrong text, so it is dropped here.
        let plan = plan.map_err(|error| without_position(&error).context(format!("view \"{}\"", relation.name)))?;
        let plan = shared::mark_planned(self.aliases.next(&relation.name.to_lowercase()), plan);
        self.expanded.borrow_mut().insert(relation.id, plan.clone());
        Ok(Arc::new(ViewSource::new(relation.schema.clone(), plan)))
    }

    fn external(&self, name: String, rows: Arc<dyn RowSource>) -> Arc<dyn TableSource> {
        self.external.set(true);
        Arc::new(ExternalSource { name, rows })
    }

    fn table_function(&self, name: &str, arguments: Vec<Expr>) -> Result<Arc<dyn TableSource>> {
        if name == Marker::Target.name() && self.row_ids {
            let target = constant_text(name, arguments.first())?;
            let relation = self.context.catalog.expect(&target)?;
            return Ok(Arc::new(RelationSource::new(relation.clone(), true)));
        }
        if name == Marker::File.name() {
            let path = constant_text(name, arguments.first())?;
            return Ok(self.external(path.clone(), self.context.files.file(&path)?));
        }
        let constant = |argument: Expr| fold_constant(settle_constant(argument, self.zone())?);
        // The alias is the argument's name; folding would drop it.
        let fold = |argument: Expr| match argument {
            Expr::Alias(alias) => Ok(constant(*alias.expr)?.alias(alias.name)),
            value => constant(value),
        };
        let simplified = arguments.into_iter().map(fold).collect::<Result<Vec<_>>>()?;
        if let Some(source) = self.context.functions.table_source(name, &simplified, self.zone()) {
            return source;
        }
        match self.context.files.function(&name.to_lowercase(), &constants(name, &simplified)?) {
            Some(rows) => Ok(self.external(format!("{name}()"), rows?)),
            None => Err(self.context.functions.not_found(name)),
        }
    }
}

fn without_position(error: &Error) -> Error {
    let copy = Error::new(error.kind(), error.message()).with_sqlstate(error.sqlstate());
    match error.hint() {
        Some(hint) => copy.with_hint(hint),
        None => copy,
    }
}

fn constant_text(function: &str, argument: Option<&Expr>) -> Result<String> {
    match argument {
        Some(Expr::Literal(value, _)) => value.try_as_str().flatten().map(str::to_string),
        _ => None,
    }
    .ok_or_else(|| Error::invalid(format!("{function} needs a string")))
}

fn constants(function: &str, arguments: &[Expr]) -> Result<Arguments> {
    let mut result = Arguments::default();
    for argument in arguments {
        let (name, value) = match argument {
            Expr::Alias(alias) => (Some(alias.name.clone()), alias.expr.as_ref()),
            value => (None, value),
        };
        let Expr::Literal(value, _) = value else {
            return Err(Error::invalid(format!("the arguments of {function}() must be constants")));
        };
        let value = value.to_array().map_err(from_datafusion)?;
        match name {
            Some(name) => result.named.push((name, value)),
            None => result.positional.push(value),
        }
    }
    Ok(result)
}

impl ContextProvider for Binder<'_> {
    fn get_table_source(&self, name: TableReference) -> DataFusionResult<Arc<dyn TableSource>> {
        self.table(&name).map_err(to_datafusion)
    }

    fn get_table_function_source(&self, name: &str, args: Vec<Expr>) -> DataFusionResult<Arc<dyn TableSource>> {
        self.table_function(name, args).map_err(to_datafusion)
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> DataFusionResult<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &EXPRESSIONS
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &RELATIONS
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(SqlTypes))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.context.functions.scalar(name).cloned()
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.context.functions.higher_order(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.context.functions.aggregate(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.context.functions.window(name).cloned()
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.context.functions.options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.context.functions.scalar_names()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.context.functions.higher_order_names()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.context.functions.aggregate_names()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.context.functions.window_names()
    }
}
