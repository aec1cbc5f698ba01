//! Runs a program: one rendering, from the inputs to the text.
//!
//! The renderer follows the changes AWS made to Velocity: a reference without
//! a value is the empty text, in output and in expressions, so that `#if` of it
//! is true and `$none == ""` too.
//!
//! What a template may use up is bounded: rounds of a loop (AWS's quota), and
//! by us its output, the memory its values take, its steps and its nesting.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use super::context::ContextState;
use super::methods::{self, collection};
use super::number::{self, Number, Operator};
use super::program::{
    Block, Comparison, Expression, Foreach, Method, Node, Print, Program, Reference, Step, Target,
};
use super::value::{Cursor, List, ListKind, Loop, Map, Object, Source, Text, Value, View};
use super::{Inputs, Overrides, RenderError, input, util_functions};

/// The longest text a rendering may put out or hold: API Gateway's payload
/// quota, "Amazon API Gateway quotas".
pub(super) const TEXT_LIMIT: usize = 10 * 1024 * 1024;

/// How much a rendering may allocate in all.
const MEMORY_LIMIT: usize = 160 * 1024 * 1024;

/// How many steps a rendering may take.
const STEP_LIMIT: usize = 20_000_000;

/// How many rounds a `#foreach` runs: "Amazon API Gateway quotas". What AWS
/// does with the next one is not known; Velocity's own limit ends the loop
/// without a word.
const ROUND_LIMIT: usize = 1_000;

/// How deep blocks and values may nest while they are rendered.
const DEPTH_LIMIT: u32 = 220;

/// Why a piece has no text or value.
#[derive(Debug)]
pub(super) enum Failure {
    /// Java would throw, or a bound was passed.
    Error(Box<(String, Option<usize>)>),
    /// `#stop`
    Stop,
    /// `#break`
    Break,
    /// `#break($foreach)` of the loop with this address.
    BreakLoop(usize),
}

impl Failure {
    pub(super) fn thrown(message: &str) -> Self {
        Self::Error(Box::new((message.to_owned(), None)))
    }

    pub(super) fn limit(message: &str) -> Self {
        Self::thrown(message)
    }
}

type Done = Result<(), Failure>;

/// One rendering.
pub(super) struct Renderer<'a> {
    program: &'a Program,
    pub(super) inputs: &'a Inputs<'a>,
    pub(super) overrides: &'a Overrides,
    slots: Vec<Value<'a>>,
    out: String,
    steps: usize,
    memory: usize,
    depth: u32,
    pub(super) input: input::InputState<'a>,
    pub(super) context: ContextState<'a>,
    /// Lists and maps that were put into others: they may form circles, and
    /// are emptied at the end so that nothing leaks.
    linked: Vec<Value<'a>>,
}

impl Drop for Renderer<'_> {
    fn drop(&mut self) {
        for value in std::mem::take(&mut self.linked) {
            match value {
                Value::List(list) => drop(list.items.take()),
                Value::Map(map) => map.clear(),
                _ => {}
            }
        }
    }
}

