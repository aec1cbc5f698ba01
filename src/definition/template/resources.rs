//! The resources of a template: which there are, which matter, and which are named
//! because they would matter and are not served.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;

use super::nested::Reading;
use super::{Options, Resource, Stack, Template, tree};
use crate::source::{Diagnostic, Node};

/// Types whose `Ref` others name them by.
const LINKED: &str = "AWS::ApiGateway";

/// Reads the section `Resources`.
pub(super) fn read(root: &Node, stack: &Stack<'_>) -> IndexMap<String, Resource> {
    let mut resources = IndexMap::new();
    let Some(section) = root.get("Resources") else {
        return resources;
    };
    if section.as_mapping().is_none() {
        let message = format!(
            "`Resources` must be a mapping, found {}",
            section.describe()
        );
        stack.say(Diagnostic::error("E1001", message).at(section.span));
    }
    for (id, span, node) in section.entries() {
        let Some(kind) = tree::get(node, "Type").and_then(Node::as_str) else {
            let message = format!("the resource `{id}` has no `Type`");
            stack.say(Diagnostic::error("E1001", message).at(span));
            continue;
        };
        let properties = match tree::get(node, "Properties") {
            Some(properties) if properties.as_mapping().is_some() => properties.clone(),
            Some(other) => {
                let message = format!(
                    "`Properties` of `{id}` must be a mapping, found {}",
                    other.describe()
                );
                stack.say(Diagnostic::error("E1001", message).at(other.span));
                continue;
            }
            None => tree::empty(span),
        };
        let condition = match node.get("Condition").map(|node| (node.as_str(), node.span)) {
            Some((Some(name), _)) => Some(name.to_owned()),
            Some((None, span)) => {
                let message = format!("`Condition` of `{id}` must be the name of a condition");
                stack.say(Diagnostic::error("E1001", message).at(span));
                None
            }
            None => None,
        };
        let resource = Resource {
            kind: kind.to_owned(),
            properties,
            condition,
            metadata: node.get("Metadata").cloned(),
            ignore_globals: node.get("IgnoreGlobals").cloned(),
            span,
        };
        resources.insert(id.to_owned(), resource);
    }
    resources
}

/// SAM's types mean nothing without its transform.
pub(super) fn refuse_sam(stack: &Stack<'_>) {
    let first = stack
        .resources
        .values()
        .find(|resource| resource.kind.starts_with("AWS::Serverless::"));
    if let Some(resource) = first {
        stack.say(
            Diagnostic::error(
                "E1004",
                format!(
                    "the template has a resource of type {}, but not the SAM transform",
                    resource.kind
                ),
            )
            .at(resource.span)
            .help("write `Transform: AWS::Serverless-2016-10-31` at its top"),
        );
    }
}

impl Resource {
    /// The folder or file that the CDK noted for a property, from the template's folder.
    pub(super) fn asset(&self, property: &str) -> Option<&str> {
        let metadata = self.metadata.as_ref()?;
        let path = metadata.get("aws:asset:path")?.as_str()?;
        let of = metadata.get("aws:asset:property").and_then(Node::as_str);
        (of == Some(property)).then_some(path)
    }
}

impl Stack<'_> {
    /// Live resources of a type, in the template's order.
    pub(super) fn of_kind(&self, kind: &str) -> Vec<(&str, &Resource)> {
        self.resources
            .iter()
            .filter(|(_, resource)| resource.kind == kind && self.is_live(resource))
            .map(|(id, resource)| (id.as_str(), resource))
            .collect()
    }

    /// The resource of one of these types that `Ref` gives this text for.
    pub(super) fn find_by_reference(&self, kinds: &[&str], text: &str) -> Option<&str> {
        if self.index.borrow().is_none() {
            let mut index = HashMap::new();
            for (id, resource) in &self.resources {
                if !resource.kind.starts_with(LINKED) || !self.is_live(resource) {
                    continue;
                }
                if let Ok(reference) = self.reference_of(id, resource.span) {
                    index
                        .entry((resource.kind.clone(), reference))
                        .or_insert_with(|| id.clone());
                }
            }
            *self.index.borrow_mut() = Some(index);
        }
        let index = self.index.borrow();
        let index = index.as_ref()?;
        kinds.iter().find_map(|kind| {
            let id = index.get(&((*kind).to_owned(), text.to_owned()))?;
            self.resources
                .get_key_value(id.as_str())
                .map(|(id, _)| id.as_str())
        })
    }

    /// The resource of one of these types that a property names.
    pub(super) fn linked(&self, kinds: &[&str], properties: &Node, key: &str) -> Option<&str> {
        let text = tree::get(properties, key)?.as_str()?;
        self.find_by_reference(kinds, text)
    }
}

