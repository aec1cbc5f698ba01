//! `AWS::Serverless::Function`: the function, its alias, and its events.
//!
//! Source: AWS SAM developer guide, "AWS::Serverless::Function".

use super::sam::{Caller, Draft, IMPLICIT_HTTP, IMPLICIT_REST, Transform, events_of};
use super::{Resource, document, tree};
use crate::model::ApiKind;
use crate::source::{Diagnostic, Node, Span};

/// An event on its way into an API's document.
pub(super) struct Event<'a> {
    pub(super) caller: &'a Caller,
    pub(super) name: &'a str,
    pub(super) api: String,
    pub(super) path: String,
    /// The method's key in a document: `get`, `x-amazon-apigateway-any-method`.
    pub(super) method: String,
    /// Its properties, `Fn::If` and parameters followed.
    pub(super) properties: Node,
    pub(super) span: Span,
}

impl Event<'_> {
    pub(super) fn property(&self, name: &str) -> Option<&Node> {
        tree::get(&self.properties, name)
    }

    /// A field of `Auth`.
    pub(super) fn auth(&self, name: &str) -> Option<&Node> {
        tree::get(self.property("Auth")?, name)
    }

    pub(super) fn what(&self) -> String {
        format!("the event `{}` of `{}`", self.name, self.caller.id)
    }
}

impl Transform<'_, '_> {
    /// Makes the plain function, and the version and alias of `AutoPublishAlias`.
    pub(super) fn function(&mut self, id: &str, resource: &Resource, merged: &Node) -> Caller {
        let stack = self.stack;
        let properties = stack.settle(merged).unwrap_or_else(|| merged.clone());
        let condition = resource.condition.as_deref();
        let alias = tree::get(&properties, "AutoPublishAlias")
            .and_then(|node| stack.text(node, "`AutoPublishAlias`"));
        if let Some(alias) = &alias {
            let span = resource.span;
            let is_name = alias
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
                && !alias.chars().all(|c| c.is_ascii_digit());
            if !is_name {
                self.error(
                    tree::get(&properties, "AutoPublishAlias").map_or(span, |node| node.span),
                    format!("`AutoPublishAlias` of `{id}` must be letters, digits, `-` and `_`, and no mere number"),
                );
            }
            let version_id = format!("{id}Version");
            let alias_id = format!("{id}Alias{}", alias.replace('-', "D").replace('_', "U"));
            let name = ("FunctionName", tree::reference(id, span));
            self.make(
                &version_id,
                "AWS::Lambda::Version",
                tree::map([name.clone()], span),
                condition,
                span,
            );
            let alias_properties = tree::map([name, ("Name", tree::text(alias, span))], span);
            self.make(
                &alias_id,
                "AWS::Lambda::Alias",
                alias_properties,
                condition,
                span,
            );
            self.generated.insert(format!("{id}.Version"), version_id);
            self.generated.insert(format!("{id}.Alias"), alias_id);
        }
        self.role(id, resource, &properties);
        if let Some(config) = tree::get(&properties, "FunctionUrlConfig") {
            let span = config.span;
            let mut fields = vec![("TargetFunctionArn", tree::reference(id, span))];
            for key in ["AuthType", "Cors", "InvokeMode"] {
                fields.extend(tree::get(config, key).map(|node| (key, node.clone())));
            }
            if let Some(alias) = &alias {
                fields.push(("Qualifier", tree::text(alias, span)));
            }
            let url = tree::map(fields, span);
            self.make(
                &format!("{id}Url"),
                "AWS::Lambda::Url",
                url,
                condition,
                span,
            );
        }
        let caller = Caller {
            id: id.to_owned(),
            is_state_machine: false,
            condition: resource.condition.clone(),
            events: tree::get(merged, "Events").cloned(),
            alias,
        };
        let made = Resource {
            kind: "AWS::Lambda::Function".to_owned(),
            properties,
            ..resource.clone()
        };
        self.made.insert(id.to_owned(), made);
        caller
    }

    /// Writes a caller's events into the documents of their APIs.
    pub(super) fn events(&mut self, caller: &Caller) {
        for (name, span, node) in events_of(caller) {
            let what = format!("the event `{name}` of `{}`", caller.id);
            let Some(event_type) = self.event_type(caller, &what, node) else {
                continue;
            };
            let kind = match event_type {
                "Api" => ApiKind::Rest,
                "HttpApi" => ApiKind::Http,
                _ => continue,
            };
            let properties = tree::get(node, "Properties");
            if properties.is_none() && kind == ApiKind::Rest {
                self.error(span, format!("{what} has no `Path` or no `Method`"));
                continue;
            }
            if let Some(properties) = properties
                && !self.event_properties(caller, &what, event_type, properties)
            {
                continue;
            }
            let empty = tree::empty(span);
            self.event(caller, kind, name, span, properties.unwrap_or(&empty));
        }
    }

