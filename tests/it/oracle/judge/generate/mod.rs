//! Random schemas, queries and histories, as trees.
//!
//! Domains are small, so that keys meet, groups empty and duplicates abound; NULL is everywhere. All relations share
//! the names of columns. Every query has one right answer: where order decides, it is total, or the comparison allows
//! every legal choice.

mod derived;
mod expression;
mod query;
mod source;
mod statement;
mod window;

use super::features::{Feature, Features};
use super::functions::day_of_2024;
use super::tree::*;
use super::value::{DAY, Type, Value};
use crate::random::Random;

/// A history: relations, queries over them, and changes in epochs.
#[derive(Debug, Clone)]
pub struct History {
    /// What it was made from.
    pub seed: u64,
    /// The tables.
    pub tables: Vec<Table>,
    /// The queries.
    pub queries: Vec<Query>,
    /// The changes, commit by commit.
    pub epochs: Vec<Vec<Statement>>,
    /// Whether data errors must have the SQLSTATE that they have in PostgreSQL.
    pub exact_states: bool,
    /// Conditions over the first query's rows, for partitioning.
    pub partition: Option<Partition>,
}

/// A FROM item and a condition, which together allow checks without any reference.
#[derive(Debug, Clone)]
pub struct Partition {
    /// The item.
    pub from: From,
    /// A column of each kind that aggregates take.
    pub columns: Vec<Expr>,
    /// The condition.
    pub condition: Expr,
}

/// An expression that can be named, and its type.
#[derive(Debug, Clone)]
struct Leaf {
    expr: Expr,
    ty: Type,
}

/// What an expression can be made from.
#[derive(Debug, Clone, Default)]
struct Offer {
    /// The columns of this SELECT, or its keys and aggregates.
    local: Vec<Leaf>,
    /// The columns of the SELECTs around it.
    outer: Vec<Leaf>,
    /// The columns of the SELECTs around those.
    far: Vec<Leaf>,
    /// Whether a local column may stand without its qualifier.
    bare: bool,
}

/// Makes histories.
struct Generator<'a> {
    random: Random,
    features: &'a Features,
    tables: Vec<Table>,
    aliases: usize,
    with: Vec<Table>,
    /// Whether a LIMIT may cut through tied rows: the comparison tries every choice.
    ties: bool,
    /// What this history has more of than others.
    favourite: Favourite,
}

/// What a history has more of, because what goes wrong with it needs several of its kind in one query.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Favourite {
    Nothing,
    Decimals,
    Structs,
    Nulls,
}

impl History {
    /// The history of a seed.
    pub fn new(seed: u64, features: &Features) -> History {
        let random = Random::new(seed, "judge");
        let favourite = Favourite::Nothing;
        let mut generator =
            Generator { random, features, tables: Vec::new(), aliases: 0, with: Vec::new(), ties: false, favourite };
        if features.has(Feature::FAVOURITE) {
            generator.favourite = match generator.random.below(9) {
                0 if features.has(Feature::DECIMAL) => Favourite::Decimals,
                1 if features.has(Feature::STRUCT) => Favourite::Structs,
                2 => Favourite::Nulls,
                _ => Favourite::Nothing,
            };
        }
        generator.make_tables();
        generator.ties = features.has(Feature::TIES_INSIDE);
        let queries = (0..3).map(|_| generator.top()).collect();
        generator.ties = false;
        let epochs = (0..3).map(|at| generator.epoch(at)).collect();
        let partition = Some(generator.partition());
        let exact_states = features.has(Feature::ERROR_STATE);
        History { seed, tables: generator.tables, queries, epochs, exact_states, partition }
    }

    /// The history as a script.
    pub fn script(&self) -> String {
        let mut lines: Vec<String> = self.tables.iter().map(|table| format!("{};", table.create())).collect();
        for (number, query) in self.queries.iter().enumerate() {
            lines.push(format!("CREATE MATERIALIZED VIEW v{number} AS {query};"));
        }
        for epoch in &self.epochs {
            let statements: Vec<String> = epoch.iter().map(|statement| format!("{statement};")).collect();
            match statements.as_slice() {
                [statement] => lines.push(statement.clone()),
                _ => {
                    lines.push("BEGIN;".to_string());
                    lines.extend(statements);
                    lines.push("COMMIT;".to_string());
                }
            }
        }
        lines.join("\n")
    }
}

