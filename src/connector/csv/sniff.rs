//! Finding delimiter, quotes and header of delimited text from its first rows.
//!
//! Every candidate dialect reads the sample; the one with the steadiest number of fields wins, more fields first, then
//! the order `,` `;` tab `|`. The first row is a header if it does not have the type of the rows below it, or if all
//! columns are text and its values are distinct names that do not occur again.

use std::collections::{HashMap, HashSet};

use crate::connector::csv::build::Reading;
use crate::connector::csv::guess::Guess;
use crate::connector::csv::tokens::{Dialect, Records, Tokenizer};
use crate::connector::options::{ColumnTypes, ReadOptions};
use arrow::datatypes::DataType;

/// Rows looked at unless the user says otherwise.
pub const SAMPLE_ROWS: usize = 20_480;
/// Bytes looked at.
pub const SAMPLE_BYTES: usize = 1 << 19;

/// What the sample shows.
#[derive(Debug)]
pub struct Sniffed {
    /// How fields are separated.
    pub dialect: Dialect,
    /// Whether the first row names the columns.
    pub header: bool,
    /// The first row, if there is one.
    pub first: Option<Vec<String>>,
}

/// Looks at the first bytes of a file; `names` are the columns it is to be read into, if that is known.
pub fn sniff(sample: &[u8], truncated: bool, options: &ReadOptions, names: Option<&[&str]>) -> Sniffed {
    let rows = options.sample_rows.unwrap_or(SAMPLE_ROWS);
    let mut best: Option<(Score, Dialect, Records)> = None;
    let mut broken: Option<Dialect> = None;
    for dialect in candidates(options) {
        let Some(records) = tokenize(sample, truncated, dialect, rows) else {
            broken = broken.or(Some(dialect).filter(|dialect| separates_lines(sample, dialect.delimiter)));
            continue;
        };
        // Single quotes have to earn their place; else an unclosed double quote would pass for text.
        if options.quote.is_none() && dialect.quote == Some(b'\'') && !records.any_quoted() {
            continue;
        }
        let score = Score::of(&records);
        if best.as_ref().is_none_or(|(best, ..)| score > *best) {
            best = Some((score, dialect, records));
        }
    }
    // A delimiter that is there line by line but for a quote that is not closed: not a file of one column.
    let unread = broken.filter(|_| best.as_ref().is_none_or(|(score, ..)| score.steadiness == 0));
    let (score, mut dialect, mut records) = match (unread, best) {
        (None, Some(best)) => best,
        // Nothing reads it: this dialect will say why when the file is read.
        (unread, _) => {
            let dialect = unread.unwrap_or_else(|| plain(options));
            let mut records = Records::default();
            let _ = Tokenizer::new(sample, dialect, false).read(&mut records, rows);
            (Score::default(), dialect, records)
        }
    };
    // Single quotes count only where they were used throughout and double quotes not at all.
    if options.quote.is_none() && !records.any_quoted() {
        let single = Dialect { quote: Some(b'\''), escape: Some(options.escape.unwrap_or(b'\'')), ..dialect };
        if let Some(other) = tokenize(sample, truncated, single, rows)
            && other.any_quoted()
            && Score::of(&other) >= score
        {
            (dialect, records) = (single, other);
        }
    }
    let first = (records.len() > 0).then(|| first_row(&records));
    let header = match (options.header, &first) {
        (Some(header), _) => header,
        (None, None) => false,
        (None, Some(first)) => has_header(&records, first, options, names),
    };
    Sniffed { dialect, header, first }
}

/// Whether nearly all lines have the delimiter, equally often.
fn separates_lines(sample: &[u8], delimiter: u8) -> bool {
    let lines = sample.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).take(1000);
    let counts: Vec<usize> = lines.map(|line| line.iter().filter(|&&byte| byte == delimiter).count()).collect();
    let first = counts.first().copied().unwrap_or(0);
    first > 0 && counts.iter().filter(|&&count| count == first).count() * 10 >= counts.len() * 8
}

/// Better dialects are greater.
#[derive(Debug, Default, PartialEq, PartialOrd)]
struct Score {
    /// 2: several columns in every row; 1: in nearly every row; 0 else.
    steadiness: u8,
    columns: usize,
}

impl Score {
    fn of(records: &Records) -> Self {
        let mut counts: HashMap<usize, usize> = HashMap::new();
        for record in 0..records.len() {
            *counts.entry(records.width(record)).or_default() += 1;
        }
        let Some((&columns, &rows)) = counts.iter().max_by_key(|&(columns, rows)| (*rows, *columns)) else {
            return Score::default();
        };
        let steadiness = match records.len() {
            _ if columns == 1 => 0,
            all if rows == all => 2,
            all if rows * 10 >= all * 8 => 1,
            _ => 0,
        };
        Score { steadiness, columns: if steadiness == 0 { 1 } else { columns } }
    }
}

