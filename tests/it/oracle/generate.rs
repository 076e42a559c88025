//! Random schemas, queries and histories.
//!
//! Domains are small, so that keys meet, groups empty and duplicates abound; NULL is everywhere. Nothing divides and
//! nothing overflows: errors have their own tests. Every query is deterministic.

use crate::random::Random;

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Type {
    /// INTEGER.
    Int,
    /// BIGINT.
    Big,
    /// DOUBLE.
    Double,
    /// DECIMAL(10,2).
    Decimal,
    /// TEXT.
    Text,
    /// BOOLEAN.
    Bool,
}

const TYPES: [Type; 6] = [Type::Int, Type::Text, Type::Big, Type::Double, Type::Decimal, Type::Bool];

impl Type {
    fn sql(self) -> &'static str {
        match self {
            Type::Int => "INT",
            Type::Big => "BIGINT",
            Type::Double => "DOUBLE",
            Type::Decimal => "DECIMAL(10,2)",
            Type::Text => "TEXT",
            Type::Bool => "BOOLEAN",
        }
    }
}

/// A relation.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its name.
    pub name: String,
    columns: Vec<(String, Type)>,
    stream: bool,
}

impl Table {
    /// The statement that makes it.
    pub fn create(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|(name, ty)| format!("{name} {}", ty.sql())).collect();
        let kind = if self.stream { "STREAM" } else { "TABLE" };
        format!("CREATE {kind} {} ({})", self.name, columns.join(", "))
    }
}

/// A query that becomes a view.
#[derive(Debug, Clone)]
pub struct View {
    /// The query.
    pub sql: String,
    /// Whether it is created in the middle of the history.
    pub late: bool,
    /// Whether another engine understands it the same way.
    pub portable: bool,
}

/// One statement of a history.
#[derive(Debug, Clone)]
pub enum Statement {
    /// INSERT .. VALUES.
    Insert {
        /// The relation.
        table: String,
        /// The rows, as SQL.
        rows: Vec<String>,
    },
    /// UPDATE or DELETE.
    Other(String),
}

impl Statement {
    /// Its text.
    pub fn sql(&self) -> String {
        match self {
            Statement::Insert { table, rows } => format!("INSERT INTO {table} VALUES {}", rows.join(", ")),
            Statement::Other(sql) => sql.clone(),
        }
    }
}

/// Statements that are committed together.
#[derive(Debug, Clone)]
pub struct Commit {
    /// In order.
    pub statements: Vec<Statement>,
}

impl Commit {
    /// The commit in steps: an INSERT alone is cut into pieces of `size` rows, a transaction stays whole.
    pub fn steps(&self, size: usize) -> Vec<Commit> {
        match self.statements.as_slice() {
            [Statement::Insert { table, rows }] => rows
                .chunks(size)
                .map(|rows| Commit {
                    statements: vec![Statement::Insert { table: table.clone(), rows: rows.to_vec() }],
                })
                .collect(),
            _ => vec![self.clone()],
        }
    }

    /// Takes one row out of an INSERT that has others; false if there is none.
    pub fn drop_row(&mut self, statement: usize, row: usize) -> bool {
        match self.statements.get_mut(statement) {
            Some(Statement::Insert { rows, .. }) if rows.len() > 1 && row < rows.len() => {
                rows.remove(row);
                true
            }
            _ => false,
        }
    }
}

/// A case.
#[derive(Debug, Clone)]
pub struct Case {
    /// What it was made from.
    pub seed: u64,
    /// The relations.
    pub tables: Vec<Table>,
    /// The queries.
    pub views: Vec<View>,
    /// The history.
    pub commits: Vec<Commit>,
    /// Rows per step of an INSERT.
    pub step: usize,
    /// Whether another engine is asked at the end.
    pub second_opinion: bool,
}

