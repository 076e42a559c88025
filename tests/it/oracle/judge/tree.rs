//! Queries and statements as trees: what the generator makes, what is printed as SQL, what the reference evaluates.

use super::value::{Type, Value};

/// A query with everything around its body.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// WITH.
    pub with: Vec<(String, Query)>,
    /// What is in the middle.
    pub body: Body,
    /// ORDER BY.
    pub order: Vec<Order>,
    /// LIMIT.
    pub limit: Option<usize>,
    /// OFFSET.
    pub offset: Option<usize>,
}

/// The body of a query.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// SELECT.
    Select(Box<Select>),
    /// UNION, INTERSECT or EXCEPT.
    Set {
        /// Which.
        operator: SetOperator,
        /// Whether copies count.
        all: bool,
        /// The left side.
        left: Box<Query>,
        /// The right side.
        right: Box<Query>,
    },
    /// VALUES; no row is empty and all have the same length.
    Values(Vec<Vec<Expr>>),
}

/// A set operation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SetOperator {
    /// UNION.
    Union,
    /// INTERSECT.
    Intersect,
    /// EXCEPT.
    Except,
}

/// One SELECT.
#[derive(Debug, Clone, PartialEq)]
pub struct Select {
    /// ALL, DISTINCT or DISTINCT ON.
    pub distinct: Distinct,
    /// The select list: expressions and their names.
    pub items: Vec<(Expr, String)>,
    /// FROM.
    pub from: Option<From>,
    /// WHERE.
    pub filter: Option<Expr>,
    /// GROUP BY.
    pub group: Option<Group>,
    /// HAVING.
    pub having: Option<Expr>,
}

/// Whether copies of a result row stay.
#[derive(Debug, Clone, PartialEq)]
pub enum Distinct {
    /// They stay.
    All,
    /// One stays.
    Whole,
    /// DISTINCT ON the first so many columns.
    On(usize),
}

/// GROUP BY.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// How the keys are combined.
    pub kind: GroupKind,
    /// The keys.
    pub keys: Vec<Expr>,
}

/// How the keys of GROUP BY make grouping sets.
#[derive(Debug, Clone, PartialEq)]
pub enum GroupKind {
    /// One set with all keys.
    Plain,
    /// ROLLUP.
    Rollup,
    /// CUBE.
    Cube,
    /// GROUPING SETS; positions of keys.
    Sets(Vec<Vec<usize>>),
}

impl Group {
    /// The grouping sets, as positions of keys.
    pub fn sets(&self) -> Vec<Vec<usize>> {
        let count = self.keys.len();
        match &self.kind {
            GroupKind::Plain => vec![(0..count).collect()],
            GroupKind::Rollup => (0..=count).map(|length| (0..length).collect()).collect(),
            GroupKind::Cube => {
                let set = |bits: usize| (0..count).filter(|at| bits & (1 << at) != 0).collect();
                (0..1 << count).map(set).collect()
            }
            GroupKind::Sets(sets) => sets.clone(),
        }
    }
}

/// An item of FROM.
#[derive(Debug, Clone, PartialEq)]
pub enum From {
    /// A table, view or WITH query.
    Relation {
        /// Its name.
        name: String,
        /// What it is called here.
        alias: String,
    },
    /// A query in parentheses.
    Query {
        /// The query.
        query: Box<Query>,
        /// What it is called here.
        alias: String,
        /// Whether it sees the items to its left.
        lateral: bool,
    },
    /// Two items joined.
    Join {
        /// How.
        kind: JoinKind,
        /// The left side.
        left: Box<From>,
        /// The right side.
        right: Box<From>,
        /// Which pairs match.
        on: On,
    },
}

/// The kinds of joins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum JoinKind {
    /// INNER JOIN, or CROSS JOIN if it has no condition.
    Inner,
    /// LEFT JOIN.
    Left,
    /// RIGHT JOIN.
    Right,
    /// FULL JOIN.
    Full,
}

/// Which pairs of a join match.
#[derive(Debug, Clone, PartialEq)]
pub enum On {
    /// All: CROSS JOIN.
    Cross,
    /// A condition.
    Condition(Expr),
    /// Equal columns of these names, which are merged.
    Using(Vec<String>),
    /// Equal columns of all names that both sides have, which are merged.
    Natural,
}

