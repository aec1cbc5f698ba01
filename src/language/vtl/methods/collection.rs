//! `java.util.ArrayList`, `LinkedHashMap`, their views, entries and iterators,
//! arrays, and `$foreach`.

use std::cell::RefCell;
use std::rc::Rc;

use super::super::render::{Failure, Renderer};
use super::super::value::{Cursor, List, ListKind, Loop, Map, Object, Source, Value, View};
use super::{Name, Outcome, int_argument, no_match, void};

const LIST_WITHOUT_PARAMETERS: &[Name] = &[
    Name::Size,
    Name::IsEmpty,
    Name::Clear,
    Name::Clone,
    Name::Iterator,
    Name::TrimToSize,
];

const MAP_WITHOUT_PARAMETERS: &[Name] = &[
    Name::Size,
    Name::IsEmpty,
    Name::Clear,
    Name::Clone,
    Name::KeySet,
    Name::Values,
    Name::EntrySet,
];

/// What a stored value costs of the rendering's memory.
const ITEM_BYTES: usize = 48;

fn unsupported() -> Failure {
    Failure::thrown("the list cannot be changed")
}

fn out_of_bounds(index: i32, size: usize) -> Failure {
    Failure::thrown(&format!("index {index} is outside a list of {size}"))
}

fn at(index: i32, size: usize) -> Result<usize, Failure> {
    usize::try_from(index)
        .ok()
        .filter(|index| *index < size)
        .ok_or_else(|| out_of_bounds(index, size))
}

/// The items of anything Java calls a collection.
fn items_of<'a>(value: &Value<'a>) -> Option<Vec<Value<'a>>> {
    match value {
        Value::List(list) if list.kind != ListKind::Array => Some(list.items.borrow().clone()),
        Value::Object(object) => match &**object {
            Object::View(view, map) => {
                let source = Source::Map(*view, Rc::clone(map));
                Some((0..source.len()).filter_map(|at| source.get(at)).collect())
            }
            _ => None,
        },
        _ => None,
    }
}

/// Where a collection's items are, to find one among them.
fn position<'a>(items: &[Value<'a>], wanted: &Value<'a>) -> Option<usize> {
    items.iter().position(|item| item.equals(wanted))
}

fn index_value<'a>(index: Option<usize>) -> Value<'a> {
    index.map_or(Value::int(-1), Value::size)
}

pub(super) fn call_list<'a>(
    renderer: &mut Renderer<'a>,
    list: &Rc<List<'a>>,
    name: Name,
    arguments: &[Value<'a>],
) -> Outcome<'a> {
    let size = list.len();
    match (name, arguments) {
        (Name::Size, []) => return Ok(Value::size(size)),
        (Name::IsEmpty, []) => return Ok(Value::Boolean(size == 0)),
        (Name::Get, [index]) => {
            return match int_argument(index) {
                Some(index) => {
                    let index = at(index, size)?;
                    Ok(list.get(index).unwrap_or_default())
                }
                None => Ok(Value::Null),
            };
        }
        (Name::Contains, [wanted]) => {
            renderer.work(size)?;
            let found = position(&list.items.borrow(), wanted).is_some();
            return Ok(Value::Boolean(found));
        }
        (Name::IndexOf, [wanted]) => {
            renderer.work(size)?;
            return Ok(index_value(position(&list.items.borrow(), wanted)));
        }
        (Name::LastIndexOf, [wanted]) => {
            renderer.work(size)?;
            let items = list.items.borrow();
            return Ok(index_value(
                items.iter().rposition(|item| item.equals(wanted)),
            ));
        }
        (Name::ContainsAll, [others]) => {
            let Some(others) = items_of(others) else {
                return Ok(Value::Null);
            };
            renderer.work(size.saturating_mul(others.len()))?;
            let items = list.items.borrow();
            let all = others.iter().all(|item| position(&items, item).is_some());
            return Ok(Value::Boolean(all));
        }
        (Name::Iterator | Name::ListIterator, []) => {
            let cursor = Cursor::new(Source::List(Rc::clone(list)));
            return Ok(Value::Object(Rc::new(Object::Iterator(RefCell::new(
                cursor,
            )))));
        }
        (Name::SubList, [from, to]) => {
            let (Some(from), Some(to)) = (int_argument(from), int_argument(to)) else {
                return Ok(Value::Null);
            };
            let (start, end) = (usize::try_from(from).ok(), usize::try_from(to).ok());
            return match (start, end) {
                (Some(start), Some(end)) if start <= end && end <= size => {
                    renderer.charge((end - start) * ITEM_BYTES)?;
                    let items = list.items.borrow()[start..end].to_vec();
                    Ok(Value::List(List::new(ListKind::Fixed, items)))
                }
                _ => Err(out_of_bounds(to, size)),
            };
        }
        (Name::ToArray, []) => {
            renderer.charge(size * ITEM_BYTES)?;
            let items = list.items.borrow().clone();
            return Ok(Value::List(List::new(ListKind::Array, items)));
        }
        (Name::ToJsonString, []) if list.kind == ListKind::Json => {
            return renderer
                .text_of(&Value::List(Rc::clone(list)))
                .map(Value::Text);
        }
        (Name::Clone, []) if list.kind != ListKind::Array => {
            renderer.charge(size * ITEM_BYTES)?;
            let items = list.items.borrow().clone();
            return Ok(Value::List(List::new(list.kind, items)));
        }
        (Name::Set, [index, value]) => {
            let Some(index) = int_argument(index) else {
                return Ok(Value::Null);
            };
            let index = at(index, size)?;
            renderer.link(&Value::List(Rc::clone(list)), value);
            let old = match list.items.borrow_mut().get_mut(index) {
                Some(item) => std::mem::replace(item, value.clone()),
                None => Value::Null,
            };
            return Ok(old);
        }
        _ => {}
    }
    change_list(renderer, list, name, arguments)
}

