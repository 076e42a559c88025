//! A scanner for SQL text: words, numbers, strings and symbols with their place and nesting depth.
//!
//! The runner changes queries by cutting their text at token borders, never by printing a syntax tree: what reaches
//! the engine is what the file says, spelling and all. The scanner accepts any text and never fails; it knows
//! comments, quotes and brackets, and nothing of grammar.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A keyword or an unquoted name.
    Word,
    /// A name in double quotes.
    Quoted,
    /// A string in single quotes.
    Text,
    /// A number.
    Number,
    /// Anything else, one character each.
    Symbol,
}

/// One token of a text.
#[derive(Debug, Clone, Copy)]
pub struct Token<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its text, quotes included.
    pub text: &'a str,
    /// Where it starts, in bytes.
    pub start: usize,
    /// How many brackets are open around it; brackets themselves count as outside.
    pub depth: usize,
}

impl Token<'_> {
    /// Where it ends, in bytes.
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Whether it is this keyword (given in lower case).
    pub fn is(&self, keyword: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(keyword)
    }

    /// Whether it is this symbol.
    pub fn symbol(&self, symbol: &str) -> bool {
        self.kind == Kind::Symbol && self.text == symbol
    }

    /// The name it stands for: unquoted names fold to lower case. None for what is no name.
    pub fn name(&self) -> Option<String> {
        match self.kind {
            Kind::Word => Some(self.text.to_ascii_lowercase()),
            Kind::Quoted => Some(self.text.trim_matches('"').replace("\"\"", "\"")),
            _ => None,
        }
    }
}

/// The tokens of `sql`, without comments.
pub fn scan(sql: &str) -> Vec<Token<'_>> {
    let bytes = sql.as_bytes();
    let mut tokens = Vec::new();
    let (mut at, mut depth) = (0, 0usize);
    while at < bytes.len() {
        let start = at;
        let kind = match bytes[at] {
            b' ' | b'\t' | b'\n' | b'\r' => {
                at += 1;
                continue;
            }
            b'-' if bytes.get(at + 1) == Some(&b'-') => {
                at = sql[at..].find('\n').map_or(sql.len(), |n| at + n);
                continue;
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                at = sql[at + 2..].find("*/").map_or(sql.len(), |n| at + n + 4);
                continue;
            }
            b'\'' => Kind::Text,
            b'"' => Kind::Quoted,
            byte if byte.is_ascii_digit() => Kind::Number,
            byte if byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80 => Kind::Word,
            _ => Kind::Symbol,
        };
        at = match kind {
            Kind::Text => end_of_quoted(bytes, at, b'\''),
            Kind::Quoted => end_of_quoted(bytes, at, b'"'),
            Kind::Number => end_while(bytes, at, |b| b.is_ascii_alphanumeric() || b == b'.' || b == b'_'),
            Kind::Word => end_while(bytes, at, |b| b.is_ascii_alphanumeric() || b == b'_' || b == b'$' || b >= 0x80),
            Kind::Symbol => at + 1,
        };
        if matches!(bytes[start], b')' | b']' | b'}') {
            depth = depth.saturating_sub(1);
        }
        tokens.push(Token { kind, text: &sql[start..at], start, depth });
        if matches!(bytes[start], b'(' | b'[' | b'{') {
            depth += 1;
        }
    }
    tokens
}

/// The words of `sql` in lower case and its quoted names: everything that may name a relation.
pub fn names(sql: &str) -> Vec<String> {
    scan(sql).iter().filter_map(Token::name).collect()
}

fn end_of_quoted(bytes: &[u8], start: usize, quote: u8) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        if bytes[at] == quote {
            if bytes.get(at + 1) != Some(&quote) {
                return at + 1;
            }
            at += 1;
        }
        at += 1;
    }
    bytes.len()
}

fn end_while(bytes: &[u8], start: usize, more: impl Fn(u8) -> bool) -> usize {
    bytes[start..].iter().position(|b| !more(*b)).map_or(bytes.len(), |n| start + n)
}
