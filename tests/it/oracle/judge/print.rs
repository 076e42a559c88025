//! Trees as SQL text. Every operator gets parentheses, so precedence is never a question here.

use std::fmt::{self, Display, Formatter};

use super::tree::*;
use super::value::{Type, Value};

impl Display for Query {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.with.is_empty() {
            let with: Vec<String> = self.with.iter().map(|(name, query)| format!("{name} AS ({query})")).collect();
            write!(f, "WITH {} ", with.join(", "))?;
        }
        match &self.body {
            Body::Select(select) => write!(f, "{select}")?,
            Body::Set { operator, all, left, right } => {
                let word = match operator {
                    SetOperator::Union => "UNION",
                    SetOperator::Intersect => "INTERSECT",
                    SetOperator::Except => "EXCEPT",
                };
                let all = if *all { " ALL" } else { "" };
                write!(f, "{} {word}{all} {}", operand(left), operand(right))?;
            }
            Body::Values(rows) => {
                let rows: Vec<String> = rows.iter().map(|row| format!("({})", list(row))).collect();
                write!(f, "VALUES {}", rows.join(", "))?;
            }
        }
        write!(f, "{}", order_by(" ", &self.order))?;
        if let Some(limit) = self.limit {
            write!(f, " LIMIT {limit}")?;
        }
        match self.offset {
            Some(offset) => write!(f, " OFFSET {offset}"),
            None => Ok(()),
        }
    }
}

/// A side of a set operation; only a plain SELECT stands without parentheses.
fn operand(query: &Query) -> String {
    let plain = matches!(query.body, Body::Select(_)) && query.with.is_empty() && query.order.is_empty();
    if plain && query.limit.is_none() && query.offset.is_none() { query.to_string() } else { format!("({query})") }
}

impl Display for Select {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "SELECT ")?;
        match self.distinct {
            Distinct::All => {}
            Distinct::Whole => write!(f, "DISTINCT ")?,
            Distinct::On(count) => {
                // A number there is that of an item.
                let key = |(at, (expr, _)): (usize, &(Expr, String))| match expr {
                    Expr::Literal(Value::Int(_), _) => (at + 1).to_string(),
                    expr => expr.to_string(),
                };
                let keys: Vec<String> = self.items.iter().enumerate().take(count).map(key).collect();
                write!(f, "DISTINCT ON ({}) ", keys.join(", "))?;
            }
        }
        let items: Vec<String> = self.items.iter().map(|(expr, name)| format!("{expr} AS {name}")).collect();
        write!(f, "{}", items.join(", "))?;
        if let Some(from) = &self.from {
            write!(f, " FROM {from}")?;
        }
        if let Some(filter) = &self.filter {
            write!(f, " WHERE {filter}")?;
        }
        if let Some(group) = &self.group {
            // A bare number is the place of an item.
            let key = |key: &Expr| match key {
                Expr::Literal(Value::Int(_), _) => match self.items.iter().position(|(item, _)| item == key) {
                    Some(at) => (at + 1).to_string(),
                    None => format!("(0 + {key})"),
                },
                key => key.to_string(),
            };
            let keys = group.keys.iter().map(key).collect::<Vec<_>>().join(", ");
            match &group.kind {
                GroupKind::Plain => write!(f, " GROUP BY {keys}")?,
                GroupKind::Rollup => write!(f, " GROUP BY ROLLUP ({keys})")?,
                GroupKind::Cube => write!(f, " GROUP BY CUBE ({keys})")?,
                GroupKind::Sets(sets) => {
                    let set = |set: &Vec<usize>| {
                        let keys: Vec<String> = set.iter().map(|at| key(&group.keys[*at])).collect();
                        format!("({})", keys.join(", "))
                    };
                    let sets: Vec<String> = sets.iter().map(set).collect();
                    write!(f, " GROUP BY GROUPING SETS ({})", sets.join(", "))?;
                }
            }
        }
        match &self.having {
            Some(having) => write!(f, " HAVING {having}"),
            None => Ok(()),
        }
    }
}