/// Decides which API's id may be configured: the one that is asked for, else the first
/// of the outermost stack that has one.
pub(super) fn choose_first(stack: &mut Stack<'_>, reading: &mut Reading<'_>) {
    let known: Vec<String> = ["AWS::ApiGateway::RestApi", "AWS::ApiGatewayV2::Api"]
        .iter()
        .flat_map(|kind| stack.of_kind(kind))
        .map(|(id, _)| id.to_owned())
        .collect();
    let is_it = |id: &&String| match &reading.options.api {
        Some(wanted) => stack.path_of(id) == *wanted,
        None => reading.chosen.is_none() && known.contains(*id),
    };
    // In the order of the template, whatever the type.
    let first = stack.resources.keys().find(is_it);
    stack.first_api = first.filter(|id| known.contains(*id)).cloned();
    if let Some(id) = &stack.first_api {
        reading.chosen = Some(stack.path_of(id));
    }
}

/// Puts the API for the bare address before those of all stacks.
pub(super) fn put_chosen_first(reading: &mut Reading<'_>, template: &mut Template) {
    let paths = template
        .apis
        .iter()
        .filter_map(|api| api.logical_id.as_deref());
    let mut known: Vec<&str> = Vec::new();
    for path in paths {
        if !known.contains(&path) {
            known.push(path);
        }
    }
    match (&reading.options.api, &reading.chosen) {
        (Some(wanted), None) => {
            let finding = Diagnostic::error(
                "E1005",
                format!("--api names `{wanted}`, and the template has no such API"),
            )
            .suggest(wanted, known.iter().copied());
            let finding = match finding.help {
                None if !known.is_empty() => {
                    finding.help(format!("its APIs are {}", known.join(", ")))
                }
                _ => finding,
            };
            reading.findings.push(finding);
        }
        (None, Some(first)) if known.iter().any(|path| path != first) => {
            template.notes.push(format!(
                "the API `{first}` answers at the bare address; --api LOGICAL_ID chooses another one"
            ));
        }
        _ => {}
    }
    let position = template
        .apis
        .iter()
        .position(|api| api.logical_id.is_some() && api.logical_id == reading.chosen);
    if let Some(position) = position {
        let api = template.apis.remove(position);
        template.apis.insert(0, api);
    }
}

/// Puts the API for the bare address, and its stage, before the others.
pub(super) fn order(stack: &Stack<'_>, options: &Options, template: &mut Template) {
    let position = |id: Option<&str>| id.and_then(|id| stack.resources.get_index_of(id));
    template
        .apis
        .sort_by_key(|api| position(api.logical_id.as_deref()));
    let is_first = |api: &crate::model::Api| {
        api.logical_id == stack.first_api
            && options.stage.as_ref().is_none_or(|wanted| {
                api.stage
                    .as_ref()
                    .is_some_and(|stage| stage.name == *wanted)
            })
    };
    let chosen = template.apis.iter().position(is_first).or_else(|| {
        template
            .apis
            .iter()
            .position(|api| api.logical_id == stack.first_api)
    });
    if let Some(chosen) = chosen {
        let api = template.apis.remove(chosen);
        template.apis.insert(0, api);
    }
}

/// Names values that were given for parameters which the template does not have.
pub(super) fn report_vain_values(
    stack: &Stack<'_>,
    section: Option<&Node>,
    imported: &HashSet<String>,
) {
    for name in stack.given.keys() {
        if stack.parameters.get(name).is_some() || imported.contains(name) {
            continue;
        }
        let mut finding = Diagnostic::warning(
            "W1002",
            format!("a value is given for `{name}`, which is no parameter of the template"),
        );
        if let Some(section) = section {
            finding = finding.at(section.span);
        }
        stack.say(finding.suggest(name, stack.parameters.names()));
    }
}

/// Names live resources that would matter and are not served.
pub(super) fn report(stack: &Stack<'_>) {
    for (id, resource) in &stack.resources {
        let words = match resource.kind.as_str() {
            "AWS::ApiGateway::DomainNameV2" => {
                "private domain names are not served: the API answers at its own address"
            }
            "AWS::Serverless::GraphQLApi" | "AWS::AppSync::GraphQLApi" => {
                "GraphQL APIs are not served"
            }
            "AWS::ApiGatewayV2::ApiGatewayManagedOverrides" => {
                "what it changes of an API that API Gateway manages is not applied"
            }
            "AWS::WAFv2::WebACLAssociation" => "web ACLs are not applied",
            _ => continue,
        };
        if stack.is_live(resource) {
            stack.say(
                Diagnostic::warning("W1031", format!("`{id}` ({}): {words}", resource.kind))
                    .at(resource.span),
            );
        }
    }
}
