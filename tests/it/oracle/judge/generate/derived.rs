//! Queries in FROM and below EXISTS, of forms that random choices seldom come to.

use super::source::{columns_of, comparable};
use super::{Generator, Leaf, Offer};
use crate::oracle::judge::features::Feature;
use crate::oracle::judge::tree::*;
use crate::oracle::judge::value::Type;

impl Generator<'_> {
    /// A query that passes the columns of a relation on, some of them computed anew under their own or another's name.
    pub(super) fn passing(&mut self, outer: &Offer) -> (Query, Vec<(String, Type)>) {
        let (relation, alias) = (self.relation(), self.alias());
        let seen = outer.with_local(columns_of(&alias, &relation.columns), true);
        let mut items = Vec::new();
        let mut columns = relation.columns.clone();
        if self.may(Feature::RENAMED, 3) {
            let (at, other) = (self.random.below(columns.len()), self.random.below(columns.len()));
            let name = columns[at].0.clone();
            columns[at].0 = std::mem::replace(&mut columns[other].0, name);
        }
        for ((name, ty), (original, _)) in columns.iter().zip(&relation.columns) {
            let item = match self.random.one_in(3) {
                true => self.expression(*ty, &seen, 1),
                false => Expr::column(&alias, original),
            };
            items.push((item, name.clone()));
        }
        let hidden = self.pick(&relation.columns);
        if self.random.one_in(3) && columns.len() > 1 {
            let at = self.random.below(columns.len());
            items.remove(at);
            columns.remove(at);
        }
        let key = Expr::column(&alias, &hidden.0);
        let mut select = Select::new(items, Some(From::Relation { name: relation.name, alias }));
        if self.random.one_in(2) {
            select.filter = Some(self.predicate(&seen, 1));
        }
        let mut query = Query::of(select);
        if self.may(Feature::LIMIT, 3) && columns.iter().all(|(_, ty)| is_sortable(*ty)) {
            self.limit(&mut query, columns.len());
            // What sorts them first need not be among the columns.
            let named = columns.iter().any(|(name, _)| *name == hidden.0);
            let may_stand = is_sortable(hidden.1) && (!named || self.on(Feature::LIMIT_HIDDEN_NAMED));
            if may_stand && self.may(Feature::LIMIT_HIDDEN, 2) {
                let order = self.sort_key(key);
                query.order.insert(0, order);
            }
        }
        (query, columns)
    }

    /// Groups whose rows UNNEST makes several of, so that their keys no longer tell them apart.
    pub(super) fn spread(&mut self) -> (Query, Vec<(String, Type)>) {
        let (relation, alias, around) = (self.relation(), self.alias(), self.alias());
        let mut leaves = columns_of(&alias, &relation.columns);
        leaves.retain(|leaf| is_sortable(leaf.ty));
        let seen = Offer { local: leaves.clone(), ..Offer::default() };
        let mut keys: Vec<Leaf> = Vec::new();
        for _ in 0..1 + self.random.below(2) {
            if let Some(key) = (!leaves.is_empty()).then(|| self.pick(&leaves))
                && !keys.iter().any(|known| known.expr == key.expr)
            {
                keys.push(key);
            }
        }
        let mut columns: Vec<(String, Type)> =
            keys.iter().enumerate().map(|(at, key)| (format!("o{at}"), key.ty)).collect();
        let items = keys.iter().zip(&columns).map(|(key, (name, _))| (key.expr.clone(), name.clone())).collect();
        let mut groups = Select::new(items, Some(From::Relation { name: relation.name, alias }));
        if self.random.one_in(2) && !keys.is_empty() {
            groups.distinct = Distinct::Whole;
        } else {
            let name = format!("o{}", columns.len());
            groups.items.push((self.aggregate(Type::Int, &seen), name.clone()));
            columns.push((name, Type::Int));
            let keys: Vec<Expr> = keys.into_iter().map(|key| key.expr).collect();
            groups.group = if keys.is_empty() { None } else { Some(Group { kind: GroupKind::Plain, keys }) };
        }
        let own = columns_of(&around, &columns);
        let offer = Offer { local: own.clone(), ..Offer::default() };
        let names = columns.iter().map(|(name, _)| name.clone());
        let mut items: Vec<(Expr, String)> = own.iter().map(|leaf| leaf.expr.clone()).zip(names).collect();
        let count = 1 + self.random.below(3);
        let elements = (0..count).map(|_| match self.random.one_in(2) {
            true => self.literal(Type::Int, true),
            false => self.expression(Type::Int, &offer, 0),
        });
        items.push((Expr::Unnest(Box::new(Expr::List(elements.collect()))), "u".to_string()));
        columns.push(("u".to_string(), Type::Int));
        let from = From::Query { query: Box::new(Query::of(groups)), alias: around, lateral: false };
        (Query::of(Select::new(items, Some(from))), columns)
    }

    /// The rows of a relation that meet the outer row, if the two have columns that can be compared.
    pub(super) fn matching(&mut self, offer: &Offer) -> Option<Query> {
        let outer = offer.below();
        let (relation, alias) = (self.relation(), self.alias());
        let local = columns_of(&alias, &relation.columns);
        let mut pairs = Vec::new();
        for inner in &local {
            pairs.extend(outer.outer.iter().filter(|leaf| comparable(inner.ty, leaf.ty)).map(|leaf| (inner, leaf)));
        }
        if pairs.is_empty() {
            return None;
        }
        let (inner, other) = pairs[self.random.below(pairs.len())];
        let (inner, other) = (Box::new(inner.expr.clone()), Box::new(other.expr.clone()));
        let mut condition = Expr::Compare(Comparison::Equal, inner, other);
        let item = self.pick(&local).expr;
        if self.random.one_in(3) {
            let seen = Offer { local, ..Offer::default() };
            condition = condition.and(self.predicate(&seen, 0));
        }
        let from = From::Relation { name: relation.name, alias };
        let mut select = Select::new(vec![(item, "o0".to_string())], Some(from));
        select.filter = Some(condition);
        Some(Query::of(select))
    }

    /// A query below EXISTS; which rows OFFSET leaves does not matter there, but how many.
    pub(super) fn existing(&mut self, offer: &Offer, depth: usize) -> Query {
        let matching = if self.may(Feature::CORRELATED, 2) { self.matching(offer) } else { None };
        let mut query = match matching {
            Some(query) => query,
            None => {
                let types = self.types(1);
                self.subquery(&types, offer, depth)
            }
        };
        let plain = query.limit.is_none() && query.offset.is_none() && query.order.is_empty();
        if plain && self.may(Feature::EXISTS_CUT, 3) && self.on(Feature::LIMIT) {
            let choice = self.random.below(4);
            query.offset = (choice > 0).then(|| self.random.below(3));
            query.limit = (choice < 2).then(|| self.random.below(3));
        }
        query
    }
}

fn is_sortable(ty: Type) -> bool {
    !matches!(ty, Type::List | Type::Struct)
}
