//! The values a template works on: Java's objects.
//!
//! Lists and maps are shared, as in Java: `#set($b = $a)` makes two names for
//! one list. They belong to one rendering and never leave it, so they are
//! counted without atomics and borrow what they can from the template, the
//! body and the request. What a template's nesting can do to them is bounded
//! here: dropping them takes no stack ([`List`] and [`Map`] unlink their
//! contents first), and comparing them takes a fixed number of steps.

use std::cell::{Cell, RefCell};
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use indexmap::{Equivalent, IndexMap};

use super::number::Number;
use super::program::Block;

/// A Java object, or null.
#[derive(Debug, Clone, Default)]
pub enum Value<'a> {
    /// Null, and everything undefined.
    #[default]
    Null,
    /// A `Boolean`.
    Boolean(bool),
    /// A `Number`.
    Number(Number),
    /// A `Character`: one UTF-16 unit.
    Character(u16),
    /// A `String`.
    Text(Text<'a>),
    /// A `List` or an array.
    List(Rc<List<'a>>),
    /// A `Map`.
    Map(Rc<Map<'a>>),
    /// Something else; see `Object`.
    Object(Rc<Object<'a>>),
    /// `$input`
    Input,
    /// `$util`
    Util,
    /// `$context`
    Context,
}

/// Text, borrowed where it outlives the rendering.
#[derive(Debug, Clone)]
pub enum Text<'a> {
    /// Of the template, the request or the body.
    Borrowed(&'a str),
    /// Made by the rendering.
    Owned(Rc<str>),
}

impl Text<'_> {
    /// The characters.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Owned(text) => text,
        }
    }
}

/// Objects that a template seldom holds.
#[derive(Debug)]
pub enum Object<'a> {
    /// `keySet()`, `values()` or `entrySet()` of a map.
    View(View, Rc<Map<'a>>),
    /// One entry of a map, by its place. It holds no value of its own, so that
    /// entries cannot be chained.
    Entry(Rc<Map<'a>>, usize),
    /// `iterator()` of a list or a view.
    Iterator(RefCell<Cursor<'a>>),
    /// `$foreach`
    Loop(Loop<'a>),
    /// A `#define`d block.
    Block(&'a Block, Cell<u32>),
}

/// Which side of a map a view shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// `keySet()`
    Keys,
    /// `values()`
    Values,
    /// `entrySet()`
    Entries,
}

/// What a list is in Java; it shows in how it prints and what it allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListKind {
    /// An `ArrayList`, which prints as `[a, b]`.
    Plain,
    /// A list of a JSON document, which prints as `["a","b"]`.
    Json,
    /// A part of another list, or a list nobody may change.
    Fixed,
    /// An array, as of `split`.
    Array,
}

/// A `List`, or an array.
#[derive(Debug)]
pub struct List<'a> {
    pub(super) kind: ListKind,
    pub(super) items: RefCell<Vec<Value<'a>>>,
    /// How often items came or went; a loop that runs meanwhile fails.
    pub(super) changes: Cell<u32>,
}

/// A `LinkedHashMap`: it keeps the order in which keys were first put.
#[derive(Debug)]
pub struct Map<'a> {
    /// Prints as nothing, as AWS's own objects under `$context` do.
    pub(super) opaque: bool,
    pub(super) entries: RefCell<Entries<'a>>,
    pub(super) changes: Cell<u32>,
}

/// `$foreach`, the state of one loop.
#[derive(Debug)]
pub struct Loop<'a> {
    pub(super) index: Cell<i32>,
    pub(super) has_next: Cell<bool>,
    /// What `$foreach` was before: the loop around, or something else.
    pub(super) before: Value<'a>,
    /// What the template has put into it.
    pub(super) own: RefCell<Option<Rc<Map<'a>>>>,
}

/// A place in a list or a view.
#[derive(Debug)]
pub struct Cursor<'a> {
    pub(super) source: Source<'a>,
    pub(super) at: usize,
    pub(super) changes: u32,
}

/// What a loop runs over.
#[derive(Debug, Clone)]
pub(super) enum Source<'a> {
    /// The items of a list.
    List(Rc<List<'a>>),
    /// One side of a map.
    Map(View, Rc<Map<'a>>),
}

/// The entries of a map: a list while they are few, an index beyond that.
#[derive(Debug)]
pub(super) enum Entries<'a> {
    Few(Vec<(Value<'a>, Value<'a>)>),
    Many(IndexMap<Value<'a>, Value<'a>>),
}

/// Up to so many entries, comparing keys beats hashing them.
const FEW: usize = 12;

/// How many values one comparison looks at before it gives up.
const COMPARISONS: u32 = 200_000;

/// How deep a comparison follows nested lists.
const DEPTH: u32 = 200;

// === impl Value ===

