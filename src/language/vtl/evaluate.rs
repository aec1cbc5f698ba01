//! What expressions and references are worth.

use std::rc::Rc;

use super::methods::{self, collection};
use super::number::{self, Number, Operator};
use super::program::{Comparison, Expression, Method, Reference, Step};
use super::render::{Failure, Renderer};
use super::value::{List, ListKind, Map, Object, Value};
use super::{input, util_functions};

impl<'a> Renderer<'a> {
    /// Whether a condition holds: false is false, and so is everything that is
    /// neither a reference nor a comparison.
    pub(super) fn holds(&mut self, condition: &'a Expression) -> Result<bool, Failure> {
        Ok(match condition {
            Expression::Boolean(value) => *value,
            Expression::Reference(reference) => match self.reference(reference)? {
                Value::Boolean(value) => value,
                Value::Object(object) if matches!(*object, Object::Block(..)) => {
                    // The original asks for its text, which renders it.
                    let mut scratch = String::new();
                    self.write(&Value::Object(object), &mut scratch)?;
                    true
                }
                _ => true,
            },
            Expression::Not(operand) => !self.holds(operand)?,
            Expression::And(pair) => self.holds(&pair.0)? && self.holds(&pair.1)?,
            Expression::Or(pair) => self.holds(&pair.0)? || self.holds(&pair.1)?,
            Expression::Compare(comparison, pair) => self.compare(*comparison, pair)?,
            _ => false,
        })
    }

    pub(super) fn value(&mut self, expression: &'a Expression) -> Result<Value<'a>, Failure> {
        Ok(match expression {
            Expression::Null => Value::Null,
            Expression::Boolean(value) => Value::Boolean(*value),
            Expression::Integer(value) => Value::int(*value),
            Expression::Long(value) => Value::Number(Number::Long(*value)),
            Expression::BigInteger(value) => {
                Value::Number(Number::BigInteger(Rc::new(value.clone())))
            }
            Expression::Double(value) => Value::Number(Number::Double(*value)),
            Expression::Text(text) => Value::text(text),
            Expression::Interpolated(block, cut) => {
                let mut text = self.text_of_block(block)?;
                if *cut {
                    text.pop();
                }
                self.made(text)?
            }
            Expression::Reference(reference) => self.reference(reference)?,
            Expression::List(items) => {
                self.charge(64 + items.len() * 24)?;
                let mut list = Vec::with_capacity(items.len());
                for item in items {
                    list.push(self.value(item)?);
                }
                Value::list(list)
            }
            Expression::Map(entries) => {
                self.charge(64 + entries.len() * 48)?;
                let map = Map::new(Vec::with_capacity(entries.len()));
                for (key, value) in entries {
                    let key = self.value(key)?;
                    let value = self.value(value)?;
                    map.put(key, value);
                }
                Value::Map(map)
            }
            Expression::Range(bounds) => self.range(&bounds.0, &bounds.1)?,
            Expression::Calculate(operator, pair) => self.calculate(*operator, pair)?,
            Expression::Not(_)
            | Expression::And(_)
            | Expression::Or(_)
            | Expression::Compare(..) => Value::Boolean(self.holds(expression)?),
        })
    }

    fn range(&mut self, from: &'a Expression, to: &'a Expression) -> Result<Value<'a>, Failure> {
        let (Value::Number(from), Value::Number(to)) = (self.value(from)?, self.value(to)?) else {
            return Ok(Value::Null);
        };
        let (from, to) = (from.to_int(), to.to_int());
        let length = usize::try_from(from.abs_diff(to)).unwrap_or(usize::MAX);
        self.charge(length.saturating_add(1).saturating_mul(24))?;
        let items = if from >= to {
            (to..=from).rev().map(Value::int).collect()
        } else {
            (from..=to).map(Value::int).collect()
        };
        Ok(Value::list(items))
    }

