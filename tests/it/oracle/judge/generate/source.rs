//! FROM items.

use super::{Generator, Leaf, Offer, has_query};
use crate::oracle::judge::features::Feature;
use crate::oracle::judge::tree::*;
use crate::oracle::judge::value::Type;

impl Generator<'_> {
    /// An item and the columns it offers; `taken` are the aliases of the FROM it becomes part of.
    pub(super) fn source(&mut self, depth: usize, outer: &Offer, taken: &mut Vec<String>) -> (From, Vec<Leaf>) {
        if !self.with.is_empty() && self.may(Feature::WITH_TWICE, 2) {
            return self.with_twice(outer, taken);
        }
        if depth > 0 && self.may(Feature::JOIN, 2) {
            return self.join(depth - 1, outer, taken);
        }
        self.simple(depth, outer, taken)
    }

    /// An item that is no join.
    fn simple(&mut self, depth: usize, outer: &Offer, taken: &mut Vec<String>) -> (From, Vec<Leaf>) {
        if depth > 0 && self.may(Feature::DERIVED, 3) {
            let alias = self.fresh(outer, taken);
            if self.random.one_in(2) {
                let (query, columns) = match self.may(Feature::UNNEST_GROUPS, 3) {
                    true => self.spread(),
                    false => self.passing(outer),
                };
                let leaves = columns_of(&alias, &columns);
                return (From::Query { query: Box::new(query), alias, lateral: false }, leaves);
            }
            let types = self.types(3);
            // A query in FROM does not see the items beside it, but the SELECTs around.
            let query = self.query(&types, depth - 1, outer);
            let leaves = columns_of(&alias, &result_columns(&query, &types));
            return (From::Query { query: Box::new(query), alias, lateral: false }, leaves);
        }
        let relation = self.relation();
        let alias = self.fresh(outer, taken);
        let leaves = columns_of(&alias, &relation.columns);
        (From::Relation { name: relation.name, alias }, leaves)
    }

    pub(super) fn relation(&mut self) -> Table {
        if !self.with.is_empty() && self.random.one_in(2) {
            return self.pick(&self.with.clone());
        }
        self.pick(&self.tables.clone())
    }

    /// A WITH query beside itself, whose rows must be the same on both sides.
    fn with_twice(&mut self, outer: &Offer, taken: &mut Vec<String>) -> (From, Vec<Leaf>) {
        let relation = self.pick(&self.with.clone());
        let mut side = || {
            let alias = self.fresh(outer, taken);
            let leaves = columns_of(&alias, &relation.columns);
            (Box::new(From::Relation { name: relation.name.clone(), alias }), leaves)
        };
        let ((left, lefts), (right, rights)) = (side(), side());
        let is_key = |leaf: &Leaf| !matches!(leaf.ty, Type::List | Type::Struct);
        let on = match lefts.iter().position(is_key) {
            Some(at) if self.random.one_in(2) => {
                let (l, r) = (lefts[at].expr.clone(), rights[at].expr.clone());
                On::Condition(Expr::Compare(Comparison::Equal, Box::new(l), Box::new(r)))
            }
            _ => On::Cross,
        };
        (From::Join { kind: JoinKind::Inner, left, right, on }, lefts.into_iter().chain(rights).collect())
    }

    /// An alias that this FROM has not; at times it hides one from around.
    fn fresh(&mut self, outer: &Offer, taken: &mut Vec<String>) -> String {
        let mut alias = self.alias();
        if !outer.outer.is_empty() && self.may(Feature::SHADOW, 10) {
            let leaf = self.pick(&outer.outer);
            if let Expr::Column(Some(qualifier), _) = leaf.expr
                && !taken.contains(&qualifier)
            {
                alias = qualifier;
            }
        }
        taken.push(alias.clone());
        alias
    }

    fn join(&mut self, depth: usize, outer: &Offer, taken: &mut Vec<String>) -> (From, Vec<Leaf>) {
        let (left, left_leaves) = self.source(depth, outer, taken);
        if self.may(Feature::LATERAL, 10) {
            return self.lateral(left, left_leaves, depth, outer, taken);
        }
        let (right, right_leaves) =
            if self.random.one_in(4) { self.source(depth, outer, taken) } else { self.simple(depth, outer, taken) };
        if self.random.one_in(5)
            && let Some(joined) = self.merging(&left, &left_leaves, &right, &right_leaves)
        {
            return joined;
        }
        let (left_leaves, right_leaves) =
            (unambiguous(&left_leaves, &right_leaves), unambiguous(&right_leaves, &left_leaves));
        let leaves: Vec<Leaf> = left_leaves.iter().chain(&right_leaves).cloned().collect();
        let kind = self.join_kind();
        let on = self.on_condition(kind, &left_leaves, &right_leaves, outer);
        let kind = if on == On::Cross { JoinKind::Inner } else { kind };
        (From::Join { kind, left: Box::new(left), right: Box::new(right), on }, leaves)
    }

    fn join_kind(&mut self) -> JoinKind {
        match self.random.below(8) {
            0 | 1 if self.on(Feature::OUTER) => JoinKind::Left,
            2 if self.on(Feature::OUTER) => JoinKind::Right,
            3 if self.on(Feature::FULL) => JoinKind::Full,
            _ => JoinKind::Inner,
        }
    }

    fn on_condition(&mut self, kind: JoinKind, left: &[Leaf], right: &[Leaf], outer: &Offer) -> On {
        let both: Vec<Leaf> = left.iter().chain(right).cloned().collect();
        let mut seen = outer.with_local(both, true);
        // What is around may not be seen from ON of an outer join in every engine; WHERE tests correlation.
        (seen.outer, seen.far) = (Vec::new(), Vec::new());
        let pair = self.pair(left, right);
        let Some((l, r)) = pair else {
            if kind == JoinKind::Inner {
                return On::Cross;
            }
            return On::Condition(self.simple_condition(&seen));
        };
        if self.random.one_in(12) && kind == JoinKind::Inner {
            return On::Cross;
        }
        if self.may(Feature::NON_EQUI, 6) {
            let comparison = self.pick(&[Comparison::Less, Comparison::GreaterEqual, Comparison::Unequal]);
            return On::Condition(Expr::Compare(comparison, Box::new(l), Box::new(r)));
        }
        let mut condition = match self.may(Feature::NULL_SAFE_JOIN, 10) {
            true => Expr::Distinct(Box::new(l), Box::new(r), true),
            false => Expr::Compare(Comparison::Equal, Box::new(l), Box::new(r)),
        };
        if self.random.one_in(3) {
            condition = condition.and(self.simple_condition(&seen));
        }
        On::Condition(condition)
    }

    /// A condition for ON.
    fn simple_condition(&mut self, seen: &Offer) -> Expr {
        loop {
            let level = self.level(2);
            let condition = self.predicate(seen, level);
            if self.on(Feature::ON_QUERY) || !has_query(&condition) {
                return condition;
            }
        }
    }

    /// Two columns that can be compared; at times one of them is rounded.
    fn pair(&mut self, left: &[Leaf], right: &[Leaf]) -> Option<(Expr, Expr)> {
        for _ in 0..8 {
            if left.is_empty() || right.is_empty() {
                return None;
            }
            let (mut l, r) = (self.pick(left), self.pick(right));
            if !comparable(l.ty, r.ty) {
                continue;
            }
            if self.random.one_in(6) {
                let offer = Offer { local: left.to_vec(), ..Offer::default() };
                let computed = self.expression(l.ty, &offer, 1);
                if self.on(Feature::ON_QUERY) || !has_query(&computed) {
                    l.expr = computed;
                }
            }
            if matches!((l.ty, r.ty), (Type::Decimal(..), Type::Decimal(..))) && self.may(Feature::ROUND_JOIN, 2) {
                return Some((l.expr, Expr::Call(Function::Round, vec![r.expr, Expr::int(1)])));
            }
            return Some((l.expr, r.expr));
        }
        None
    }

    /// JOIN USING or NATURAL JOIN, if both sides have the names once and of comparable types.
    fn merging(&mut self, left: &From, lefts: &[Leaf], right: &From, rights: &[Leaf]) -> Option<(From, Vec<Leaf>)> {
        let once = |leaves: &[Leaf], name: &str| -> Option<Type> {
            let fitting: Vec<Type> = leaves.iter().filter(|leaf| named(leaf) == name).map(|leaf| leaf.ty).collect();
            if fitting.len() == 1 { Some(fitting[0]) } else { None }
        };
        let mut common: Vec<(String, Type)> = Vec::new();
        for leaf in lefts {
            let name = named(leaf);
            if !rights.iter().any(|other| named(other) == name) {
                continue;
            }
            let (l, r) = (once(lefts, &name)?, once(rights, &name)?);
            if l != r || matches!(l, Type::List | Type::Struct) {
                return None;
            }
            common.push((name, l));
        }
        if common.is_empty() {
            return None;
        }
        let on = if self.may(Feature::NATURAL_BARE, 3) && self.on(Feature::NATURAL) {
            On::Natural
        } else if self.on(Feature::USING) {
            common.truncate(1 + self.random.below(common.len()));
            On::Using(common.iter().map(|(name, _)| name.clone()).collect())
        } else {
            return None;
        };
        let merged = common.iter().map(|(name, ty)| Leaf { expr: Expr::Column(None, name.clone()), ty: *ty });
        let qualified = |leaf: &&Leaf| {
            matches!(&leaf.expr, Expr::Column(Some(_), _)) || !common.iter().any(|(name, _)| *name == named(leaf))
        };
        let leaves = merged.chain(lefts.iter().chain(rights).filter(qualified).cloned()).collect();
        let kind = self.join_kind();
        Some((From::Join { kind, left: Box::new(left.clone()), right: Box::new(right.clone()), on }, leaves))
    }

    /// A query that sees the items to its left.
    fn lateral(
        &mut self,
        left: From,
        lefts: Vec<Leaf>,
        depth: usize,
        outer: &Offer,
        taken: &mut Vec<String>,
    ) -> (From, Vec<Leaf>) {
        let alias = self.alias();
        taken.push(alias.clone());
        let mut inside = Vec::new();
        let mut around = outer.clone();
        taken.iter().for_each(|alias| around.without(alias));
        let seen = around.with_local(lefts.clone(), false).below();
        let (from, local) = self.source(depth.min(1), &seen, &mut inside);
        let mut offer = seen.with_local(local, true);
        inside.iter().for_each(|alias| offer.without(alias));
        let types = self.types(2);
        let alone = offer.with_local(offer.local.clone(), true);
        let alone = Offer { outer: Vec::new(), far: Vec::new(), ..alone };
        let items = types.iter().enumerate();
        let items = items.map(|(at, ty)| (self.expression(*ty, &alone, 1), format!("o{at}"))).collect();
        let mut select = Select::new(items, Some(from));
        select.filter = Some(self.predicate(&offer, 1));
        while select.filter.as_ref().is_some_and(has_query) && !self.on(Feature::LATERAL_QUERY) {
            select.filter = Some(self.predicate(&offer, 0));
        }
        let leaves = columns_of(&alias, &result_columns(&Query::of(select.clone()), &types));
        let (kind, on) = match self.may(Feature::OUTER, 3) {
            true => (JoinKind::Left, On::Condition(Expr::truth(true))),
            false => (JoinKind::Inner, On::Cross),
        };
        let right = From::Query { query: Box::new(Query::of(select)), alias, lateral: true };
        let lefts = unambiguous(&lefts, &leaves);
        let leaves = lefts.into_iter().chain(leaves).collect();
        (From::Join { kind, left: Box::new(left), right: Box::new(right), on }, leaves)
    }
}

