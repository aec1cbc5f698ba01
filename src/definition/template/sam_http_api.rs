//! `AWS::Serverless::HttpApi`: an HTTP API and its stage.
//!
//! Source: AWS SAM developer guide, "AWS::Serverless::HttpApi".

use super::document::{self, INTEGRATION};
use super::sam::{Draft, Transform};
use super::sam_api::{disable_endpoint, push, stage_id};
use super::sam_function::Event;
use super::tree::{self, get};
use crate::source::Node;

impl Transform<'_, '_> {
    /// Writes an `HttpApi` event into its API's document. What is written there
    /// already stays as it is.
    pub(super) fn http_event(&mut self, event: &Event<'_>) {
        let Some(mut draft) = self.drafts.shift_remove(&event.api) else {
            return;
        };
        self.route_settings(&mut draft, event);
        if let Some(mut body) = draft.body.take() {
            let twice = draft
                .event_conditions
                .get(&event.path)
                .is_some_and(|methods| methods.contains_key(&event.method));
            if draft.managed && twice {
                self.error(
                    event.span,
                    format!(
                        "{} has the method and path of another one: {} {}",
                        event.what(),
                        super::sam_api::shown(&event.method),
                        event.path
                    ),
                );
            } else {
                self.add_route(&mut body, &mut draft, event);
            }
            draft.body = Some(body);
        }
        self.drafts.insert(event.api.clone(), draft);
    }

    fn add_route(&self, body: &mut Node, draft: &mut Draft, event: &Event<'_>) {
        let span = event.span;
        if !document::has_integration(body, &event.path, &event.method) {
            Self::note_condition(draft, event);
            let integration = tree::map(
                [
                    ("type", tree::text("aws_proxy", span)),
                    ("httpMethod", tree::text("POST", span)),
                    ("payloadFormatVersion", tree::text("2.0", span)),
                    ("uri", Self::function_uri(event.caller, false, span)),
                ],
                span,
            );
            let is_default = event.path == "$default" && event.method == document::ANY;
            document::with_operation(body, &event.path, &event.method, span, &mut |operation| {
                tree::set(operation, INTEGRATION, integration.clone());
                if is_default {
                    tree::set(operation, "isDefaultRoute", tree::plain(true, span));
                }
                tree::entry(operation, "responses", tree::empty(span));
            });
        }
        if event.property("Auth").is_some() {
            self.http_event_auth(body, draft, event);
        }
        document::for_operation(body, &event.path, &event.method, &mut |operation| {
            if let Some(integration) = tree::get_mut(operation, INTEGRATION) {
                for (from, to) in [
                    ("TimeoutInMillis", "timeoutInMillis"),
                    ("PayloadFormatVersion", "payloadFormatVersion"),
                ] {
                    if let Some(value) = event.property(from) {
                        tree::set(integration, to, value.clone());
                    }
                }
            }
            for name in variables(&event.path) {
                declare(operation, name, span);
            }
        });
    }

    /// The event's `RouteSettings` belong to the stage.
    fn route_settings(&self, draft: &mut Draft, event: &Event<'_>) {
        let Some(settings) = event.property("RouteSettings") else {
            return;
        };
        let key = if event.method == document::ANY && event.path == "$default" {
            event.path.clone()
        } else {
            format!("{} {}", super::sam_api::shown(&event.method), event.path)
        };
        let span = settings.span;
        let settings = match &event.caller.condition {
            Some(condition) => {
                let chosen = tree::conditional(condition, settings.clone());
                match self.stack.settle(&chosen) {
                    Some(settings) => settings,
                    None => return,
                }
            }
            None => settings.clone(),
        };
        let all = tree::entry(&mut draft.properties, "RouteSettings", tree::empty(span));
        let own = all.and_then(|all| tree::entry(all, &key, tree::empty(span)));
        if let Some(own) = own {
            for (key, _, value) in settings.entries() {
                tree::set(own, key, value.clone());
            }
        }
    }

