//! Nested stacks: `AWS::Serverless::Application` and `AWS::CloudFormation::Stack` whose
//! template is a file.
//!
//! Each is read as a stack of its own, with the parameters that the outer one passes,
//! and before the outer one's resources, which may use its outputs. What it makes has
//! the path of the stack before its logical id: `Orders/Handler`, as in SAM's CLI, and
//! a name that no other stack's has: `Orders-Handler`.
//!
//! Source: AWS SAM developer guide, "AWS::Serverless::Application"; CloudFormation
//! template reference, "AWS::CloudFormation::Stack".

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::across::Across;
use super::{
    Options, Resource, Stack, Template, domain_names, include, is_template, read_stack, tree,
};
use crate::model::settings::{DomainSettings, Settings};
use crate::source::{Diagnostic, Node, Sources, Value};

/// Most stacks that one template may hold, with all that they hold.
const MOST_STACKS: usize = 200;

const KINDS: [&str; 2] = ["AWS::Serverless::Application", "AWS::CloudFormation::Stack"];

/// A stack's outputs by name; for one that has no value here, why.
pub(super) type Outputs = IndexMap<String, Result<String, Box<Diagnostic>>>;

/// What goes along through all stacks of a template.
pub(super) struct Reading<'r> {
    pub(super) sources: &'r mut Sources,
    pub(super) options: &'r Options,
    pub(super) settings: &'r Settings,
    /// What was found in all of them.
    pub(super) findings: Vec<Diagnostic>,
    /// The API for the bare address, by its path, once there is one.
    pub(super) chosen: Option<String>,
    /// Exports of other stacks that were asked for.
    pub(super) imported: HashSet<String>,
    /// What stacks tell each other by name.
    pub(super) across: &'r Across,
    /// The files that are being read, one within the other.
    open: Vec<PathBuf>,
    count: usize,
}

/// A stack's place among the others.
pub(super) struct Place {
    /// `Outer/Inner/`; empty for the outermost.
    pub(super) path: String,
    /// The values of its parameters.
    pub(super) parameters: IndexMap<String, String>,
}

impl<'r> Reading<'r> {
    pub(super) fn new(
        sources: &'r mut Sources,
        root: &Node,
        options: &'r Options,
        settings: &'r Settings,
        across: &'r Across,
    ) -> Self {
        let open = vec![identity(sources.path(root.span.file))];
        Self {
            sources,
            options,
            settings,
            findings: Vec::new(),
            chosen: None,
            imported: HashSet::new(),
            across,
            open,
            count: 0,
        }
    }
}

