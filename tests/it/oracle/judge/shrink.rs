//! Makes a failing history smaller as long as it fails in the same way.
//!
//! Other queries, commits, statements and rows go first; then every node of the trees is tried without one of its
//! clauses, or replaced by a part of itself. An edit that makes no sense fails in another way and is taken back.

use super::generate::History;
use super::tree::*;
use super::trial::{self, Failure};
use super::value::{Type, Value};

/// Runs of one history while it is made smaller.
const RUNS: usize = 700;

/// The smallest history found that fails in the same way, and how it fails.
pub fn shrink(history: History, failure: Failure) -> (History, Failure) {
    let mut shrinker = Shrinker { history, failure, runs: 0 };
    shrinker.drop_the_uninvolved();
    loop {
        let before = shrinker.history.script();
        shrinker.drop_commits();
        shrinker.drop_rows();
        shrinker.edit_trees();
        if shrinker.history.script() == before || shrinker.runs >= RUNS {
            return (shrinker.history, shrinker.failure);
        }
    }
}

struct Shrinker {
    history: History,
    failure: Failure,
    runs: usize,
}

impl Shrinker {
    /// Keeps a smaller history if it fails in the same way.
    fn attempt(&mut self, smaller: History) -> bool {
        self.runs += 1;
        if self.runs >= RUNS {
            return false;
        }
        match trial::run(&smaller) {
            Err(failure) if failure.kind == self.failure.kind => {
                (self.history, self.failure) = (smaller, failure);
                true
            }
            _ => false,
        }
    }

    fn drop_the_uninvolved(&mut self) {
        let mut smaller = self.history.clone();
        smaller.queries = match self.failure.query {
            Some(number) => vec![smaller.queries[number].clone()],
            None => Vec::new(),
        };
        if self.failure.query.is_some() {
            smaller.partition = None;
        }
        self.attempt(smaller);
        let mut smaller = self.history.clone();
        smaller.partition = None;
        self.attempt(smaller);
    }

    fn drop_commits(&mut self) {
        for epoch in (0..self.history.epochs.len()).rev() {
            let mut smaller = self.history.clone();
            smaller.epochs.remove(epoch);
            if self.attempt(smaller) {
                continue;
            }
            for statement in (0..self.history.epochs[epoch].len()).rev() {
                let mut smaller = self.history.clone();
                smaller.epochs[epoch].remove(statement);
                if !smaller.epochs[epoch].is_empty() {
                    self.attempt(smaller);
                }
            }
        }
        for table in (0..self.history.tables.len()).rev() {
            let mut smaller = self.history.clone();
            smaller.tables.remove(table);
            self.attempt(smaller);
        }
    }

    fn drop_rows(&mut self) {
        for epoch in 0..self.history.epochs.len() {
            for statement in 0..self.history.epochs[epoch].len() {
                for row in (0..rows_of(&mut self.history, epoch, statement).map_or(0, |rows| rows.len())).rev() {
                    let mut smaller = self.history.clone();
                    if let Some(rows) = rows_of(&mut smaller, epoch, statement)
                        && rows.len() > 1
                    {
                        rows.remove(row);
                        self.attempt(smaller);
                    }
                }
            }
        }
    }

    fn edit_trees(&mut self) {
        let mut node = 0;
        loop {
            let mut edit = 0;
            loop {
                let mut smaller = self.history.clone();
                let (mut at, mut reached, mut edited) = (0, false, false);
                walk_history(&mut smaller, &mut |found| {
                    if at == node {
                        reached = true;
                        edited = simplify(found, edit);
                    }
                    at += 1;
                });
                if !reached || self.runs >= RUNS {
                    return;
                }
                if !edited {
                    break;
                }
                if !self.attempt(smaller) {
                    edit += 1;
                }
            }
            node += 1;
        }
    }
}

/// The rows of an INSERT.
fn rows_of(history: &mut History, epoch: usize, statement: usize) -> Option<&mut Vec<Vec<Expr>>> {
    match history.epochs.get_mut(epoch)?.get_mut(statement)? {
        Statement::Insert { query: Query { body: Body::Values(rows), .. }, .. } => Some(rows),
        _ => None,
    }
}