/// Methods that make a list longer or shorter.
fn change_list<'a>(
    renderer: &mut Renderer<'a>,
    list: &Rc<List<'a>>,
    name: Name,
    arguments: &[Value<'a>],
) -> Outcome<'a> {
    let size = list.len();
    if list.kind == ListKind::Array {
        return match (name, arguments) {
            (Name::Add, [_]) | (Name::Clear, []) => Err(unsupported()),
            (Name::Add, [index, _]) | (Name::Remove, [index]) if int_argument(index).is_some() => {
                Err(unsupported())
            }
            (Name::Remove, [wanted]) => match position(&list.items.borrow(), wanted) {
                Some(_) => Err(unsupported()),
                None => Ok(Value::Boolean(false)),
            },
            _ => no_match(name, arguments, LIST_WITHOUT_PARAMETERS),
        };
    }
    let whole = Value::List(Rc::clone(list));
    match (name, arguments) {
        (Name::Add, [value]) => {
            renderer.charge(ITEM_BYTES)?;
            renderer.link(&whole, value);
            list.items.borrow_mut().push(value.clone());
            list.changed();
            Ok(Value::Boolean(true))
        }
        (Name::AppendElement, [value]) if list.kind == ListKind::Json => {
            renderer.charge(ITEM_BYTES)?;
            renderer.link(&whole, value);
            list.items.borrow_mut().push(value.clone());
            list.changed();
            Ok(whole)
        }
        (Name::Add, [index, value]) => {
            let Some(index) = int_argument(index) else {
                return Ok(Value::Null);
            };
            let index = at(index, size + 1)?;
            renderer.charge(ITEM_BYTES)?;
            renderer.work(size - index)?;
            renderer.link(&whole, value);
            list.items.borrow_mut().insert(index, value.clone());
            list.changed();
            void()
        }
        (Name::AddAll, [others]) => {
            let Some(others) = items_of(others) else {
                return Ok(Value::Null);
            };
            renderer.charge(others.len() * ITEM_BYTES)?;
            let any = !others.is_empty();
            for value in &others {
                renderer.link(&whole, value);
            }
            list.items.borrow_mut().extend(others);
            list.changed();
            Ok(Value::Boolean(any))
        }
        (Name::AddAll, [index, others]) => {
            let (Some(index), Some(others)) = (int_argument(index), items_of(others)) else {
                return Ok(Value::Null);
            };
            let index = at(index, size + 1)?;
            renderer.charge((others.len() + size) * ITEM_BYTES)?;
            let any = !others.is_empty();
            for value in &others {
                renderer.link(&whole, value);
            }
            list.items.borrow_mut().splice(index..index, others);
            list.changed();
            Ok(Value::Boolean(any))
        }
        (Name::Remove, [wanted]) => {
            renderer.work(size)?;
            if let Some(index) = int_argument(wanted)
                && matches!(
                    wanted,
                    Value::Number(super::super::number::Number::Integer(_))
                )
            {
                let index = at(index, size)?;
                let removed = list.items.borrow_mut().remove(index);
                list.changed();
                return Ok(removed);
            }
            let found = position(&list.items.borrow(), wanted);
            if let Some(index) = found {
                let removed = list.items.borrow_mut().remove(index);
                drop(removed);
                list.changed();
            }
            Ok(Value::Boolean(found.is_some()))
        }
        (Name::RemoveAll | Name::RetainAll, [others]) => {
            let Some(others) = items_of(others) else {
                return Ok(Value::Null);
            };
            renderer.work(size.saturating_mul(others.len()))?;
            let keep_found = name == Name::RetainAll;
            let old = list.items.take();
            let kept = old
                .iter()
                .filter(|item| position(&others, item).is_some() == keep_found)
                .cloned()
                .collect();
            list.items.replace(kept);
            let changed = list.len() != old.len();
            if changed {
                list.changed();
            }
            Ok(Value::Boolean(changed))
        }
        (Name::Clear, []) => {
            let old = list.items.take();
            list.changed();
            drop(old);
            void()
        }
        (Name::TrimToSize, []) => void(),
        _ => no_match(name, arguments, LIST_WITHOUT_PARAMETERS),
    }
}