    pub(super) fn finish_http(&mut self, id: &str, mut draft: Draft) {
        let span = draft.span;
        if draft.body.is_some() && draft.property("DefinitionUri").is_some() {
            self.error(
                span,
                format!("`{id}` has a `DefinitionUri` and a `DefinitionBody`, and may have one"),
            );
        }
        match draft.body.take() {
            Some(mut body) if document::is_valid(&body) => {
                self.http_cors(&mut body, &draft, id);
                self.http_auth(&mut body, &draft, id);
                disable_endpoint(&mut body, &draft);
                if let (Some(name), true) = (draft.property("Name"), draft.managed)
                    && let Some(info) = tree::get_mut(&mut body, "info")
                {
                    tree::set(info, "title", name.clone());
                }
                self.apply_conditions(&mut body, &draft, id);
                draft.body = Some(body);
            }
            body => {
                for key in ["CorsConfiguration", "Auth", "DisableExecuteApiEndpoint"] {
                    if let Some(node) = draft.property(key) {
                        self.error(
                            node.span,
                            format!(
                                "`{key}` of `{id}` needs an OpenAPI 3 document in `DefinitionBody`"
                            ),
                        );
                    }
                }
                draft.body = body;
            }
        }
        let condition = self.api_condition(&draft, id);
        let mut properties = tree::map([("ProtocolType", tree::text("HTTP", span))], span);
        if let Some(name) = draft.property("Name") {
            tree::set(&mut properties, "Name", name.clone());
        }
        if let Some(body) = draft.body.take() {
            tree::set(&mut properties, "Body", body);
        } else if let Some(uri) = draft.property("DefinitionUri") {
            tree::set(&mut properties, "BodyS3Location", uri.clone());
        }
        self.make(
            id,
            "AWS::ApiGatewayV2::Api",
            properties,
            condition.as_deref(),
            span,
        );
        let mut stage = tree::map(
            [
                ("ApiId", tree::reference(id, span)),
                ("StageName", draft.stage_name()),
                ("AutoDeploy", tree::plain(true, span)),
            ],
            span,
        );
        for key in [
            "StageVariables",
            "DefaultRouteSettings",
            "RouteSettings",
            "AccessLogSettings",
        ] {
            if let Some(node) = draft.property(key) {
                tree::set(&mut stage, key, node.clone());
            }
        }
        let stage_id = stage_id(id, &draft);
        self.make(
            &stage_id,
            "AWS::ApiGatewayV2::Stage",
            stage,
            condition.as_deref(),
            span,
        );
        self.generated
            .insert(format!("{id}.Stage"), stage_id.clone());
        self.domain(id, &draft, &stage_id, condition.as_deref());
    }

    fn http_cors(&self, body: &mut Node, draft: &Draft, id: &str) {
        const KEY: &str = "x-amazon-apigateway-cors";
        const FIELDS: [(&str, &str); 6] = [
            ("AllowOrigins", "allowOrigins"),
            ("AllowHeaders", "allowHeaders"),
            ("AllowMethods", "allowMethods"),
            ("ExposeHeaders", "exposeHeaders"),
            ("MaxAge", "maxAge"),
            ("AllowCredentials", "allowCredentials"),
        ];
        let Some(cors) = draft.property("CorsConfiguration") else {
            return;
        };
        let span = cors.span;
        if tree::flag(cors) == Some(false) {
            return;
        }
        let Some(made) = tree::entry(body, KEY, tree::empty(span)) else {
            return;
        };
        if tree::flag(cors) == Some(true) {
            let any = tree::list(vec![tree::text("*", span)], span);
            return tree::set(made, "allowOrigins", any);
        }
        if cors.as_mapping().is_none() || tree::intrinsic(cors).is_some() {
            return self.error(
                span,
                format!("`CorsConfiguration` of `{id}` must be true or a mapping"),
            );
        }
        for (key, span, value) in cors.entries() {
            match FIELDS.iter().find(|(known, _)| *known == key) {
                // Not true is as good as not said.
                Some((_, "allowCredentials")) if value.as_bool() != Some(true) => {}
                Some((_, field)) => tree::set(made, field, value.clone()),
                None => self.stack.say(
                    crate::source::Diagnostic::error(
                        "E1020",
                        format!("`CorsConfiguration` of `{id}` has no key `{key}`"),
                    )
                    .at(span)
                    .suggest(key, FIELDS.map(|(known, _)| known)),
                ),
            }
        }
    }
}

/// Names of the variables in a path, as SAM writes them: `proxy+` with its plus.
fn variables(path: &str) -> impl Iterator<Item = &str> {
    path.split('{')
        .skip(1)
        .filter_map(|part| part.split_once('}').map(|(name, _)| name))
}

fn declare(operation: &mut Node, name: &str, span: crate::source::Span) {
    let known = get(operation, "parameters")
        .and_then(Node::as_sequence)
        .is_some_and(|items| {
            items
                .iter()
                .any(|item| get(item, "name").and_then(Node::as_str) == Some(name))
        });
    if !known {
        let parameter = tree::map(
            [
                ("name", tree::text(name, span)),
                ("in", tree::text("path", span)),
                ("required", tree::plain(true, span)),
            ],
            span,
        );
        push(operation, "parameters", parameter);
    }
}
