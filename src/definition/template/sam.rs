//! What the SAM transform makes of a template: plain resources.
//!
//! The steps are those of the translator that AWS runs: Globals into resources,
//! implicit APIs, events into API documents, then each API. What comes out is
//! read like a template without the transform (`cfn_rest`, `cfn_v2`, `cfn_function`).

use std::collections::HashMap;

use indexmap::IndexMap;

use super::{Resource, Stack, document, globals, sam_properties, tree};
use crate::model::ApiKind;
use crate::source::{Diagnostic, Node, Span};

/// The logical ids of the APIs that events without one belong to.
pub(super) const IMPLICIT_REST: &str = "ServerlessRestApi";
pub(super) const IMPLICIT_HTTP: &str = "ServerlessHttpApi";

/// An `AWS::Serverless::Api` or `::HttpApi` while events are written into it.
pub(super) struct Draft {
    pub(super) kind: ApiKind,
    /// Properties, global ones included, `Fn::If` and parameters followed.
    pub(super) properties: Node,
    /// Its document; none where `DefinitionUri` names one.
    pub(super) body: Option<Node>,
    /// SAM writes the whole document.
    pub(super) managed: bool,
    pub(super) condition: Option<String>,
    pub(super) span: Span,
    /// By path and method's key: the condition of the function whose event it is.
    pub(super) event_conditions: IndexMap<String, IndexMap<String, Option<String>>>,
}

impl Draft {
    pub(super) fn property(&self, name: &str) -> Option<&Node> {
        tree::get(&self.properties, name)
    }

    /// A field of `Auth`.
    pub(super) fn auth(&self, name: &str) -> Option<&Node> {
        tree::get(self.property("Auth")?, name)
    }

    pub(super) fn stage_name(&self) -> Node {
        let default = match self.kind {
            ApiKind::Rest => "Stage",
            ApiKind::Http => "$default",
        };
        self.property("StageName")
            .cloned()
            .unwrap_or_else(|| tree::text(default, self.span))
    }
}

/// A function or a state machine with events.
pub(super) struct Caller {
    pub(super) id: String,
    pub(super) is_state_machine: bool,
    pub(super) condition: Option<String>,
    /// `Events` as written: paths and methods must be plain there.
    pub(super) events: Option<Node>,
    /// `AutoPublishAlias`, resolved.
    pub(super) alias: Option<String>,
}

/// The transform under way.
pub(super) struct Transform<'a, 's> {
    pub(super) stack: &'a Stack<'s>,
    pub(super) drafts: IndexMap<String, Draft>,
    pub(super) made: IndexMap<String, Resource>,
    pub(super) generated: IndexMap<String, String>,
    pub(super) conditions: IndexMap<String, Node>,
    /// APIs of the one shared usage plan.
    pub(super) shared_plan: Option<super::sam_usage_plan::SharedPlan>,
}

/// Replaces the SAM resources of a template by what they stand for.
pub(super) fn transform(stack: &mut Stack<'_>, globals_section: Option<&Node>) {
    if let Some(section) = globals_section {
        globals::check(section, stack);
    }
    let mut transform = Transform {
        stack,
        drafts: IndexMap::new(),
        made: IndexMap::new(),
        generated: IndexMap::new(),
        conditions: IndexMap::new(),
        shared_plan: None,
    };
    let callers = transform.gather(globals_section);
    transform.add_implicit_apis(&callers, globals_section);
    for caller in &callers {
        transform.events(caller);
    }
    transform.finish_apis();
    let Transform {
        made,
        generated,
        conditions,
        ..
    } = transform;
    let order: HashMap<String, usize> = stack
        .resources
        .keys()
        .enumerate()
        .map(|(index, id)| (id.clone(), index))
        .collect();
    stack
        .resources
        .retain(|_, resource| !is_replaced(&resource.kind));
    for (id, resource) in made {
        stack.resources.insert(id, resource);
    }
    stack
        .resources
        .sort_by_key(|id, _| order.get(id).copied().unwrap_or(usize::MAX));
    stack.generated.extend(generated);
    stack.conditions.extend(conditions);
    stack.naming.borrow_mut().clear();
}

/// Types that others take the place of.
fn is_replaced(kind: &str) -> bool {
    matches!(
        kind,
        "AWS::Serverless::Function"
            | "AWS::Serverless::Api"
            | "AWS::Serverless::HttpApi"
            | "AWS::Serverless::StateMachine"
            | "AWS::Serverless::LayerVersion"
            | "AWS::Serverless::SimpleTable"
            | "AWS::Serverless::WebSocketApi"
    )
}

impl Transform<'_, '_> {
    /// Takes the SAM resources out of the template, Globals merged into them.
    fn gather(&mut self, globals_section: Option<&Node>) -> Vec<Caller> {
        let stack = self.stack;
        let mut callers = Vec::new();
        for (id, resource) in &stack.resources {
            let Some(kind) = resource.kind.strip_prefix("AWS::Serverless::") else {
                continue;
            };
            sam_properties::check(id, kind, resource, stack);
            let merged = globals::merged(
                globals_section,
                kind,
                resource.ignore_globals.as_ref(),
                &resource.properties,
            );
            match kind {
                "Api" => self.add_draft(id, ApiKind::Rest, &merged, resource),
                "HttpApi" => self.add_draft(id, ApiKind::Http, &merged, resource),
                "Function" => callers.push(self.function(id, resource, &merged)),
                "StateMachine" => {
                    self.role(id, resource, &merged);
                    let events = tree::get(&merged, "Events").cloned();
                    self.keep(id, "AWS::StepFunctions::StateMachine", resource, merged);
                    callers.push(Caller {
                        id: id.clone(),
                        is_state_machine: true,
                        condition: resource.condition.clone(),
                        events,
                        alias: None,
                    });
                }
                "WebSocketApi" => self.web_socket(id, resource, &merged),
                "LayerVersion" => self.keep(id, "AWS::Lambda::LayerVersion", resource, merged),
                "SimpleTable" => self.keep(id, "AWS::DynamoDB::Table", resource, merged),
                _ => {}
            }
        }
        callers
    }