impl<'a> Value<'a> {
    /// Text that outlives the rendering.
    pub const fn text(text: &'a str) -> Self {
        Self::Text(Text::Borrowed(text))
    }

    /// Text made by the rendering.
    pub fn owned(text: &str) -> Self {
        Self::Text(Text::Owned(Rc::from(text)))
    }

    /// A whole number.
    pub const fn int(value: i32) -> Self {
        Self::Number(Number::Integer(value))
    }

    /// A length or an index; Java's are 32 bits wide.
    pub(super) fn size(value: usize) -> Self {
        Self::int(i32::try_from(value).unwrap_or(i32::MAX))
    }

    /// A whole number of the smallest type that holds it.
    pub fn long(value: i64) -> Self {
        Self::Number(i32::try_from(value).map_or(Number::Long(value), Number::Integer))
    }

    /// A list of a template's own.
    pub(super) fn list(items: Vec<Self>) -> Self {
        Self::List(List::new(ListKind::Plain, items))
    }

    /// A map with these entries, in this order. Keys must differ.
    pub fn map(entries: Vec<(Self, Self)>) -> Self {
        Self::Map(Map::new(entries))
    }

    /// A map of AWS's own, as `$context.identity` is: its entries can be read,
    /// the map itself prints as nothing.
    pub fn opaque_map(entries: Vec<(Self, Self)>) -> Self {
        Self::Map(Rc::new(Map {
            opaque: true,
            entries: RefCell::new(Entries::from_vec(entries)),
            changes: Cell::new(0),
        }))
    }

    /// The characters, if it is a string.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.as_str()),
            _ => None,
        }
    }

    pub(super) const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether it can hold other values, itself included.
    pub(super) const fn is_container(&self) -> bool {
        matches!(self, Self::List(_) | Self::Map(_) | Self::Object(_))
    }

    /// Java's `equals`.
    pub(super) fn equals(&self, other: &Self) -> bool {
        let mut steps = COMPARISONS;
        self.equals_within(other, &mut steps, DEPTH)
    }

    fn equals_within(&self, other: &Self, steps: &mut u32, depth: u32) -> bool {
        if *steps == 0 || depth == 0 {
            return false;
        }
        *steps -= 1;
        match (self, other) {
            (Self::Null, Self::Null)
            | (Self::Input, Self::Input)
            | (Self::Util, Self::Util)
            | (Self::Context, Self::Context) => true,
            (Self::Boolean(a), Self::Boolean(b)) => a == b,
            (Self::Number(a), Self::Number(b)) => a.equals(b),
            (Self::Character(a), Self::Character(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a.as_str() == b.as_str(),
            (Self::List(a), Self::List(b)) => {
                if Rc::ptr_eq(a, b) {
                    return true;
                }
                if a.kind == ListKind::Array || b.kind == ListKind::Array {
                    return false;
                }
                let (a, b) = (a.items.borrow(), b.items.borrow());
                a.len() == b.len()
                    && a.iter()
                        .zip(b.iter())
                        .all(|(a, b)| a.equals_within(b, steps, depth - 1))
            }
            (Self::Map(a), Self::Map(b)) => {
                if Rc::ptr_eq(a, b) {
                    return true;
                }
                let (a, b) = (a.entries.borrow(), b.entries.borrow());
                a.len() == b.len()
                    && (0..a.len()).all(|index| match a.at(index) {
                        Some((key, value)) => b
                            .get(key)
                            .is_some_and(|other| value.equals_within(other, steps, depth - 1)),
                        None => false,
                    })
            }
            (Self::Object(a), Self::Object(b)) => {
                Rc::ptr_eq(a, b)
                    || match (&**a, &**b) {
                        (Object::Entry(a, at), Object::Entry(b, other)) => {
                            match (a.at(*at), b.at(*other)) {
                                (Some((key, value)), Some((other_key, other_value))) => {
                                    key.equals_within(&other_key, steps, depth - 1)
                                        && value.equals_within(&other_value, steps, depth - 1)
                                }
                                _ => false,
                            }
                        }
                        _ => false,
                    }
            }
            _ => false,
        }
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Text::Owned(Rc::from(text)))
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.equals(other)
    }
}

impl Eq for Value<'_> {}

impl Hash for Value<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Text(text) => text.as_str().hash(state),
            Self::Number(number) => number.hash_code().hash(state),
            Self::Boolean(value) => value.hash(state),
            Self::Character(value) => value.hash(state),
            // Equal lists have equal lengths; more is not worth the time.
            Self::List(list) => list.items.borrow().len().hash(state),
            Self::Map(map) => map.len().hash(state),
            Self::Null | Self::Object(_) | Self::Input | Self::Util | Self::Context => {}
        }
    }
}

/// A string key, looked up without making a value of it.
struct TextKey<'k>(&'k str);

