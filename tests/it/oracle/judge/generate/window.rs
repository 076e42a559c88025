//! Window functions: either the order is total, or the function gives peers the same.

use super::{Generator, Leaf, Offer, has_query};
use crate::oracle::judge::features::Feature;
use crate::oracle::judge::tree::*;
use crate::oracle::judge::value::Type;

impl Generator<'_> {
    pub(super) fn windowed(&mut self, select: &mut Select, types: &[Type], seen: &Offer) {
        let mut pool = seen.clone();
        (pool.outer, pool.far, pool.bare) = (Vec::new(), Vec::new(), false);
        for _ in 0..1 + self.random.below(2) {
            let ty = self.pick(types);
            let expr = self.window(ty, seen);
            pool.local.push(Leaf { expr, ty });
        }
        let first = self.random.below(types.len());
        for (at, ty) in types.iter().enumerate() {
            let item = if at == first { self.window(*ty, seen) } else { self.expression(*ty, &pool, 1) };
            let name = format!("o{}", select.items.len());
            select.items.push((item, name));
        }
    }

    /// A window function of the type.
    pub(super) fn window(&mut self, ty: Type, seen: &Offer) -> Expr {
        let mut local = seen.clone();
        (local.outer, local.far) = (Vec::new(), Vec::new());
        let partition = match self.random.one_in(2) {
            true => self.sort_columns(&local, 1),
            false => Vec::new(),
        };
        // All columns that there are: what is equal then cannot be told apart.
        let total: Vec<Order> = self.sort_columns(&local, 99).into_iter().map(|by| self.sort_key(by)).collect();
        // Lists and structs cannot be sorted, so with them nothing makes the order total.
        let sortable = local.local.iter().all(|leaf| !matches!(leaf.ty, Type::List | Type::Struct));
        if sortable && total.len() <= 8 && self.random.one_in(2) {
            return self.ordered_window(ty, &local, partition, total);
        }
        self.peer_window(ty, &local, partition)
    }

    /// Functions of the position, and frames that cut through peers.
    fn ordered_window(&mut self, ty: Type, local: &Offer, partition: Vec<Expr>, order: Vec<Order>) -> Expr {
        let ignore = self.may(Feature::IGNORE_NULLS, 3);
        let level = self.level(4);
        let value = self.expression(ty, local, level);
        if has_query(&value) {
            return self.peer_window(ty, local, partition);
        }
        let mut frame = None;
        let function = match self.random.below(8) {
            0 if ty == Type::Big => WindowFunction::RowNumber,
            1 if ty == Type::Big => WindowFunction::Ntile(2),
            2 | 3 => {
                let by: i64 = self.pick(&[-3, -2, -1, -1, 1, 1, 2, 3]);
                let ignore = ignore || (by.abs() > 1 && self.may(Feature::IGNORE_NULLS, 2));
                let default = if self.random.one_in(3) { Some(self.literal(ty, false)) } else { None };
                WindowFunction::Shift(value, by, default, ignore)
            }
            choice => {
                frame = self.frame(true, false);
                match choice {
                    4 => WindowFunction::First(value, ignore),
                    5 => WindowFunction::Last(value, ignore),
                    6 => WindowFunction::Nth(value, 2, ignore),
                    _ => WindowFunction::Aggregate(self.window_aggregate(ty, local)),
                }
            }
        };
        Expr::Window(Box::new(Window { function, partition, order, frame }))
    }

    /// Functions that give peers the same.
    fn peer_window(&mut self, ty: Type, local: &Offer, partition: Vec<Expr>) -> Expr {
        let order: Vec<Order> = self.sort_columns(local, 1).into_iter().map(|by| self.sort_key(by)).collect();
        let far = order.iter().all(|order| {
            local.local.iter().any(|leaf| leaf.expr == order.by && matches!(leaf.ty, Type::Small | Type::Int))
        });
        let mut frame = None;
        let function = match self.random.below(4) {
            0 if ty == Type::Big && !order.is_empty() => WindowFunction::Rank,
            1 if ty == Type::Big && !order.is_empty() => WindowFunction::DenseRank,
            _ => {
                if !order.is_empty() {
                    frame = self.frame(false, far);
                }
                WindowFunction::Aggregate(self.window_aggregate(ty, local))
            }
        };
        Expr::Window(Box::new(Window { function, partition, order, frame }))
    }

    fn window_aggregate(&mut self, ty: Type, local: &Offer) -> Aggregate {
        let mut call = self.aggregate_call(ty, local);
        call.distinct = false;
        if call.function == AggregateFunction::StringAgg {
            call.function = AggregateFunction::Min;
        }
        call
    }

    /// A frame, by rows too if the order is total, and with distances of keys if there is one numeric key (`far`).
    fn frame(&mut self, rows: bool, far: bool) -> Option<Frame> {
        let units = match self.random.below(4) {
            0 | 1 if rows && self.on(Feature::FRAME_ROWS) => Units::Rows,
            2 if self.on(Feature::FRAME_GROUPS) => Units::Groups,
            3 if self.on(Feature::FRAME_RANGE) => Units::Range,
            _ => return None,
        };
        let far = units != Units::Range || far;
        let offset = |generator: &mut Self, low: i64, high: i64| {
            let n = low + generator.random.below((high - low + 1) as usize) as i64;
            if far { n } else { 0 }
        };
        let start = if self.random.one_in(3) { Bound::Unbounded } else { Bound::Offset(offset(self, -2, 1)) };
        let end = match start {
            _ if self.random.one_in(3) => Bound::Unbounded,
            Bound::Unbounded => Bound::Offset(offset(self, -1, 2)),
            Bound::Offset(start) => Bound::Offset(offset(self, start, 2)),
        };
        Some(Frame { units, start, end })
    }

    /// Up to so many columns to sort or partition by.
    fn sort_columns(&mut self, local: &Offer, most: usize) -> Vec<Expr> {
        let sortable =
            |leaf: &&Leaf| !matches!(leaf.ty, Type::List | Type::Struct) && !matches!(leaf.expr, Expr::Window(_));
        let mut columns: Vec<Expr> = local.local.iter().filter(sortable).map(|leaf| leaf.expr.clone()).collect();
        columns.dedup();
        for at in (1..columns.len()).rev() {
            let other = self.random.below(at + 1);
            columns.swap(at, other);
        }
        columns.truncate(most);
        columns
    }
}
