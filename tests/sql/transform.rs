//! How a query becomes a materialized view and a reading of it.
//!
//! The view is the query without its top-level ORDER BY (which stays if a LIMIT or DISTINCT ON needs it); the ORDER BY
//! is applied again where the view is read: by ordinal, by output name, by an equal expression of the select list, or
//! by a hidden column appended to the list. What cannot be mapped is compared without order. The text is cut at token
//! borders and is otherwise the file's own.
//!
//! It does not judge whether the engine can maintain the view: every deterministic query must become one.

use sqllogictest::SortMode as Sort;

use crate::scan::{Kind, Token, names, scan};

/// What to do with a query in the continuous modes.
#[derive(Debug)]
pub enum Verdict {
    /// It becomes a view.
    View(ViewPlan),
    /// It stays a query, for this reason.
    Plain(String),
}

/// A query as a view.
#[derive(Debug)]
pub struct ViewPlan {
    /// The text after `AS`.
    pub query: String,
    /// Number of visible columns, where the select list tells it; then the view names them c1..cn.
    pub width: Option<usize>,
    /// Number of hidden sort columns behind the visible ones.
    pub hidden: usize,
    /// The keys of the outer ORDER BY; None compares without order.
    pub order: Option<Vec<Key>>,
}

/// One sort key of the reading.
#[derive(Debug, PartialEq)]
pub struct Key {
    target: Target,
    /// ` DESC NULLS LAST` or the like.
    suffix: String,
}

#[derive(Debug, PartialEq)]
enum Target {
    /// A visible column, from 1.
    Position(usize),
    /// A hidden column, from 0.
    Hidden(usize),
    /// An output column by name, known once the view exists.
    Name(String),
    /// Every visible column from left to right.
    All,
}

/// Functions that give another value at each call: views refuse them.
const VOLATILE: [&str; 4] = ["random", "rand", "uuid", "gen_random_uuid"];

/// Words that read files.
const FILES: [&str; 5] = ["read_csv", "read_json", "read_ndjson", "read_parquet", "read_arrow"];

/// Decides about one query; `hashed` results can only be compared in the file's own order.
pub fn plan(sql: &str, sort: Sort, hashed: bool) -> Verdict {
    let sql = sql.trim().trim_end_matches(';').trim_end();
    let tokens = scan(sql);
    if let Some(reason) = plain_reason(&tokens) {
        return Verdict::Plain(reason);
    }
    let shape = Shape::of(&tokens);
    let Some(order_at) = shape.order else {
        if sort == Sort::NoSort && hashed {
            return Verdict::Plain("hashed result without order".to_string());
        }
        return Verdict::View(ViewPlan { query: sql.to_string(), width: shape.width(), hidden: 0, order: None });
    };
    let mut hidden = Vec::new();
    let order = shape.keys(&mut hidden);
    if order.is_none() && sort == Sort::NoSort && hashed {
        return Verdict::Plain("hashed result, order cannot be mapped".to_string());
    }
    let hidden = if order.is_some() { hidden } else { Vec::new() };
    let mut query = sql.to_string();
    if shape.limit.is_none() && !shape.distinct_on {
        query.truncate(tokens[order_at].start);
        query.truncate(query.trim_end().len());
    }
    if let Some(from) = shape.from.filter(|_| !hidden.is_empty()) {
        let columns: Vec<String> = hidden.iter().enumerate().map(|(n, key)| format!("{key} AS __key{n}")).collect();
        query.insert_str(tokens[from].start, &format!(", {} ", columns.join(", ")));
    }
    // With rowsort in the file the order is of no interest, and without a LIMIT it decides nothing.
    let order = if sort == Sort::NoSort { order } else { None };
    Verdict::View(ViewPlan { query, width: shape.width(), hidden: hidden.len(), order })
}

impl ViewPlan {
    /// The column list of CREATE MATERIALIZED VIEW, empty where the names are the query's own.
    pub fn column_list(&self) -> String {
        match self.width {
            Some(width) => {
                let names: Vec<String> = (1..=width + self.hidden).map(|n| format!("c{n}")).collect();
                format!(" ({})", names.join(", "))
            }
            None => String::new(),
        }
    }