/// A part of a tree.
enum Node<'a> {
    Query(&'a mut Query),
    From(&'a mut From),
    Expr(&'a mut Expr),
}

/// Makes the edit of that number; false if there is none.
fn simplify(node: Node, edit: usize) -> bool {
    match node {
        Node::Query(query) => simplify_query(query, edit),
        Node::From(from) => simplify_from(from, edit),
        Node::Expr(expr) => simplify_expr(expr, edit),
    }
}

/// The edit of that number among those that change something.
fn apply<T: Clone + PartialEq>(target: &mut T, edits: Vec<T>, edit: usize) -> bool {
    let original = target.clone();
    match edits.into_iter().filter(|edited| *edited != original).nth(edit) {
        Some(edited) => {
            *target = edited;
            true
        }
        None => false,
    }
}

fn simplify_query(query: &mut Query, edit: usize) -> bool {
    let mut edits = Vec::new();
    let mut change = |change: &dyn Fn(&mut Query)| {
        let mut edited = query.clone();
        change(&mut edited);
        edits.push(edited);
    };
    if let Body::Set { left, right, .. } = &query.body {
        let (left, right) = (left.clone(), right.clone());
        change(&|query| {
            *query = Query { with: query.with.iter().chain(&left.with).cloned().collect(), ..*left.clone() }
        });
        change(&|query| {
            *query = Query { with: query.with.iter().chain(&right.with).cloned().collect(), ..*right.clone() }
        });
    }
    for number in 0..query.with.len() {
        change(&|query| drop(query.with.remove(number)));
        change(&|query| *query = query.with[number].1.clone());
    }
    change(&|query| (query.limit, query.offset) = (None, None));
    change(&|query| query.offset = None);
    change(&|query| query.limit = None);
    if query.limit.is_none() && query.offset.is_none() {
        change(&|query| query.order.clear());
    }
    for number in 0..query.order.len() {
        change(&|query| drop(query.order.remove(number)));
        change(&|query| query.order[number].descending = false);
        change(&|query| query.order[number].nulls_first = None);
    }
    if let Body::Select(select) = &query.body {
        let change = |change: &mut dyn FnMut(&mut Select)| {
            let mut edited = query.clone();
            if let Body::Select(select) = &mut edited.body {
                change(select);
            }
            edits.push(edited);
        };
        simplify_select(select, change);
    }
    apply(query, edits, edit)
}

fn simplify_select(select: &Select, mut change: impl FnMut(&mut dyn FnMut(&mut Select))) {
    change(&mut |select| select.filter = None);
    change(&mut |select| select.having = None);
    change(&mut |select| select.group = None);
    change(&mut |select| select.distinct = Distinct::All);
    if select.items.len() > 1 {
        for number in 0..select.items.len() {
            change(&mut |select| {
                select.items.remove(number);
                if let Distinct::On(width) = &mut select.distinct {
                    *width = (*width).min(select.items.len());
                }
            });
        }
    }
    for (key, _) in select.group.iter().flat_map(|group| &group.keys).enumerate() {
        change(&mut |select| {
            if let Some(group) = &mut select.group
                && group.keys.len() > 1
                && !matches!(group.kind, GroupKind::Sets(_))
            {
                group.keys.remove(key);
            }
        });
    }
    for kind in [GroupKind::Plain, GroupKind::Rollup] {
        change(&mut |select| {
            if let Some(group) = &mut select.group
                && group.kind != GroupKind::Plain
            {
                group.kind = kind.clone();
            }
        });
    }
    // A query in FROM that is no more than a relation is that relation.
    if let Some(From::Query { query, alias, .. }) = &select.from
        && let Body::Select(inner) = &query.body
        && let Some(From::Relation { name, .. }) = &inner.from
    {
        change(&mut |select| select.from = Some(From::Relation { name: name.clone(), alias: alias.clone() }));
    }
}

fn simplify_from(from: &mut From, edit: usize) -> bool {
    let mut edits = Vec::new();
    match from {
        From::Join { kind, left, right, on } => {
            edits.push(*left.clone());
            edits.push(*right.clone());
            for simpler in [JoinKind::Inner, JoinKind::Left] {
                if *kind != JoinKind::Inner {
                    edits.push(From::Join { kind: simpler, left: left.clone(), right: right.clone(), on: on.clone() });
                }
            }
        }
        From::Query { query, alias, .. } => {
            if let Body::Select(inner) = &query.body
                && let Some(From::Relation { name, .. }) = &inner.from
            {
                edits.push(From::Relation { name: name.clone(), alias: alias.clone() });
            }
        }
        From::Relation { .. } => {}
    }
    apply(from, edits, edit)
}

fn simplify_expr(expr: &mut Expr, edit: usize) -> bool {
    let mut edits: Vec<Expr> = expr.children().into_iter().cloned().collect();
    match expr {
        Expr::Literal(..) | Expr::Column(..) | Expr::Ordinal(_) => return false,
        Expr::And(..) | Expr::Or(..) | Expr::Not(_) | Expr::Compare(..) | Expr::Exists(..) | Expr::InQuery(..) => {
            edits.insert(0, Expr::truth(true));
            edits.insert(1, Expr::truth(false));
        }
        Expr::IsNull(..) | Expr::IsTruth(..) | Expr::Between(..) | Expr::InList(..) | Expr::Quantified(..) => {
            edits.insert(0, Expr::truth(true));
        }
        Expr::Window(window) => {
            let mut change = |change: &dyn Fn(&mut Window)| {
                let mut edited = window.clone();
                change(&mut edited);
                edits.push(Expr::Window(edited));
            };
            change(&|window| window.partition.clear());
            change(&|window| window.frame = None);
            change(&|window| window.order.clear());
            for number in 0..window.order.len() {
                change(&|window| drop(window.order.remove(number)));
                change(&|window| window.order[number].descending = false);
                change(&|window| window.order[number].nulls_first = None);
            }
        }
        Expr::Aggregate(aggregate) => {
            edits.push(Expr::Aggregate(Aggregate { filter: None, ..aggregate.clone() }));
            edits.push(Expr::Aggregate(Aggregate { distinct: false, ..aggregate.clone() }));
        }
        _ => {}
    }
    if let Expr::InList(e, list, negated) = expr {
        for number in 0..list.len() {
            if list.len() > 1 {
                let mut list = list.clone();
                list.remove(number);
                edits.push(Expr::InList(e.clone(), list, *negated));
            }
        }
    }
    edits.push(Expr::int(1));
    edits.push(Expr::Literal(Value::Null, Type::Int));
    // What gets no smaller would go round for ever.
    let size = expr.to_string().len();
    edits.retain(|edited| edited.to_string().len() < size);
    apply(expr, edits, edit)
}

fn walk_history(history: &mut History, visit: &mut dyn FnMut(Node)) {
    for query in &mut history.queries {
        walk_query(query, visit);
    }
    if let Some(partition) = &mut history.partition {
        walk_from(&mut partition.from, visit);
        walk_expr(&mut partition.condition, visit);
    }
    for statement in history.epochs.iter_mut().flatten() {
        match statement {
            Statement::Insert { query: Query { body: Body::Values(_), .. }, .. } => {}
            Statement::Insert { query, .. } => walk_query(query, visit),
            Statement::Update { set, from, filter, .. } => {
                set.iter_mut().for_each(|(_, expr)| walk_expr(expr, visit));
                from.iter_mut().for_each(|from| walk_from(from, visit));
                filter.iter_mut().for_each(|filter| walk_expr(filter, visit));
            }
            Statement::Delete { using, filter, .. } => {
                using.iter_mut().for_each(|from| walk_from(from, visit));
                filter.iter_mut().for_each(|filter| walk_expr(filter, visit));
            }
        }
    }
}

fn walk_query(query: &mut Query, visit: &mut dyn FnMut(Node)) {
    visit(Node::Query(query));
    query.with.iter_mut().for_each(|(_, query)| walk_query(query, visit));
    match &mut query.body {
        Body::Select(select) => {
            select.from.iter_mut().for_each(|from| walk_from(from, visit));
            select.filter.iter_mut().for_each(|expr| walk_expr(expr, visit));
            select.having.iter_mut().for_each(|expr| walk_expr(expr, visit));
            select.items.iter_mut().for_each(|(expr, _)| walk_expr(expr, visit));
            select.group.iter_mut().flat_map(|group| &mut group.keys).for_each(|expr| walk_expr(expr, visit));
        }
        Body::Set { left, right, .. } => {
            walk_query(left, visit);
            walk_query(right, visit);
        }
        Body::Values(rows) => rows.iter_mut().flatten().for_each(|expr| walk_expr(expr, visit)),
    }
}

fn walk_from(from: &mut From, visit: &mut dyn FnMut(Node)) {
    visit(Node::From(from));
    match from {
        From::Relation { .. } => {}
        From::Query { query, .. } => walk_query(query, visit),
        From::Join { left, right, on, .. } => {
            walk_from(left, visit);
            walk_from(right, visit);
            if let On::Condition(condition) = on {
                walk_expr(condition, visit);
            }
        }
    }
}

fn walk_expr(expr: &mut Expr, visit: &mut dyn FnMut(Node)) {
    visit(Node::Expr(expr));
    for child in expr.parts_mut() {
        match child {
            Part::Expr(expr) => walk_expr(expr, visit),
            Part::Query(query) => walk_query(query, visit),
        }
    }
}

/// What stands right below an expression.
pub enum Part<'a> {
    /// An expression.
    Expr(&'a mut Expr),
    /// The query of one.
    Query(&'a mut Query),
}

impl Expr {
    /// The expressions and queries right below.
    pub fn parts_mut(&mut self) -> Vec<Part<'_>> {
        match self {
            Expr::Literal(..) | Expr::Column(..) | Expr::Ordinal(_) => Vec::new(),
            Expr::Scalar(query) | Expr::Exists(query, _) => vec![Part::Query(query)],
            Expr::InQuery(e, query, _) | Expr::Quantified(_, e, _, query) => vec![Part::Expr(e), Part::Query(query)],
            Expr::Field(e, _) | Expr::Not(e) | Expr::Negate(e) | Expr::IsNull(e, _) | Expr::IsTruth(e, ..) => {
                vec![Part::Expr(e)]
            }
            Expr::Like(e, ..) | Expr::Shift(e, ..) | Expr::Cast(e, ..) | Expr::Grouping(e) | Expr::Unnest(e) => {
                vec![Part::Expr(e)]
            }
            Expr::And(l, r) | Expr::Or(l, r) | Expr::Concat(l, r) | Expr::Distinct(l, r, _) => {
                vec![Part::Expr(l), Part::Expr(r)]
            }
            Expr::Arithmetic(_, l, r, _) | Expr::Compare(_, l, r) => vec![Part::Expr(l), Part::Expr(r)],
            Expr::Between(e, low, high, _) => vec![Part::Expr(e), Part::Expr(low), Part::Expr(high)],
            Expr::InList(e, list, _) => std::iter::once(e.as_mut()).chain(list).map(Part::Expr).collect(),
            Expr::Case(operand, whens, otherwise) => {
                let whens = whens.iter_mut().flat_map(|(when, then)| [when, then]);
                operand
                    .as_deref_mut()
                    .into_iter()
                    .chain(whens)
                    .chain(otherwise.as_deref_mut())
                    .map(Part::Expr)
                    .collect()
            }
            Expr::Call(_, arguments) | Expr::List(arguments) => arguments.iter_mut().map(Part::Expr).collect(),
            Expr::Aggregate(aggregate) => parts_of_aggregate(aggregate),
            Expr::Window(window) => {
                let order = window.order.iter_mut().map(|order| &mut order.by);
                let mut parts: Vec<Part> = window.partition.iter_mut().chain(order).map(Part::Expr).collect();
                match &mut window.function {
                    WindowFunction::Shift(e, _, default, _) => {
                        parts.extend(std::iter::once(e).chain(default).map(Part::Expr));
                    }
                    WindowFunction::First(e, _) | WindowFunction::Last(e, _) | WindowFunction::Nth(e, ..) => {
                        parts.push(Part::Expr(e));
                    }
                    WindowFunction::Aggregate(aggregate) => parts.extend(parts_of_aggregate(aggregate)),
                    _ => {}
                }
                parts
            }
        }
    }
}

fn parts_of_aggregate(aggregate: &mut Aggregate) -> Vec<Part<'_>> {
    let argument = aggregate.argument.as_deref_mut().into_iter();
    argument.chain(aggregate.filter.as_deref_mut()).map(Part::Expr).collect()
}
