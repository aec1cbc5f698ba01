//! `$context`: asked for by name, and the overrides a template leaves behind.
//!
//! A request has some forty context variables and a template reads a few, so
//! they come from a trait and only when asked for; what was asked for is kept
//! for the rest of the rendering. Only a template that looks at `$context` as a
//! map (prints it, loops over it, writes to it) makes it one.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::LazyLock;

use serde_json::{Map as JsonMap, Value as Json};

use super::methods::{self, Name};
use super::render::{Failure, Renderer};
use super::value::{Map, Text, Value};

/// Where `$context` takes its variables from.
pub trait ContextVariables {
    /// The variable of this top-level name, such as `stage` or `identity`.
    ///
    /// `requestOverride` and `responseOverride` are never asked for.
    fn get(&self, name: &str) -> Option<Value<'_>>;

    /// Calls `visit` with the name of each variable there is.
    fn for_each_name<'s>(&'s self, visit: &mut dyn FnMut(&'s str));
}

/// A JSON object: what a context file of the command line holds. Objects in it
/// are AWS's own: they print as nothing.
impl ContextVariables for JsonMap<String, Json> {
    fn get(&self, name: &str) -> Option<Value<'_>> {
        self.get(name).map(Value::opaque_from_json)
    }

    fn for_each_name<'s>(&'s self, visit: &mut dyn FnMut(&'s str)) {
        self.keys().for_each(|name| visit(name));
    }
}

/// No variables.
impl ContextVariables for () {
    fn get(&self, _name: &str) -> Option<Value<'_>> {
        None
    }

    fn for_each_name<'s>(&'s self, _visit: &mut dyn FnMut(&'s str)) {}
}

/// `$context.requestOverride` and `$context.responseOverride`.
///
/// One lives as long as a request: what the request template has set, the
/// response template reads.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Overrides {
    /// `header`, `path` and `querystring` of the request to the integration,
    /// and whatever else the template has put there.
    pub request: JsonMap<String, Json>,
    /// `header` and `status` of the response, likewise.
    pub response: JsonMap<String, Json>,
}

/// What a template finds that is the first to look.
static UNTOUCHED: LazyLock<Overrides> =
    LazyLock::new(|| Overrides::new(JsonMap::new(), JsonMap::new()));

impl Overrides {
    /// Overrides with these entries; the maps AWS provides are added where
    /// they are missing.
    pub fn new(mut request: JsonMap<String, Json>, mut response: JsonMap<String, Json>) -> Self {
        let empty = || Json::Object(JsonMap::new());
        for name in ["header", "path", "querystring"] {
            request.entry(name).or_insert_with(empty);
        }
        response.entry("header").or_insert_with(empty);
        Self { request, response }
    }

    /// Both as one object.
    pub fn to_json(&self) -> Json {
        let seen = self.seen();
        serde_json::json!({
            "requestOverride": seen.request,
            "responseOverride": seen.response,
        })
    }

    /// What a template sees of them. Most never look: the maps AWS provides are not
    /// made for each request.
    fn seen(&self) -> &Self {
        match self.request.is_empty() && self.response.is_empty() {
            true => &UNTOUCHED,
            false => self,
        }
    }
}

/// What one rendering knows of `$context`.
#[derive(Default)]
pub(super) struct ContextState<'a> {
    known: Vec<(Cow<'a, str>, Value<'a>)>,
    whole: Option<Rc<Map<'a>>>,
    overrides: Option<(Rc<Map<'a>>, Rc<Map<'a>>)>,
}

impl ContextState<'_> {
    /// The overrides as the template has left them; `None` if it has not
    /// looked at them.
    ///
    /// # Errors
    ///
    /// When they nest too deeply to be kept.
    pub(super) fn changed_overrides(&self) -> Result<Option<Overrides>, Failure> {
        let Some((request, response)) = &self.overrides else {
            return Ok(None);
        };
        let mut budget = 200_000;
        let mut object =
            |map: &Rc<Map<'_>>| match Value::Map(Rc::clone(map)).to_json(&mut budget, 100)? {
                Json::Object(object) => Ok(object),
                _ => Ok(JsonMap::new()),
            };
        Ok(Some(Overrides {
            request: object(request)?,
            response: object(response)?,
        }))
    }
}

impl<'a> Renderer<'a> {
    fn override_maps(&mut self) -> (Rc<Map<'a>>, Rc<Map<'a>>) {
        if let Some((request, response)) = &self.context.overrides {
            return (Rc::clone(request), Rc::clone(response));
        }
        let map = |object: &JsonMap<String, Json>| match Value::opaque_copy(object) {
            Value::Map(map) => map,
            _ => Map::new(Vec::new()),
        };
        let seen = self.overrides.seen();
        let request = map(&seen.request);
        let response = map(&seen.response);
        self.context.overrides = Some((Rc::clone(&request), Rc::clone(&response)));
        (request, response)
    }

    /// `$context.name`
    pub(super) fn context_variable(&mut self, name: &'a str) -> Result<Value<'a>, Failure> {
        self.context_variable_of(Cow::Borrowed(name))
    }

    /// `$context[name]`
    pub(super) fn context_variable_named(&mut self, name: &Text<'a>) -> Result<Value<'a>, Failure> {
        self.context_variable_of(match name {
            Text::Borrowed(name) => Cow::Borrowed(name),
            Text::Owned(name) => Cow::Owned(name.to_string()),
        })
    }

    fn context_variable_of(&mut self, name: Cow<'a, str>) -> Result<Value<'a>, Failure> {
        if let Some(whole) = &self.context.whole {
            return Ok(whole.get_text(&name).unwrap_or_default());
        }
        match &*name {
            "requestOverride" => return Ok(Value::Map(self.override_maps().0)),
            "responseOverride" => return Ok(Value::Map(self.override_maps().1)),
            _ => {}
        }
        if let Some((_, value)) = self.context.known.iter().find(|(known, _)| *known == name) {
            return Ok(value.clone());
        }
        let value = self.inputs.context.get(&name).unwrap_or_default();
        self.charge(64)?;
        self.context.known.push((name, value.clone()));
        Ok(value)
    }

    /// All of `$context` as a map.
    pub(super) fn whole_context(&mut self) -> Result<Rc<Map<'a>>, Failure> {
        if let Some(whole) = &self.context.whole {
            return Ok(Rc::clone(whole));
        }
        let mut names: Vec<&'a str> = Vec::new();
        self.inputs
            .context
            .for_each_name(&mut |name| names.push(name));
        let map = Map::new(Vec::new());
        for name in names {
            let value = self.context_variable(name)?;
            map.put(Value::text(name), value);
        }
        let (request, response) = self.override_maps();
        map.put(Value::text("requestOverride"), Value::Map(request));
        map.put(Value::text("responseOverride"), Value::Map(response));
        self.context.whole = Some(Rc::clone(&map));
        Ok(map)
    }

    /// A method of `$context`: one of a map.
    pub(super) fn call_context(
        &mut self,
        name: Name,
        arguments: &[Value<'a>],
    ) -> Result<Value<'a>, Failure> {
        if name == Name::Get
            && let [Value::Text(variable)] = arguments
        {
            return self.context_variable_named(variable);
        }
        let whole = self.whole_context()?;
        methods::call(self, &Value::Map(whole), name, arguments)
    }
}