/// Renders a program; gives the text and, where the template has touched
/// them, the overrides as they are then.
pub(super) fn render<'a>(
    program: &'a Program,
    inputs: &'a Inputs<'a>,
    overrides: &'a Overrides,
) -> Result<(String, Option<Overrides>), RenderError> {
    if let Some(error) = &program.late_error {
        return Err(RenderError {
            message: error.clone(),
            offset: None,
        });
    }
    let mut slots = vec![Value::Null; program.names.len()];
    if let Some(variables) = inputs.variables {
        for (slot, name) in slots.iter_mut().zip(&program.names) {
            if let Some(value) = variables.get(&**name) {
                *slot = Value::from_json(value);
            }
        }
    }
    let mut provide = |slot: Option<usize>, value: Value<'a>| {
        if let Some(slot) = slot {
            slots[slot] = value;
        }
    };
    provide(program.input, Value::Input);
    provide(program.util, Value::Util);
    provide(program.context, Value::Context);
    if program.stage_variables.is_some() {
        provide(
            program.stage_variables,
            input::name_map(inputs.stage_variables),
        );
    }
    let mut renderer = Renderer {
        program,
        inputs,
        overrides,
        slots,
        out: String::with_capacity(program.usual_length.load(Ordering::Relaxed)),
        steps: 0,
        memory: 0,
        depth: 0,
        input: input::InputState::default(),
        context: ContextState::default(),
        linked: Vec::new(),
    };
    match renderer.block(&program.body) {
        Ok(()) | Err(Failure::Stop | Failure::Break | Failure::BreakLoop(_)) => {}
        Err(Failure::Error(error)) => {
            return Err(RenderError {
                message: error.0,
                offset: error.1,
            });
        }
    }
    let changed = renderer.context.changed_overrides().map_err(|failure| {
        let message = match failure {
            Failure::Error(error) => error.0,
            _ => String::new(),
        };
        RenderError {
            message,
            offset: None,
        }
    })?;
    let text = std::mem::take(&mut renderer.out);
    // The next rendering will likely be as long.
    let usual = (text.len() + text.len() / 8).clamp(64, 64 * 1024);
    program.usual_length.store(usual, Ordering::Relaxed);
    Ok((text, changed))
}

impl<'a> Renderer<'a> {
    // === bounds ===

    /// Notes that `bytes` are allocated.
    pub(super) fn charge(&mut self, bytes: usize) -> Done {
        self.memory = self.memory.saturating_add(bytes);
        if self.memory > MEMORY_LIMIT {
            return Err(Failure::limit("the template uses too much memory"));
        }
        self.within_text_limit(bytes)
    }

    /// Notes work on so many bytes or items.
    pub(super) fn work(&mut self, items: usize) -> Done {
        self.steps = self.steps.saturating_add(1 + items / 4);
        if self.steps > STEP_LIMIT {
            return Err(Failure::limit("the template takes too many steps"));
        }
        Ok(())
    }

    pub(super) fn within_text_limit(&self, length: usize) -> Done {
        if length > TEXT_LIMIT {
            return Err(Failure::limit("a text grows beyond 10 MB"));
        }
        Ok(())
    }

