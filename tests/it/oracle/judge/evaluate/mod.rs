//! The reference: what a query means, row by row, straight from SQL's definition.
//!
//! Nested loops, vectors of rows, three-valued logic, bags. It knows no plan, no type inference and no engine, and it
//! is slow on purpose: every clause is evaluated where the definition puts it. AND and OR look at their right side only
//! if the left one leaves the answer open, as CASE and COALESCE do, because that is what guards a division.

mod aggregate;
mod expression;
mod select;
mod tests;
mod window;

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::tree::*;
use super::value::{Row, Value, bag, row_key, same_row};

/// Evaluations of expressions that one query may cost before it is given up.
const STEPS: usize = 400_000;

/// Ways to choose among tied rows at one place beyond which a query is given up.
const WAYS: usize = 300;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// The definition says error, with this SQLSTATE.
    Sql(&'static str),
    /// The definition leaves the answer open, or finding it costs too much.
    Open(String),
    /// The tree is no query: a name that nobody offers, a column that is not grouped.
    Invalid(String),
}

/// A result, or why there is none.
pub type Answer<T> = Result<T, Fault>;

/// Rows under names.
#[derive(Debug, Clone, Default)]
pub struct Relation {
    /// The names of the columns.
    pub names: Vec<String>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// The rows of a query before LIMIT and OFFSET, sorted, with their sort keys.
#[derive(Debug, Clone)]
pub struct Sorted {
    /// The names of the columns.
    pub names: Vec<String>,
    /// Keys and rows.
    pub rows: Vec<(Row, Row)>,
    /// How many rows OFFSET skips.
    pub skip: usize,
    /// How many rows LIMIT takes.
    pub take: usize,
}

impl Sorted {
    /// The rows that LIMIT and OFFSET leave.
    pub fn cut(&self) -> impl Iterator<Item = &(Row, Row)> {
        self.rows.iter().skip(self.skip).take(self.take)
    }
}

/// Evaluates queries over tables.
pub struct Evaluator<'a> {
    tables: &'a BTreeMap<String, Relation>,
    steps: Cell<usize>,
    /// Whether conditions are taken for true, so that everything is looked at.
    checks_only: bool,
    /// Whether aggregates and arguments of window functions are looked at although nothing depends on them.
    eager: Cell<bool>,
    choices: RefCell<Choices>,
}

/// Where SQL leaves open which rows are taken, one choice is made; these are those made, and how many there were.
#[derive(Debug, Default)]
struct Choices {
    made: Vec<(usize, usize)>,
    next: usize,
}

/// The WITH queries that can be named, the innermost first.
struct With {
    name: String,
    relation: Rc<Relation>,
    next: Option<Rc<With>>,
}

/// A column that FROM offers.
#[derive(Debug, Clone, PartialEq)]
struct Name {
    qualifier: Option<String>,
    name: String,
    /// Whether it was merged into another, so that only its qualifier reaches it.
    merged: bool,
    /// The qualifier of the column that a merged one is: the left one's, or that of the side that a join keeps. A full
    /// join merges both into a column of its own.
    of: Option<String>,
}

/// What one row of a SELECT is made from.
enum Context {
    Row(Row),
    Group { keys: Row, grouped: Vec<bool>, rows: Vec<Row> },
}

/// Where an expression is evaluated: one row or group of a SELECT, and the SELECTs around it.
struct Scope<'a> {
    parent: Option<&'a Scope<'a>>,
    with: Option<Rc<With>>,
    names: &'a [Name],
    keys: &'a [Expr],
    contexts: &'a [Context],
    at: usize,
}

impl<'a> Evaluator<'a> {
    /// An evaluator over these tables.
    pub fn new(tables: &'a BTreeMap<String, Relation>) -> Self {
        Evaluator {
            tables,
            steps: Cell::new(0),
            checks_only: false,
            eager: Cell::new(false),
            choices: RefCell::default(),
        }
    }

    /// What is wrong with a query whatever the rows: everything is looked at with one row of NULLs in each table.
    pub fn check(tables: &BTreeMap<String, Relation>, query: &Query) -> Option<Fault> {
        let one = |relation: &Relation| Relation {
            names: relation.names.clone(),
            rows: vec![vec![Value::Null; relation.names.len()]],
        };
        let tables = tables.iter().map(|(name, relation)| (name.clone(), one(relation))).collect();
        let evaluator = Evaluator { checks_only: true, ..Evaluator::new(&tables) };
        evaluator.query(query).err()
    }