fn plain(options: &ReadOptions) -> Dialect {
    let quote = options.quote.unwrap_or(Some(b'"'));
    Dialect {
        delimiter: options.delimiter.unwrap_or(b','),
        quote,
        escape: options.escape.or(quote),
        comment: options.comment,
        skip: options.skip,
    }
}

fn candidates(options: &ReadOptions) -> Vec<Dialect> {
    let delimiters = options.delimiter.map_or(vec![b',', b';', b'\t', b'|'], |one| vec![one]);
    let plain = plain(options);
    let escapes = match (options.escape, plain.quote) {
        (Some(escape), _) => vec![Some(escape)],
        (None, Some(quote)) => vec![Some(quote), Some(b'\\')],
        (None, None) => vec![None],
    };
    let quotes = |escape: Option<u8>| delimiters.iter().map(move |&delimiter| Dialect { delimiter, escape, ..plain });
    let mut dialects: Vec<Dialect> = escapes.into_iter().flat_map(quotes).collect();
    if options.quote.is_none() {
        let escape = Some(options.escape.unwrap_or(b'\''));
        let single = delimiters.iter().map(|&delimiter| Dialect { delimiter, quote: Some(b'\''), escape, ..plain });
        dialects.extend(single);
    }
    dialects
}

fn tokenize(sample: &[u8], truncated: bool, dialect: Dialect, rows: usize) -> Option<Records> {
    let mut records = Records::default();
    // The last line of a cut sample is not whole.
    let whole = match sample.iter().rposition(|&byte| byte == b'\n') {
        Some(end) if truncated => &sample[..=end],
        _ => sample,
    };
    match Tokenizer::new(whole, dialect, false).read(&mut records, rows) {
        Ok(_) => Some(records),
        // Cut inside a quoted field.
        Err(_) if truncated && records.len() > 0 => Some(records),
        Err(_) => None,
    }
}

fn first_row(records: &Records) -> Vec<String> {
    (0..records.width(0)).map(|column| String::from_utf8_lossy(records.field(0, column).0).trim().to_string()).collect()
}

fn has_header(records: &Records, first: &[String], options: &ReadOptions, names: Option<&[&str]>) -> bool {
    let given: Vec<&str> = match (&options.types, names) {
        (_, Some(names)) => names.to_vec(),
        (Some(ColumnTypes::All(columns)), None) => columns.iter().map(|(name, _)| name.as_str()).collect(),
        _ => Vec::new(),
    };
    if first.iter().any(|value| given.iter().any(|name| name.eq_ignore_ascii_case(value))) {
        return true;
    }
    let reading = Reading::new(options);
    let mut typed = false;
    for column in 0..first.len() {
        let mut below = Guess::default();
        for record in 1..records.len() {
            if column < records.width(record) {
                let (field, quoted) = records.field(record, column);
                below.observe(field, quoted, &reading);
            }
        }
        let (field, quoted) = records.field(0, column);
        let data_type = below.data_type();
        let before = data_type.clone();
        below.observe(field, quoted, &reading);
        if before != DataType::Utf8View
            && !reading.is_null(field, quoted, false)
            && !fits(&before, field, quoted, &reading)
        {
            return true;
        }
        let mut alone = Guess::default();
        alone.observe(field, quoted, &reading);
        typed |= before != DataType::Utf8View || alone.data_type() != DataType::Utf8View;
    }
    // All text: where the columns are named already, a first row is not thrown away on a guess.
    !typed && given.is_empty() && looks_like_names(records, first)
}

fn fits(data_type: &DataType, field: &[u8], quoted: bool, reading: &Reading) -> bool {
    let mut alone = Guess::default();
    alone.observe(field, quoted, reading);
    match (data_type, alone.data_type()) {
        (_, one) if one == *data_type => true,
        (DataType::Float64, DataType::Int64) | (DataType::Timestamp(_, _), DataType::Date32) => true,
        // A first value of another type widens the column, it does not name it.
        (_, DataType::Utf8View) => false,
        _ => true,
    }
}

fn looks_like_names(records: &Records, first: &[String]) -> bool {
    let distinct: HashSet<&String> = first.iter().collect();
    if distinct.len() < first.len() || first.iter().any(|name| name.is_empty() || name.len() > 100) {
        return false;
    }
    let repeats = |column: usize| {
        let (name, _) = records.field(0, column);
        (1..records.len()).any(|record| column < records.width(record) && records.field(record, column).0 == name)
    };
    !(0..first.len()).any(repeats)
}