pub(super) fn call_map<'a>(
    renderer: &mut Renderer<'a>,
    map: &Rc<Map<'a>>,
    name: Name,
    arguments: &[Value<'a>],
) -> Outcome<'a> {
    let view = |view| Ok(Value::Object(Rc::new(Object::View(view, Rc::clone(map)))));
    match (name, arguments) {
        (Name::Get, [key]) => Ok(map.get(key).unwrap_or_default()),
        (Name::Size, []) => Ok(Value::size(map.len())),
        (Name::IsEmpty, []) => Ok(Value::Boolean(map.len() == 0)),
        (Name::KeySet, []) => view(View::Keys),
        (Name::Values, []) => view(View::Values),
        (Name::EntrySet, []) => view(View::Entries),
        (Name::ContainsKey, [key]) => Ok(Value::Boolean(map.get(key).is_some())),
        (Name::ContainsValue, [wanted]) => {
            renderer.work(map.len())?;
            let entries = map.entries.borrow();
            let found = (0..entries.len())
                .filter_map(|index| entries.at(index))
                .any(|(_, value)| value.equals(wanted));
            Ok(Value::Boolean(found))
        }
        (Name::GetOrDefault, [key, default]) => Ok(map.get(key).unwrap_or_else(|| default.clone())),
        (Name::Put, [key, value]) => renderer.put(map, key.clone(), value.clone()),
        (Name::PutIfAbsent, [key, value]) => match map.get(key) {
            Some(old) if !old.is_null() => Ok(old),
            _ => renderer.put(map, key.clone(), value.clone()),
        },
        (Name::PutAll, [Value::Map(other)]) => {
            let entries: Vec<_> = (0..other.len())
                .filter_map(|index| other.at(index))
                .collect();
            for (key, value) in entries {
                renderer.put(map, key, value)?;
            }
            void()
        }
        (Name::Remove, [key]) => {
            renderer.work(map.len())?;
            Ok(map.remove(key).unwrap_or_default())
        }
        (Name::Remove, [key, value]) => {
            let same = map.get(key).is_some_and(|found| found.equals(value));
            if same {
                map.remove(key);
            }
            Ok(Value::Boolean(same))
        }
        (Name::Replace, [key, value]) => match map.get(key) {
            Some(_) => renderer.put(map, key.clone(), value.clone()),
            None => Ok(Value::Null),
        },
        (Name::Replace, [key, old, value]) => {
            let same = map.get(key).is_some_and(|found| found.equals(old));
            if same {
                renderer.put(map, key.clone(), value.clone())?;
            }
            Ok(Value::Boolean(same))
        }
        (Name::Clear, []) => {
            map.clear();
            void()
        }
        (Name::Clone, []) => {
            renderer.charge(map.len() * ITEM_BYTES)?;
            let entries = (0..map.len()).filter_map(|index| map.at(index)).collect();
            Ok(Value::map(entries))
        }
        _ => no_match(name, arguments, MAP_WITHOUT_PARAMETERS),
    }
}