impl Hash for TextKey<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Equivalent<Value<'_>> for TextKey<'_> {
    fn equivalent(&self, key: &Value<'_>) -> bool {
        key.as_text() == Some(self.0)
    }
}

// === impl List ===

impl<'a> List<'a> {
    pub(super) fn new(kind: ListKind, items: Vec<Value<'a>>) -> Rc<Self> {
        Rc::new(Self {
            kind,
            items: RefCell::new(items),
            changes: Cell::new(0),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.items.borrow().len()
    }

    pub(super) fn get(&self, index: usize) -> Option<Value<'a>> {
        self.items.borrow().get(index).cloned()
    }

    /// Notes that items came or went.
    pub(super) fn changed(&self) {
        self.changes.set(self.changes.get().wrapping_add(1));
    }
}

// === impl Map ===

impl<'a> Map<'a> {
    /// Keys must differ.
    pub(super) fn new(entries: Vec<(Value<'a>, Value<'a>)>) -> Rc<Self> {
        Rc::new(Self {
            opaque: false,
            entries: RefCell::new(Entries::from_vec(entries)),
            changes: Cell::new(0),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.entries.borrow().len()
    }

    pub(super) fn get(&self, key: &Value<'a>) -> Option<Value<'a>> {
        self.entries.borrow().get(key).cloned()
    }

    pub(super) fn get_text(&self, key: &str) -> Option<Value<'a>> {
        self.entries.borrow().get_text(key).cloned()
    }

    pub(super) fn at(&self, index: usize) -> Option<(Value<'a>, Value<'a>)> {
        let entries = self.entries.borrow();
        entries
            .at(index)
            .map(|(key, value)| (key.clone(), value.clone()))
    }

    /// Puts a value and gives the one that was there.
    pub(super) fn put(&self, key: Value<'a>, value: Value<'a>) -> Option<Value<'a>> {
        let old = self.entries.borrow_mut().put(key, value);
        if old.is_none() {
            self.changes.set(self.changes.get().wrapping_add(1));
        }
        old
    }

    pub(super) fn remove(&self, key: &Value<'a>) -> Option<Value<'a>> {
        let old = self.entries.borrow_mut().remove(key);
        if old.is_some() {
            self.changes.set(self.changes.get().wrapping_add(1));
        }
        old
    }

    pub(super) fn clear(&self) {
        let old = self.entries.replace(Entries::Few(Vec::new()));
        self.changes.set(self.changes.get().wrapping_add(1));
        drop(old);
    }
}

impl<'a> Entries<'a> {
    fn from_vec(entries: Vec<(Value<'a>, Value<'a>)>) -> Self {
        if entries.len() > FEW {
            Self::Many(entries.into_iter().collect())
        } else {
            Self::Few(entries)
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Few(entries) => entries.len(),
            Self::Many(entries) => entries.len(),
        }
    }

    pub(super) fn at(&self, index: usize) -> Option<(&Value<'a>, &Value<'a>)> {
        match self {
            Self::Few(entries) => entries.get(index).map(|(key, value)| (key, value)),
            Self::Many(entries) => entries.get_index(index),
        }
    }

    pub(super) fn get(&self, key: &Value<'a>) -> Option<&Value<'a>> {
        if let Value::Text(text) = key {
            return self.get_text(text.as_str());
        }
        match self {
            Self::Few(entries) => entries
                .iter()
                .find(|(found, _)| found == key)
                .map(|(_, value)| value),
            Self::Many(entries) => entries.get(key),
        }
    }

    pub(super) fn get_text(&self, key: &str) -> Option<&Value<'a>> {
        match self {
            Self::Few(entries) => entries
                .iter()
                .find(|(found, _)| found.as_text() == Some(key))
                .map(|(_, value)| value),
            Self::Many(entries) => entries.get(&TextKey(key)),
        }
    }

    pub(super) fn put(&mut self, key: Value<'a>, value: Value<'a>) -> Option<Value<'a>> {
        match self {
            Self::Few(entries) => {
                if let Some((_, old)) = entries.iter_mut().find(|(found, _)| *found == key) {
                    return Some(std::mem::replace(old, value));
                }
                entries.push((key, value));
                if entries.len() > FEW {
                    *self = Self::Many(std::mem::take(entries).into_iter().collect());
                }
                None
            }
            Self::Many(entries) => entries.insert(key, value),
        }
    }

    fn remove(&mut self, key: &Value<'a>) -> Option<Value<'a>> {
        match self {
            Self::Few(entries) => {
                let index = entries.iter().position(|(found, _)| found == key)?;
                Some(entries.remove(index).1)
            }
            Self::Many(entries) => entries.shift_remove(key),
        }
    }
}

// === impl Source ===

impl<'a> Source<'a> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::List(list) => list.len(),
            Self::Map(_, map) => map.len(),
        }
    }