/// The names of a query's result.
pub(super) fn result_columns(query: &Query, types: &[Type]) -> Vec<(String, Type)> {
    let names: Vec<String> = match &query.body {
        Body::Select(select) => select.items.iter().map(|(_, name)| name.clone()).collect(),
        Body::Set { left, .. } => return result_columns(left, types),
        Body::Values(_) => (1..=types.len()).map(|number| format!("column{number}")).collect(),
    };
    names.into_iter().zip(types.iter().copied()).collect()
}

pub(super) fn columns_of(alias: &str, columns: &[(String, Type)]) -> Vec<Leaf> {
    columns.iter().map(|(name, ty)| Leaf { expr: Expr::column(alias, name), ty: *ty }).collect()
}

/// Leaves out merged columns whose name the other side has too.
fn unambiguous(leaves: &[Leaf], others: &[Leaf]) -> Vec<Leaf> {
    let caught = |leaf: &Leaf| {
        matches!(leaf.expr, Expr::Column(None, _)) && others.iter().any(|other| named(other) == named(leaf))
    };
    leaves.iter().filter(|leaf| !caught(leaf)).cloned().collect()
}

fn named(leaf: &Leaf) -> String {
    match &leaf.expr {
        Expr::Column(_, name) => name.clone(),
        _ => String::new(),
    }
}

/// Whether two types can be compared.
pub(super) fn comparable(l: Type, r: Type) -> bool {
    let number = |ty: Type| ty.is_integer() || matches!(ty, Type::Decimal(..));
    match (l, r) {
        (Type::List | Type::Struct, _) | (_, Type::List | Type::Struct) => false,
        (Type::Date | Type::Timestamp, Type::Date | Type::Timestamp) => true,
        _ => l == r || (number(l) && number(r)),
    }
}
