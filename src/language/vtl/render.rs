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
use super::program::{Block, Expression, Foreach, Node, Print, Program, Reference, Step, Target};
use super::value::{Cursor, Loop, Map, Object, Source, Value, View};
use super::{Inputs, Overrides, RenderError, input};

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

/// How deep blocks, expressions and values may nest while they are rendered.
const DEPTH_LIMIT: u32 = 400;

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

pub(super) type Done = Result<(), Failure>;

/// One rendering.
pub(super) struct Renderer<'a> {
    program: &'a Program,
    pub(super) inputs: &'a Inputs<'a>,
    pub(super) overrides: &'a Overrides,
    pub(super) slots: Vec<Value<'a>>,
    pub(super) out: String,
    pub(super) steps: usize,
    memory: usize,
    pub(super) depth: u32,
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

    pub(super) fn descend(&mut self) -> Done {
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

    pub(super) fn block(&mut self, block: &'a Block) -> Done {
        let outer = self.depth;
        self.depth += block.height;
        self.descend()?;
        for (index, node) in block.nodes.iter().enumerate() {
            if let Err(mut failure) = self.node(node) {
                self.depth = outer;
                if let Failure::Error(error) = &mut failure
                    && error.1.is_none()
                {
                    error.1 = block.offsets.get(index).copied();
                }
                return Err(failure);
            }
        }
        self.depth = outer;
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
        if print.escaped.is_none()
            && let Value::Object(object) = &value
            && let Object::Block(_, running) = &**object
            && running.get() < 2
        {
            // What stands before a block that prints itself is lost, as in the
            // original.
            let mut out = std::mem::take(&mut self.out);
            let written = self.write(&value, &mut out);
            self.out = out;
            return written;
        }
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
                let index = self.counted_from_end(index, &holder)?;
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
    pub(super) fn map_behind(&mut self, value: &Value<'a>) -> Result<Option<Rc<Map<'a>>>, Failure> {
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
}