impl Display for From {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            From::Relation { name, alias } if name == alias => write!(f, "{name}"),
            From::Relation { name, alias } => write!(f, "{name} AS {alias}"),
            From::Query { query, alias, lateral } => {
                write!(f, "{}({query}) AS {alias}", if *lateral { "LATERAL " } else { "" })
            }
            From::Join { kind, left, right, on } => {
                let word = match (kind, on) {
                    (JoinKind::Inner, On::Cross) => "CROSS JOIN",
                    (JoinKind::Inner, _) => "JOIN",
                    (JoinKind::Left, _) => "LEFT JOIN",
                    (JoinKind::Right, _) => "RIGHT JOIN",
                    (JoinKind::Full, _) => "FULL JOIN",
                };
                let natural = if *on == On::Natural { "NATURAL " } else { "" };
                write!(f, "{left} {natural}{word} ")?;
                match right.as_ref() {
                    From::Join { .. } => write!(f, "({right})")?,
                    right => write!(f, "{right}")?,
                }
                match on {
                    On::Cross | On::Natural => Ok(()),
                    On::Condition(condition) => write!(f, " ON {condition}"),
                    On::Using(names) => write!(f, " USING ({})", names.join(", ")),
                }
            }
        }
    }
}

impl Display for Order {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let direction = if self.descending { " DESC" } else { "" };
        let nulls = match self.nulls_first {
            None => "",
            Some(true) => " NULLS FIRST",
            Some(false) => " NULLS LAST",
        };
        write!(f, "{}{direction}{nulls}", self.by)
    }
}

fn order_by(space: &str, order: &[Order]) -> String {
    if order.is_empty() {
        return String::new();
    }
    let keys: Vec<String> = order.iter().map(Order::to_string).collect();
    format!("{space}ORDER BY {}", keys.join(", "))
}

fn list(exprs: &[Expr]) -> String {
    exprs.iter().map(Expr::to_string).collect::<Vec<_>>().join(", ")
}

fn not(negated: bool) -> &'static str {
    if negated { "NOT " } else { "" }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Literal(value, ty) => write!(f, "{}", literal(value, *ty)),
            Expr::Column(Some(qualifier), name) => write!(f, "{qualifier}.{name}"),
            Expr::Column(None, name) => write!(f, "{name}"),
            Expr::Ordinal(number) => write!(f, "{number}"),
            Expr::Field(e, field) => write!(f, "{e}['{}']", ["a", "b"][*field]),
            Expr::Not(e) => write!(f, "(NOT {e})"),
            Expr::Negate(e) => write!(f, "(- {e})"),
            Expr::And(l, r) => write!(f, "({l} AND {r})"),
            Expr::Or(l, r) => write!(f, "({l} OR {r})"),
            Expr::Arithmetic(operator, l, r, _) => write!(f, "({l} {operator} {r})"),
            Expr::Concat(l, r) => write!(f, "({l} || {r})"),
            Expr::Compare(comparison, l, r) => write!(f, "({l} {comparison} {r})"),
            Expr::Distinct(l, r, negated) => write!(f, "({l} IS {}DISTINCT FROM {r})", not(*negated)),
            Expr::IsNull(e, negated) => write!(f, "({e} IS {}NULL)", not(*negated)),
            Expr::IsTruth(e, truth, negated) => {
                write!(f, "({e} IS {}{})", not(*negated), if *truth { "TRUE" } else { "FALSE" })
            }
            Expr::Between(e, low, high, negated) => write!(f, "({e} {}BETWEEN {low} AND {high})", not(*negated)),
            Expr::InList(e, values, negated) => write!(f, "({e} {}IN ({}))", not(*negated), list(values)),
            Expr::Like(e, pattern, negated) => write!(f, "({e} {}LIKE '{pattern}')", not(*negated)),
            Expr::Case(operand, whens, otherwise) => {
                write!(f, "CASE")?;
                if let Some(operand) = operand {
                    write!(f, " {operand}")?;
                }
                for (when, then) in whens {
                    write!(f, " WHEN {when} THEN {then}")?;
                }
                if let Some(otherwise) = otherwise {
                    write!(f, " ELSE {otherwise}")?;
                }
                write!(f, " END")
            }
            Expr::Call(function, arguments) => function.print(f, arguments),
            Expr::Shift(e, plus, interval) => write!(f, "({e} {} {interval})", if *plus { "+" } else { "-" }),
            Expr::Cast(e, ty, attempt) => {
                write!(f, "{}CAST({e} AS {})", if *attempt { "TRY_" } else { "" }, ty.sql())
            }
            Expr::Scalar(query) => write!(f, "({query})"),
            Expr::Exists(query, negated) => write!(f, "({}EXISTS ({query}))", not(*negated)),
            Expr::InQuery(e, query, negated) => write!(f, "({e} {}IN ({query}))", not(*negated)),
            Expr::Quantified(comparison, e, all, query) => {
                write!(f, "({e} {comparison} {} ({query}))", if *all { "ALL" } else { "ANY" })
            }
            Expr::Aggregate(aggregate) => write!(f, "{aggregate}"),
            Expr::Grouping(e) => write!(f, "grouping({e})"),
            Expr::Window(window) => write!(f, "{window}"),
            Expr::Unnest(e) => write!(f, "unnest({e})"),
            Expr::List(values) => write!(f, "[{}]", list(values)),
        }
    }
}