    fn keep(&mut self, id: &str, kind: &str, resource: &Resource, properties: Node) {
        let resource = Resource {
            kind: kind.to_owned(),
            properties,
            ..resource.clone()
        };
        self.made.insert(id.to_owned(), resource);
    }

    /// The role of a function or state machine that names none.
    pub(super) fn role(&mut self, id: &str, resource: &Resource, properties: &Node) {
        if tree::get(properties, "Role").is_none() {
            let span = resource.span;
            let condition = resource.condition.as_deref();
            let role_id = format!("{id}Role");
            self.make(
                &role_id,
                "AWS::IAM::Role",
                tree::empty(span),
                condition,
                span,
            );
        }
    }

    /// A resource that comes with another one.
    pub(super) fn make(
        &mut self,
        id: &str,
        kind: &str,
        properties: Node,
        condition: Option<&str>,
        span: Span,
    ) {
        let written = self.stack.resources.get(id);
        if let Some(written) = written.filter(|written| !is_replaced(&written.kind)) {
            // An implicit API takes the place of whatever has its name.
            if !matches!(id, IMPLICIT_REST | IMPLICIT_HTTP) {
                let message = format!(
                    "SAM makes a resource `{id}` of type {kind}, and the template has one of that name"
                );
                return self.error(written.span, message);
            }
        }
        let resource = Resource {
            kind: kind.to_owned(),
            properties,
            condition: condition.map(str::to_owned),
            metadata: None,
            ignore_globals: None,
            span,
        };
        self.made.insert(id.to_owned(), resource);
    }

    fn add_draft(&mut self, id: &str, kind: ApiKind, merged: &Node, resource: &Resource) {
        let draft = self.draft(kind, merged, resource.condition.clone(), resource.span);
        self.drafts.insert(id.to_owned(), draft);
    }

    fn draft(&self, kind: ApiKind, merged: &Node, condition: Option<String>, span: Span) -> Draft {
        let mut rest = merged.clone();
        let written = tree::remove(&mut rest, "DefinitionBody").filter(|body| !body.is_null());
        // The document keeps its conditions: SAM writes into every branch.
        let written = match &written {
            Some(body) if tree::intrinsic(body).is_some() => self.stack.settle(body),
            _ => written,
        };
        let properties = self
            .stack
            .settle(&rest)
            .unwrap_or_else(|| tree::empty(span));
        let managed = written.is_none() && tree::get(&properties, "DefinitionUri").is_none();
        let body = if managed {
            Some(self.skeleton(kind, &properties, span))
        } else {
            written
        };
        Draft {
            kind,
            properties,
            body,
            managed,
            condition,
            span,
            event_conditions: IndexMap::new(),
        }
    }

    fn skeleton(&self, kind: ApiKind, properties: &Node, span: Span) -> Node {
        let version = tree::get(properties, "OpenApiVersion").and_then(Node::as_str);
        match (kind, version) {
            (ApiKind::Http, _) => document::skeleton(Some("3.0.1"), span),
            (ApiKind::Rest, Some(version)) if version.starts_with("3.") => {
                document::skeleton(Some(version), span)
            }
            (ApiKind::Rest, _) => document::skeleton(None, span),
        }
    }

    /// Makes the APIs that events without one belong to.
    fn add_implicit_apis(&mut self, callers: &[Caller], globals_section: Option<&Node>) {
        for (kind, event, property, id, section) in [
            (ApiKind::Rest, "Api", "RestApiId", IMPLICIT_REST, "Api"),
            (ApiKind::Http, "HttpApi", "ApiId", IMPLICIT_HTTP, "HttpApi"),
        ] {
            let wanted = callers.iter().flat_map(events_of).find(|(_, _, node)| {
                let properties = tree::get(node, "Properties");
                let is_kind = tree::get(node, "Type").and_then(Node::as_str) == Some(event);
                let named = properties.is_some_and(|node| tree::get(node, property).is_some());
                is_kind && !named && (properties.is_some() || kind == ApiKind::Http)
            });
            let Some((_, span, _)) = wanted else { continue };
            let own = match kind {
                ApiKind::Rest => tree::map([("StageName", tree::text("Prod", span))], span),
                ApiKind::Http => tree::empty(span),
            };
            let merged = globals::merged(globals_section, section, None, &own);
            let draft = self.draft(kind, &merged, None, span);
            // One of that name in the template gives way.
            self.drafts.insert(id.to_owned(), draft);
        }
    }

    /// Says what is wrong with a SAM resource.
    pub(super) fn error(&self, span: Span, message: impl Into<String>) {
        self.stack.say(Diagnostic::error("E1020", message).at(span));
    }
}

/// A caller's events: name, place, event.
pub(super) fn events_of(caller: &Caller) -> Vec<(&str, Span, &Node)> {
    caller.events.iter().flat_map(Node::entries).collect()
}