    fn event(&mut self, caller: &Caller, kind: ApiKind, name: &str, span: Span, node: &Node) {
        let what = format!("the event `{name}` of `{}`", caller.id);
        let text = |key: &str| match tree::get(node, key) {
            Some(value) => value.as_str().map(Some).ok_or(value.span),
            None => Ok(None),
        };
        let (path, method) = match (text("Path"), text("Method")) {
            (Ok(Some(path)), Ok(Some(method))) => (path, method),
            (Ok(None), Ok(None)) if kind == ApiKind::Http => ("$default", "any"),
            (Err(span), _) | (_, Err(span)) => {
                return self.error(
                    span,
                    format!("`Path` and `Method` of {what} must be plain text, without functions"),
                );
            }
            _ => return self.error(span, format!("{what} has no `Path` or no `Method`")),
        };
        let Some(properties) = self.stack.settle(node) else {
            return;
        };
        let (property, implicit) = match kind {
            ApiKind::Rest => ("RestApiId", IMPLICIT_REST),
            ApiKind::Http => ("ApiId", IMPLICIT_HTTP),
        };
        let written = tree::get(node, property).and_then(tree::intrinsic);
        if let Some((function, _)) = written
            && function != "Ref"
        {
            let message =
                format!("`{property}` of {what} must be a name or `!Ref`, not {function}");
            let place = tree::get(node, property).map_or(span, |node| node.span);
            return self
                .stack
                .say(Diagnostic::error("E1022", message).at(place));
        }
        let api = match tree::get(&properties, property) {
            None => implicit.to_owned(),
            Some(id) => match (tree::intrinsic(id), id.as_str()) {
                (Some(("Ref", target)), _) => target.as_str().unwrap_or_default().to_owned(),
                (None, Some(id)) => id.to_owned(),
                _ => String::new(),
            },
        };
        let Some(draft) = self.drafts.get_mut(&api) else {
            // An API of plain resources gets no more than a permission.
            if self.stack.has_resource(&api) {
                return;
            }
            let place = tree::get(node, property).map_or(span, |node| node.span);
            let kind = match kind {
                ApiKind::Rest => "AWS::Serverless::Api",
                ApiKind::Http => "AWS::Serverless::HttpApi",
            };
            let known: Vec<&str> = self.drafts.keys().map(String::as_str).collect();
            let finding = Diagnostic::error(
                "E1022",
                format!("`{property}` of {what} must name an {kind} of this template"),
            )
            .at(place)
            .suggest(&api, known);
            return self.stack.say(finding);
        };
        if draft.kind != kind {
            let message = format!("{what} names an API of the other kind");
            return self.error(span, message);
        }
        let event = Event {
            caller,
            name,
            api: api.clone(),
            path: path.to_owned(),
            method: document::method_key(method),
            properties,
            span,
        };
        match kind {
            ApiKind::Rest => self.rest_event(&event),
            ApiKind::Http => self.http_event(&event),
        }
    }

    /// The uri that calls the event's function, or its alias.
    pub(super) fn function_uri(caller: &Caller, streams: bool, span: Span) -> Node {
        let target = match &caller.alias {
            Some(alias) => format!(
                "${{{}Alias{}}}",
                caller.id,
                alias.replace('-', "D").replace('_', "U")
            ),
            None => format!("${{{}.Arn}}", caller.id),
        };
        let (version, last) = if streams {
            ("2021-11-15", "response-streaming-invocations")
        } else {
            ("2015-03-31", "invocations")
        };
        let uri = tree::sub(
            format!(
                "arn:${{AWS::Partition}}:apigateway:${{AWS::Region}}:lambda:path/{version}/functions/{target}/{last}"
            ),
            span,
        );
        match &caller.condition {
            // A function that is not there has no ARN.
            Some(condition) => tree::conditional(condition, uri),
            None => uri,
        }
    }

    /// Notes that an event made a method, and under which condition.
    pub(super) fn note_condition(draft: &mut Draft, event: &Event<'_>) {
        draft
            .event_conditions
            .entry(event.path.clone())
            .or_default()
            .insert(event.method.clone(), event.caller.condition.clone());
    }
}