    /// The error that a query may give although it has an answer: aggregates are computed before HAVING and CASE choose
    /// among them, arguments of window functions before their frames do, what looks at one side of a join before it is
    /// known which rows meet, and subqueries that depend on no row although there is none.
    pub fn may_fail(tables: &BTreeMap<String, Relation>, query: &Query) -> Option<&'static str> {
        let evaluator = Evaluator { eager: Cell::new(true), ..Evaluator::new(tables) };
        match evaluator.query(query) {
            Err(Fault::Sql(state)) => Some(state),
            _ => None,
        }
    }

    /// The same for a statement.
    pub fn statement_may_fail(&self, statement: &Statement) -> Option<&'static str> {
        let evaluator = Evaluator { eager: Cell::new(true), ..Evaluator::new(self.tables) };
        match evaluator.statement(statement) {
            Err(Fault::Sql(state)) => Some(state),
            _ => None,
        }
    }

    /// The rows of a query, sorted and not cut.
    pub fn query(&self, query: &Query) -> Answer<Sorted> {
        self.choices.borrow_mut().next = 0;
        self.sorted(query, &Scope::root())
    }

    /// Turns to the next way to choose where SQL leaves a choice; false if all have been seen.
    pub fn choose_otherwise(&self) -> bool {
        let mut choices = self.choices.borrow_mut();
        while let Some((chosen, count)) = choices.made.pop() {
            if chosen + 1 < count {
                choices.made.push((chosen + 1, count));
                return true;
            }
        }
        false
    }

    /// One of so many.
    fn choice(&self, count: usize) -> usize {
        let mut choices = self.choices.borrow_mut();
        let next = choices.next;
        choices.next += 1;
        if next == choices.made.len() {
            choices.made.push((0, count));
        }
        choices.made[next].0
    }

    fn spend(&self) -> Answer<()> {
        self.steps.set(self.steps.get() + 1);
        if self.steps.get() > STEPS { Err(Fault::Open("too many steps".into())) } else { Ok(()) }
    }

    /// The rows of a subquery.
    fn relation(&self, query: &Query, scope: &Scope) -> Answer<Relation> {
        let sorted = self.sorted(query, scope)?;
        let rows = self.cut(&sorted)?;
        Ok(Relation { names: sorted.names, rows })
    }

    /// The rows that LIMIT and OFFSET leave, chosen where they cut through rows with equal sort keys.
    fn cut(&self, sorted: &Sorted) -> Answer<Vec<Row>> {
        let (start, end) = (sorted.skip, sorted.skip.saturating_add(sorted.take));
        let mut rows = Vec::new();
        let mut at = 0;
        for peers in sorted.rows.chunk_by(|(a, _), (b, _)| same_row(a, b)) {
            let taken = (at + peers.len()).min(end).saturating_sub(at.max(start));
            at += peers.len();
            // Which of equal rows is taken makes no difference.
            let mut kinds: Vec<(&Row, usize)> = Vec::new();
            for (_, row) in peers {
                match kinds.iter_mut().find(|(known, _)| same_row(known, row)) {
                    Some((_, count)) => *count += 1,
                    None => kinds.push((row, 1)),
                }
            }
            let counts: Vec<usize> = kinds.iter().map(|(_, count)| *count).collect();
            let ways = ways(&counts, taken).ok_or_else(|| Fault::Open("too many choices".into()))?;
            let chosen = if ways.len() > 1 { self.choice(ways.len()) } else { 0 };
            for ((row, _), count) in kinds.iter().zip(&ways[chosen]) {
                rows.extend(std::iter::repeat_n((*row).clone(), *count));
            }
        }
        Ok(rows)
    }

    fn sorted(&self, query: &Query, scope: &Scope) -> Answer<Sorted> {
        let mut scope = scope.child();
        for (name, query) in &query.with {
            let relation = Rc::new(self.relation(query, &scope)?);
            scope.with = Some(Rc::new(With { name: name.clone(), relation, next: scope.with.take() }));
        }
        let (names, mut rows) = match &query.body {
            Body::Select(select) => self.select(select, &query.order, &scope)?,
            body => {
                let relation = self.body(body, &scope)?;
                let keyed = |row: Row| Ok((ordinals(&query.order, &row)?, row));
                (relation.names, relation.rows.into_iter().map(keyed).collect::<Answer<_>>()?)
            }
        };
        rows.sort_by(|(a, _), (b, _)| compare_keys(&query.order, a, b));
        Ok(Sorted { names, rows, skip: query.offset.unwrap_or(0), take: query.limit.unwrap_or(usize::MAX) })
    }

    fn body(&self, body: &Body, scope: &Scope) -> Answer<Relation> {
        match body {
            Body::Select(_) => Err(Fault::Invalid("a SELECT is no other body".into())),
            Body::Values(rows) => {
                let width = rows.first().map_or(0, Vec::len);
                if rows.iter().any(|row| row.len() != width) {
                    return Err(Fault::Invalid("rows of VALUES differ in length".into()));
                }
                let row = |row: &Vec<Expr>| row.iter().map(|expr| self.value(expr, scope)).collect();
                let names = (1..=width).map(|number| format!("column{number}")).collect();
                Ok(Relation { names, rows: rows.iter().map(row).collect::<Answer<_>>()? })
            }
            Body::Set { operator, all, left, right } => {
                let (left, right) = (self.relation(left, scope)?, self.relation(right, scope)?);
                if left.names.len() != right.names.len() {
                    return Err(Fault::Invalid("the sides of a set operation differ in width".into()));
                }
                Ok(Relation { rows: set_operation(*operator, *all, left.rows, right.rows), names: left.names })
            }
        }
    }

    /// Runs a statement on the rows of its table; the answer is their new state.
    pub fn statement(&self, statement: &Statement) -> Answer<(String, Vec<Row>)> {
        let answer = self.changed(statement)?;
        if self.choices.borrow().made.iter().any(|(_, count)| *count > 1) {
            return Err(Fault::Open("a statement chooses among tied rows".into()));
        }
        Ok(answer)
    }

    fn changed(&self, statement: &Statement) -> Answer<(String, Vec<Row>)> {
        let root = Scope::root();
        match statement {
            Statement::Insert { table, query } => {
                let mut rows = self.table(table)?.rows.clone();
                let new = self.relation(query, &root)?;
                if new.names.len() != self.table(table)?.names.len() {
                    return Err(Fault::Invalid("INSERT of another width".into()));
                }
                rows.extend(new.rows);
                Ok((table.clone(), rows))
            }
            Statement::Update { table, set, from, filter } => {
                let names = &self.table(table)?.names;
                let mut rows = Vec::new();
                for row in &self.table(table)?.rows {
                    let mut updates: Vec<Row> = Vec::new();
                    self.matches(table, row, from, filter, &mut |scope| {
                        let mut new = row.clone();
                        for (name, expr) in set {
                            let at = names.iter().position(|other| other == name);
                            let at = at.ok_or_else(|| Fault::Invalid(format!("no column {name}")))?;
                            new[at] = self.value(expr, scope)?;
                        }
                        updates.push(new);
                        Ok(())
                    })?;
                    if updates.len() > 1 {
                        return Err(Fault::Open("UPDATE .. FROM meets a row twice".into()));
                    }
                    rows.push(updates.pop().unwrap_or_else(|| row.clone()));
                }
                Ok((table.clone(), rows))
            }
            Statement::Delete { table, using, filter } => {
                let mut rows = Vec::new();
                for row in &self.table(table)?.rows {
                    let mut matched = false;
                    self.matches(table, row, using, filter, &mut |_| {
                        matched = true;
                        Ok(())
                    })?;
                    if !matched {
                        rows.push(row.clone());
                    }
                }
                Ok((table.clone(), rows))
            }
        }
    }

    fn table(&self, name: &str) -> Answer<&Relation> {
        self.tables.get(name).ok_or_else(|| Fault::Invalid(format!("no relation {name}")))
    }

    /// Calls `found` for every row of FROM that a row of a table meets under the condition.
    fn matches(
        &self,
        table: &str,
        row: &Row,
        from: &Option<From>,
        filter: &Option<Expr>,
        found: &mut dyn FnMut(&Scope) -> Answer<()>,
    ) -> Answer<()> {
        let root = Scope::root();
        let mut names = names_of(table, &self.table(table)?.names);
        let others = match from {
            Some(from) => self.from(from, &root)?,
            None => (Vec::new(), vec![Vec::new()]),
        };
        names.extend(others.0);
        for other in others.1 {
            let contexts = [Context::Row(row.iter().cloned().chain(other).collect())];
            let scope = Scope { parent: None, with: None, names: &names, keys: &[], contexts: &contexts, at: 0 };
            if self.holds(filter, &scope)? {
                found(&scope)?;
            }
        }
        Ok(())
    }

    /// Whether a condition is true; none is.
    fn holds(&self, condition: &Option<Expr>, scope: &Scope) -> Answer<bool> {
        match condition {
            None => Ok(true),
            Some(condition) => {
                let truth = self.truth(condition, scope)?;
                Ok(truth == Some(true) || self.checks_only || (self.eager.get() && truth.is_none()))
            }
        }
    }
}