    /// A text as a value, counted.
    pub(super) fn made(&mut self, text: String) -> Result<Value<'a>, Failure> {
        self.charge(text.len())?;
        Ok(Value::from(text))
    }

    fn descend(&mut self) -> Done {
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            return Err(Failure::limit("the template nests too deeply"));
        }
        Ok(())
    }

    /// Notes that `value` is put into `holder`.
    pub(super) fn link(&mut self, holder: &Value<'a>, value: &Value<'a>) {
        if value.is_container() {
            self.linked.push(holder.clone());
        }
    }

    /// Puts into a map, and gives the value that was there.
    pub(super) fn put(
        &mut self,
        map: &Rc<Map<'a>>,
        key: Value<'a>,
        value: Value<'a>,
    ) -> Result<Value<'a>, Failure> {
        self.charge(64)?;
        if key.is_container() || value.is_container() {
            self.linked.push(Value::Map(Rc::clone(map)));
        }
        Ok(map.put(key, value).unwrap_or_default())
    }

    // === pieces ===

    fn block(&mut self, block: &'a Block) -> Done {
        self.descend()?;
        for (index, node) in block.nodes.iter().enumerate() {
            if let Err(mut failure) = self.node(node) {
                self.depth -= 1;
                if let Failure::Error(error) = &mut failure
                    && error.1.is_none()
                {
                    error.1 = block.offsets.get(index).copied();
                }
                return Err(failure);
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn node(&mut self, node: &'a Node) -> Done {
        self.steps += 1;
        if self.steps > STEP_LIMIT {
            return Err(Failure::limit("the template takes too many steps"));
        }
        match node {
            Node::Text(text) => {
                self.out.push_str(text);
                self.within_text_limit(self.out.len())
            }
            Node::Reference(print) => self.print(print),
            Node::Set(set) => self.set(&set.0, &set.1),
            Node::If(branches, otherwise) => {
                for (condition, body) in branches {
                    if self.holds(condition)? {
                        return self.block(body);
                    }
                }
                match otherwise {
                    Some(body) => self.block(body),
                    None => Ok(()),
                }
            }
            Node::Foreach(foreach) => self.foreach(foreach),
            Node::Define(slot, body) => {
                let block = Object::Block(body, Cell::new(0));
                self.slots[*slot] = Value::Object(Rc::new(block));
                Ok(())
            }
            Node::Stop(message) => {
                if let Some(message) = message {
                    self.value(message)?;
                }
                Err(Failure::Stop)
            }
            Node::Break(scope) => {
                let Some(scope) = scope else {
                    return Err(Failure::Break);
                };
                match self.value(scope)? {
                    Value::Object(object) if matches!(*object, Object::Loop(_)) => {
                        Err(Failure::BreakLoop(Rc::as_ptr(&object).addr()))
                    }
                    _ => Err(Failure::thrown("#break needs a loop such as $foreach")),
                }
            }
            Node::Fail(message) => Err(Failure::thrown(message)),
        }
    }

    fn print(&mut self, print: &'a Print) -> Done {
        let value = self.reference(&print.reference)?;
        self.out.push_str(&print.prefix);
        if let Some(escaped) = &print.escaped {
            self.out.push_str(escaped);
        } else if let Value::Text(text) = &value {
            self.out.push_str(text.as_str());
        } else if let Value::Number(number) = &value {
            number.write(&mut self.out);
        } else {
            let mut out = std::mem::take(&mut self.out);
            let written = self.write(&value, &mut out);
            self.out = out;
            written?;
        }
        self.within_text_limit(self.out.len())
    }

    fn set(&mut self, target: &'a Target, value: &'a Expression) -> Done {
        let value = self.value(value)?;
        if value.is_null() {
            return Ok(());
        }
        match target {
            Target::Slot(slot) => {
                self.slots[*slot] = value;
                Ok(())
            }
            Target::Inside(reference) => self.set_inside(reference, value),
        }
    }

    fn set_inside(&mut self, reference: &'a Reference, value: Value<'a>) -> Done {
        let mut holder = self.slots[reference.root].clone();
        let Some((last, before)) = reference.steps.split_last() else {
            return Ok(());
        };
        for step in before {
            if holder.is_null() {
                return Ok(());
            }
            holder = self.step(holder, step)?;
        }
        match last {
            Step::Index(index) => {
                let index = self.value(index)?;
                let index = self.from_end(index, &holder)?;
                match &holder {
                    Value::List(_) => {
                        methods::call(self, &holder, methods::Name::Set, &[index, value])?;
                    }
                    _ => {
                        if let Some(map) = self.map_behind(&holder)? {
                            self.put(&map, index, value)?;
                        }
                    }
                }
                Ok(())
            }
            Step::Property(property) => self.set_property(&holder, &property.text, value),
            Step::Method(method) => self.set_property(&holder, &method.text, value),
        }
    }

    fn set_property(&mut self, holder: &Value<'a>, name: &'a str, value: Value<'a>) -> Done {
        if let Some(map) = self.map_behind(holder)? {
            self.put(&map, Value::text(name), value)?;
        } else if matches!(name, "value" | "Value") {
            methods::call(self, holder, methods::Name::SetValue, &[value])?;
        }
        Ok(())
    }

    /// The map that a value is, or keeps its entries in.
    fn map_behind(&mut self, value: &Value<'a>) -> Result<Option<Rc<Map<'a>>>, Failure> {
        Ok(match value {
            Value::Map(map) => Some(Rc::clone(map)),
            Value::Context => Some(self.whole_context()?),
            Value::Object(object) => match &**object {
                Object::Loop(state) => Some(collection::own_entries(state)),
                _ => None,
            },
            _ => None,
        })
    }

    fn foreach(&mut self, foreach: &'a Foreach) -> Done {
        let source = match self.value(&foreach.source)? {
            Value::List(list) => Cursor::new(Source::List(list)),
            Value::Map(map) => Cursor::new(Source::Map(View::Values, map)),
            Value::Context => {
                let map = self.whole_context()?;
                Cursor::new(Source::Map(View::Values, map))
            }
            Value::Object(object) => match &*object {
                Object::View(view, map) => Cursor::new(Source::Map(*view, Rc::clone(map))),
                Object::Iterator(cursor) => {
                    // The loop uses the iterator up.
                    let mut cursor = cursor.borrow_mut();
                    let taken = Cursor {
                        source: cursor.source.clone(),
                        at: cursor.at,
                        changes: cursor.changes,
                    };
                    cursor.at = cursor.source.len();
                    taken
                }
                Object::Loop(state) => {
                    let own = collection::own_entries(state);
                    Cursor::new(Source::Map(View::Values, own))
                }
                Object::Entry(..) | Object::Block(..) => return Ok(()),
            },
            _ => return Ok(()),
        };
        let program = self.program;
        let saved = self.slots[foreach.element].clone();
        let kept = |renderer: &Self, slot: Option<usize>| {
            slot.map(|slot| (slot, renderer.slots[slot].clone()))
        };
        let saved_count = kept(self, program.loop_count);
        let saved_next = kept(self, program.loop_has_next);
        let state = program.loop_state.map(|slot| {
            let state = Rc::new(Object::Loop(Loop {
                index: Cell::new(-1),
                has_next: Cell::new(false),
                before: self.slots[slot].clone(),
                own: std::cell::RefCell::default(),
            }));
            self.slots[slot] = Value::Object(Rc::clone(&state));
            state
        });
        let result = self.rounds(foreach, source, state.as_ref());
        // What the loop has shadowed comes back.
        self.slots[foreach.element] = saved;
        for (slot, value) in [saved_count, saved_next].into_iter().flatten() {
            self.slots[slot] = value;
        }
        if let Some(slot) = program.loop_state {
            let before = match &self.slots[slot] {
                Value::Object(object) => match &**object {
                    Object::Loop(state) => Some(state.before.clone()),
                    _ => None,
                },
                // The template has set $foreach itself.
                _ => None,
            };
            if let Some(before) = before {
                self.slots[slot] = before;
            }
        }
        match result {
            Err(Failure::Break) => Ok(()),
            Err(Failure::BreakLoop(address))
                if state.is_some_and(|state| Rc::as_ptr(&state).addr() == address) =>
            {
                Ok(())
            }
            other => other,
        }
    }

    fn rounds(
        &mut self,
        foreach: &'a Foreach,
        mut cursor: Cursor<'a>,
        state: Option<&Rc<Object<'a>>>,
    ) -> Done {
        let program = self.program;
        let mut round = 0;
        while round < ROUND_LIMIT && cursor.at != cursor.source.len() {
            let Some(item) = collection::advance(&mut cursor)? else {
                break;
            };
            let has_next = cursor.at != cursor.source.len();
            round += 1;
            if let Some(slot) = program.loop_count {
                self.slots[slot] = Value::size(round);
            }
            if let Some(slot) = program.loop_has_next {
                self.slots[slot] = Value::Boolean(has_next);
            }
            self.slots[foreach.element] = item;
            if let Some(state) = state
                && let Object::Loop(state) = &**state
            {
                state.index.set(state.index.get() + 1);
                state.has_next.set(has_next);
            }
            self.block(&foreach.body)?;
            self.work(0)?;
        }
        Ok(())
    }

    // === values ===

    /// Whether a condition holds: false is false, and so is everything that is
    /// neither a reference nor a comparison.
    fn holds(&mut self, condition: &'a Expression) -> Result<bool, Failure> {
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
    fn reference(&mut self, reference: &'a Reference) -> Result<Value<'a>, Failure> {
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

    fn step(&mut self, value: Value<'a>, step: &'a Step) -> Result<Value<'a>, Failure> {
        match step {
            Step::Property(property) => self.property(&value, &property.text),
            Step::Method(method) => self.method(&value, method),
            Step::Index(index) => {
                let index = self.value(index)?;
                let index = self.from_end(index, &value)?;
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
    fn from_end(&mut self, index: Value<'a>, holder: &Value<'a>) -> Result<Value<'a>, Failure> {
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

    // === text ===

    /// The text of a block, apart from the output.
    fn text_of_block(&mut self, block: &'a Block) -> Result<String, Failure> {
        let outer = std::mem::take(&mut self.out);
        let result = self.block(block);
        let text = std::mem::replace(&mut self.out, outer);
        result?;
        Ok(text)
    }

    /// Java's `toString`.
    pub(super) fn text_of(&mut self, value: &Value<'a>) -> Result<Text<'a>, Failure> {
        if let Value::Text(text) = value {
            return Ok(text.clone());
        }
        let mut text = String::new();
        self.write(value, &mut text)?;
        self.charge(text.len())?;
        Ok(Text::Owned(Rc::from(text)))
    }

    /// Writes a value as Java's `toString`.
    pub(super) fn write(&mut self, value: &Value<'a>, out: &mut String) -> Done {
        self.within_text_limit(out.len())?;
        match value {
            Value::Null => out.push_str("null"),
            Value::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
            Value::Number(number) => number.write(out),
            Value::Character(unit) => out.push_str(&String::from_utf16_lossy(&[*unit])),
            Value::Text(text) => out.push_str(text.as_str()),
            Value::Input | Value::Util => {}
            Value::Context => {
                let map = self.whole_context()?;
                self.write(&Value::Map(map), out)?;
            }
            Value::List(list) => match list.kind {
                ListKind::Json => super::json::write(value, out, true)?,
                ListKind::Array => out.push_str("[Ljava.lang.Object;@0"),
                ListKind::Plain | ListKind::Fixed => {
                    self.descend()?;
                    self.work(list.len())?;
                    out.push('[');
                    for index in 0..list.len() {
                        if index > 0 {
                            out.push_str(", ");
                        }
                        match list.get(index) {
                            Some(Value::List(inner)) if Rc::ptr_eq(&inner, list) => {
                                out.push_str("(this Collection)");
                            }
                            Some(item) => self.write(&item, out)?,
                            None => break,
                        }
                    }
                    out.push(']');
                    self.depth -= 1;
                }
            },
            Value::Map(map) if map.opaque => {}
            Value::Map(map) => {
                self.descend()?;
                self.work(map.len())?;
                out.push('{');
                for index in 0..map.len() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    let Some((key, item)) = map.at(index) else {
                        break;
                    };
                    self.write(&key, out)?;
                    out.push('=');
                    match item {
                        Value::Map(inner) if Rc::ptr_eq(&inner, map) => out.push_str("(this Map)"),
                        item => self.write(&item, out)?,
                    }
                }
                out.push('}');
                self.depth -= 1;
            }
            Value::Object(object) => self.write_object(object, out)?,
        }
        Ok(())
    }

    fn write_object(&mut self, object: &Rc<Object<'a>>, out: &mut String) -> Done {
        match &**object {
            Object::View(view, map) => {
                self.descend()?;
                let source = Source::Map(*view, Rc::clone(map));
                out.push('[');
                for index in 0..source.len() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    let item = source.get(index).unwrap_or_default();
                    self.write(&item, out)?;
                }
                out.push(']');
                self.depth -= 1;
            }
            Object::Entry(map, at) => {
                if let Some((key, value)) = map.at(*at) {
                    self.descend()?;
                    self.write(&key, out)?;
                    out.push('=');
                    self.write(&value, out)?;
                    self.depth -= 1;
                }
            }
            Object::Iterator(_) => out.push_str("java.util.Iterator@0"),
            Object::Loop(state) => {
                let own = collection::own_entries(state);
                self.write(&Value::Map(own), out)?;
            }
            Object::Block(block, depth) => {
                // A block that prints itself stops at the second time.
                if depth.get() >= 2 {
                    return Ok(());
                }
                depth.set(depth.get() + 1);
                let outer = std::mem::replace(&mut self.out, std::mem::take(out));
                let result = self.block(block);
                *out = std::mem::replace(&mut self.out, outer);
                depth.set(depth.get() - 1);
                match result {
                    Ok(()) | Err(Failure::Break) => {}
                    Err(failure) => return Err(failure),
                }
            }
        }
        Ok(())
    }
}