/// What tells a file from others, however its path is written.
fn identity(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// Reads the nested stacks of `stack` and notes their outputs in it. Gives what each
/// makes, with paths from `stack` on.
pub(super) fn read(stack: &mut Stack<'_>, reading: &mut Reading<'_>) -> Vec<Template> {
    let mut waiting: Vec<(String, Resource)> = stack
        .resources
        .iter()
        .filter(|(_, resource)| KINDS.contains(&resource.kind.as_str()) && stack.is_live(resource))
        .map(|(id, resource)| (id.clone(), resource.clone()))
        .collect();
    let mut templates = Vec::new();
    while !waiting.is_empty() {
        // One whose parameters need no outputs of those that are still to be read.
        let is_ready = |(_, resource): &(String, Resource)| {
            let needs = |(other, _): &(String, Resource)| mentions(&resource.properties, other);
            !waiting.iter().any(needs)
        };
        let Some(index) = waiting.iter().position(is_ready) else {
            let names: Vec<&str> = waiting.iter().map(|(id, _)| id.as_str()).collect();
            let message = format!(
                "the nested stacks {} need each other's outputs",
                names.join(", ")
            );
            stack.say(Diagnostic::error("E1013", message).at(waiting[0].1.span));
            break;
        };
        let (id, resource) = waiting.remove(index);
        if let Some((mut template, outputs)) = read_one(stack, reading, &id, &resource) {
            put_path_before(&mut template, &id);
            templates.push(template);
            stack.outputs.insert(id, outputs);
        }
    }
    templates
}

fn read_one(
    stack: &Stack<'_>,
    reading: &mut Reading<'_>,
    id: &str,
    resource: &Resource,
) -> Option<(Template, Outputs)> {
    let is_application = resource.kind == KINDS[0];
    let key = if is_application {
        "Location"
    } else {
        "TemplateURL"
    };
    let node = tree::get(&resource.properties, key);
    let name = match (resource.asset(key), node) {
        (Some(path), _) => path.to_owned(),
        (None, None) => {
            let message = format!("`{id}` ({}) has no `{key}`", resource.kind);
            stack.say(Diagnostic::error("E1001", message).at(resource.span));
            return None;
        }
        (None, Some(node)) => match stack.try_resolve(node) {
            Ok(Some(Node {
                value: Value::Scalar { text, .. },
                ..
            })) if !text.contains("://") => text,
            _ => {
                let words = if tree::get(node, "ApplicationId").is_some() {
                    "applications of the Serverless Application Repository are not read"
                } else {
                    "its template is no file beside this one, and is not read"
                };
                let message = format!("`{id}` ({}): {words}", resource.kind);
                stack.say(Diagnostic::warning("W1031", message).at(node.span));
                return None;
            }
        },
    };
    let span = node.map_or(resource.span, |node| node.span);
    if reading.count >= MOST_STACKS {
        let message = format!("more than {MOST_STACKS} stacks are nested in each other");
        stack.say(Diagnostic::error("E1014", message).at(span));
        return None;
    }
    reading.count += 1;
    let folder = reading.sources.path(span.file).parent();
    let path = folder.unwrap_or(Path::new("")).join(&name);
    if let Err(problem) = reading.sources.add_path(&path) {
        // The others can be served without it.
        let message = format!("`{id}` ({}): {}", resource.kind, problem.message);
        stack.say(
            Diagnostic::warning("W1031", message)
                .at(span)
                .help("paths are taken from the folder of the file they stand in"),
        );
        return None;
    }
    let root = include::read_file(stack, reading.sources, &name, span, &resource.kind)?;
    let file = identity(reading.sources.path(root.span.file));
    if reading.open.contains(&file) {
        let message = format!("`{id}` ({}): {name} nests itself", resource.kind);
        stack.say(Diagnostic::error("E1013", message).at(span));
        return None;
    }
    if !is_template(&root) {
        let message = format!(
            "`{id}` ({}): {name} is no template: it has no `Resources`",
            resource.kind
        );
        stack.say(Diagnostic::error("E1001", message).at(span));
        return None;
    }
    let place = Place {
        path: format!("{}/", stack.path_of(id)),
        parameters: parameters(stack, id, resource, &root),
    };
    reading.open.push(file);
    let read = read_stack(reading, root, place);
    reading.open.pop();
    Some(read)
}

/// The values that the outer stack passes.
fn parameters(
    stack: &Stack<'_>,
    id: &str,
    resource: &Resource,
    root: &Node,
) -> IndexMap<String, String> {
    let mut values = IndexMap::new();
    let passed = tree::get(&resource.properties, "Parameters");
    for (name, span, node) in passed.into_iter().flat_map(Node::entries) {
        let declared = root.get("Parameters");
        if declared.and_then(|declared| declared.get(name)).is_none() {
            let known = declared.into_iter().flat_map(Node::entries);
            let known: Vec<&str> = known.map(|(name, _, _)| name).collect();
            let message = format!("the template of `{id}` has no parameter `{name}`");
            stack.say(
                Diagnostic::error("E1003", message)
                    .at(span)
                    .suggest(name, known),
            );
            continue;
        }
        let Some(node) = stack.resolve(node) else {
            continue;
        };
        let text = match &node.value {
            Value::Scalar { text, .. } => text.clone(),
            Value::Sequence(items) => {
                let items: Vec<&str> = items.iter().filter_map(Node::as_str).collect();
                items.join(",")
            }
            Value::Mapping(_) => {
                let message = format!(
                    "the parameter `{name}` of `{id}` must be text or a list, found {}",
                    node.describe()
                );
                stack.say(Diagnostic::error("E1003", message).at(span));
                continue;
            }
        };
        values.insert(name.to_owned(), text);
    }
    values
}

/// The outputs of a stack whose resources are plain; those with a name for other stacks
/// are exported.
pub(super) fn outputs(stack: &Stack<'_>, root: &Node) -> Outputs {
    let mut outputs = Outputs::new();
    for (name, _, output) in root.get("Outputs").into_iter().flat_map(Node::entries) {
        let condition = output.get("Condition").and_then(Node::as_str);
        let holds = condition.is_none_or(|name| stack.condition(name, output.span).unwrap_or(true));
        let Some(value) = tree::get(output, "Value").filter(|_| holds) else {
            continue;
        };
        let told = match stack.try_resolve(value) {
            Ok(Some(Node {
                value: Value::Scalar { text, .. },
                ..
            })) => Ok(text),
            Ok(None) => continue,
            Ok(Some(other)) => {
                let message = format!(
                    "the output `{name}` must be text, found {}",
                    other.describe()
                );
                Err(Box::new(Diagnostic::error("E1001", message).at(value.span)))
            }
            Err(problem) => Err(problem),
        };
        if let Some(node) = output
            .get("Export")
            .and_then(|node| tree::get(node, "Name"))
            && let Some(exported) = stack.text(node, "`Name` of `Export`")
        {
            let across = stack.across;
            across.export(stack, name, exported, node.span, told.clone());
        }
        outputs.insert(name.to_owned(), told);
    }
    outputs
}

/// Whether functions in `node` name the resource `id`.
fn mentions(node: &Node, id: &str) -> bool {
    let is_attribute = |text: &str| {
        text.strip_prefix(id)
            .is_some_and(|rest| rest.starts_with('.'))
    };
    let named = match tree::intrinsic(node) {
        Some(("Ref", target)) => target.as_str() == Some(id),
        Some(("Fn::GetAtt", target)) => match target.as_sequence() {
            Some(items) => items.first().and_then(Node::as_str) == Some(id),
            None => target.as_str().is_some_and(is_attribute),
        },
        Some(("Fn::Sub", target)) => {
            let items = target.as_sequence().unwrap_or(std::slice::from_ref(target));
            let text = items.first().and_then(Node::as_str).unwrap_or_default();
            text.split("${").skip(1).any(|name| {
                let name = name.trim_start();
                is_attribute(name)
            })
        }
        _ => false,
    };
    named
        || match &node.value {
            Value::Scalar { .. } => false,
            Value::Sequence(items) => items.iter().any(|item| mentions(item, id)),
            Value::Mapping(entries) => entries.values().any(|(_, value)| mentions(value, id)),
        }
}

fn put_path_before(template: &mut Template, id: &str) {
    for api in &mut template.apis {
        api.logical_id = api.logical_id.take().map(|inner| format!("{id}/{inner}"));
    }
    for api in &mut template.websocket_apis {
        api.logical_id = format!("{id}/{}", api.logical_id);
    }
    for inner in template.function_ids.values_mut() {
        *inner = format!("{id}/{inner}");
    }
}

/// Puts the functions of nested stacks among the outer one's: what that one says of
/// functions may mean them.
pub(super) fn join_functions(stack: &Stack<'_>, template: &mut Template, inner: &mut [Template]) {
    for one in inner {
        for (name, function) in std::mem::take(&mut one.functions) {
            if template.functions.contains_key(&name) {
                let message = format!("two stacks have a function named `{name}`");
                stack.say(Diagnostic::error("E1032", message).at(function.span));
                continue;
            }
            template.functions.insert(name, function);
        }
        template
            .function_ids
            .extend(std::mem::take(&mut one.function_ids));
    }
}

/// Puts all the rest behind the outer stack's own.
pub(super) fn join(template: &mut Template, inner: Vec<Template>) {
    for one in inner {
        let Template {
            apis,
            websocket_apis,
            functions: _,
            function_ids: _,
            inline_code,
            made_up_keys,
            api_keys,
            usage_plans,
            domains,
            notes,
        } = one;
        template.apis.extend(apis);
        template.websocket_apis.extend(websocket_apis);
        template.inline_code.extend(inline_code);
        template.made_up_keys.extend(made_up_keys);
        template.api_keys.extend(api_keys);
        template.usage_plans.extend(usage_plans);
        for DomainSettings { name, mappings } in domains {
            domain_names::domain(template, &name)
                .mappings
                .extend(mappings);
        }
        template.notes.extend(notes);
    }
}