impl Case {
    /// The case of a seed.
    pub fn new(seed: u64) -> Case {
        let mut generator = Generator { random: Random::new(seed, "oracle"), aliases: 0, tables: Vec::new() };
        let second_opinion = seed.is_multiple_of(10);
        generator.make_tables();
        let views = (0..2 + generator.random.below(2)).map(|_| generator.view()).collect();
        let count = 6 + generator.random.below(8);
        let commits = (0..count).map(|at| generator.commit(at, second_opinion)).collect();
        let step = [1, 7, 1000, usize::MAX][generator.random.below(4)];
        Case { seed, tables: generator.tables, views, commits, step, second_opinion }
    }

    /// The case as a script.
    pub fn script(&self) -> String {
        let mut lines: Vec<String> = self.tables.iter().map(|table| format!("{};", table.create())).collect();
        for (at, commit) in self.commits.iter().enumerate() {
            for (number, view) in self.views.iter().enumerate() {
                if (view.late && at == self.commits.len() / 2) || (!view.late && at == 0) {
                    lines.push(format!("CREATE MATERIALIZED VIEW v{number} AS {};", view.sql));
                }
            }
            lines.push(format!("-- commit {at}, in steps of {}", self.step));
            lines.extend(commit.statements.iter().map(|statement| format!("{};", statement.sql())));
        }
        lines.join("\n")
    }
}

/// A FROM item: its text and the columns it offers.
struct Source {
    sql: String,
    columns: Vec<(String, Type)>,
}

struct Generator {
    random: Random,
    aliases: usize,
    tables: Vec<Table>,
}

impl Generator {
    fn make_tables(&mut self) {
        for number in 0..2 + self.random.below(2) {
            // Every relation has the same two key columns, so that joins find partners.
            let mut columns = vec![("k".to_string(), Type::Int), ("g".to_string(), Type::Text)];
            for extra in 0..1 + self.random.below(3) {
                let ty = TYPES[self.random.below(TYPES.len())];
                columns.push((format!("c{extra}"), ty));
            }
            self.tables.push(Table { name: format!("t{number}"), columns, stream: self.random.one_in(5) });
        }
    }

    fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("a{}", self.aliases)
    }

    // ---- histories

    fn commit(&mut self, at: usize, tame: bool) -> Commit {
        let count = if self.random.one_in(4) { 2 + self.random.below(3) } else { 1 };
        Commit { statements: (0..count).map(|_| self.statement(at, tame)).collect() }
    }

    fn statement(&mut self, at: usize, tame: bool) -> Statement {
        let table = self.tables[self.random.below(self.tables.len())].clone();
        let choice = if table.stream || at < 2 { 0 } else { self.random.below(6) };
        match choice {
            4 => {
                let columns = table.columns.clone();
                let (name, ty) = columns[self.random.below(columns.len())].clone();
                let value =
                    if self.random.one_in(2) { self.literal(ty, tame) } else { self.expression(ty, &columns, 1) };
                let condition = self.predicate(&columns, 1);
                Statement::Other(format!("UPDATE {} SET {name} = {value} WHERE {condition}", table.name))
            }
            5 => {
                let condition = if self.random.one_in(8) { "TRUE".into() } else { self.predicate(&table.columns, 1) };
                Statement::Other(format!("DELETE FROM {} WHERE {condition}", table.name))
            }
            _ => {
                let count = 1 + self.random.below(9);
                let rows = (0..count).map(|_| self.row(&table, tame)).collect();
                Statement::Insert { table: table.name, rows }
            }
        }
    }

    fn row(&mut self, table: &Table, tame: bool) -> String {
        let values: Vec<String> = table.columns.iter().map(|(_, ty)| self.literal(*ty, tame)).collect();
        format!("({})", values.join(", "))
    }

    fn literal(&mut self, ty: Type, tame: bool) -> String {
        if self.random.one_in(7) {
            return "NULL".to_string();
        }
        let small = self.random.below(9) as i64 - 3;
        match ty {
            Type::Int => small.to_string(),
            Type::Big if self.random.one_in(10) => (small * 1_000_000_007_000).to_string(),
            Type::Big => (small * 10).to_string(),
            Type::Double if !tame && self.random.one_in(8) => {
                ["1e16", "-1e16", "0.1", "'NaN'::DOUBLE", "'Infinity'::DOUBLE", "-0.0e0"][self.random.below(6)]
                    .to_string()
            }
            Type::Double => format!("{:?}", small as f64 * 0.25),
            Type::Decimal => format!("{}.{}5", small, self.random.below(10)),
            Type::Text => ["'a'", "'b'", "'c'", "'d'", "''"][self.random.below(5)].to_string(),
            Type::Bool => ["TRUE", "FALSE"][self.random.below(2)].to_string(),
        }
    }

    // ---- queries

    fn view(&mut self) -> View {
        let types: Vec<Type> = (0..1 + self.random.below(3)).map(|_| TYPES[self.random.below(TYPES.len())]).collect();
        let mut sql = self.query(&types, 2);
        let limited = self.random.one_in(10);
        if limited {
            let key = 1 + self.random.below(types.len());
            sql = format!("SELECT * FROM ({sql}) AS top ORDER BY {key} LIMIT {}", 1 + self.random.below(5));
        }
        let portable = !limited && !sql.contains("EXCEPT ALL") && !sql.contains("INTERSECT ALL");
        View { sql, late: self.random.one_in(3), portable }
    }

    /// A query with columns o0, o1 .. of these types.
    fn query(&mut self, types: &[Type], depth: usize) -> String {
        match self.random.below(12) {
            0 | 1 if depth > 0 => {
                let operator =
                    ["UNION ALL", "UNION", "EXCEPT", "INTERSECT", "EXCEPT ALL", "INTERSECT ALL"][self.random.below(6)];
                let left = self.query(types, depth - 1);
                let right = self.query(types, depth - 1);
                let columns: Vec<String> = (0..types.len()).map(|n| format!("o{n}")).collect();
                let columns = columns.join(", ");
                format!("SELECT {columns} FROM ({left}) AS l {operator} SELECT {columns} FROM ({right}) AS r")
            }
            2..=6 => self.aggregate(types, depth),
            7 => self.window(types, depth),
            _ => self.select(types, depth),
        }
    }

    fn select(&mut self, types: &[Type], depth: usize) -> String {
        let source = self.source(depth);
        let items: Vec<String> = types
            .iter()
            .enumerate()
            .map(|(n, ty)| format!("{} AS o{n}", self.expression(*ty, &source.columns, 1)))
            .collect();
        let distinct = if self.random.one_in(5) { "DISTINCT " } else { "" };
        let filter = self.filter(&source, depth);
        format!("SELECT {distinct}{} FROM {}{filter}", items.join(", "), source.sql)
    }

    fn aggregate(&mut self, types: &[Type], depth: usize) -> String {
        let source = self.source(depth);
        let grouped = !self.random.one_in(5);
        let mut keys = Vec::new();
        let mut items = Vec::new();
        for (n, ty) in types.iter().enumerate() {
            if grouped && (n == 0 || self.random.one_in(3)) {
                let key = self.expression(*ty, &source.columns, 0);
                items.push(format!("{key} AS o{n}"));
                keys.push(key);
            } else {
                items.push(format!("{} AS o{n}", self.aggregate_call(*ty, &source.columns)));
            }
        }
        let filter = self.filter(&source, depth);
        let group = if keys.is_empty() { String::new() } else { format!(" GROUP BY {}", keys.join(", ")) };
        let having = if self.random.one_in(6) { " HAVING count(*) > 1" } else { "" };
        let having = if group.is_empty() { "" } else { having };
        format!("SELECT {} FROM {}{filter}{group}{having}", items.join(", "), source.sql)
    }

    fn window(&mut self, types: &[Type], depth: usize) -> String {
        let source = self.source(depth.min(1));
        let (partition, _) = source.columns[self.random.below(source.columns.len())].clone();
        let items: Vec<String> = types
            .iter()
            .enumerate()
            .map(|(n, ty)| {
                let value = match ty {
                    Type::Big => format!(
                        "sum({}) OVER (PARTITION BY {partition})",
                        self.expression(Type::Int, &source.columns, 0)
                    ),
                    ty => self.expression(*ty, &source.columns, 0),
                };
                format!("{value} AS o{n}")
            })
            .collect();
        format!("SELECT {} FROM {}", items.join(", "), source.sql)
    }

    fn aggregate_call(&mut self, ty: Type, columns: &[(String, Type)]) -> String {
        let argument = self.expression(ty, columns, 1);
        let call = match (ty, self.random.below(6)) {
            (Type::Big, 0) => "count(*)".to_string(),
            (Type::Big, 1) => {
                let any = TYPES[self.random.below(TYPES.len())];
                format!("count(DISTINCT {})", self.expression(any, columns, 0))
            }
            (Type::Big, 2) => format!("sum(DISTINCT {argument})"),
            (Type::Big | Type::Double | Type::Decimal, 3) => format!("sum({argument})"),
            (Type::Double, 4) => format!("avg({})", self.expression(Type::Big, columns, 0)),
            (Type::Double, 5) => format!("avg({argument})"),
            (Type::Bool, 0 | 1) => format!("bool_and({argument})"),
            (Type::Bool, _) => format!("bool_or({argument})"),
            (_, 0..=3) => format!("min({argument})"),
            _ => format!("max({argument})"),
        };
        let call = match self.random.one_in(6) && !call.contains("DISTINCT") {
            true => format!("{call} FILTER (WHERE {})", self.predicate(columns, 0)),
            false => call,
        };
        // Sums and averages of decimals have types of their own.
        if ty == Type::Decimal { format!("CAST({call} AS DECIMAL(20,2))") } else { call }
    }

    fn filter(&mut self, source: &Source, depth: usize) -> String {
        match self.random.below(8) {
            0..=2 => String::new(),
            3 if depth > 0 => {
                let not = if self.random.one_in(3) { "NOT " } else { "" };
                let ty = if self.random.one_in(2) { Type::Int } else { Type::Text };
                let value = self.column(ty, &source.columns).unwrap_or_else(|| "1".to_string());
                let inner = self.query(&[if value == "1" { Type::Int } else { ty }], depth - 1);
                format!(" WHERE {value} {not}IN (SELECT o0 FROM ({inner}) AS s)")
            }
            4 if depth > 0 => {
                let not = if self.random.one_in(3) { "NOT " } else { "" };
                let table = self.tables[self.random.below(self.tables.len())].name.clone();
                let alias = self.alias();
                let outer = self.column(Type::Int, &source.columns).unwrap_or_else(|| "1".to_string());
                format!(" WHERE {not}EXISTS (SELECT 1 FROM {table} AS {alias} WHERE {alias}.k = {outer})")
            }
            _ => format!(" WHERE {}", self.predicate(&source.columns, 2)),
        }
    }

    fn source(&mut self, depth: usize) -> Source {
        match self.random.below(10) {
            0..=3 if depth > 0 => {
                let left = self.source(depth - 1);
                let right = self.source(depth - 1);
                self.join(left, right)
            }
            4 if depth > 0 => {
                let types = [Type::Int, Type::Text, TYPES[self.random.below(TYPES.len())]];
                let query = self.query(&types, depth - 1);
                let alias = self.alias();
                let columns = types.iter().enumerate().map(|(n, ty)| (format!("{alias}.o{n}"), *ty)).collect();
                Source { sql: format!("({query}) AS {alias}"), columns }
            }
            _ => {
                let table = self.tables[self.random.below(self.tables.len())].clone();
                let alias = self.alias();
                let columns = table.columns.iter().map(|(name, ty)| (format!("{alias}.{name}"), *ty)).collect();
                Source { sql: format!("{} AS {alias}", table.name), columns }
            }
        }
    }

    fn join(&mut self, left: Source, right: Source) -> Source {
        let ty = if self.random.one_in(3) { Type::Text } else { Type::Int };
        let (l, r) = (self.column(ty, &left.columns), self.column(ty, &right.columns));
        let mut columns = left.columns.clone();
        columns.extend(right.columns.clone());
        let (Some(l), Some(r)) = (l, r) else {
            return Source { sql: format!("{} CROSS JOIN {}", left.sql, right.sql), columns };
        };
        let kind = ["JOIN", "JOIN", "JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "FULL JOIN"][self.random.below(7)];
        let mut condition = format!("{l} = {r}");
        if self.random.one_in(4) && kind != "FULL JOIN" {
            condition = format!("{condition} AND {}", self.predicate(&columns, 0));
        }
        let right = if right.sql.contains(" ON ") { format!("({})", right.sql) } else { right.sql };
        Source { sql: format!("{} {kind} {right} ON {condition}", left.sql), columns }
    }

    // ---- expressions

    /// A column of the type.
    fn column(&mut self, ty: Type, columns: &[(String, Type)]) -> Option<String> {
        let fitting: Vec<&String> = columns.iter().filter(|(_, other)| *other == ty).map(|(name, _)| name).collect();
        if fitting.is_empty() { None } else { Some(fitting[self.random.below(fitting.len())].clone()) }
    }

    /// An expression of the type; `depth` 0 is a column or a cast of one.
    fn expression(&mut self, ty: Type, columns: &[(String, Type)], depth: usize) -> String {
        let Some(column) = self.column(ty, columns) else { return self.converted(ty, columns) };
        if depth == 0 {
            return column;
        }
        let number = self.random.below(4);
        match (ty, self.random.below(8)) {
            (_, 0) => {
                let (condition, other) = (self.predicate(columns, 0), self.expression(ty, columns, depth - 1));
                format!("CASE WHEN {condition} THEN {column} ELSE {other} END")
            }
            (Type::Int | Type::Big, 1) => format!("coalesce({column}, {number})"),
            (Type::Int | Type::Big, 2) => format!("{column} % 3"),
            (Type::Int | Type::Big | Type::Double, 3) => format!("{column} + {number}"),
            (Type::Int | Type::Big | Type::Double, 4) => format!("-{column}"),
            (Type::Text, 1 | 2) => format!("coalesce({column}, 'n')"),
            (Type::Text, 3) => format!("upper({column})"),
            (Type::Text, 4) => format!("{column} || 'x'"),
            (Type::Bool, 1..=3) => format!("({})", self.predicate(columns, 0)),
            _ => column,
        }
    }

    /// Where no column has the type, one of another type is converted.
    fn converted(&mut self, ty: Type, columns: &[(String, Type)]) -> String {
        let number =
            columns.iter().find(|(_, other)| matches!(other, Type::Int | Type::Big)).map(|(name, _)| name.clone());
        let number = number.unwrap_or_else(|| "1".to_string());
        match ty {
            Type::Bool => format!("({number} > 1)"),
            Type::Text => format!("CAST({number} AS TEXT)"),
            ty => format!("CAST({number} AS {})", ty.sql()),
        }
    }

    fn predicate(&mut self, columns: &[(String, Type)], depth: usize) -> String {
        if depth > 0 && self.random.one_in(3) {
            let (left, right) = (self.predicate(columns, depth - 1), self.predicate(columns, depth - 1));
            let operator = ["AND", "OR"][self.random.below(2)];
            return format!("({left} {operator} {right})");
        }
        let (column, ty) = columns[self.random.below(columns.len())].clone();
        let value = loop {
            let value = self.literal(ty, true);
            if value != "NULL" {
                break value;
            }
        };
        match self.random.below(8) {
            0 => format!("{column} IS NULL"),
            1 => format!("{column} IS NOT NULL"),
            2 => format!("NOT ({column} = {value})"),
            3 => format!("{column} IN ({value}, {})", self.literal(ty, true)),
            4 | 5 => format!("{column} {} {value}", ["<", ">=", "<>"][self.random.below(3)]),
            6 => match self.column(ty, columns) {
                Some(other) if other != column => format!("{column} <= {other}"),
                _ => format!("{column} = {value}"),
            },
            _ => format!("{column} = {value}"),
        }
    }
}
