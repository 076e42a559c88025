//! Walks over the syntax tree.
//!
//! The walk of the parser library is generic in its visitor, and some ten thousand functions long: compiled again for
//! each of our visitors it was two fifths of this crate's code. Here it is compiled once, for a visitor behind a
//! pointer, which costs a call a node of a tree that the parser has just allocated node by node.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, ObjectName, Query, Select, Statement, TableFactor, ValueWithSpan, Visit, VisitMut, Visitor, VisitorMut,
};

/// Shows `visitor` every part of `node`, in the order of the text.
pub fn walk<V: Visitor>(node: &impl Visit, visitor: &mut V) -> ControlFlow<V::Break> {
    let mut holder = Holder { visitor, broke: None };
    match node.visit(&mut Pointer(&mut holder as &mut dyn Watch)) {
        ControlFlow::Continue(()) => ControlFlow::Continue(()),
        ControlFlow::Break(()) => holder.broke.map_or(ControlFlow::Continue(()), ControlFlow::Break),
    }
}

/// Hands `visitor` every part of `node` for change, in the order of the text.
pub fn walk_mut<V: VisitorMut>(node: &mut impl VisitMut, visitor: &mut V) -> ControlFlow<V::Break> {
    let mut holder = Holder { visitor, broke: None };
    match node.visit(&mut Pointer(&mut holder as &mut dyn Change)) {
        ControlFlow::Continue(()) => ControlFlow::Continue(()),
        ControlFlow::Break(()) => holder.broke.map_or(ControlFlow::Continue(()), ControlFlow::Break),
    }
}

/// Shows `look` every expression of `node`, those around before those within.
pub fn expressions<B>(node: &impl Visit, look: impl FnMut(&Expr) -> ControlFlow<B>) -> ControlFlow<B> {
    struct Expressions<F>(F);
    impl<B, F: FnMut(&Expr) -> ControlFlow<B>> Visitor for Expressions<F> {
        type Break = B;

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<B> {
            (self.0)(expr)
        }
    }
    walk(node, &mut Expressions(look))
}

/// Hands `change` every expression of `node`, those within before those around them.
pub fn expressions_mut(node: &mut impl VisitMut, change: impl FnMut(&mut Expr)) {
    struct Expressions<F>(F);
    impl<F: FnMut(&mut Expr)> VisitorMut for Expressions<F> {
        type Break = ();

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            (self.0)(expr);
            ControlFlow::Continue(())
        }
    }
    let _ = walk_mut(node, &mut Expressions(change));
}

/// Shows `look` every expression of `node` but those of its subqueries, which are another query's business; `node` is
/// not itself a query.
pub fn own_expressions(node: &impl Visit, look: impl FnMut(&Expr)) {
    struct Own<F> {
        queries: usize,
        look: F,
    }
    impl<F: FnMut(&Expr)> Visitor for Own<F> {
        type Break = ();

        fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
            self.queries += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
            self.queries -= 1;
            ControlFlow::Continue(())
        }

        fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if self.queries == 0 {
                (self.look)(expr);
            }
            ControlFlow::Continue(())
        }
    }
    let _ = walk(node, &mut Own { queries: 0, look });
}

/// Hands `change` every expression of `node` but those of its subqueries, those within before those around them; `node`
/// is not itself a query.
pub fn own_expressions_mut(node: &mut impl VisitMut, change: impl FnMut(&mut Expr)) {
    struct Own<F> {
        queries: usize,
        change: F,
    }
    impl<F: FnMut(&mut Expr)> VisitorMut for Own<F> {
        type Break = ();

        fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
            self.queries += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
            self.queries -= 1;
            ControlFlow::Continue(())
        }

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if self.queries == 0 {
                (self.change)(expr);
            }
            ControlFlow::Continue(())
        }
    }
    let _ = walk_mut(node, &mut Own { queries: 0, change });
}

/// Shows `look` the name of every relation in `node`.
pub fn relations<B>(node: &impl Visit, look: impl FnMut(&ObjectName) -> ControlFlow<B>) -> ControlFlow<B> {
    struct Relations<F>(F);
    impl<B, F: FnMut(&ObjectName) -> ControlFlow<B>> Visitor for Relations<F> {
        type Break = B;

        fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<B> {
            (self.0)(name)
        }
    }
    walk(node, &mut Relations(look))
}

/// A visitor and what it stopped with.
struct Holder<'a, V, B> {
    visitor: &'a mut V,
    broke: Option<B>,
}

impl<V, B> Holder<'_, V, B> {
    fn told(broke: &mut Option<B>, flow: ControlFlow<B>) -> ControlFlow<()> {
        match flow {
            ControlFlow::Continue(()) => ControlFlow::Continue(()),
            ControlFlow::Break(value) => {
                *broke = Some(value);
                ControlFlow::Break(())
            }
        }
    }
}

/// The visitor for which the walk is compiled.
struct Pointer<P>(P);

/// Writes, for one of the library's two traits of visitors, the trait of the pointer and the ways to and from it.
macro_rules! pointer {
    ($dynamic:ident, $visitor:ident, $($name:ident: $node:ty),* $(,)?) => {
        trait $dynamic {
            $(fn $name(&mut self, node: $node) -> ControlFlow<()>;)*
        }

        impl<V: $visitor> $dynamic for Holder<'_, V, V::Break> {
            $(fn $name(&mut self, node: $node) -> ControlFlow<()> {
                let flow = self.visitor.$name(node);
                Self::told(&mut self.broke, flow)
            })*
        }

        impl $visitor for Pointer<&mut dyn $dynamic> {
            type Break = ();

            $(fn $name(&mut self, node: $node) -> ControlFlow<()> {
                self.0.$name(node)
            })*
        }
    };
}

pointer!(
    Watch, Visitor,
    pre_visit_query: &Query, post_visit_query: &Query,
    pre_visit_select: &Select, post_visit_select: &Select,
    pre_visit_relation: &ObjectName, post_visit_relation: &ObjectName,
    pre_visit_table_factor: &TableFactor, post_visit_table_factor: &TableFactor,
    pre_visit_expr: &Expr, post_visit_expr: &Expr,
    pre_visit_statement: &Statement, post_visit_statement: &Statement,
    pre_visit_value: &ValueWithSpan, post_visit_value: &ValueWithSpan,
);

pointer!(
    Change, VisitorMut,
    pre_visit_query: &mut Query, post_visit_query: &mut Query,
    pre_visit_select: &mut Select, post_visit_select: &mut Select,
    pre_visit_relation: &mut ObjectName, post_visit_relation: &mut ObjectName,
    pre_visit_table_factor: &mut TableFactor, post_visit_table_factor: &mut TableFactor,
    pre_visit_expr: &mut Expr, post_visit_expr: &mut Expr,
    pre_visit_statement: &mut Statement, post_visit_statement: &mut Statement,
    pre_visit_value: &mut ValueWithSpan, post_visit_value: &mut ValueWithSpan,
);