impl<'a> Scope<'a> {
    /// The scope of a query that stands alone.
    fn root() -> Scope<'static> {
        Scope { parent: None, with: None, names: &[], keys: &[], contexts: &[], at: 0 }
    }

    /// The same place again, to which WITH queries can be added.
    fn child(&'a self) -> Scope<'a> {
        Scope { with: self.with.clone(), ..*self }
    }

    fn with_query(&self, name: &str) -> Option<Rc<Relation>> {
        let mut with = self.with.as_ref();
        while let Some(entry) = with {
            if entry.name == name {
                return Some(entry.relation.clone());
            }
            with = entry.next.as_ref();
        }
        None
    }
}

/// All ways to take some rows of kinds that are there so often, as how many of each kind; none if they are too many.
fn ways(counts: &[usize], taken: usize) -> Option<Vec<Vec<usize>>> {
    let mut ways: Vec<Vec<usize>> = vec![Vec::new()];
    for (at, count) in counts.iter().enumerate() {
        let rest: usize = counts[at + 1..].iter().sum();
        let longer = |way: &Vec<usize>| {
            let left = taken - way.iter().sum::<usize>();
            let (least, most) = (left.saturating_sub(rest), left.min(*count));
            (least..=most).map(|own| way.iter().copied().chain([own]).collect()).collect::<Vec<Vec<usize>>>()
        };
        ways = ways.iter().flat_map(longer).collect();
        if ways.len() > WAYS {
            return None;
        }
    }
    Some(ways)
}