impl Generator<'_> {
    fn on(&self, feature: Feature) -> bool {
        self.features.has(feature)
    }

    /// True once in `n` times, if the feature is on.
    fn may(&mut self, feature: Feature, n: usize) -> bool {
        self.random.one_in(n) && self.on(feature)
    }

    /// How deep an expression goes: 1 once in `n` times.
    fn level(&mut self, n: usize) -> usize {
        usize::from(self.random.one_in(n))
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.random.below(from.len())].clone()
    }

    fn make_tables(&mut self) {
        for number in 0..2 + self.random.below(2) {
            // Every relation has the same two key columns, so that joins find partners.
            let mut columns = vec![("k".to_string(), Type::Int), ("g".to_string(), Type::Text)];
            for extra in 0..1 + self.random.below(3) {
                let ty = match self.random.below(12) {
                    0..5 if self.favourite == Favourite::Structs => Type::Struct,
                    0 if self.on(Feature::STRUCT) => Type::Struct,
                    1 if self.on(Feature::LIST) => Type::List,
                    _ => self.ty(),
                };
                columns.push((format!("c{extra}"), ty));
            }
            self.tables.push(Table { name: format!("t{number}"), columns });
        }
    }

    /// A type that can be compared, sorted and aggregated.
    fn ty(&mut self) -> Type {
        if self.favourite == Favourite::Decimals && self.random.one_in(3) {
            return self.pick(&[Type::Decimal(10, 2), Type::Decimal(10, 2), Type::Decimal(8, 1)]);
        }
        loop {
            let (ty, feature) = match self.random.below(18) {
                0..=5 => return Type::Int,
                6..=8 => return Type::Text,
                9 | 10 => return Type::Big,
                11 => return Type::Bool,
                12 => return Type::Small,
                13 => (Type::Double, Feature::DOUBLE),
                14 => (Type::Decimal(10, 2), Feature::DECIMAL),
                15 => (Type::Decimal(8, 1), Feature::DECIMAL),
                16 => (Type::Date, Feature::TIME),
                _ => (Type::Timestamp, Feature::TIME),
            };
            if self.on(feature) {
                return ty;
            }
        }
    }

    fn types(&mut self, most: usize) -> Vec<Type> {
        (0..1 + self.random.below(most)).map(|_| self.ty()).collect()
    }

    fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("a{}", self.aliases)
    }

    /// A constant of the type, NULL at times.
    fn constant(&mut self, ty: Type, nulls: bool) -> Value {
        let odds = if self.favourite == Favourite::Nulls { 2 } else { 6 };
        if nulls && self.random.one_in(odds) {
            return Value::Null;
        }
        let small = self.random.below(7) as i64 - 2;
        match ty {
            Type::Big if self.may(Feature::EXTREMES, 40) => Value::Int(self.pick(&[i64::MAX, i64::MIN + 1])),
            Type::Int if self.may(Feature::EXTREMES, 60) => Value::Int(self.pick(&[70_000, -70_000])),
            Type::Small | Type::Int | Type::Big => Value::Int(small),
            Type::Double => Value::Double(small as f64 * 0.25),
            Type::Decimal(_, scale) => {
                let units = self.pick(&[0, 5, 10, 15, 50, 125]);
                let mantissa = i128::from(small) * if scale == 1 { 5 } else { 25 } + if scale == 1 { 0 } else { units };
                Value::Decimal(mantissa, scale)
            }
            Type::Text => Value::Text(self.pick(&["a", "b", "ab", "B", "", "1", "2"]).to_string()),
            Type::Bool => Value::Bool(self.random.one_in(2)),
            Type::Date => Value::Date(day_of_2024(self.pick(&[1, 2, 30, 31, 60, 61]))),
            Type::Timestamp => {
                let day = i64::from(day_of_2024(self.pick(&[1, 2, 31, 60])));
                Value::Timestamp(day * DAY + self.pick(&[0, 0, DAY / 2, DAY - 1_000_000, 1_500_000]))
            }
            Type::List => {
                let length = self.random.below(4);
                Value::List((0..length).map(|_| self.constant(Type::Int, true)).collect())
            }
            Type::Struct => Value::Struct(vec![self.constant(Type::Int, true), self.constant(Type::Text, true)]),
        }
    }

    fn literal(&mut self, ty: Type, nulls: bool) -> Expr {
        Expr::Literal(self.constant(ty, nulls), ty)
    }

    fn epoch(&mut self, at: usize) -> Vec<Statement> {
        if at == 0 {
            return self.tables.clone().iter().map(|table| self.insert(table, 7)).collect();
        }
        let count = if self.may(Feature::TRANSACTION, 3) { 2 } else { 1 };
        (0..count).map(|_| self.statement()).collect()
    }

    /// What partitioning checks are made of.
    fn partition(&mut self) -> Partition {
        let mut taken = Vec::new();
        let (from, local) = self.source(1, &Offer::default(), &mut taken);
        let columns = local.iter().filter(|leaf| leaf.ty.is_integer()).map(|leaf| leaf.expr.clone()).collect();
        let offer = Offer { local, ..Offer::default() };
        let condition = self.predicate(&offer, 2);
        Partition { from, columns, condition }
    }
}

impl Offer {
    /// What a subquery at this place sees of the SELECTs around it. Columns without a qualifier stay behind, because a
    /// name inside could catch them.
    fn below(&self) -> Offer {
        let qualified = |leaf: &&Leaf| matches!(leaf.expr, Expr::Column(Some(_), _));
        Offer {
            local: Vec::new(),
            outer: self.local.iter().filter(qualified).cloned().collect(),
            far: self.outer.iter().chain(&self.far).filter(qualified).cloned().collect(),
            bare: false,
        }
    }

    /// Local leaves instead of those that are there.
    fn with_local(&self, local: Vec<Leaf>, bare: bool) -> Offer {
        Offer { local, outer: self.outer.clone(), far: self.far.clone(), bare }
    }

    /// Forgets what a local qualifier hides.
    fn without(&mut self, qualifier: &str) {
        let hidden = |leaf: &Leaf| matches!(&leaf.expr, Expr::Column(Some(other), _) if other == qualifier);
        self.outer.retain(|leaf| !hidden(leaf));
        self.far.retain(|leaf| !hidden(leaf));
    }
}

/// Whether a subquery stands in the expression.
fn has_query(expr: &Expr) -> bool {
    expr.any(&|e| matches!(e, Expr::Scalar(_) | Expr::Exists(..) | Expr::InQuery(..) | Expr::Quantified(..)))
}