    fn calculate(
        &mut self,
        operator: Operator,
        pair: &'a (Expression, Expression),
    ) -> Result<Value<'a>, Failure> {
        let left = self.value(&pair.0)?;
        let right = self.value(&pair.1)?;
        if let (Value::Number(a), Value::Number(b)) = (&left, &right) {
            return match Number::calculate(operator, a, b) {
                Ok(number) => Ok(Value::Number(number)),
                Err(number::Failure::Null) => Ok(Value::Null),
                Err(number::Failure::Thrown) => Err(Failure::thrown("the numbers are too large")),
            };
        }
        let strings = matches!(left, Value::Text(_)) || matches!(right, Value::Text(_));
        if operator != Operator::Add || !strings {
            return Ok(Value::Null);
        }
        let mut joined = String::new();
        // A null here is no reference, and prints as it is written: an
        // operation that gave nothing. Its text is not kept.
        if !left.is_null() {
            self.write(&left, &mut joined)?;
        }
        if !right.is_null() {
            self.write(&right, &mut joined)?;
        }
        self.made(joined)
    }

    fn compare(
        &mut self,
        comparison: Comparison,
        pair: &'a (Expression, Expression),
    ) -> Result<bool, Failure> {
        let left = self.value(&pair.0)?;
        let right = self.value(&pair.1)?;
        if let (Value::Number(a), Value::Number(b)) = (&left, &right) {
            let order = Number::compare(a, b);
            return Ok(match comparison {
                Comparison::Equal => order.is_eq(),
                Comparison::NotEqual => order.is_ne(),
                Comparison::Less => order.is_lt(),
                Comparison::LessOrEqual => order.is_le(),
                Comparison::Greater => order.is_gt(),
                Comparison::GreaterOrEqual => order.is_ge(),
            });
        }
        match comparison {
            Comparison::Equal => self.equal(&left, &right),
            Comparison::NotEqual => self.equal(&left, &right).map(|equal| !equal),
            _ => Ok(false),
        }
    }

    /// Velocity's `==`: by Java's `equals` where the classes are related, else
    /// by text.
    fn equal(&mut self, left: &Value<'a>, right: &Value<'a>) -> Result<bool, Failure> {
        match (left, right) {
            (Value::Null, Value::Null) => return Ok(true),
            (Value::Null, _) | (_, Value::Null) => return Ok(false),
            (Value::Text(a), Value::Text(b)) => return Ok(a.as_str() == b.as_str()),
            (Value::List(a), Value::List(b)) => {
                let kind = |list: &List<'_>| match list.kind {
                    ListKind::Json => ListKind::Plain,
                    other => other,
                };
                if kind(a) == kind(b) {
                    return Ok(left.equals(right));
                }
            }
            (Value::Boolean(_), Value::Boolean(_))
            | (Value::Character(_), Value::Character(_))
            | (Value::Map(_), Value::Map(_))
            | (Value::Object(_), Value::Object(_)) => return Ok(left.equals(right)),
            _ => {}
        }
        let left = self.text_of(left)?;
        let right = self.text_of(right)?;
        Ok(left.as_str() == right.as_str())
    }

    /// The value of a reference; nothing is the empty text.
    pub(super) fn reference(&mut self, reference: &'a Reference) -> Result<Value<'a>, Failure> {
        // An entry of a map, the commonest step, is read without counting the
        // map up and down.
        let (mut value, rest) = match (&self.slots[reference.root], &*reference.steps) {
            (Value::Map(map), [Step::Property(property), rest @ ..])
                if &*property.text != "class" =>
            {
                (map.get_text(&property.text).unwrap_or_default(), rest)
            }
            (root, steps) => (root.clone(), steps),
        };
        for step in rest {
            if value.is_null() {
                break;
            }
            value = self.step(value, step)?;
        }
        if value.is_null() {
            value = Value::text("");
        }
        Ok(value)
    }

    pub(super) fn step(&mut self, value: Value<'a>, step: &'a Step) -> Result<Value<'a>, Failure> {
        match step {
            Step::Property(property) => self.property(&value, &property.text),
            Step::Method(method) => self.method(&value, method),
            Step::Index(index) => {
                let index = self.value(index)?;
                let index = self.counted_from_end(index, &value)?;
                match value {
                    Value::Context => match &index {
                        Value::Text(name) => self.context_variable_named(name),
                        _ => Ok(Value::Null),
                    },
                    Value::Text(_) | Value::Number(_) | Value::Boolean(_) => Ok(Value::Null),
                    _ => methods::call(self, &value, methods::Name::Get, &[index]),
                }
            }
        }
    }

    /// `[-1]` is the last item.
    pub(super) fn counted_from_end(
        &mut self,
        index: Value<'a>,
        holder: &Value<'a>,
    ) -> Result<Value<'a>, Failure> {
        if let Value::Number(Number::Integer(number)) = index
            && number < 0
        {
            let size = match holder {
                Value::List(list) => list.len(),
                Value::Map(map) => map.len(),
                _ => match self.map_behind(holder)? {
                    Some(map) => map.len(),
                    None => return Err(Failure::thrown("a negative index needs a size()")),
                },
            };
            let size = i32::try_from(size).unwrap_or(i32::MAX);
            return Ok(Value::int(size.wrapping_add(number)));
        }
        Ok(index)
    }

    fn property(&mut self, value: &Value<'a>, name: &'a str) -> Result<Value<'a>, Failure> {
        Ok(match value {
            // getClass() wins over an entry, and is refused.
            Value::Map(_) if name == "class" => Value::Null,
            Value::Map(map) => map.get_text(name).unwrap_or_default(),
            Value::Context => self.context_variable(name)?,
            Value::Input if matches!(name, "body" | "Body") => self.body_text(),
            Value::Object(object) => match &**object {
                Object::Loop(state) => collection::loop_property(state, name),
                Object::Entry(map, at) => match name {
                    "key" | "Key" => map.at(*at).map(|(key, _)| key).unwrap_or_default(),
                    "value" | "Value" => map.at(*at).map(|(_, value)| value).unwrap_or_default(),
                    _ => Value::Null,
                },
                Object::View(_, map) if matches!(name, "empty" | "Empty") => {
                    Value::Boolean(map.len() == 0)
                }
                _ => Value::Null,
            },
            Value::Text(_) => match name {
                "bytes" | "Bytes" => methods::call(self, value, methods::Name::GetBytes, &[])?,
                "empty" | "Empty" => methods::call(self, value, methods::Name::IsEmpty, &[])?,
                "blank" | "Blank" => methods::call(self, value, methods::Name::IsBlank, &[])?,
                _ => Value::Null,
            },
            Value::List(list) if matches!(name, "empty" | "Empty") => match list.kind {
                ListKind::Array => Value::Null,
                _ => Value::Boolean(list.len() == 0),
            },
            Value::Number(Number::Double(number)) => match name {
                "naN" | "NaN" => Value::Boolean(number.is_nan()),
                "infinite" | "Infinite" => Value::Boolean(number.is_infinite()),
                _ => Value::Null,
            },
            _ => Value::Null,
        })
    }

    fn method(&mut self, receiver: &Value<'a>, method: &'a Method) -> Result<Value<'a>, Failure> {
        self.steps += 1;
        if matches!(receiver, Value::Input)
            && let Some(path) = &method.path
        {
            return input::call_with_path(self, method.name, path);
        }
        match &*method.arguments {
            [] => self.call(receiver, method, &[]),
            [only] => {
                let argument = self.value(only)?;
                self.call(receiver, method, &[argument])
            }
            [first, second] => {
                let first = self.value(first)?;
                let second = self.value(second)?;
                self.call(receiver, method, &[first, second])
            }
            more => {
                let mut arguments = Vec::with_capacity(more.len());
                for argument in more {
                    arguments.push(self.value(argument)?);
                }
                self.call(receiver, method, &arguments)
            }
        }
    }

    fn call(
        &mut self,
        receiver: &Value<'a>,
        method: &'a Method,
        arguments: &[Value<'a>],
    ) -> Result<Value<'a>, Failure> {
        match receiver {
            Value::Input => input::call(self, method.name, arguments),
            Value::Util => util_functions::call(self, method.name, arguments),
            Value::Context => self.call_context(method.name, arguments),
            _ => methods::call(self, receiver, method.name, arguments),
        }
    }
}
