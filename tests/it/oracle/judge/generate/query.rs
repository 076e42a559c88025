//! Queries of wanted result types.

use super::source::result_columns;
use super::{Generator, Leaf, Offer, has_query};
use crate::oracle::judge::features::Feature;
use crate::oracle::judge::tree::*;
use crate::oracle::judge::value::{Type, Value};

impl Generator<'_> {
    /// A query that becomes a view.
    pub(super) fn top(&mut self) -> Query {
        if self.may(Feature::ERROR, 12) {
            return self.risky();
        }
        let types = self.types(3);
        let depth = 1 + self.random.below(2);
        let mut query = self.query(&types, depth, &Offer::default());
        let plain = query.order.is_empty() && query.limit.is_none() && query.offset.is_none();
        if plain && self.random.one_in(6) && self.may_be_ordered(&query) {
            // Only here may rows be tied: the comparison allows every choice.
            let by = 1 + self.random.below(types.len());
            query.order = vec![self.sort_key(Expr::Ordinal(by))];
            if self.may(Feature::TIES, 2) && self.on(Feature::LIMIT) {
                query.limit = Some(1 + self.random.below(4));
            }
        }
        query
    }

    /// A query that may have to fail: nothing in it may be left out, and nothing may be looked at in another order.
    fn risky(&mut self) -> Query {
        let relation = self.pick(&self.tables.clone());
        let alias = self.alias();
        let local = relation.columns.iter().map(|(name, ty)| Leaf { expr: Expr::column(&alias, name), ty: *ty });
        let seen = Offer { local: local.collect(), ..Offer::default() };
        let operand = |generator: &mut Self, ty| Box::new(generator.expression(ty, &seen, 0));
        let risk = match self.random.below(4) {
            0 => {
                let operator = self.pick(&['/', '%']);
                Expr::Arithmetic(operator, operand(self, Type::Int), operand(self, Type::Int), Type::Big)
            }
            1 => {
                let operator = self.pick(&['+', '-', '*']);
                Expr::Arithmetic(operator, operand(self, Type::Big), operand(self, Type::Big), Type::Big)
            }
            2 if self.on(Feature::NARROWING) => {
                let to = self.pick(&[Type::Small, Type::Int]);
                Expr::Cast(operand(self, Type::Big), to, false)
            }
            2 => Expr::Negate(operand(self, Type::Big)),
            _ if self.on(Feature::TEXT_TO_INTEGER) => Expr::Cast(operand(self, Type::Text), Type::Int, false),
            _ => Expr::Call(Function::Abs, vec![*operand(self, Type::Big)]),
        };
        let item = Expr::column(&alias, "k");
        let mut select = Select::new(Vec::new(), Some(From::Relation { name: relation.name, alias }));
        if self.random.one_in(2) {
            select.items = vec![(risk, "o0".to_string())];
        } else {
            select.items = vec![(item, "o0".to_string())];
            let other = self.literal(Type::Int, false);
            select.filter = Some(Expr::Compare(Comparison::Greater, Box::new(risk), Box::new(other)));
        }
        Query::of(select)
    }

    /// A query in a place that sees `outer`.
    pub(super) fn query(&mut self, types: &[Type], depth: usize, outer: &Offer) -> Query {
        let mut with = Vec::new();
        if depth > 0 && self.may(Feature::WITH, 8) {
            self.aliases += 1;
            let name = format!("w{}", self.aliases);
            let mut types = self.types(3);
            types.push(self.ty());
            let mut query = self.query(&types, depth - 1, outer);
            let plain = query.order.is_empty() && query.limit.is_none() && query.offset.is_none();
            if plain && self.may(Feature::LIMIT, 3) && self.may_be_ordered(&query) {
                self.limit(&mut query, types.len());
                if self.ties && self.random.one_in(2) {
                    query.order.truncate(1);
                }
            }
            self.with.push(Table { name: name.clone(), columns: result_columns(&query, &types) });
            with.push((name, query));
        }
        let mut query = match self.random.below(14) {
            0 | 1 if depth > 0 && self.on(Feature::SET) => {
                let operator = self.pick(&[SetOperator::Union, SetOperator::Intersect, SetOperator::Except]);
                let all = self.may(Feature::SET_ALL, 2);
                let left = Box::new(self.query(types, depth - 1, outer));
                let right = Box::new(self.query(types, depth - 1, outer));
                Query::with_body(Body::Set { operator, all, left, right })
            }
            2 if self.random.one_in(3) && self.on(Feature::VALUES) => {
                let rows = 1 + self.random.below(3);
                let rows = (0..rows).map(|_| types.iter().map(|ty| self.literal(*ty, true)).collect()).collect();
                Query::with_body(Body::Values(rows))
            }
            _ => self.select(types, depth, outer),
        };
        if query.order.is_empty() && self.may(Feature::LIMIT, 9) && self.may_be_ordered(&query) {
            self.limit(&mut query, types.len());
        }
        self.with.truncate(self.with.len() - with.len());
        query.with = with;
        query
    }

    /// A query inside the expression of a SELECT.
    pub(super) fn subquery(&mut self, types: &[Type], offer: &Offer, depth: usize) -> Query {
        self.query(types, depth, &offer.below())
    }

    /// A query of at most one row.
    pub(super) fn scalar_query(&mut self, ty: Type, offer: &Offer, depth: usize) -> Expr {
        let outer = offer.below();
        if self.may(Feature::LIMIT, 4) {
            let mut query = self.query(&[ty], depth, &outer);
            while !self.may_be_ordered(&query) {
                query = self.query(&[ty], 0, &outer);
            }
            query.order = vec![self.sort_key(Expr::Ordinal(1))];
            (query.limit, query.offset) = (Some(1), if self.random.one_in(3) { Some(1) } else { None });
            if let Body::Select(select) = &mut query.body {
                select.distinct = Distinct::All;
            }
            return Expr::Scalar(Box::new(query));
        }
        let (from, seen) = self.seen_from(depth, &outer);
        let item = self.aggregate(ty, &seen);
        let mut select = Select::new(vec![(item, "o0".to_string())], Some(from));
        if self.random.below(4) > 0 {
            select.filter = Some(self.predicate(&seen, 1));
        }
        Expr::Scalar(Box::new(Query::of(select)))
    }

    pub(super) fn may_be_ordered(&self, query: &Query) -> bool {
        self.on(Feature::WINDOW_ORDERED) || !query.to_string().contains(" OVER (")
    }

    /// Makes the order total and cuts.
    pub(super) fn limit(&mut self, query: &mut Query, width: usize) {
        let mut numbers: Vec<usize> = (1..=width).collect();
        for at in (1..width).rev() {
            let other = self.random.below(at + 1);
            numbers.swap(at, other);
        }
        query.order = numbers.into_iter().map(|number| self.sort_key(Expr::Ordinal(number))).collect();
        if self.ties && self.random.one_in(3) {
            query.order.truncate(self.random.below(width));
        }
        let choice = self.random.below(4);
        if choice > 0 {
            query.limit = Some(self.random.below(5));
        }
        if choice < 2 {
            query.offset = Some(self.random.below(3));
        }
    }

    pub(super) fn sort_key(&mut self, by: Expr) -> Order {
        let nulls_first = if self.random.one_in(3) { Some(self.random.one_in(2)) } else { None };
        Order { by, descending: self.random.one_in(2), nulls_first }
    }

    /// A FROM item and what the SELECT over it sees.
    fn seen_from(&mut self, depth: usize, outer: &Offer) -> (From, Offer) {
        let mut taken = Vec::new();
        let (from, local) = self.source(depth, outer, &mut taken);
        let mut seen = outer.with_local(local, true);
        taken.iter().for_each(|alias| seen.without(alias));
        (from, seen)
    }

    fn select(&mut self, types: &[Type], depth: usize, outer: &Offer) -> Query {
        let (from, mut seen) = self.seen_from(depth, outer);
        let choice = self.random.below(10);
        // A name alone in ORDER BY would be that of a result column.
        seen.bare = seen.bare && choice != 1;
        let mut select = Select::new(Vec::new(), Some(from));
        if self.random.one_in(2) {
            select.filter = Some(self.predicate(&seen, depth.min(2)));
        }
        match self.random.below(10) {
            0..=3 if self.on(Feature::GROUP) => self.grouped(&mut select, types, &seen, depth),
            4 | 5 if self.on(Feature::WINDOW) => self.windowed(&mut select, types, &seen),
            _ => {
                for ty in types {
                    let item = match self.may(Feature::UNNEST, 10) && *ty == Type::Int {
                        true if !select.items.iter().any(|(item, _)| matches!(item, Expr::Unnest(_))) => {
                            Expr::Unnest(Box::new(self.expression(Type::List, &seen, 1)))
                        }
                        _ => self.expression(*ty, &seen, depth),
                    };
                    let name = self.name(&select.items, &seen.local);
                    select.items.push((item, name));
                }
            }
        }
        if select.items.iter().any(|(item, _)| matches!(item, Expr::Unnest(_))) && !self.on(Feature::UNNEST_RENAMED) {
            for (number, (_, name)) in select.items.iter_mut().enumerate() {
                *name = format!("o{number}");
            }
        }
        let mut query = Query::of(select);
        let orderable = self.may_be_ordered(&query);
        let Body::Select(select) = &mut query.body else { return query };
        let unnests = select.items.iter().any(|(item, _)| matches!(item, Expr::Unnest(_)));
        let constant = select.items.iter().any(|(item, _)| matches!(item, Expr::Literal(Value::Int(_), _)));
        if choice == 0 && self.on(Feature::DISTINCT) && (!constant || self.on(Feature::DISTINCT_CONSTANT)) {
            select.distinct = Distinct::Whole;
        } else if choice == 1 && self.on(Feature::DISTINCT_ON) && !unnests && orderable {
            select.distinct = Distinct::On(1 + self.random.below(types.len()));
            let items: Vec<Expr> = select.items.iter().map(|(item, _)| item.clone()).collect();
            let once = |item: &Expr| items.iter().filter(|other| *other == item).count() == 1;
            let simple = items.iter().all(|item| matches!(item, Expr::Column(..)) && once(item));
            let by = |(at, item)| match self.features.has(Feature::DISTINCT_ON_NUMBER) {
                true => Some(Expr::Ordinal(at + 1)),
                false if simple => Some(item),
                false => None,
            };
            let keys: Option<Vec<Expr>> = items.into_iter().enumerate().map(by).collect();
            match keys {
                Some(keys) => query.order = keys.into_iter().map(|by| self.sort_key(by)).collect(),
                None => select.distinct = Distinct::All,
            }
        }
        query
    }

    /// The name of the next item; at times that of a column of FROM.
    fn name(&mut self, items: &[(Expr, String)], local: &[Leaf]) -> String {
        if !local.is_empty() && self.may(Feature::RENAMED, 2) {
            let leaf = self.pick(local);
            if let Expr::Column(_, name) = leaf.expr
                && !items.iter().any(|(_, other)| *other == name)
            {
                return name;
            }
        }
        let taken = |name: &String| items.iter().any(|(_, other)| other == name);
        let names = (items.len()..).map(|number| format!("o{number}"));
        names.into_iter().find(|name| !taken(name)).unwrap_or_default()
    }

    fn grouped(&mut self, select: &mut Select, types: &[Type], seen: &Offer, depth: usize) {
        let mut keys: Vec<Leaf> = Vec::new();
        let count = self.pick(&[0, 1, 1, 1, 2, 2, 3]);
        for _ in 0..count {
            let mut ty = if self.random.one_in(2) { self.pick(types) } else { self.ty() };
            let level = self.level(4);
            let mut expr = self.expression(ty, seen, level);
            let columns: Vec<&Leaf> =
                seen.local.iter().filter(|leaf| !matches!(leaf.ty, Type::List | Type::Struct)).collect();
            if !columns.is_empty() && self.random.one_in(3) {
                let column = columns[self.random.below(columns.len())];
                (ty, expr) = (column.ty, column.expr.clone());
            }
            // A constant is no key: a number would be the number of a column.
            let twice = keys.iter().any(|key| unqualified(&key.expr) == unqualified(&expr));
            let columns = expr.any(&|e| matches!(e, Expr::Column(..)));
            if columns && !has_query(&expr) && (!twice || self.may(Feature::GROUP_TWICE, 2)) {
                keys.push(Leaf { expr, ty });
            }
        }
        if self.random.one_in(8) {
            // All that there is, so that something is a key that nothing asks for.
            keys = seen.local.iter().filter(|leaf| !matches!(leaf.ty, Type::List | Type::Struct)).cloned().collect();
            keys.truncate(4);
        }
        let mut pool = keys.clone();
        for ty in types {
            pool.push(Leaf { expr: self.aggregate(*ty, seen), ty: *ty });
        }
        let kind = self.group_kind(keys.len());
        if kind != GroupKind::Plain && self.may(Feature::GROUPING, 2) {
            let key = self.pick(&keys);
            pool.push(Leaf { expr: Expr::Grouping(Box::new(key.expr)), ty: Type::Int });
        }
        let mut offer = seen.with_local(pool, false);
        if self.may(Feature::HAVING, 4) {
            let having = self.predicate(&offer, 1);
            let filtered = having.any(&|e| matches!(e, Expr::Aggregate(Aggregate { filter: Some(_), .. })));
            select.having = if filtered && !self.on(Feature::FILTER_TWICE) { None } else { Some(having) };
        }
        if self.may(Feature::WINDOW_OVER_GROUPS, 6) && self.on(Feature::WINDOW) {
            let ty = self.pick(types);
            let window = self.window(ty, &offer);
            offer.local.push(Leaf { expr: window, ty });
        }
        for ty in types {
            let item = match self.random.one_in(3) {
                true => self.aggregate(*ty, seen),
                false => {
                    let level = if depth > 0 { self.level(2) } else { 0 };
                    self.expression(*ty, &offer, level)
                }
            };
            let of_rows = |e: &Expr| matches!(e, Expr::Column(..) | Expr::Aggregate(_) | Expr::Window(_));
            let item = match item.any(&of_rows) || self.on(Feature::GROUP_CONSTANT) {
                true => item,
                false => self.aggregate(*ty, seen),
            };
            let name = self.name(&select.items, &seen.local);
            select.items.push((item, name));
        }
        if !keys.is_empty() {
            select.group = Some(Group { kind, keys: keys.into_iter().map(|key| key.expr).collect() });
        } else if !select.items.iter().any(|(item, _)| item.any(&|e| matches!(e, Expr::Aggregate(_)))) {
            let item = select.items.len() - 1;
            select.items[item].0 = self.aggregate(types[item], seen);
        }
    }

    fn group_kind(&mut self, keys: usize) -> GroupKind {
        if keys == 0 || !self.may(Feature::ROLLUP, 4) {
            return GroupKind::Plain;
        }
        match self.random.below(3) {
            0 => GroupKind::Rollup,
            1 => GroupKind::Cube,
            _ => {
                let count = 1 + self.random.below(3);
                let set = |generator: &mut Self| (0..keys).filter(|_| generator.random.one_in(2)).collect();
                let mut sets: Vec<Vec<usize>> = (0..count).map(|_| set(self)).collect();
                // Every key stands in one set at least, or it would be no key.
                sets.push((0..keys).collect());
                GroupKind::Sets(sets)
            }
        }
    }

    /// An aggregate of the type over the columns that `seen` offers.
    pub(super) fn aggregate(&mut self, ty: Type, seen: &Offer) -> Expr {
        let mut seen = seen.clone();
        // An aggregate over columns from around only would belong to the SELECT around.
        (seen.outer, seen.far) = (Vec::new(), Vec::new());
        let call = self.aggregate_call(ty, &seen);
        match call.function {
            AggregateFunction::Sum if matches!(ty, Type::Decimal(..)) => {
                Expr::Cast(Box::new(Expr::Aggregate(call)), ty, false)
            }
            _ => Expr::Aggregate(call),
        }
    }

    pub(super) fn aggregate_call(&mut self, ty: Type, seen: &Offer) -> Aggregate {
        let argument = |generator: &mut Self, ty| {
            let depth = usize::from(generator.random.one_in(4));
            let mut expr = generator.expression(ty, seen, depth);
            while has_query(&expr) {
                expr = generator.expression(ty, seen, 0);
            }
            Some(Box::new(expr))
        };
        use AggregateFunction::*;
        let (function, argument) = match (ty, self.random.below(8)) {
            (Type::Big, 0 | 1) => (Count, None),
            (Type::Big, 2 | 3) => {
                let ty = self.ty();
                (Count, argument(self, ty))
            }
            (Type::Big, 4..=6) => {
                let ty = self.pick(&[Type::Small, Type::Int, Type::Big]);
                (Sum, argument(self, ty))
            }
            (Type::Double, 0..=2) if self.on(Feature::AVERAGE) => {
                let ty = self.pick(&[Type::Int, Type::Double]);
                (Average, argument(self, ty))
            }
            (Type::Double | Type::Decimal(..), 4 | 5) => (Sum, argument(self, ty)),
            (Type::Text, 0 | 1) if self.on(Feature::STRING_AGG) => (StringAgg, argument(self, ty)),
            (Type::Bool, 0..=3) => (BoolAnd, argument(self, ty)),
            (Type::Bool, _) => (BoolOr, argument(self, ty)),
            (_, 0..=3) => (Min, argument(self, ty)),
            _ => (Max, argument(self, ty)),
        };
        let distinct = argument.is_some() && function != StringAgg && self.may(Feature::AGGREGATE_DISTINCT, 6);
        let filter = match self.may(Feature::AGGREGATE_FILTER, 6) {
            true => {
                let mut filter = self.predicate(seen, 1);
                while has_query(&filter) {
                    filter = self.predicate(seen, 0);
                }
                Some(Box::new(filter))
            }
            false => None,
        };
        Aggregate { function, argument, distinct, filter }
    }
}

/// The text of an expression without the qualifiers of its columns.
fn unqualified(expr: &Expr) -> String {
    let text = expr.to_string();
    let mut parts: Vec<&str> = text.split('.').collect();
    let last = parts.pop().unwrap_or_default();
    let cut = |part: &str| part.trim_end_matches(|c: char| c.is_ascii_alphanumeric()).to_string();
    parts.into_iter().map(cut).chain([last.to_string()]).collect()
}