/// A sort key.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// The key.
    pub by: Expr,
    /// DESC.
    pub descending: bool,
    /// NULLS FIRST or LAST where it is written; otherwise NULL is larger than everything.
    pub nulls_first: Option<bool>,
}

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// A constant; NULL needs the type.
    Literal(Value, Type),
    /// A column by qualifier and name.
    Column(Option<String>, String),
    /// The result column of this number, from 1: only as a sort key.
    Ordinal(usize),
    /// A field of a struct: 0 is `a`, 1 is `b`.
    Field(Box<Expr>, usize),
    /// NOT.
    Not(Box<Expr>),
    /// Minus.
    Negate(Box<Expr>),
    /// AND.
    And(Box<Expr>, Box<Expr>),
    /// OR.
    Or(Box<Expr>, Box<Expr>),
    /// Arithmetic: `+`, `-`, `*`, `/`, `%` of numbers of one kind, giving the type.
    Arithmetic(char, Box<Expr>, Box<Expr>, Type),
    /// `||`.
    Concat(Box<Expr>, Box<Expr>),
    /// A comparison.
    Compare(Comparison, Box<Expr>, Box<Expr>),
    /// IS [NOT] DISTINCT FROM; true for NOT.
    Distinct(Box<Expr>, Box<Expr>, bool),
    /// IS [NOT] NULL; true for NOT.
    IsNull(Box<Expr>, bool),
    /// IS [NOT] TRUE or FALSE: the truth value asked for, and true for NOT.
    IsTruth(Box<Expr>, bool, bool),
    /// [NOT] BETWEEN; true for NOT.
    Between(Box<Expr>, Box<Expr>, Box<Expr>, bool),
    /// [NOT] IN a list; true for NOT.
    InList(Box<Expr>, Vec<Expr>, bool),
    /// [NOT] LIKE; true for NOT.
    Like(Box<Expr>, String, bool),
    /// CASE, with or without an operand.
    Case(Option<Box<Expr>>, Vec<(Expr, Expr)>, Option<Box<Expr>>),
    /// A scalar function.
    Call(Function, Vec<Expr>),
    /// A date or timestamp plus (true) or minus months, days and hours.
    Shift(Box<Expr>, bool, Interval),
    /// CAST, or TRY_CAST if true.
    Cast(Box<Expr>, Type, bool),
    /// A scalar subquery.
    Scalar(Box<Query>),
    /// [NOT] EXISTS; true for NOT.
    Exists(Box<Query>, bool),
    /// [NOT] IN a query; true for NOT.
    InQuery(Box<Expr>, Box<Query>, bool),
    /// A comparison with ALL (true) or ANY of a query.
    Quantified(Comparison, Box<Expr>, bool, Box<Query>),
    /// An aggregate.
    Aggregate(Aggregate),
    /// GROUPING of a key.
    Grouping(Box<Expr>),
    /// A window function.
    Window(Box<Window>),
    /// UNNEST of a list: only as an item of a select list.
    Unnest(Box<Expr>),
    /// A list of expressions.
    List(Vec<Expr>),
}

/// A span of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Interval {
    /// Months.
    Months(i32),
    /// Days.
    Days(i32),
    /// Hours.
    Hours(i32),
}

/// The comparisons.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Comparison {
    /// =
    Equal,
    /// <>
    Unequal,
    /// <
    Less,
    /// <=
    LessEqual,
    /// >
    Greater,
    /// >=
    GreaterEqual,
}

/// The scalar functions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Function {
    /// The first argument that is not NULL.
    Coalesce,
    /// NULL if both arguments are equal.
    Nullif,
    /// The largest argument that is not NULL.
    Greatest,
    /// The smallest argument that is not NULL.
    Least,
    /// The absolute value.
    Abs,
    /// Rounded to so many places, half away from zero.
    Round,
    /// Upper case.
    Upper,
    /// Lower case.
    Lower,
    /// Characters.
    Length,
    /// The start of the day.
    TruncateToDay,
    /// The day of the month.
    Day,
    /// The month.
    Month,
}

/// An aggregate, with what may stand around it.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// Which.
    pub function: AggregateFunction,
    /// Its argument; none for `count(*)`.
    pub argument: Option<Box<Expr>>,
    /// DISTINCT.
    pub distinct: bool,
    /// FILTER.
    pub filter: Option<Box<Expr>>,
}

/// The aggregates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AggregateFunction {
    /// How many rows, or values.
    Count,
    /// The sum.
    Sum,
    /// The mean of doubles or integers, as a double.
    Average,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// Whether all are true.
    BoolAnd,
    /// Whether one is true.
    BoolOr,
    /// The texts in order, with commas between.
    StringAgg,
}

/// A window function and its OVER.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// Which.
    pub function: WindowFunction,
    /// PARTITION BY.
    pub partition: Vec<Expr>,
    /// ORDER BY.
    pub order: Vec<Order>,
    /// The frame; none for the default.
    pub frame: Option<Frame>,
}

/// The functions that need OVER.
#[derive(Debug, Clone, PartialEq)]
pub enum WindowFunction {
    /// row_number.
    RowNumber,
    /// rank.
    Rank,
    /// dense_rank.
    DenseRank,
    /// ntile.
    Ntile(i64),
    /// lag (negative) or lead by so many rows, with a default, and IGNORE NULLS if true.
    Shift(Expr, i64, Option<Expr>, bool),
    /// first_value, with IGNORE NULLS if true.
    First(Expr, bool),
    /// last_value.
    Last(Expr, bool),
    /// nth_value.
    Nth(Expr, i64, bool),
    /// An aggregate.
    Aggregate(Aggregate),
}