    pub(super) fn changes(&self) -> u32 {
        match self {
            Self::List(list) => list.changes.get(),
            Self::Map(_, map) => map.changes.get(),
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<Value<'a>> {
        match self {
            Self::List(list) => list.get(index),
            Self::Map(View::Keys, map) => {
                map.entries.borrow().at(index).map(|(key, _)| key.clone())
            }
            Self::Map(View::Values, map) => map
                .entries
                .borrow()
                .at(index)
                .map(|(_, value)| value.clone()),
            Self::Map(View::Entries, map) => (index < map.len())
                .then(|| Value::Object(Rc::new(Object::Entry(Rc::clone(map), index)))),
        }
    }
}

impl<'a> Cursor<'a> {
    pub(super) fn new(source: Source<'a>) -> Self {
        Self {
            changes: source.changes(),
            source,
            at: 0,
        }
    }
}

// === dropping without recursion ===

/// Takes apart what only `values` hold, with a list instead of the stack: a
/// template can nest a list in a list a million times.
fn unlink<'a>(mut values: Vec<Value<'a>>) {
    while let Some(value) = values.pop() {
        match value {
            Value::List(list) => {
                if let Some(mut list) = Rc::into_inner(list) {
                    values.append(list.items.get_mut());
                }
            }
            Value::Map(map) => {
                if let Some(mut map) = Rc::into_inner(map) {
                    take_entries(map.entries.get_mut(), &mut values);
                }
            }
            Value::Object(object) => {
                if let Some(object) = Rc::into_inner(object) {
                    match object {
                        Object::Entry(map, _) | Object::View(_, map) => {
                            values.push(Value::Map(map));
                        }
                        Object::Iterator(cursor) => match cursor.into_inner().source {
                            Source::List(list) => values.push(Value::List(list)),
                            Source::Map(_, map) => values.push(Value::Map(map)),
                        },
                        Object::Loop(mut state) => state.take_parts(&mut values),
                        Object::Block(..) => {}
                    }
                }
            }
            _ => {}
        }
    }
}

fn take_entries<'a>(entries: &mut Entries<'a>, values: &mut Vec<Value<'a>>) {
    let taken = std::mem::replace(entries, Entries::Few(Vec::new()));
    let mut keep = |key: Value<'a>, value: Value<'a>| {
        if key.is_container() {
            values.push(key);
        }
        if value.is_container() {
            values.push(value);
        }
    };
    match taken {
        Entries::Few(entries) => entries
            .into_iter()
            .for_each(|(key, value)| keep(key, value)),
        Entries::Many(entries) => entries
            .into_iter()
            .for_each(|(key, value)| keep(key, value)),
    }
}

impl<'a> Loop<'a> {
    fn take_parts(&mut self, values: &mut Vec<Value<'a>>) {
        values.push(std::mem::take(&mut self.before));
        if let Some(own) = self.own.take() {
            values.push(Value::Map(own));
        }
    }
}

impl Drop for Loop<'_> {
    fn drop(&mut self) {
        if self.before.is_container() || self.own.get_mut().is_some() {
            let mut values = Vec::new();
            self.take_parts(&mut values);
            unlink(values);
        }
    }
}

impl Drop for List<'_> {
    fn drop(&mut self) {
        let items = self.items.get_mut();
        if items.iter().any(Value::is_container) {
            unlink(std::mem::take(items));
        }
    }
}

impl Drop for Map<'_> {
    fn drop(&mut self) {
        let entries = self.entries.get_mut();
        let nested = (0..entries.len()).any(|index| {
            entries
                .at(index)
                .is_some_and(|(key, value)| key.is_container() || value.is_container())
        });
        if nested {
            let mut values = Vec::new();
            take_entries(entries, &mut values);
            unlink(values);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_keeps_its_order_when_it_grows() {
        let map = Map::new(Vec::new());
        for number in 0..40 {
            map.put(Value::int(number), Value::int(-number));
        }

        map.put(Value::int(3), Value::Null);

        assert_eq!(map.at(3).unwrap().0, Value::int(3));
        assert_eq!(map.at(39).unwrap().1, Value::int(-39));
        assert_eq!(map.get(&Value::Number(Number::Long(3))), None);
    }

    #[test]
    fn a_million_nested_lists_can_be_dropped() {
        let mut value = Value::Null;
        for _ in 0..1_000_000 {
            value = Value::list(vec![value]);
        }

        drop(value);
    }

    #[test]
    fn a_list_that_holds_itself_can_be_compared() {
        let list = List::new(ListKind::Plain, Vec::new());
        list.items.borrow_mut().push(Value::List(Rc::clone(&list)));
        let other = List::new(ListKind::Plain, vec![Value::List(Rc::clone(&list))]);

        assert!(!Value::List(Rc::clone(&list)).equals(&Value::List(other)) || list.len() == 1);
        list.items.borrow_mut().clear();
    }
}