fn literal(value: &Value, ty: Type) -> String {
    match value {
        Value::Null => format!("CAST(NULL AS {})", ty.sql()),
        Value::Bool(true) => "TRUE".to_string(),
        Value::Bool(false) => "FALSE".to_string(),
        Value::Int(n) if *n < 0 => format!("({n})"),
        Value::Decimal(..) => format!("CAST('{value}' AS {})", ty.sql()),
        Value::Double(d) if d.is_finite() && *d >= 0.0 => format!("{d:e}"),
        Value::Double(d) if d.is_finite() => format!("({d:e})"),
        Value::Double(d) => format!("CAST('{d}' AS DOUBLE)"),
        Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Value::Date(_) => format!("DATE '{value}'"),
        Value::Timestamp(_) => format!("TIMESTAMP '{value}'"),
        Value::List(values) if values.is_empty() => format!("CAST([] AS {})", ty.sql()),
        Value::List(values) => {
            let values: Vec<String> = values.iter().map(|value| literal(value, Type::Int)).collect();
            format!("[{}]", values.join(", "))
        }
        Value::Struct(values) => {
            let field = |at: usize, ty| values.get(at).map_or(String::new(), |value| literal(value, ty));
            format!("{{'a': {}, 'b': {}}}", field(0, Type::Int), field(1, Type::Text))
        }
        value => value.to_string(),
    }
}

impl Function {
    fn print(self, f: &mut Formatter<'_>, arguments: &[Expr]) -> fmt::Result {
        let arguments = list(arguments);
        match self {
            Function::Coalesce => write!(f, "coalesce({arguments})"),
            Function::Nullif => write!(f, "nullif({arguments})"),
            Function::Greatest => write!(f, "greatest({arguments})"),
            Function::Least => write!(f, "least({arguments})"),
            Function::Abs => write!(f, "abs({arguments})"),
            Function::Round => write!(f, "round({arguments})"),
            Function::Upper => write!(f, "upper({arguments})"),
            Function::Lower => write!(f, "lower({arguments})"),
            Function::Length => write!(f, "length({arguments})"),
            Function::TruncateToDay => write!(f, "date_trunc('day', {arguments})"),
            Function::Day => write!(f, "extract(day FROM {arguments})"),
            Function::Month => write!(f, "extract(month FROM {arguments})"),
        }
    }
}

impl Display for Interval {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (count, word) = match self {
            Interval::Months(count) => (count, "month"),
            Interval::Days(count) => (count, "day"),
            Interval::Hours(count) => (count, "hour"),
        };
        write!(f, "INTERVAL '{count} {word}{}'", if *count == 1 { "" } else { "s" })
    }
}

impl Display for Comparison {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let word = match self {
            Comparison::Equal => "=",
            Comparison::Unequal => "<>",
            Comparison::Less => "<",
            Comparison::LessEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterEqual => ">=",
        };
        write!(f, "{word}")
    }
}