/// A frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    /// What its bounds count.
    pub units: Units,
    /// Where it starts.
    pub start: Bound,
    /// Where it ends.
    pub end: Bound,
}

/// What the bounds of a frame count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Units {
    /// Rows.
    Rows,
    /// Differences of the sort key.
    Range,
    /// Groups of rows with equal sort keys.
    Groups,
}

/// A bound of a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// The start (for a start) or the end of the partition.
    Unbounded,
    /// So far before (negative) or after the current row; 0 is CURRENT ROW.
    Offset(i64),
}

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<(String, Type)>,
}

/// A statement that changes a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// INSERT .. VALUES or INSERT .. SELECT.
    Insert {
        /// The table.
        table: String,
        /// The rows.
        query: Query,
    },
    /// UPDATE.
    Update {
        /// The table.
        table: String,
        /// The assignments.
        set: Vec<(String, Expr)>,
        /// FROM.
        from: Option<From>,
        /// WHERE.
        filter: Option<Expr>,
    },
    /// DELETE.
    Delete {
        /// The table.
        table: String,
        /// USING.
        using: Option<From>,
        /// WHERE.
        filter: Option<Expr>,
    },
}

impl Query {
    /// A query that is nothing but a SELECT.
    pub fn of(select: Select) -> Query {
        Query::with_body(Body::Select(Box::new(select)))
    }

    /// A query that is nothing but its body.
    pub fn with_body(body: Body) -> Query {
        Query { with: Vec::new(), body, order: Vec::new(), limit: None, offset: None }
    }
}

impl Select {
    /// A SELECT of items FROM an item.
    pub fn new(items: Vec<(Expr, String)>, from: Option<From>) -> Select {
        Select { distinct: Distinct::All, items, from, filter: None, group: None, having: None }
    }
}

impl Expr {
    /// A column with a qualifier.
    pub fn column(qualifier: &str, name: &str) -> Expr {
        Expr::Column(Some(qualifier.to_string()), name.to_string())
    }

    /// An integer.
    pub fn int(n: i64) -> Expr {
        Expr::Literal(Value::Int(n), Type::Int)
    }

    /// A truth value.
    pub fn truth(b: bool) -> Expr {
        Expr::Literal(Value::Bool(b), Type::Bool)
    }

    /// `self AND other`.
    pub fn and(self, other: Expr) -> Expr {
        Expr::And(Box::new(self), Box::new(other))
    }

    /// Whether an aggregate or window function of this SELECT is in it; subqueries have their own.
    pub fn any(&self, found: &dyn Fn(&Expr) -> bool) -> bool {
        found(self) || self.children().into_iter().any(|child| child.any(found))
    }

    /// The expressions right below, subqueries and the insides of aggregates left out.
    pub fn children(&self) -> Vec<&Expr> {
        match self {
            Expr::Literal(..) | Expr::Column(..) | Expr::Ordinal(_) | Expr::Scalar(_) | Expr::Exists(..) => Vec::new(),
            Expr::Aggregate(_) => Vec::new(),
            Expr::Field(e, _) | Expr::Not(e) | Expr::Negate(e) | Expr::IsNull(e, _) | Expr::IsTruth(e, ..) => vec![e],
            Expr::Like(e, ..) | Expr::Shift(e, ..) | Expr::Cast(e, ..) | Expr::InQuery(e, ..) => vec![e],
            Expr::Quantified(_, e, ..) | Expr::Grouping(e) | Expr::Unnest(e) => vec![e],
            Expr::And(l, r) | Expr::Or(l, r) | Expr::Concat(l, r) | Expr::Distinct(l, r, _) => vec![l, r],
            Expr::Arithmetic(_, l, r, _) | Expr::Compare(_, l, r) => vec![l, r],
            Expr::Between(e, low, high, _) => vec![e, low, high],
            Expr::InList(e, list, _) => std::iter::once(e.as_ref()).chain(list).collect(),
            Expr::Case(operand, whens, otherwise) => {
                let whens = whens.iter().flat_map(|(when, then)| [when, then]);
                operand.as_deref().into_iter().chain(whens).chain(otherwise.as_deref()).collect()
            }
            Expr::Call(_, arguments) | Expr::List(arguments) => arguments.iter().collect(),
            Expr::Window(window) => {
                let order = window.order.iter().map(|order| &order.by);
                let mut children: Vec<&Expr> = window.partition.iter().chain(order).collect();
                match &window.function {
                    WindowFunction::Shift(e, _, default, _) => children.extend(std::iter::once(e).chain(default)),
                    WindowFunction::First(e, _) | WindowFunction::Last(e, _) | WindowFunction::Nth(e, ..) => {
                        children.push(e)
                    }
                    WindowFunction::Aggregate(aggregate) => children.extend(aggregate.argument.as_deref()),
                    _ => {}
                }
                children
            }
        }
    }
}