pub(super) fn call_object<'a>(
    renderer: &mut Renderer<'a>,
    object: &Rc<Object<'a>>,
    name: Name,
    arguments: &[Value<'a>],
) -> Outcome<'a> {
    match &**object {
        Object::View(view, map) => call_view(renderer, *view, map, name, arguments),
        Object::Entry(map, index) => match (name, arguments) {
            (Name::GetKey, []) => Ok(map.at(*index).map(|(key, _)| key).unwrap_or_default()),
            (Name::GetValue, []) => Ok(map.at(*index).map(|(_, value)| value).unwrap_or_default()),
            (Name::SetValue, [value]) => match map.at(*index) {
                Some((key, _)) => renderer.put(map, key, value.clone()),
                None => Ok(Value::Null),
            },
            _ => no_match(name, arguments, &[Name::GetKey, Name::GetValue]),
        },
        Object::Iterator(cursor) => match (name, arguments) {
            (Name::HasNext, []) => {
                let cursor = cursor.borrow();
                Ok(Value::Boolean(cursor.at != cursor.source.len()))
            }
            (Name::Next, []) => advance(&mut cursor.borrow_mut())?
                .ok_or_else(|| Failure::thrown("the iterator has no more items")),
            (Name::Remove, []) => {
                let mut cursor = cursor.borrow_mut();
                let Some(previous) = cursor.at.checked_sub(1) else {
                    return Err(Failure::thrown("the iterator has given no item"));
                };
                match &cursor.source {
                    Source::List(list) if list.kind == ListKind::Array => {
                        return Err(unsupported());
                    }
                    Source::List(list) => {
                        if previous < list.len() {
                            let removed = list.items.borrow_mut().remove(previous);
                            drop(removed);
                        }
                    }
                    Source::Map(_, map) => {
                        if let Some((key, _)) = map.at(previous) {
                            map.remove(&key);
                        }
                    }
                }
                cursor.at = previous;
                cursor.changes = cursor.source.changes();
                void()
            }
            _ => no_match(name, arguments, &[Name::HasNext, Name::Next, Name::Remove]),
        },
        Object::Loop(_) | Object::Block(..) => Ok(Value::Null),
    }
}

/// The next item; `None` at the end.
pub(in super::super) fn advance<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Value<'a>>, Failure> {
    if cursor.changes != cursor.source.changes() {
        return Err(Failure::thrown("the list was changed while it was read"));
    }
    let item = cursor.source.get(cursor.at);
    if item.is_some() {
        cursor.at += 1;
    }
    Ok(item)
}

fn call_view<'a>(
    renderer: &mut Renderer<'a>,
    view: View,
    map: &Rc<Map<'a>>,
    name: Name,
    arguments: &[Value<'a>],
) -> Outcome<'a> {
    let source = Source::Map(view, Rc::clone(map));
    match (name, arguments) {
        (Name::Size, []) => Ok(Value::size(map.len())),
        (Name::IsEmpty, []) => Ok(Value::Boolean(map.len() == 0)),
        (Name::Iterator, []) => Ok(Value::Object(Rc::new(Object::Iterator(RefCell::new(
            Cursor::new(source),
        ))))),
        (Name::Contains, [wanted]) if view == View::Keys => {
            Ok(Value::Boolean(map.get(wanted).is_some()))
        }
        (Name::Contains, [wanted]) => {
            renderer.work(map.len())?;
            let found = (0..source.len())
                .filter_map(|index| source.get(index))
                .any(|item| item.equals(wanted));
            Ok(Value::Boolean(found))
        }
        (Name::ContainsAll, [others]) => {
            let Some(others) = items_of(others) else {
                return Ok(Value::Null);
            };
            renderer.work(map.len().saturating_mul(others.len()))?;
            let items: Vec<_> = (0..source.len()).filter_map(|at| source.get(at)).collect();
            let all = others.iter().all(|item| position(&items, item).is_some());
            Ok(Value::Boolean(all))
        }
        (Name::ToArray, []) => {
            renderer.charge(map.len() * ITEM_BYTES)?;
            let items = (0..source.len()).filter_map(|at| source.get(at)).collect();
            Ok(Value::List(List::new(ListKind::Array, items)))
        }
        (Name::Remove, [wanted]) => {
            renderer.work(map.len())?;
            let found = (0..source.len())
                .find(|index| source.get(*index).is_some_and(|item| item.equals(wanted)))
                .and_then(|index| map.at(index));
            if let Some((key, _)) = &found {
                map.remove(key);
            }
            Ok(Value::Boolean(found.is_some()))
        }
        (Name::RemoveAll | Name::RetainAll, [others]) => {
            let Some(others) = items_of(others) else {
                return Ok(Value::Null);
            };
            renderer.work(map.len().saturating_mul(others.len()))?;
            let keep_found = name == Name::RetainAll;
            let gone: Vec<Value<'a>> = (0..source.len())
                .filter(|index| {
                    let item = source.get(*index).unwrap_or_default();
                    position(&others, &item).is_some() != keep_found
                })
                .filter_map(|index| map.at(index).map(|(key, _)| key))
                .collect();
            for key in &gone {
                map.remove(key);
            }
            Ok(Value::Boolean(!gone.is_empty()))
        }
        (Name::Add, [_]) => Err(unsupported()),
        (Name::AddAll, [others]) if items_of(others).is_some() => Err(unsupported()),
        (Name::Clear, []) => {
            map.clear();
            void()
        }
        _ => no_match(
            name,
            arguments,
            &[Name::Size, Name::IsEmpty, Name::Iterator, Name::Clear],
        ),
    }
}