    /// The query that reads the view `name` with `columns` (all of them, hidden ones included), and whether its order
    /// is the file's.
    pub fn reading(&self, name: &str, columns: &[String]) -> (String, bool) {
        let visible = columns.len().saturating_sub(self.hidden);
        let quoted: Vec<String> = columns.iter().map(|column| format!("\"{}\"", column.replace('"', "\"\""))).collect();
        let list = quoted[..visible].join(", ");
        let mut text = format!("SELECT {list} FROM {name}");
        let Some(keys) = &self.order else { return (text, false) };
        let mut sort = Vec::new();
        for key in keys {
            let column = match &key.target {
                Target::All => {
                    sort.extend(quoted[..visible].iter().map(|column| format!("{column}{}", key.suffix)));
                    continue;
                }
                Target::Position(n) => n.checked_sub(1).and_then(|n| quoted[..visible].get(n)),
                Target::Hidden(n) => quoted.get(visible + n),
                Target::Name(name) => {
                    let mut hits = columns[..visible].iter().enumerate().filter(|(_, c)| c.eq_ignore_ascii_case(name));
                    hits.next().filter(|_| hits.next().is_none()).map(|(n, _)| &quoted[n])
                }
            };
            match column {
                Some(column) => sort.push(format!("{column}{}", key.suffix)),
                None => return (text, false),
            }
        }
        text.push_str(" ORDER BY ");
        text.push_str(&sort.join(", "));
        (text, true)
    }
}

/// Why a text cannot be a view, if so.
fn plain_reason(tokens: &[Token<'_>]) -> Option<String> {
    let Some(first) = tokens.iter().find(|token| !token.symbol("(")) else { return Some("empty".to_string()) };
    if first.symbol("@") {
        return Some("runner command".to_string());
    }
    let opener = first.text.to_ascii_lowercase();
    if !matches!(opener.as_str(), "select" | "with" | "from" | "values" | "table") {
        return Some(opener.to_ascii_uppercase());
    }
    for (at, token) in tokens.iter().enumerate() {
        let next = tokens.get(at + 1);
        let word = token.text.to_ascii_lowercase();
        let call = token.kind == Kind::Word && next.is_some_and(|next| next.symbol("("));
        if call && VOLATILE.contains(&word.as_str()) {
            return Some("volatile function".to_string());
        }
        if call && FILES.contains(&word.as_str()) {
            return Some("reads a file".to_string());
        }
        if (token.is("from") || token.is("join")) && next.is_some_and(|next| next.kind == Kind::Text) {
            // IS DISTINCT FROM 'x' and trim(BOTH FROM 'x') have strings there too.
            let before = at.checked_sub(1).map(|before| tokens[before]);
            let word = ["distinct", "both", "leading", "trailing"];
            if !before.is_some_and(|before| word.iter().any(|word| before.is(word))) {
                return Some("reads a file".to_string());
            }
        }
        let system = token.is("information_schema") || token.is("eddy") || token.is("pg_catalog");
        if system && next.is_some_and(|next| next.symbol(".")) {
            return Some("system table".to_string());
        }
        if token.symbol("?") || (token.symbol("$") && next.is_some_and(|n| n.kind == Kind::Number)) {
            return Some("parameter".to_string());
        }
    }
    None
}

/// The top level of a query, as places in its tokens.
struct Shape<'a> {
    tokens: &'a [Token<'a>],
    /// Where the select list's FROM stands, if the query is one plain SELECT.
    from: Option<usize>,
    /// The select list, from the first item to its end.
    list: Option<(usize, usize)>,
    order: Option<usize>,
    limit: Option<usize>,
    /// Whether the order decides which rows there are.
    distinct_on: bool,
    /// Whether a column may be appended to the list without changing the rows.
    extensible: bool,
}

