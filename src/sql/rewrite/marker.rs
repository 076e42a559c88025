//! What one pass writes into a tree and a later one reads there, where syntax has no words for it.
//!
//! A marker stands as the name of something. Its identifier is quoted by [`QUOTE`], which our dialect does not know as
//! a quote: no text has such an identifier, so what a tree calls so was put there by a pass. The binder resolves some
//! functions by their text alone; before it does, [`refuse_forged`] has refused such names to users.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, FunctionArg, Ident, ObjectName, Query, TableAlias, TableFactor, Visitor};
use sqlparser::tokenizer::Token;

use super::build::{call_of, table_function};
use super::result;
use crate::base::error::{Error, ErrorKind, Result};
use crate::sql::error::{located, place};
use crate::sql::walk::walk;

/// The quote of markers.
const QUOTE: char = '`';

/// A sign from pass to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Marker {
    /// In MATCH_CONDITION: the match condition of this ASOF JOIN is one of those in ON.
    ConditionInOn,
    /// The same of an ASOF LEFT JOIN.
    LeftConditionInOn,
    /// A function around the match condition of a join that is an as-of join.
    AsOf,
    /// A function around a cast that must not be called like its operand.
    NamedCast,
    /// A function of a value, a list and an operator: `x op ANY (list)`.
    Any,
    /// The same for ALL.
    All,
    /// A table function of two queries: EXCEPT ALL.
    ExceptAll,
    /// A table function of two queries: INTERSECT ALL.
    IntersectAll,
    /// A table function of a query and a name: rows that are one set wherever they are read.
    SharedRows,
    /// A table function of a relation's name: the target of UPDATE or DELETE, with its row ids.
    Target,
    /// A table function of a path: a file named by a string in FROM.
    File,
    /// The partition of a relation that the binder has asked us for already.
    Asked,
    /// A function around the number of rows of FETCH .. WITH TIES.
    WithTies,
    /// A function around an item of the step of a recursive query.
    Step,
}

impl Marker {
    /// All markers.
    pub(in crate::sql) const ALL: [Marker; 14] = [
        Marker::ConditionInOn,
        Marker::LeftConditionInOn,
        Marker::AsOf,
        Marker::NamedCast,
        Marker::Any,
        Marker::All,
        Marker::ExceptAll,
        Marker::IntersectAll,
        Marker::SharedRows,
        Marker::Target,
        Marker::File,
        Marker::Asked,
        Marker::WithTies,
        Marker::Step,
    ];

    /// The text that stands for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Marker::ConditionInOn => "eddy_asof_on",
            Marker::LeftConditionInOn => "eddy_asof_left_on",
            Marker::AsOf => "eddy_asof",
            Marker::NamedCast => "eddy_cast",
            Marker::Any => "eddy_any",
            Marker::All => "eddy_all",
            Marker::ExceptAll => "eddy_except_all",
            Marker::IntersectAll => "eddy_intersect_all",
            Marker::SharedRows => "eddy_shared",
            Marker::Target => "eddy_target",
            Marker::File => "eddy_file",
            Marker::Asked => "eddy_asked",
            Marker::WithTies => "eddy_with_ties",
            Marker::Step => "eddy_step",
        }
    }

    /// The marker as an identifier.
    pub(crate) fn ident(self) -> Ident {
        Ident::with_quote(QUOTE, self.name())
    }

    /// The marker as a token.
    pub(crate) fn token(self) -> Token {
        Token::make_word(self.name(), Some(QUOTE))
    }

    /// The marker that an identifier is.
    pub(crate) fn of(ident: &Ident) -> Option<Marker> {
        let is_marked = ident.quote_style == Some(QUOTE);
        Marker::ALL.into_iter().find(|marker| is_marked && marker.name() == ident.value)
    }

    /// The marker that a name of one part is.
    pub(crate) fn of_name(name: &ObjectName) -> Option<Marker> {
        match name.0.as_slice() {
            [part] => part.as_ident().and_then(Marker::of),
            _ => None,
        }
    }

    /// A call of it.
    pub(crate) fn call(self, arguments: Vec<Expr>) -> Expr {
        call_of(self.ident(), arguments)
    }

    /// A call of it in FROM.
    pub(crate) fn relation(self, arguments: Vec<FunctionArg>, alias: Option<TableAlias>) -> TableFactor {
        table_function(vec![self.ident()].into(), arguments, alias)
    }
}

/// Refuses calls of what only passes may call.
pub(super) fn refuse_forged(query: &mut Query) -> Result<()> {
    struct Door;
    impl Visitor for Door {
        type Break = Error;

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
            match expr {
                Expr::Function(function) => refuse(&function.name),
                _ => ControlFlow::Continue(()),
            }
        }

        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Error> {
            match factor {
                TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => refuse(name),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    result(walk(query, &mut Door))
}

fn refuse(name: &ObjectName) -> ControlFlow<Error> {
    let called = name.0.last().and_then(|part| part.as_ident());
    let forged = |ident: &&Ident| {
        Marker::of(ident).is_none() && Marker::ALL.iter().any(|marker| marker.name().eq_ignore_ascii_case(&ident.value))
    };
    match called.filter(forged) {
        None => ControlFlow::Continue(()),
        Some(ident) => {
            let error = Error::new(ErrorKind::NotFound, format!("function \"{}\" does not exist", ident.value));
            ControlFlow::Break(located(error.with_sqlstate("42883"), place(name)))
        }
    }
}