impl Display for Aggregate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = match self.function {
            AggregateFunction::Count => "count",
            AggregateFunction::Sum => "sum",
            AggregateFunction::Average => "avg",
            AggregateFunction::Min => "min",
            AggregateFunction::Max => "max",
            AggregateFunction::BoolAnd => "bool_and",
            AggregateFunction::BoolOr => "bool_or",
            AggregateFunction::StringAgg => "string_agg",
        };
        let distinct = if self.distinct { "DISTINCT " } else { "" };
        match &self.argument {
            None => write!(f, "{name}(*)")?,
            Some(e) if self.function == AggregateFunction::StringAgg => {
                write!(f, "{name}({distinct}{e}, ',' ORDER BY {e})")?
            }
            Some(e) => write!(f, "{name}({distinct}{e})")?,
        }
        match &self.filter {
            Some(filter) => write!(f, " FILTER (WHERE {filter})"),
            None => Ok(()),
        }
    }
}

impl Display for Window {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let ignoring = |ignore: bool| if ignore { " IGNORE NULLS" } else { "" };
        match &self.function {
            WindowFunction::RowNumber => write!(f, "row_number()")?,
            WindowFunction::Rank => write!(f, "rank()")?,
            WindowFunction::DenseRank => write!(f, "dense_rank()")?,
            WindowFunction::Ntile(count) => write!(f, "ntile({count})")?,
            WindowFunction::Shift(e, by, default, ignore) => {
                let name = if *by < 0 { "lag" } else { "lead" };
                let default = default.as_ref().map_or(String::new(), |default| format!(", {default}"));
                write!(f, "{name}({e}, {}{default}){}", by.abs(), ignoring(*ignore))?;
            }
            WindowFunction::First(e, ignore) => write!(f, "first_value({e}){}", ignoring(*ignore))?,
            WindowFunction::Last(e, ignore) => write!(f, "last_value({e}){}", ignoring(*ignore))?,
            WindowFunction::Nth(e, n, ignore) => write!(f, "nth_value({e}, {n}){}", ignoring(*ignore))?,
            WindowFunction::Aggregate(aggregate) => write!(f, "{aggregate}")?,
        }
        write!(f, " OVER (")?;
        let mut space = "";
        if !self.partition.is_empty() {
            write!(f, "PARTITION BY {}", list(&self.partition))?;
            space = " ";
        }
        write!(f, "{}", order_by(space, &self.order))?;
        if !self.order.is_empty() {
            space = " ";
        }
        if let Some(frame) = self.frame {
            write!(f, "{space}{frame}")?;
        }
        write!(f, ")")
    }
}

impl Display for Frame {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let units = match self.units {
            Units::Rows => "ROWS",
            Units::Range => "RANGE",
            Units::Groups => "GROUPS",
        };
        let bound = |bound: Bound, unbounded: &str| match bound {
            Bound::Unbounded => format!("UNBOUNDED {unbounded}"),
            Bound::Offset(0) => "CURRENT ROW".to_string(),
            Bound::Offset(n) if n < 0 => format!("{} PRECEDING", -n),
            Bound::Offset(n) => format!("{n} FOLLOWING"),
        };
        write!(f, "{units} BETWEEN {} AND {}", bound(self.start, "PRECEDING"), bound(self.end, "FOLLOWING"))
    }
}

impl Table {
    /// The statement that makes it.
    pub fn create(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|(name, ty)| format!("{name} {}", ty.sql())).collect();
        format!("CREATE TABLE {} ({})", self.name, columns.join(", "))
    }
}

impl Display for Statement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let filter = match self {
            Statement::Insert { table, query } => return write!(f, "INSERT INTO {table} {query}"),
            Statement::Update { table, set, from, filter } => {
                let set: Vec<String> = set.iter().map(|(name, expr)| format!("{name} = {expr}")).collect();
                write!(f, "UPDATE {table} SET {}", set.join(", "))?;
                if let Some(from) = from {
                    write!(f, " FROM {from}")?;
                }
                filter
            }
            Statement::Delete { table, using, filter } => {
                write!(f, "DELETE FROM {table}")?;
                if let Some(using) = using {
                    write!(f, " USING {using}")?;
                }
                filter
            }
        };
        match filter {
            Some(filter) => write!(f, " WHERE {filter}"),
            None => Ok(()),
        }
    }
}