impl<'a> Shape<'a> {
    fn of(tokens: &'a [Token<'a>]) -> Shape<'a> {
        let at = |word: &str| tokens.iter().position(|token| token.depth == 0 && token.is(word));
        let order = at("order").filter(|&n| tokens.get(n + 1).is_some_and(|next| next.is("by")));
        let behind = order.unwrap_or(0);
        let limit = (behind..tokens.len())
            .find(|&n| tokens[n].depth == 0 && ["limit", "offset", "fetch"].iter().any(|word| tokens[n].is(word)));
        let compound = ["union", "intersect", "except", "minus"].iter().any(|word| at(word).is_some());
        let select = at("select");
        let leading = select.is_some_and(|select| at("from").is_none_or(|from| select < from));
        let start = select.filter(|_| leading).map(|select| match tokens.get(select + 1) {
            Some(next) if next.is("all") || next.is("distinct") => select + 2,
            _ => select + 1,
        });
        let from = start.filter(|_| !compound).and_then(|start| {
            let is_from = |n: &usize| tokens[*n].depth == 0 && tokens[*n].is("from") && !tokens[n - 1].is("distinct");
            (start..order.unwrap_or(tokens.len())).find(is_from)
        });
        let end_words = ["from", "where", "group", "having", "union", "intersect", "except", "order", "limit"];
        let list = start.map(|start| {
            let ends = |n: &usize| {
                let token = tokens[*n];
                let distinct_from = token.is("from") && tokens[n - 1].is("distinct");
                token.depth == 0 && !distinct_from && end_words.iter().any(|word| token.is(word))
            };
            (start, (start..tokens.len()).find(ends).unwrap_or(tokens.len()))
        });
        let distinct = start.is_some_and(|start| tokens[start - 1].is("distinct"));
        let group_all = at("group").is_some_and(|n| tokens.get(n + 2).is_some_and(|token| token.is("all")));
        let distinct_on = start.is_some_and(|start| tokens.get(start).is_some_and(|token| token.is("on")));
        Shape { tokens, from, list, order, limit, distinct_on, extensible: !compound && !distinct && !group_all }
    }

    /// Number of output columns, unless a star or anything unusual hides it.
    fn width(&self) -> Option<usize> {
        let items = self.items()?;
        let starred = items.iter().any(|item| {
            let unnest = item.iter().any(|token| token.is("unnest") || token.is("columns"));
            unnest || item.iter().any(|token| token.symbol("*") && is_star(item, token))
        });
        (!starred).then_some(items.len())
    }

    fn items(&self) -> Option<Vec<&'a [Token<'a>]>> {
        let (start, end) = self.list?;
        let list = self.tokens.get(start..end)?;
        // DISTINCT ON (..) opens with a list of its own.
        if list.first().is_some_and(|token| token.is("on")) {
            return None;
        }
        Some(list.split(|token| token.depth == 0 && token.symbol(",")).filter(|item| !item.is_empty()).collect())
    }

    /// The sort keys; keys that are not in the select list are pushed to `hidden`.
    fn keys(&self, hidden: &mut Vec<String>) -> Option<Vec<Key>> {
        let start = self.order? + 2;
        let end = self.limit.unwrap_or(self.tokens.len());
        let keys = self.tokens.get(start..end)?.split(|token| token.depth == 0 && token.symbol(","));
        keys.map(|key| self.key(key, hidden)).collect()
    }

    fn key(&self, tokens: &[Token<'_>], hidden: &mut Vec<String>) -> Option<Key> {
        let is_suffix = |token: &Token<'_>| ["asc", "desc", "nulls"].iter().any(|word| token.is(word));
        let split = tokens.iter().position(|token| token.depth == 0 && is_suffix(token)).unwrap_or(tokens.len());
        let (expression, suffix) = tokens.split_at(split);
        let suffix: String = suffix.iter().map(|token| format!(" {}", token.text)).collect();
        let target = self.target(expression, hidden)?;
        Some(Key { target, suffix })
    }

    fn target(&self, expression: &[Token<'_>], hidden: &mut Vec<String>) -> Option<Target> {
        let items = if self.width().is_some() { self.items() } else { None };
        if let [token] = expression {
            if token.kind == Kind::Number {
                return token.text.parse().ok().map(Target::Position);
            }
            if token.is("all") {
                return Some(Target::All);
            }
            let name = token.name()?;
            match &items {
                Some(items) => {
                    let named = |item: &&[Token<'_>]| output_name(item).as_deref() == Some(name.as_str());
                    if let Some(at) = items.iter().position(named) {
                        return Some(Target::Position(at + 1));
                    }
                }
                None if !self.extensible => return Some(Target::Name(name)),
                None => {}
            }
        }
        if let Some(at) = items.iter().flatten().position(|item| equal(expression_of(item), expression)) {
            return Some(Target::Position(at + 1));
        }
        self.from.filter(|_| self.extensible)?;
        let text: Vec<&str> = expression.iter().map(|token| token.text).collect();
        let text = join(expression, &text);
        let at = hidden.iter().position(|known| *known == text).unwrap_or_else(|| {
            hidden.push(text);
            hidden.len() - 1
        });
        Some(Target::Hidden(at))
    }
}

/// The tokens with blanks exactly where the file has some.
fn join(tokens: &[Token<'_>], texts: &[&str]) -> String {
    let mut text = String::new();
    for (n, word) in texts.iter().enumerate() {
        if n > 0 && tokens[n].start > tokens[n - 1].end() {
            text.push(' ');
        }
        text.push_str(word);
    }
    text
}

/// A star that stands for columns, not for a product or count(*).
fn is_star(item: &[Token<'_>], star: &Token<'_>) -> bool {
    if star.depth != item[0].depth.min(star.depth) || star.depth > 0 {
        return false;
    }
    let at = item.iter().position(|token| token.start == star.start).unwrap_or(0);
    at == 0 || item[at - 1].symbol(".")
}

/// The name of an output column: its alias, or the last part of a column's name.
fn output_name(item: &[Token<'_>]) -> Option<String> {
    let last = item.last()?;
    if last.depth > 0 {
        return None;
    }
    match item.len() {
        1 => last.name(),
        n if item[n - 2].is("as") || item[n - 2].symbol(".") => last.name(),
        n => {
            let operand =
                matches!(item[n - 2].kind, Kind::Symbol) && !item[n - 2].symbol(")") && !item[n - 2].symbol("]");
            let keyword = item[n - 2].name().is_some_and(|word| KEYWORDS.contains(&word.as_str())) || last.is("end");
            if operand || keyword { None } else { last.name().filter(|word| !KEYWORDS.contains(&word.as_str())) }
        }
    }
}

/// Words behind or as which a name is no alias.
const KEYWORDS: [&str; 14] =
    ["not", "and", "or", "is", "null", "like", "in", "between", "case", "when", "then", "else", "end", "from"];

/// The item without its alias.
fn expression_of<'a, 'b>(item: &'b [Token<'a>]) -> &'b [Token<'a>] {
    let n = item.len();
    if n >= 3 && item[n - 2].depth == 0 && item[n - 2].is("as") {
        return &item[..n - 2];
    }
    if n >= 2 && output_name(item).is_some() && !item[n - 2].symbol(".") {
        return &item[..n - 1];
    }
    item
}

fn equal(left: &[Token<'_>], right: &[Token<'_>]) -> bool {
    left.len() == right.len()
        && left.iter().zip(right).all(|(l, r)| match l.kind {
            Kind::Word => l.kind == r.kind && l.text.eq_ignore_ascii_case(r.text),
            _ => l.text == r.text,
        })
}

/// What a statement does to relations, as far as the replay must know.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// CREATE TABLE or STREAM with columns: may move to the front.
    Create(String),
    /// CREATE [MATERIALIZED] VIEW: may move behind what it reads.
    View(String),
    /// A relation that comes with rows, or takes another's place: stays.
    Fill(String),
    /// DROP or ALTER: views on it must go first.
    Change(Vec<String>),
    /// Nothing may move above it.
    Barrier,
    /// INSERT with VALUES only: may be cut into pieces.
    Insert,
    /// Anything else.
    Other,
}

/// What `sql` does.
pub fn effect(sql: &str) -> Effect {
    let tokens = scan(sql);
    let word = |n: usize| tokens.get(n).map(|token| token.text.to_ascii_lowercase()).unwrap_or_default();
    match word(0).as_str() {
        "create" => created(&tokens),
        "drop" | "alter" => match word(1).as_str() {
            "index" => Effect::Other,
            _ => Effect::Change(names(sql)),
        },
        "set" | "pragma" | "reset" => Effect::Barrier,
        "insert" if insert_pieces(sql).is_some() => Effect::Insert,
        _ => Effect::Other,
    }
}

fn created(tokens: &[Token<'_>]) -> Effect {
    let replace = tokens.iter().take(3).any(|token| token.is("replace"));
    let kind = tokens.iter().take(6).position(|t| ["table", "stream", "view", "source"].iter().any(|w| t.is(w)));
    let Some(kind) = kind else {
        let index = tokens.iter().take(4).any(|token| token.is("index"));
        return if index { Effect::Other } else { Effect::Barrier };
    };
    let skip = if tokens.get(kind + 1).is_some_and(|token| token.is("if")) { 4 } else { 1 };
    let Some(name) = tokens.get(kind + skip).and_then(Token::name) else { return Effect::Barrier };
    let filled = tokens.iter().any(|token| token.depth == 0 && token.is("as"));
    if replace {
        Effect::Fill(name)
    } else if tokens[kind].is("view") {
        Effect::View(name)
    } else if filled || tokens.iter().take(3).any(|token| token.is("external")) {
        Effect::Fill(name)
    } else {
        Effect::Create(name)
    }
}

/// The head and the rows of `INSERT .. VALUES (..), (..)`; None if anything follows them or a row holds a query.
pub fn insert_pieces(sql: &str) -> Option<(&str, Vec<&str>)> {
    let tokens = scan(sql);
    if !tokens.first()?.is("insert") || tokens.iter().any(|token| token.is("select")) {
        return None;
    }
    let values = tokens.iter().position(|token| token.depth == 0 && token.is("values"))?;
    let mut rows = Vec::new();
    let mut open = None;
    for token in &tokens[values + 1..] {
        match (token.depth, token.text) {
            (0, "(") if token.kind == Kind::Symbol => open = Some(token.start),
            (0, ")") if token.kind == Kind::Symbol => rows.push(&sql[open.take()?..token.end()]),
            (0, "," | ";") => {}
            (0, _) => return None,
            _ => {}
        }
    }
    Some((&sql[..tokens[values].end()], rows))
}

/// A table that DataFusion's files define and fill in one statement, as its definition and an INSERT.
///
/// These are `CREATE TABLE name (columns) AS query` and `CREATE EXTERNAL TABLE name (columns) STORED AS CSV LOCATION
/// 'path'`; as two statements, the rows arrive behind the views. None for anything else.
pub fn define_and_fill(sql: &str) -> Option<[String; 2]> {
    let tokens = scan(sql);
    let table = tokens.iter().take(5).position(|token| token.is("table"))?;
    let external = tokens.iter().take(table).any(|token| token.is("external"));
    if !tokens.first()?.is("create") {
        return None;
    }
    let name = table + if tokens.get(table + 1)?.is("if") { 4 } else { 1 };
    if !tokens.get(name + 1)?.symbol("(") {
        return None;
    }
    let close = (name + 2..tokens.len()).find(|&n| tokens[n].depth == 0 && tokens[n].symbol(")"))?;
    let fill = match tokens.get(close + 1)? {
        _ if external => csv_query(&tokens[close..])?,
        next if next.is("as") => sql[next.end()..].to_string(),
        _ => return None,
    };
    let name = tokens[name].text;
    let mut create = sql[..tokens[close].end()].to_string();
    if let Some(word) = tokens.iter().take(table).find(|token| token.is("external")) {
        create.replace_range(word.end() - word.text.len()..word.end(), "");
    }
    Some([create, format!("INSERT INTO {name} {fill}")])
}

/// The query that reads the CSV file of an external table, given the clauses behind its columns.
fn csv_query(clauses: &[Token<'_>]) -> Option<String> {
    let at = |word: &str| clauses.iter().position(|token| token.is(word));
    if !clauses.get(at("stored")? + 2)?.is("csv") || at("partitioned").is_some() {
        return None;
    }
    let path = clauses.get(at("location")? + 1)?.text;
    let mut header = "true";
    for (n, token) in clauses.iter().enumerate() {
        match token.text.trim_matches('\'').strip_prefix("format.") {
            Some("has_header") => header = clauses.get(n + 1)?.text.trim_matches('\''),
            Some(_) => return None,
            None => {}
        }
    }
    Some(format!("SELECT * FROM read_csv({path}, header => {header})"))
}

/// How the values of a row are spelt: one letter a token.
pub fn literal_kinds(row: &str) -> String {
    let letter = |token: &Token<'_>| match token.kind {
        Kind::Text => 't',
        Kind::Number if token.text.bytes().all(|byte| byte.is_ascii_digit()) => 'i',
        Kind::Number => 'r',
        Kind::Word if token.is("null") => 'n',
        Kind::Word | Kind::Quoted => 'w',
        Kind::Symbol => 's',
    };
    // A sign does not change the type.
    scan(row).iter().filter(|token| !token.symbol("-") && !token.symbol("+")).map(letter).collect()
}
