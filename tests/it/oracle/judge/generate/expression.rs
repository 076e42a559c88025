//! Expressions of a wanted type, and conditions.

use super::source::comparable;
use super::{Favourite, Generator, Leaf, Offer};
use crate::oracle::judge::features::Feature;
use crate::oracle::judge::tree::*;
use crate::oracle::judge::value::Type;

const COMPARISONS: [Comparison; 6] = [
    Comparison::Equal,
    Comparison::Unequal,
    Comparison::Less,
    Comparison::LessEqual,
    Comparison::Greater,
    Comparison::GreaterEqual,
];

impl Generator<'_> {
    /// A local leaf, or one from around, that fits.
    fn leaf(&mut self, offer: &Offer, fits: &dyn Fn(Type) -> bool) -> Option<Leaf> {
        let mut from = &offer.local;
        if !offer.outer.is_empty() && self.may(Feature::CORRELATED, 5) {
            from = &offer.outer;
        } else if !offer.far.is_empty() && self.may(Feature::CORRELATED_DEEP, 8) {
            from = &offer.far;
        }
        let is_local = std::ptr::eq(from, &offer.local);
        let fitting: Vec<&Leaf> = from.iter().filter(|leaf| fits(leaf.ty)).collect();
        if fitting.is_empty() {
            return None;
        }
        let mut leaf = fitting[self.random.below(fitting.len())].clone();
        if is_local && offer.bare && self.may(Feature::BARE, 8) {
            leaf.expr = bare(leaf.expr, &offer.local);
        }
        Some(leaf)
    }

    /// An expression of the type; `depth` 0 is a column, a cast of one or a constant.
    pub(super) fn expression(&mut self, ty: Type, offer: &Offer, depth: usize) -> Expr {
        if depth > 0 && self.random.one_in(2) {
            return self.compound(ty, offer, depth - 1);
        }
        if self.random.one_in(12) {
            return self.literal(ty, true);
        }
        if self.favourite == Favourite::Structs
            && matches!(ty, Type::Int | Type::Text)
            && self.random.one_in(3)
            && let Some(leaf) = self.leaf(offer, &|ty| ty == Type::Struct)
        {
            return Expr::Field(Box::new(leaf.expr), usize::from(ty == Type::Text));
        }
        match self.leaf(offer, &|other| other == ty) {
            Some(leaf) => leaf.expr,
            None => self.converted(ty, offer),
        }
    }

    /// Where no column has the type, one of another type is converted.
    fn converted(&mut self, ty: Type, offer: &Offer) -> Expr {
        let fits: &dyn Fn(Type) -> bool = match ty {
            Type::Struct | Type::List => return self.literal(ty, true),
            Type::Timestamp => &|other| other == Type::Date,
            Type::Date => &|other| other == Type::Timestamp,
            Type::Bool => {
                return match self.leaf(offer, &Type::is_integer) {
                    Some(leaf) => Expr::Compare(Comparison::Greater, Box::new(leaf.expr), Box::new(Expr::int(0))),
                    None => self.literal(ty, true),
                };
            }
            Type::Double | Type::Decimal(..) | Type::Text => &Type::is_integer,
            Type::Small | Type::Int | Type::Big => &|other| other.is_integer() || other == Type::Bool,
        };
        let narrow = matches!(ty, Type::Small | Type::Int);
        match self.leaf(offer, fits) {
            Some(leaf) if narrow && leaf.ty != Type::Bool && !self.on(Feature::NARROWING) => self.literal(ty, true),
            Some(leaf) if self.on(Feature::CAST) => Expr::Cast(Box::new(leaf.expr), ty, false),
            _ => self.literal(ty, true),
        }
    }

    fn compound(&mut self, ty: Type, offer: &Offer, depth: usize) -> Expr {
        if self.may(Feature::CASE, 3) {
            return self.choice(ty, offer, depth);
        }
        if self.may(Feature::SCALAR, 14) && offer.local.len() < 40 {
            return self.scalar_query(ty, offer, depth);
        }
        let operand = |generator: &mut Self| Box::new(generator.expression(ty, offer, depth));
        match ty {
            Type::Small | Type::Int | Type::Big => self.integer(ty, offer, depth),
            Type::Double => {
                let operator = self.pick(&['+', '-', '*']);
                // A product of dyadic fractions stays one.
                Expr::Arithmetic(operator, operand(self), Box::new(self.literal(ty, false)), ty)
            }
            Type::Decimal(..) => match self.random.below(4) {
                0 => Expr::Negate(operand(self)),
                1 if self.on(Feature::ROUND) => {
                    let places = self.random.below(2) as i64;
                    let column = self.expression(ty, offer, 0);
                    Expr::Cast(Box::new(Expr::Call(Function::Round, vec![column, Expr::int(places)])), ty, false)
                }
                2 => Expr::Call(Function::Abs, vec![*operand(self)]),
                _ => {
                    let (l, r) = (self.expression(ty, offer, 0), self.expression(ty, offer, 0));
                    let operator = self.pick(&['+', '-', '*']);
                    Expr::Cast(Box::new(Expr::Arithmetic(operator, Box::new(l), Box::new(r), ty)), ty, false)
                }
            },
            Type::Text => match self.random.below(4) {
                0 => Expr::Call(Function::Upper, vec![*operand(self)]),
                1 => Expr::Call(Function::Lower, vec![*operand(self)]),
                2 => Expr::Concat(operand(self), Box::new(self.literal(Type::Text, false))),
                _ => Expr::Concat(operand(self), operand(self)),
            },
            Type::Bool => self.predicate(offer, depth),
            Type::Date | Type::Timestamp => self.moment(ty, offer, depth),
            Type::List if self.random.one_in(2) => {
                Expr::List((0..2).map(|_| self.expression(Type::Int, offer, 0)).collect())
            }
            Type::List | Type::Struct => self.expression(ty, offer, 0),
        }
    }

    /// CASE, COALESCE, NULLIF, GREATEST, LEAST.
    fn choice(&mut self, ty: Type, offer: &Offer, depth: usize) -> Expr {
        let operand = |generator: &mut Self| generator.expression(ty, offer, depth);
        let sortable = !matches!(ty, Type::List | Type::Struct);
        match self.random.below(6) {
            0 | 1 => {
                let whens = (0..1 + self.random.below(2)).map(|_| (self.predicate(offer, depth), operand(self)));
                let whens = whens.collect();
                let otherwise = if self.random.one_in(4) { None } else { Some(Box::new(operand(self))) };
                Expr::Case(None, whens, otherwise)
            }
            2 if sortable => {
                let subject = self.ty();
                let whens = (0..1 + self.random.below(2)).map(|_| (self.literal(subject, false), operand(self)));
                let whens = whens.collect();
                let subject = self.expression(subject, offer, depth);
                Expr::Case(Some(Box::new(subject)), whens, Some(Box::new(operand(self))))
            }
            3 if sortable => Expr::Call(Function::Nullif, vec![operand(self), operand(self)]),
            4 if sortable => {
                let function = self.pick(&[Function::Greatest, Function::Least]);
                Expr::Call(function, vec![operand(self), operand(self)])
            }
            _ => Expr::Call(Function::Coalesce, vec![operand(self), operand(self)]),
        }
    }

    fn integer(&mut self, ty: Type, offer: &Offer, depth: usize) -> Expr {
        let operand = |generator: &mut Self| Box::new(generator.expression(ty, offer, depth));
        match self.random.below(12) {
            0..=3 => {
                let operator = self.pick(&['+', '-', '*']);
                let right = if self.random.one_in(2) { Box::new(self.literal(ty, false)) } else { operand(self) };
                Expr::Arithmetic(operator, operand(self), right, ty)
            }
            4 => Expr::Negate(operand(self)),
            5 => Expr::Call(Function::Abs, vec![*operand(self)]),
            6 if self.on(Feature::DIVISION) => {
                let (l, divisor) = (operand(self), *operand(self));
                self.guarded(l, divisor, ty)
            }
            7 if self.on(Feature::DIVISION) => {
                let operator = self.pick(&['/', '%']);
                Expr::Arithmetic(operator, operand(self), Box::new(Expr::int(2)), ty)
            }
            8 if self.on(Feature::STRUCT) => match self.leaf(offer, &|ty| ty == Type::Struct) {
                Some(leaf) => Expr::Field(Box::new(leaf.expr), 0),
                None => *operand(self),
            },
            9 if self.on(Feature::FRACTION_TO_INTEGER) => {
                let source = Type::Decimal(10, 2);
                match self.on(Feature::DECIMAL) {
                    true => Expr::Cast(Box::new(self.expression(source, offer, depth)), ty, false),
                    false => *operand(self),
                }
            }
            10 if self.on(Feature::TRY_CAST) && self.on(Feature::TEXT_TO_INTEGER) => {
                Expr::Cast(Box::new(self.expression(Type::Text, offer, 0)), ty, true)
            }
            10 if self.on(Feature::TRY_CAST) => {
                Expr::Cast(Box::new(self.expression(Type::Big, offer, depth)), ty, true)
            }
            11 if self.on(Feature::TIME) => {
                let function = self.pick(&[Function::Day, Function::Month]);
                let source = self.pick(&[Type::Date, Type::Timestamp]);
                Expr::Call(function, vec![self.expression(source, offer, 0)])
            }
            _ => match self.random.one_in(2) {
                true => Expr::Call(Function::Length, vec![self.expression(Type::Text, offer, depth)]),
                false => *operand(self),
            },
        }
    }

    /// A division that its own CASE guards.
    fn guarded(&mut self, l: Box<Expr>, divisor: Expr, ty: Type) -> Expr {
        let operator = self.pick(&['/', '%']);
        let zero = Expr::Compare(Comparison::Equal, Box::new(divisor.clone()), Box::new(Expr::int(0)));
        let quotient = Expr::Arithmetic(operator, l, Box::new(divisor), ty);
        Expr::Case(None, vec![(zero, self.literal(ty, true))], Some(Box::new(quotient)))
    }

    /// A date or a timestamp.
    fn moment(&mut self, ty: Type, offer: &Offer, depth: usize) -> Expr {
        let interval = match self.random.below(3) {
            0 => Interval::Months(1 + self.random.below(2) as i32),
            1 => Interval::Days(1 + self.random.below(30) as i32),
            _ => Interval::Hours(1 + self.random.below(30) as i32),
        };
        let plus = self.random.one_in(2);
        if ty == Type::Date {
            let moved = self.expression(Type::Timestamp, offer, depth);
            return Expr::Cast(Box::new(Expr::Shift(Box::new(moved), plus, interval)), ty, false);
        }
        if self.may(Feature::DATE_PLUS, 3) {
            return Expr::Shift(Box::new(self.expression(Type::Date, offer, 0)), plus, interval);
        }
        let moved = self.expression(ty, offer, depth);
        match self.random.one_in(3) {
            true => Expr::Call(Function::TruncateToDay, vec![moved]),
            false => Expr::Shift(Box::new(moved), plus, interval),
        }
    }

    /// A condition.
    pub(super) fn predicate(&mut self, offer: &Offer, depth: usize) -> Expr {
        if depth > 0 {
            match self.random.below(12) {
                0..=2 => {
                    let (l, r) = (self.predicate(offer, depth - 1), self.predicate(offer, depth - 1));
                    return l.and(r);
                }
                3 | 4 => {
                    let (l, r) = (self.predicate(offer, depth - 1), self.predicate(offer, depth - 1));
                    return Expr::Or(Box::new(l), Box::new(r));
                }
                5 => return Expr::Not(Box::new(self.predicate(offer, depth - 1))),
                6 | 7 => {
                    if let Some(expr) = self.query_predicate(offer, depth - 1) {
                        return expr;
                    }
                }
                8 if self.on(Feature::GUARDED) => return self.guarded_division(offer),
                10 => return self.twice(offer),
                9 => {
                    let (truth, negated) = (self.random.one_in(2), self.random.one_in(2));
                    return Expr::IsTruth(Box::new(self.predicate(offer, depth - 1)), truth, negated);
                }
                _ => {}
            }
        }
        if self.may(Feature::CONSTANT, 25) {
            let other = self.pick(&[1, 1, 2]);
            return Expr::Compare(Comparison::Equal, Box::new(Expr::int(1)), Box::new(Expr::int(other)));
        }
        self.simple_predicate(offer, depth.saturating_sub(1))
    }

    fn simple_predicate(&mut self, offer: &Offer, depth: usize) -> Expr {
        let Some(leaf) = self.leaf(offer, &|ty| !matches!(ty, Type::List | Type::Struct)) else {
            return self.literal(Type::Bool, true);
        };
        let ty = leaf.ty;
        let subject = match self.random.one_in(4) {
            true => self.expression(ty, offer, depth.min(1)),
            false => leaf.expr,
        };
        let subject = Box::new(subject);
        let negated = self.random.one_in(3);
        match self.random.below(12) {
            0 => Expr::IsNull(subject, negated),
            1 => {
                let list = (0..1 + self.random.below(3)).map(|_| self.literal(ty, true)).collect();
                Expr::InList(subject, list, negated && self.on(Feature::NOT_IN_TWICE))
            }
            2 => Expr::Between(
                subject,
                Box::new(self.literal(ty, false)),
                Box::new(self.expression(ty, offer, 0)),
                negated,
            ),
            3 if ty == Type::Text => {
                Expr::Like(subject, self.pick(&["a%", "%b", "_", "%", "", "a_", "%a%"]).to_string(), negated)
            }
            4 => Expr::Distinct(subject, Box::new(self.expression(ty, offer, 0)), negated),
            5 | 6 => match self.leaf(offer, &|other| comparable(ty, other)) {
                Some(other) if matches!(other.ty, Type::Decimal(..)) && self.may(Feature::ROUND_JOIN, 3) => {
                    let rounded = Expr::Call(Function::Round, vec![other.expr, Expr::int(1)]);
                    Expr::Compare(self.pick(&COMPARISONS), subject, Box::new(rounded))
                }
                Some(other) => Expr::Compare(self.pick(&COMPARISONS), subject, Box::new(other.expr)),
                None => Expr::IsNull(subject, negated),
            },
            7 if ty == Type::Bool => *subject,
            8 if ty == Type::Text && self.on(Feature::TRY_CAST) && self.on(Feature::TEXT_TO_INTEGER) => {
                let number = Expr::Cast(subject, Type::Int, true);
                Expr::Compare(self.pick(&COMPARISONS), Box::new(number), Box::new(Expr::int(1)))
            }
            8 | 9 if self.on(Feature::CAST) => self.cast_and_compared(subject, ty),
            _ => Expr::Compare(self.pick(&COMPARISONS), subject, Box::new(self.literal(ty, false))),
        }
    }

    /// A cast compared with a constant, which an optimizer likes to turn round.
    fn cast_and_compared(&mut self, subject: Box<Expr>, ty: Type) -> Expr {
        let to = match ty {
            Type::Big | Type::Int if self.on(Feature::NARROWING) && self.random.one_in(2) => {
                self.pick(&[Type::Int, Type::Small])
            }
            Type::Small | Type::Int | Type::Big if self.on(Feature::DECIMAL) => {
                self.pick(&[Type::Big, Type::Text, Type::Decimal(10, 2), Type::Double])
            }
            Type::Small | Type::Int | Type::Big => self.pick(&[Type::Big, Type::Text]),
            Type::Decimal(..) if self.on(Feature::FRACTION_TO_INTEGER) => {
                self.pick(&[Type::Int, Type::Decimal(8, 1), Type::Decimal(12, 3)])
            }
            Type::Decimal(..) => self.pick(&[Type::Decimal(8, 1), Type::Decimal(12, 3)]),
            Type::Date => Type::Timestamp,
            Type::Timestamp => Type::Date,
            Type::Bool => Type::Int,
            ty => ty,
        };
        let attempt = self.may(Feature::TRY_CAST, 2);
        let number = Box::new(Expr::Cast(subject, to, attempt));
        let other = self.literal(to, false);
        match self.random.one_in(4) {
            true => {
                let negated = self.may(Feature::NOT_IN_TWICE, 2);
                Expr::InList(number, vec![other, self.literal(to, true)], negated)
            }
            false => Expr::Compare(self.pick(&COMPARISONS), number, Box::new(other)),
        }
    }

    /// Two conditions on one subject, which an optimizer likes to make one.
    fn twice(&mut self, offer: &Offer) -> Expr {
        let Some(leaf) = self.leaf(offer, &|ty| !matches!(ty, Type::List | Type::Struct | Type::Bool)) else {
            return self.literal(Type::Bool, true);
        };
        let one = |generator: &mut Self| {
            let (subject, negated) = (Box::new(leaf.expr.clone()), generator.random.one_in(2));
            match generator.random.below(4) {
                0 | 1 => {
                    let most = generator.pick(&[1, 1, 2, 5]);
                    let list = (0..most).map(|_| generator.literal(leaf.ty, true)).collect();
                    Expr::InList(subject, list, negated && generator.on(Feature::NOT_IN_TWICE))
                }
                2 => {
                    let (low, high) = (generator.literal(leaf.ty, false), generator.literal(leaf.ty, false));
                    Expr::Between(subject, Box::new(low), Box::new(high), negated)
                }
                _ => {
                    let other = generator.literal(leaf.ty, false);
                    Expr::Compare(generator.pick(&COMPARISONS), subject, Box::new(other))
                }
            }
        };
        let (l, r) = (one(self), one(self));
        if self.random.one_in(2) { l.and(r) } else { Expr::Or(Box::new(l), Box::new(r)) }
    }

    /// `b <> 0 AND a / b > 1`.
    fn guarded_division(&mut self, offer: &Offer) -> Expr {
        let (l, r) = (self.expression(Type::Int, offer, 0), self.expression(Type::Int, offer, 0));
        let guard = Expr::Compare(Comparison::Unequal, Box::new(r.clone()), Box::new(Expr::int(0)));
        let quotient = Expr::Arithmetic('/', Box::new(l), Box::new(r), Type::Int);
        guard.and(Expr::Compare(self.pick(&COMPARISONS), Box::new(quotient), Box::new(Expr::int(1))))
    }

    /// The only column of IN, ANY and ALL.
    fn column_query(&mut self, ty: Type, offer: &Offer, depth: usize) -> Box<Query> {
        loop {
            let query = self.subquery(&[ty], offer, depth);
            if self.on(Feature::QUANTIFIED_VALUES) || !matches!(query.body, Body::Values(_)) {
                return Box::new(query);
            }
        }
    }

    /// A condition with a subquery.
    fn query_predicate(&mut self, offer: &Offer, depth: usize) -> Option<Expr> {
        let negated = self.random.one_in(3);
        match self.random.below(6) {
            0 | 1 if self.on(Feature::EXISTS) => Some(Expr::Exists(Box::new(self.existing(offer, depth)), negated)),
            2 | 3 if self.on(Feature::IN_QUERY) => {
                let ty = self.ty();
                let query = self.column_query(ty, offer, depth);
                Some(Expr::InQuery(Box::new(self.expression(ty, offer, 0)), query, negated))
            }
            4 if self.on(Feature::QUANTIFIED) => {
                let ty = self.ty();
                let query = self.column_query(ty, offer, depth);
                let subject = Box::new(self.expression(ty, offer, 0));
                Some(Expr::Quantified(self.pick(&COMPARISONS), subject, self.random.one_in(2), query))
            }
            5 if self.on(Feature::SCALAR) => {
                let ty = self.ty();
                let query = self.scalar_query(ty, offer, depth);
                let subject = self.expression(ty, offer, 0);
                Some(Expr::Compare(self.pick(&COMPARISONS), Box::new(subject), Box::new(query)))
            }
            _ => None,
        }
    }
}

/// A column without its qualifier, if no other has its name.
fn bare(expr: Expr, local: &[Leaf]) -> Expr {
    let Expr::Column(Some(_), name) = &expr else { return expr };
    let same = |leaf: &&Leaf| matches!(&leaf.expr, Expr::Column(_, other) if other == name);
    if local.iter().filter(same).count() == 1 { Expr::Column(None, name.clone()) } else { expr }
}
