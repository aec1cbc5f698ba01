//! Values as text: Java's `toString`.

use std::rc::Rc;

use super::json;
use super::methods::collection;
use super::program::Block;
use super::render::{Done, Failure, Renderer};
use super::value::{ListKind, Object, Source, Text, Value};

impl<'a> Renderer<'a> {
    /// The text of a block, apart from the output.
    pub(super) fn text_of_block(&mut self, block: &'a Block) -> Result<String, Failure> {
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
                ListKind::Json => json::write(value, out, true)?,
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
