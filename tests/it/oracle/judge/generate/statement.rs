//! Statements that change tables.

use super::{Generator, Leaf, Offer};
use crate::oracle::judge::features::Feature;
use crate::oracle::judge::tree::*;
use crate::oracle::judge::value::Type;

impl Generator<'_> {
    pub(super) fn insert(&mut self, table: &Table, rows: usize) -> Statement {
        let row = |generator: &mut Self| table.columns.iter().map(|(_, ty)| generator.literal(*ty, true)).collect();
        let rows = (0..rows.div_ceil(3) + self.random.below(rows)).map(|_| row(self)).collect();
        Statement::Insert { table: table.name.clone(), query: Query::with_body(Body::Values(rows)) }
    }

    pub(super) fn statement(&mut self) -> Statement {
        let table = self.pick(&self.tables.clone());
        let own = Offer { local: columns_of(&table.name, &table.columns), ..Offer::default() };
        match self.random.below(10) {
            0..=2 if self.on(Feature::UPDATE) => {
                let (from, seen) = self.others(Feature::UPDATE_FROM, &own);
                let columns: Vec<(String, Type)> =
                    table.columns.iter().filter(|(_, ty)| is_plain(*ty)).cloned().collect();
                let (name, ty) = self.pick(&columns);
                let value = self.expression(ty, &seen, 1);
                let filter = Some(self.condition(&own, &seen));
                Statement::Update { table: table.name, set: vec![(name, value)], from, filter }
            }
            3..=5 if self.on(Feature::DELETE) => {
                let (using, seen) = self.others(Feature::DELETE_USING, &own);
                let filter = Some(self.condition(&own, &seen));
                Statement::Delete { table: table.name, using, filter }
            }
            6 if self.on(Feature::INSERT_SELECT) && table.columns.iter().all(|(_, ty)| is_plain(*ty)) => {
                let types: Vec<Type> = table.columns.iter().map(|(_, ty)| *ty).collect();
                let mut query = self.query(&types, 1, &Offer::default());
                if query.order.is_empty() && self.may_be_ordered(&query) {
                    query.order = (1..=types.len()).map(|number| self.sort_key(Expr::Ordinal(number))).collect();
                    query.limit = Some(5);
                }
                Statement::Insert { table: table.name, query }
            }
            _ => self.insert(&table, 4),
        }
    }

    /// Another relation beside the table that changes.
    fn others(&mut self, feature: Feature, own: &Offer) -> (Option<From>, Offer) {
        if !self.may(feature, 3) {
            return (None, own.clone());
        }
        let other = self.pick(&self.tables.clone());
        let alias = self.alias();
        let mut seen = own.clone();
        seen.local.extend(columns_of(&alias, &other.columns));
        (Some(From::Relation { name: other.name, alias }), seen)
    }

    fn condition(&mut self, own: &Offer, seen: &Offer) -> Expr {
        let condition = self.predicate(seen, 1);
        if own.local.len() == seen.local.len() {
            return condition;
        }
        let (own, other) = (&own.local[0], &seen.local[own.local.len()]);
        Expr::Compare(Comparison::Equal, Box::new(own.expr.clone()), Box::new(other.expr.clone())).and(condition)
    }
}

fn columns_of(alias: &str, columns: &[(String, Type)]) -> Vec<Leaf> {
    columns.iter().map(|(name, ty)| Leaf { expr: Expr::column(alias, name), ty: *ty }).collect()
}

fn is_plain(ty: Type) -> bool {
    !matches!(ty, Type::List | Type::Struct)
}
