//! `$input`: the body and the parameters of the request.

use std::rc::Rc;
use std::sync::Arc;

use super::json;
use super::json_values::from_outcome;
use super::methods::Name;
use super::render::{Failure, Renderer};
use super::value::{Map, Value};
use crate::language::jsonpath::Path;

/// Names and their values, in the order they came in: path parameters, query
/// string, headers, stage variables.
pub trait NameValues {
    /// The value of a name, exactly as written.
    fn get(&self, name: &str) -> Option<&str>;

    /// Calls `visit` with each name and its value.
    fn for_each<'s>(&'s self, visit: &mut dyn FnMut(&'s str, &'s str));
}

impl<N: AsRef<str>, V: AsRef<str>> NameValues for [(N, V)] {
    fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(found, _)| found.as_ref() == name)
            .map(|(_, value)| value.as_ref())
    }

    fn for_each<'s>(&'s self, visit: &mut dyn FnMut(&'s str, &'s str)) {
        for (name, value) in self {
            visit(name.as_ref(), value.as_ref());
        }
    }
}

impl<N: AsRef<str>, V: AsRef<str>> NameValues for Vec<(N, V)> {
    fn get(&self, name: &str) -> Option<&str> {
        NameValues::get(self.as_slice(), name)
    }

    fn for_each<'s>(&'s self, visit: &mut dyn FnMut(&'s str, &'s str)) {
        NameValues::for_each(self.as_slice(), visit);
    }
}

impl NameValues for indexmap::IndexMap<String, String> {
    fn get(&self, name: &str) -> Option<&str> {
        Self::get(self, name).map(String::as_str)
    }

    fn for_each<'s>(&'s self, visit: &mut dyn FnMut(&'s str, &'s str)) {
        for (name, value) in self {
            visit(name, value);
        }
    }
}

/// No names.
impl NameValues for () {
    fn get(&self, _name: &str) -> Option<&str> {
        None
    }

    fn for_each<'s>(&'s self, _visit: &mut dyn FnMut(&'s str, &'s str)) {}
}

/// What one rendering has made of the request so far.
#[derive(Default)]
pub(super) struct InputState<'a> {
    body: Option<Value<'a>>,
    parameters: Option<Value<'a>>,
}

/// A map of names and values.
pub(super) fn name_map<'a>(values: &'a dyn NameValues) -> Value<'a> {
    let mut few: Vec<(Value<'a>, Value<'a>)> = Vec::with_capacity(8);
    let mut many: Option<Rc<Map<'a>>> = None;
    values.for_each(&mut |name, value| {
        // A name that comes twice keeps its last value.
        let value = Value::text(value);
        if let Some(map) = &many {
            map.put(Value::text(name), value);
        } else if let Some((_, old)) = few
            .iter_mut()
            .find(|(found, _)| found.as_text() == Some(name))
        {
            *old = value;
        } else {
            few.push((Value::text(name), value));
            if few.len() > 8 {
                many = Some(Map::new(std::mem::take(&mut few)));
            }
        }
    });
    Value::Map(many.unwrap_or_else(|| Map::new(few)))
}

impl<'a> Renderer<'a> {
    /// `$input.body`: an empty body is `{}`.
    pub(super) fn body_text(&self) -> Value<'a> {
        Value::text(
            self.inputs
                .body
                .filter(|body| !body.is_empty())
                .unwrap_or("{}"),
        )
    }

    /// The body read as JSON, or as text if it is none.
    fn body(&mut self) -> Value<'a> {
        if let Some(body) = &self.input.body {
            return body.clone();
        }
        let text = self
            .inputs
            .body
            .filter(|body| !body.is_empty())
            .unwrap_or("{}");
        let body = json::parse(text).unwrap_or_else(|| Value::text(text));
        self.input.body = Some(body.clone());
        body
    }

    fn parameters(&mut self) -> Value<'a> {
        if let Some(parameters) = &self.input.parameters {
            return parameters.clone();
        }
        let inputs = self.inputs;
        let parameters = Value::map(vec![
            (Value::text("path"), name_map(inputs.path)),
            (Value::text("querystring"), name_map(inputs.query_string)),
            (Value::text("header"), name_map(inputs.header)),
        ]);
        self.input.parameters = Some(parameters.clone());
        parameters
    }
}

/// A method of `$input`.
pub(super) fn call<'a>(
    renderer: &mut Renderer<'a>,
    name: Name,
    arguments: &[Value<'a>],
) -> Result<Value<'a>, Failure> {
    match (name, arguments) {
        (Name::Params, []) => Ok(renderer.parameters()),
        (Name::Params, [Value::Text(wanted)]) => {
            let wanted = wanted.as_str();
            let inputs = renderer.inputs;
            Ok([inputs.path, inputs.query_string, inputs.header]
                .iter()
                .find_map(|values| values.get(wanted))
                .map_or_else(|| Value::text(""), Value::text))
        }
        (Name::Path | Name::Json, [Value::Text(path)]) => {
            let compiled = Path::compile(path.as_str())
                .map_err(|error| Failure::thrown(&error.to_string()))?;
            read(renderer, name, &compiled)
        }
        _ => Ok(Value::Null),
    }
}

/// `$input.path` or `$input.json` with a path compiled beforehand.
pub(super) fn call_with_path<'a>(
    renderer: &mut Renderer<'a>,
    name: Name,
    path: &Result<Arc<Path>, String>,
) -> Result<Value<'a>, Failure> {
    match path {
        Ok(path) => read(renderer, name, path),
        Err(message) => Err(Failure::thrown(message)),
    }
}

fn read<'a>(renderer: &mut Renderer<'a>, name: Name, path: &Path) -> Result<Value<'a>, Failure> {
    let body = renderer.body();
    let value = from_outcome(path.find(&body));
    if name == Name::Path {
        return Ok(value);
    }
    if matches!(value, Value::Null) {
        // Seen of other emulators; not recorded at AWS.
        return Ok(Value::text("\"\""));
    }
    let mut out = String::new();
    json::write(&value, &mut out, false)?;
    renderer.made(out)
}