/// The columns of a relation under an alias.
fn names_of(alias: &str, names: &[String]) -> Vec<Name> {
    let name = |name: &String| Name { qualifier: Some(alias.to_string()), name: name.clone(), merged: false, of: None };
    names.iter().map(name).collect()
}

/// The sort keys of a row whose ORDER BY names result columns by number.
fn ordinals(order: &[Order], row: &Row) -> Answer<Row> {
    let key = |order: &Order| match order.by {
        Expr::Ordinal(number) if number <= row.len() => Ok(row[number - 1].clone()),
        _ => Err(Fault::Invalid("ORDER BY names no column of the result".into())),
    };
    order.iter().map(key).collect()
}

/// Compares sort keys.
fn compare_keys(order: &[Order], a: &[Value], b: &[Value]) -> Ordering {
    for ((order, a), b) in order.iter().zip(a).zip(b) {
        let nulls_first = order.nulls_first.unwrap_or(order.descending);
        let nulls = if nulls_first { Ordering::Less } else { Ordering::Greater };
        let ordering = match (a.is_null(), b.is_null()) {
            (true, true) => Ordering::Equal,
            (true, false) => nulls,
            (false, true) => nulls.reverse(),
            _ => {
                let ordering = a.compare(b).unwrap_or(Ordering::Equal);
                if order.descending { ordering.reverse() } else { ordering }
            }
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
    Ordering::Equal
}

/// Leaves the first of equal rows.
fn distinct(rows: Vec<Row>) -> Vec<Row> {
    let mut seen = std::collections::BTreeSet::new();
    rows.into_iter().filter(|row| seen.insert(row_key(row))).collect()
}

fn set_operation(operator: SetOperator, all: bool, left: Vec<Row>, right: Vec<Row>) -> Vec<Row> {
    let mut other = bag(&right);
    let mut take = |row: &Row| match other.get_mut(&row_key(row)) {
        Some(count) if *count > 0 => {
            *count -= usize::from(all);
            true
        }
        _ => false,
    };
    let rows = match operator {
        SetOperator::Union => left.into_iter().chain(right).collect(),
        SetOperator::Intersect => left.into_iter().filter(|row| take(row)).collect(),
        SetOperator::Except => left.into_iter().filter(|row| !take(row)).collect(),
    };
    if all { rows } else { distinct(rows) }
}