/// The own entries of `$foreach`, made when first written to.
pub(in super::super) fn own_entries<'a>(state: &Loop<'a>) -> Rc<Map<'a>> {
    Rc::clone(
        state
            .own
            .borrow_mut()
            .get_or_insert_with(|| Map::new(Vec::new())),
    )
}

/// A property of `$foreach`, read as a getter or as an entry of its own.
pub(in super::super) fn loop_property<'a>(state: &Loop<'a>, name: &str) -> Value<'a> {
    match name {
        "index" => Value::int(state.index.get()),
        "count" => Value::int(state.index.get() + 1),
        "hasNext" => Value::Boolean(state.has_next.get()),
        "first" => Value::Boolean(state.index.get() < 1),
        "last" => Value::Boolean(!state.has_next.get()),
        "parent" => match parent(state) {
            Some(parent) => parent,
            None => Value::Null,
        },
        "replaced" => replaced(state),
        _ => {
            let own = state.own.borrow().as_ref().map(Rc::clone);
            match own.and_then(|own| own.get_text(name)) {
                Some(value) => value,
                None => match &state.before {
                    Value::Object(object) => match &**object {
                        Object::Loop(outer) => inherited(outer, name),
                        _ => Value::Null,
                    },
                    _ => Value::Null,
                },
            }
        }
    }
}

/// An entry of a loop further out.
fn inherited<'a>(outer: &Loop<'a>, name: &str) -> Value<'a> {
    let own = outer.own.borrow().as_ref().map(Rc::clone);
    own.and_then(|own| own.get_text(name)).unwrap_or_default()
}

fn parent<'a>(state: &Loop<'a>) -> Option<Value<'a>> {
    match &state.before {
        Value::Object(object) if matches!(**object, Object::Loop(_)) => Some(state.before.clone()),
        _ => None,
    }
}

fn replaced<'a>(state: &Loop<'a>) -> Value<'a> {
    match &state.before {
        Value::Object(object) if matches!(**object, Object::Loop(_)) => Value::Null,
        other => other.clone(),
    }
}

pub(super) fn call_loop<'a>(
    renderer: &mut Renderer<'a>,
    state: &Loop<'a>,
    name: Name,
    arguments: &[Value<'a>],
) -> Outcome<'a> {
    let property = match (name, arguments) {
        (Name::GetIndex, []) => "index",
        (Name::GetCount, []) => "count",
        (Name::GetHasNext | Name::HasNext, []) => "hasNext",
        (Name::GetFirst | Name::IsFirst, []) => "first",
        (Name::GetLast | Name::IsLast, []) => "last",
        (Name::GetParent, []) => "parent",
        (Name::GetReplaced, []) => "replaced",
        (Name::Get, [Value::Text(key)]) => {
            let own = state.own.borrow().as_ref().map(Rc::clone);
            return Ok(own
                .and_then(|own| own.get_text(key.as_str()))
                .unwrap_or_default());
        }
        _ => return call_map(renderer, &own_entries(state), name, arguments),
    };
    Ok(loop_property(state, property))
}
