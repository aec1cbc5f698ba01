//! `AWS::Serverless::Api`: a REST API and its stage.
//!
//! Source: AWS SAM developer guide, "AWS::Serverless::Api"; what it makes of it is
//! what the translator makes.

use super::document::{self, INTEGRATION};
use super::domain_names;
use super::sam::{Draft, Transform};
use super::sam_function::Event;
use super::tree::{self, get};
use crate::model::ApiKind;
use crate::source::{Diagnostic, Node, Span};

impl Transform<'_, '_> {
    /// Writes an `Api` event into its API's document.
    pub(super) fn rest_event(&mut self, event: &Event<'_>) {
        let stack = self.stack;
        let Some(mut draft) = self.drafts.shift_remove(&event.api) else {
            return;
        };
        let merges = draft
            .property("MergeDefinitions")
            .and_then(tree::flag)
            .unwrap_or(false);
        if draft.managed || merges {
            self.add_rest_method(&mut draft, event, merges);
        } else if let Some(true) = event.auth("OverrideApiAuth").and_then(tree::flag) {
            let says_more = event.auth("Authorizer").is_some()
                || event.auth("ApiKeyRequired").and_then(tree::flag) == Some(true)
                || event.auth("ResourcePolicy").is_some();
            if !says_more {
                stack.say(
                    Diagnostic::error(
                        "E1023",
                        format!("`OverrideApiAuth` of {} overrides nothing", event.what()),
                    )
                    .at(event.span)
                    .help("say `Authorizer`, `ApiKeyRequired: true` or `ResourcePolicy` beside it"),
                );
            }
            if let Some(mut body) = draft.body.take() {
                self.rest_event_auth(&mut body, &draft, event);
                draft.body = Some(body);
            }
        } else if event.property("Auth").is_some() && draft.body.is_some() {
            stack.say(
                Diagnostic::warning(
                    "W1022",
                    format!(
                        "`Auth` of {} has no effect: `{}` has a document of its own",
                        event.what(),
                        event.api
                    ),
                )
                .at(event.span)
                .help("`OverrideApiAuth: true` in `Auth` lets it count"),
            );
        }
        self.drafts.insert(event.api.clone(), draft);
    }

    fn add_rest_method(&self, draft: &mut Draft, event: &Event<'_>, merges: bool) {
        let Some(mut body) = draft.body.take() else {
            return;
        };
        // With MergeDefinitions the method is made by itself, and then goes over the written one.
        let mut own = if merges {
            let version = get(&body, "openapi").and_then(Node::as_str);
            document::skeleton(version, event.span)
        } else {
            std::mem::replace(&mut body, tree::empty(event.span))
        };
        let twice = draft
            .event_conditions
            .get(&event.path)
            .is_some_and(|methods| methods.contains_key(&event.method));
        if twice {
            self.error(
                event.span,
                format!(
                    "{} has the method and path of another one: {} {}",
                    event.what(),
                    shown(&event.method),
                    event.path
                ),
            );
        } else {
            Self::note_condition(draft, event);
            if event.caller.is_state_machine {
                self.add_state_machine(&mut own, event);
            } else {
                self.add_function(&mut own, draft, event);
                self.request_model(&mut own, draft, event);
                self.request_parameters(&mut own, event);
            }
            self.rest_event_auth(&mut own, draft, event);
        }
        if merges {
            merge_method(&mut body, &own, event);
            draft.body = Some(body);
        } else {
            draft.body = Some(own);
        }
    }

    fn add_function(&self, body: &mut Node, draft: &Draft, event: &Event<'_>) {
        let span = event.span;
        let streams = event
            .property("ResponseTransferMode")
            .and_then(Node::as_str)
            == Some("RESPONSE_STREAM");
        let mut integration = tree::map(
            [
                ("type", tree::text("aws_proxy", span)),
                ("httpMethod", tree::text("POST", span)),
                ("uri", Self::function_uri(event.caller, streams, span)),
            ],
            span,
        );
        if streams {
            tree::set(
                &mut integration,
                "responseTransferMode",
                tree::text("STREAM", span),
            );
        }
        if let Some(timeout) = event.property("TimeoutInMillis") {
            tree::set(&mut integration, "timeoutInMillis", timeout.clone());
        }
        if let Some(credentials) = self.invoke_role(draft, event) {
            tree::set(&mut integration, "credentials", credentials);
        }
        document::with_operation(body, &event.path, &event.method, span, &mut |operation| {
            tree::set(operation, INTEGRATION, integration.clone());
            tree::entry(operation, "responses", tree::empty(span));
        });
    }

    /// The role of a method with IAM: the caller's own, unless another one or none is asked for.
    fn invoke_role(&self, draft: &Draft, event: &Event<'_>) -> Option<Node> {
        let is_iam = |node: Option<&Node>| node.and_then(Node::as_str) == Some("AWS_IAM");
        let has_auth = event
            .property("Auth")
            .is_some_and(|auth| auth.entries().next().is_some());
        let asked = is_iam(event.auth("Authorizer"))
            || (is_iam(draft.auth("DefaultAuthorizer")) && !has_auth);
        if !asked {
            return None;
        }
        // Written without a value it means none.
        let role = |auth: Option<&Node>| {
            auth.and_then(|auth| auth.get("InvokeRole")).map(|node| {
                if node.is_null() {
                    tree::text("NONE", node.span)
                } else {
                    node.clone()
                }
            })
        };
        let role = role(event.property("Auth")).or_else(|| role(draft.property("Auth")));
        match role {
            Some(role) if role.as_str() == Some("NONE") => None,
            Some(role) if role.as_str() != Some("CALLER_CREDENTIALS") => Some(role),
            _ => Some(tree::sub("arn:${AWS::Partition}:iam::*:user/*", event.span)),
        }
    }

    fn add_state_machine(&self, body: &mut Node, event: &Event<'_>) {
        let span = event.span;
        let status = |code: &str| tree::map([("statusCode", tree::text(code, span))], span);
        let described = |words: &str| tree::map([("description", tree::text(words, span))], span);
        let id = &event.caller.id;
        let unescapes = event
            .property("UnescapeMappingTemplate")
            .and_then(Node::as_bool)
            .unwrap_or(false);
        let template = if unescapes {
            format!(
                r#"{{"input": "$util.escapeJavaScript($input.json('$')).replaceAll("\\'","'")", "stateMachineArn": "${{{id}}}"}}"#
            )
        } else {
            format!(
                r#"{{"input": "$util.escapeJavaScript($input.json('$'))", "stateMachineArn": "${{{id}}}"}}"#
            )
        };
        let role = format!("{}Role", event.caller.id);
        let mut uri = tree::sub(
            "arn:${AWS::Partition}:apigateway:${AWS::Region}:states:action/StartExecution",
            span,
        );
        if let Some(condition) = &event.caller.condition {
            uri = tree::conditional(condition, uri);
        }
        let templates = tree::map([("application/json", tree::sub(template, span))], span);
        let credentials = tree::sub(
            format!("arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role/{role}"),
            span,
        );
        let integration = tree::map(
            [
                ("type", tree::text("aws", span)),
                ("httpMethod", tree::text("POST", span)),
                ("uri", uri),
                (
                    "responses",
                    tree::map([("200", status("200")), ("400", status("400"))], span),
                ),
                ("credentials", credentials),
                ("requestTemplates", templates),
            ],
            span,
        );
        let responses = tree::map(
            [("200", described("OK")), ("400", described("Bad Request"))],
            span,
        );
        document::with_operation(body, &event.path, &event.method, span, &mut |operation| {
            tree::set(operation, INTEGRATION, integration.clone());
            tree::entry(operation, "responses", responses.clone());
        });
    }

    fn request_model(&self, body: &mut Node, draft: &Draft, event: &Event<'_>) {
        let Some(request) = event.property("RequestModel") else {
            return;
        };
        let Some(model) = get(request, "Model").and_then(Node::as_str) else {
            return;
        };
        let known = draft
            .property("Models")
            .and_then(|models| get(models, model));
        if known.is_none() {
            let names = draft.property("Models").map(|models| {
                models
                    .entries()
                    .map(|(name, _, _)| name.to_owned())
                    .collect::<Vec<_>>()
            });
            let finding = Diagnostic::error(
                "E1022",
                format!(
                    "{} asks for the model `{model}`, which `Models` of `{}` does not define",
                    event.what(),
                    event.api
                ),
            )
            .at(request.span);
            let names = names.unwrap_or_default();
            return self
                .stack
                .say(finding.suggest(model, names.iter().map(String::as_str)));
        }
        let span = request.span;
        let name = model.to_lowercase();
        let required = get(request, "Required").cloned();
        let is_three = document::is_openapi_3(body);
        let place = if is_three {
            format!("#/components/schemas/{name}")
        } else {
            format!("#/definitions/{name}")
        };
        let schema = tree::map([("$ref", tree::text(place, span))], span);
        document::for_operation(body, &event.path, &event.method, &mut |operation| {
            let mut declared = if is_three {
                let content = tree::map([("schema", schema.clone())], span);
                tree::map(
                    [("content", tree::map([("application/json", content)], span))],
                    span,
                )
            } else {
                tree::map(
                    [
                        ("in", tree::text("body", span)),
                        ("name", tree::text(&name, span)),
                        ("schema", schema.clone()),
                    ],
                    span,
                )
            };
            if let Some(required) = &required {
                tree::set(&mut declared, "required", required.clone());
            }
            if is_three {
                tree::set(operation, "requestBody", declared);
            } else {
                push(operation, "parameters", declared);
            }
        });
        let flag = |key: &str| {
            let node = get(request, key)?;
            if node.as_bool().is_none() {
                self.error(
                    node.span,
                    format!("`{key}` of {} must be true or false", event.what()),
                );
            }
            Some(node.as_bool().unwrap_or(false))
        };
        let (validates_body, validates_parameters) =
            match (flag("ValidateBody"), flag("ValidateParameters")) {
                (None, None) => return,
                (body, parameters) => (body.unwrap_or(false), parameters.unwrap_or(false)),
            };
        let validator = match (validates_body, validates_parameters) {
            (true, true) => "body-and-params",
            (true, false) => "body-only",
            (false, true) => "params-only",
            (false, false) => "no-validation",
        };
        let fields = tree::map(
            [
                ("validateRequestBody", tree::plain(validates_body, span)),
                (
                    "validateRequestParameters",
                    tree::plain(validates_parameters, span),
                ),
            ],
            span,
        );
        let key = "x-amazon-apigateway-request-validators";
        if let Some(validators) = tree::entry(body, key, tree::empty(span)) {
            tree::entry(validators, validator, fields);
        }
        document::for_operation(body, &event.path, &event.method, &mut |operation| {
            tree::set(
                operation,
                "x-amazon-apigateway-request-validator",
                tree::text(validator, span),
            );
        });
    }

    fn request_parameters(&self, body: &mut Node, event: &Event<'_>) {
        let items = event
            .property("RequestParameters")
            .and_then(Node::as_sequence)
            .unwrap_or_default();
        for item in items {
            let (name, options) = match (item.as_str(), item.as_mapping().and_then(|m| m.first())) {
                (Some(name), _) => (name, None),
                (None, Some((name, (_, options)))) => (name.as_str(), Some(options)),
                (None, None) => continue,
            };
            let place = name
                .strip_prefix("method.request.")
                .and_then(|rest| rest.split_once('.'));
            let location = match place {
                Some(("querystring", _)) => "query",
                Some(("path", _)) => "path",
                Some(("header", _)) => "header",
                _ => {
                    self.error(
                        item.span,
                        format!(
                            "`{name}` in `RequestParameters` of {} must be method.request.querystring|path|header.NAME",
                            event.what()
                        ),
                    );
                    continue;
                }
            };
            let flag = |key: &str| {
                options
                    .and_then(|options| get(options, key))
                    .and_then(Node::as_bool)
                    .unwrap_or(false)
            };
            let span = item.span;
            let declared = tree::map(
                [
                    ("in", tree::text(location, span)),
                    ("name", tree::text(place.map_or("", |(_, name)| name), span)),
                    ("required", tree::plain(flag("Required"), span)),
                    ("type", tree::text("string", span)),
                ],
                span,
            );
            let caches = flag("Caching");
            document::for_operation(body, &event.path, &event.method, &mut |operation| {
                push(operation, "parameters", declared.clone());
                if let (true, Some(integration)) = (caches, tree::get_mut(operation, INTEGRATION)) {
                    push(integration, "cacheKeyParameters", tree::text(name, span));
                }
            });
        }
    }

    /// Makes the plain resources of every API.
    pub(super) fn finish_apis(&mut self) {
        let mut drafts = std::mem::take(&mut self.drafts);
        // In the template's order, those without a place in it last.
        drafts.sort_by_key(|id, draft| {
            let place = self.stack.resources.get_index_of(id.as_str());
            (place.unwrap_or(usize::MAX), draft.kind == ApiKind::Http)
        });
        for (id, draft) in drafts {
            match draft.kind {
                ApiKind::Rest => self.finish_rest(&id, draft),
                ApiKind::Http => self.finish_http(&id, draft),
            }
        }
        self.finish_shared_plan();
    }

    fn finish_rest(&mut self, id: &str, mut draft: Draft) {
        let span = draft.span;
        if draft.property("StageName").is_none() {
            self.error(span, format!("`{id}` has no `StageName`"));
        }
        if let Some(version) = draft.property("OpenApiVersion") {
            let known = version
                .as_str()
                .is_some_and(|text| text == "2.0" || text.starts_with("3."));
            if !known {
                self.error(
                    version.span,
                    format!("`OpenApiVersion` of `{id}` must be like 3.0.1, or 2.0"),
                );
            }
        }
        if draft.body.is_some() && draft.property("DefinitionUri").is_some() {
            self.error(
                span,
                format!("`{id}` has a `DefinitionUri` and a `DefinitionBody`, and may have one"),
            );
        }
        let writes = [
            "Cors",
            "Auth",
            "GatewayResponses",
            "Models",
            "DisableExecuteApiEndpoint",
        ];
        match draft.body.take() {
            Some(mut body) if document::is_valid(&body) => {
                self.rest_cors(&mut body, &draft, id);
                self.rest_auth(&mut body, &draft, id);
                self.gateway_responses(&mut body, &draft, id);
                self.models(&mut body, &draft);
                if let Some(types) = draft.property("BinaryMediaTypes") {
                    let types = decoded(types);
                    tree::set(&mut body, "x-amazon-apigateway-binary-media-types", types);
                }
                disable_endpoint(&mut body, &draft);
                self.apply_conditions(&mut body, &draft, id);
                draft.body = Some(body);
            }
            body => {
                for key in writes {
                    if let Some(node) = draft.property(key) {
                        self.error(
                            node.span,
                            format!(
                                "`{key}` of `{id}` needs an OpenAPI document in `DefinitionBody`"
                            ),
                        );
                    }
                }
                draft.body = body;
            }
        }
        let condition = self.api_condition(&draft, id);
        let mut properties = tree::empty(span);
        for key in [
            "Name",
            "Policy",
            "BinaryMediaTypes",
            "MinimumCompressionSize",
            "ApiKeySourceType",
            "EndpointConfiguration",
            "Domain",
        ] {
            if let Some(node) = draft.property(key) {
                tree::set(&mut properties, key, node.clone());
            }
        }
        if let Some(body) = draft.body.take() {
            tree::set(&mut properties, "Body", body);
        } else if let Some(uri) = draft.property("DefinitionUri") {
            tree::set(&mut properties, "BodyS3Location", uri.clone());
        }
        self.make(
            id,
            "AWS::ApiGateway::RestApi",
            properties,
            condition.as_deref(),
            span,
        );
        let mut stage = tree::map(
            [
                ("RestApiId", tree::reference(id, span)),
                ("StageName", draft.stage_name()),
            ],
            span,
        );
        for key in [
            "Variables",
            "MethodSettings",
            "AccessLogSetting",
            "CanarySetting",
            "CacheClusterEnabled",
            "CacheClusterSize",
        ] {
            if let Some(node) = draft.property(key) {
                tree::set(&mut stage, key, node.clone());
            }
        }
        let stage_id = stage_id(id, &draft);
        self.make(
            &stage_id,
            "AWS::ApiGateway::Stage",
            stage,
            condition.as_deref(),
            span,
        );
        self.generated
            .insert(format!("{id}.Stage"), stage_id.clone());
        let deployment = format!("{id}Deployment");
        self.make(
            &deployment,
            "AWS::ApiGateway::Deployment",
            tree::map([("RestApiId", tree::reference(id, span))], span),
            condition.as_deref(),
            span,
        );
        self.generated
            .insert(format!("{id}.Deployment"), deployment);
        self.domain(id, &draft, &stage_id, condition.as_deref());
        self.usage_plan(id, &draft, &stage_id, condition.as_deref());
    }

    /// The custom domain, and a mapping for each of its base paths.
    pub(super) fn domain(
        &mut self,
        id: &str,
        draft: &Draft,
        stage_id: &str,
        condition: Option<&str>,
    ) {
        let (kind, mapping_kind, api_key, path_key) = match draft.kind {
            ApiKind::Rest => (
                "AWS::ApiGateway::DomainName",
                "AWS::ApiGateway::BasePathMapping",
                "RestApiId",
                "BasePath",
            ),
            ApiKind::Http => (
                "AWS::ApiGatewayV2::DomainName",
                "AWS::ApiGatewayV2::ApiMapping",
                "ApiId",
                "ApiMappingKey",
            ),
        };
        let Some(domain) = draft.property("Domain") else {
            return;
        };
        let domain_id = format!("{id}DomainName");
        let mut properties = tree::empty(domain.span);
        for key in ["DomainName", "MutualTlsAuthentication"] {
            if let Some(node) = get(domain, key) {
                tree::set(&mut properties, key, node.clone());
            }
        }
        for path in domain_names::base_paths(domain) {
            let span = domain.span;
            let mut mapping = tree::map(
                [
                    ("DomainName", tree::reference(&domain_id, span)),
                    (api_key, tree::reference(id, span)),
                    ("Stage", tree::reference(stage_id, span)),
                ],
                span,
            );
            if !path.is_empty() {
                tree::set(&mut mapping, path_key, tree::text(&path, span));
            }
            let letters: String = path.chars().filter(|c| c.is_alphanumeric()).collect();
            let mapping_id = format!("{id}{letters}BasePathMapping");
            self.make(&mapping_id, mapping_kind, mapping, condition, span);
        }
        self.make(&domain_id, kind, properties, condition, domain.span);
        self.generated.insert(format!("{id}.DomainName"), domain_id);
    }

    fn gateway_responses(&self, body: &mut Node, draft: &Draft, id: &str) {
        let Some(responses) = draft.property("GatewayResponses") else {
            return;
        };
        let key = "x-amazon-apigateway-gateway-responses";
        for (kind, span, response) in responses.entries() {
            if response.as_mapping().is_none() || tree::intrinsic(response).is_some() {
                self.error(
                    span,
                    format!("`{kind}` in `GatewayResponses` of `{id}` must be a mapping"),
                );
                continue;
            }
            let mut made = tree::empty(span);
            let mut parameters = tree::empty(span);
            for (name, span, value) in response.entries() {
                match name {
                    "StatusCode" => tree::set(&mut made, "statusCode", value.clone()),
                    "ResponseTemplates" => {
                        tree::set(&mut made, "responseTemplates", value.clone());
                    }
                    "ResponseParameters" => {
                        const PLACES: [(&str, &str); 3] = [
                            ("Headers", "gatewayresponse.header."),
                            ("Paths", "gatewayresponse.path."),
                            ("QueryStrings", "gatewayresponse.querystring."),
                        ];
                        if value.as_mapping().is_none() {
                            self.error(
                                value.span,
                                format!("`ResponseParameters` of `{kind}` in `GatewayResponses` of `{id}` must be a mapping"),
                            );
                        }
                        for (place, span, _) in value.entries() {
                            if !PLACES.iter().any(|(known, _)| *known == place) {
                                let finding = Diagnostic::error(
                                    "E1020",
                                    format!(
                                        "`ResponseParameters` of `{kind}` in `GatewayResponses` of `{id}` has no key `{place}`"
                                    ),
                                );
                                let known = PLACES.map(|(known, _)| known);
                                self.stack.say(finding.at(span).suggest(place, known));
                            }
                        }
                        for (place, prefix) in PLACES {
                            for (name, _, value) in
                                get(value, place).into_iter().flat_map(Node::entries)
                            {
                                tree::set(
                                    &mut parameters,
                                    &format!("{prefix}{name}"),
                                    value.clone(),
                                );
                            }
                        }
                    }
                    other => self.stack.say(
                        Diagnostic::error(
                            "E1020",
                            format!(
                                "`{kind}` in `GatewayResponses` of `{id}` has no key `{other}`"
                            ),
                        )
                        .at(span)
                        .suggest(
                            other,
                            ["StatusCode", "ResponseParameters", "ResponseTemplates"],
                        ),
                    ),
                }
            }
            tree::set(&mut made, "responseParameters", parameters);
            if let Some(all) = tree::entry(body, key, tree::empty(span)) {
                tree::set(all, kind, made);
            }
        }
    }

    fn models(&self, body: &mut Node, draft: &Draft) {
        for (name, span, schema) in draft.property("Models").into_iter().flat_map(Node::entries) {
            if get(schema, "type").is_none() {
                self.error(span, format!("the model `{name}` has no `type`"));
                continue;
            }
            if let Some(schemas) = document::schemas(body) {
                tree::set(schemas, &name.to_lowercase(), schema.clone());
            }
        }
    }

    /// Puts methods under the conditions of their functions, and a path of which every
    /// method has one under those of all.
    pub(super) fn apply_conditions(&mut self, body: &mut Node, draft: &Draft, id: &str) {
        for (path, methods) in &draft.event_conditions {
            for (method, condition) in methods {
                if let Some(condition) = condition {
                    document::make_method_conditional(body, path, method, condition);
                }
            }
            let all: Option<Vec<&String>> = methods.values().map(Option::as_ref).collect();
            if let (true, Some(conditions)) = (draft.managed, all) {
                let name =
                    self.combined(&format!("{id}{path}PathCondition"), &conditions, draft.span);
                document::make_path_conditional(body, path, &name);
            }
        }
    }

    /// An implicit API is there where one of its methods is.
    pub(super) fn api_condition(&mut self, draft: &Draft, id: &str) -> Option<String> {
        let is_implicit = matches!(id, super::sam::IMPLICIT_REST | super::sam::IMPLICIT_HTTP);
        if !is_implicit || !draft.managed {
            return draft.condition.clone();
        }
        let all: Option<Vec<&String>> = draft
            .event_conditions
            .values()
            .flat_map(|methods| methods.values().map(Option::as_ref))
            .collect();
        let conditions = all.filter(|all| !all.is_empty())?;
        Some(self.combined(&format!("{id}Condition"), &conditions, draft.span))
    }

    /// A condition that holds where one of these does.
    fn combined(&mut self, name: &str, conditions: &[&String], span: Span) -> String {
        if let [one] = conditions {
            return (*one).clone();
        }
        let items = conditions
            .iter()
            .map(|condition| tree::map([("Condition", tree::text(*condition, span))], span))
            .collect();
        let any = tree::map([("Fn::Or", tree::list(items, span))], span);
        self.conditions.insert(name.to_owned(), any);
        name.to_owned()
    }
}

/// The logical id of the stage that comes with an API.
pub(super) fn stage_id(id: &str, draft: &Draft) -> String {
    match draft.stage_name().as_str() {
        Some(name) if name.chars().all(char::is_alphanumeric) => format!("{id}{name}Stage"),
        Some("$default") => format!("{id}ApiGatewayDefaultStage"),
        _ => format!("{id}Stage"),
    }
}

/// `GET` of `get`, for people.
pub(super) fn shown(method: &str) -> String {
    if method == document::ANY {
        "ANY".to_owned()
    } else {
        method.to_uppercase()
    }
}

/// Adds to a list, made where there is none.
pub(super) fn push(node: &mut Node, key: &str, item: Node) {
    let span = item.span;
    if let Some(Node {
        value: crate::source::Value::Sequence(items),
        ..
    }) = tree::entry(node, key, tree::list(Vec::new(), span))
    {
        items.push(item);
    }
}

/// `~1` in media types stands for `/`.
fn decoded(types: &Node) -> Node {
    match types.as_sequence() {
        Some(items) => tree::list(items.iter().map(decoded).collect(), types.span),
        None => match types.as_str() {
            Some(text) => tree::text(text.replace("~1", "/"), types.span),
            None => types.clone(),
        },
    }
}

/// `DisableExecuteApiEndpoint`, where the document's version has it.
pub(super) fn disable_endpoint(body: &mut Node, draft: &Draft) {
    const KEY: &str = "x-amazon-apigateway-endpoint-configuration";
    let Some(flag) = draft.property("DisableExecuteApiEndpoint").cloned() else {
        return;
    };
    let span = flag.span;
    let write = |node: &mut Node| {
        if let Some(configuration) = tree::entry(node, KEY, tree::empty(span)) {
            tree::set(configuration, "disableExecuteApiEndpoint", flag.clone());
        }
    };
    if !document::is_openapi_3(body) {
        write(body);
        return;
    }
    let default = tree::list(vec![tree::empty(span)], span);
    if let Some(Node {
        value: crate::source::Value::Sequence(servers),
        ..
    }) = tree::entry(body, "servers", default)
    {
        servers.iter_mut().for_each(write);
    }
}

/// Puts the method that was made over the written one, key by key.
fn merge_method(body: &mut Node, own: &Node, event: &Event<'_>) {
    let made = own
        .get("paths")
        .and_then(|paths| paths.get(&event.path)?.get(&event.method));
    let Some(made) = made else { return };
    document::with_operation(
        body,
        &event.path,
        &event.method,
        event.span,
        &mut |operation| {
            for (key, _, value) in made.entries() {
                tree::set(operation, key, value.clone());
            }
        },
    );
    for key in [
        "x-amazon-apigateway-request-validators",
        "x-amazon-apigateway-policy",
    ] {
        if let Some(value) = own.get(key)
            && let Some(all) = tree::entry(body, key, tree::empty(event.span))
        {
            for (key, _, value) in value.entries() {
                tree::set(all, key, value.clone());
            }
        }
    }
    let schemes: Vec<(String, Node)> = ["securityDefinitions", "components"]
        .iter()
        .filter_map(|key| own.get(key))
        .flat_map(|node| node.get("securitySchemes").unwrap_or(node).entries())
        .map(|(name, _, node)| (name.to_owned(), node.clone()))
        .collect();
    if !schemes.is_empty()
        && let Some(all) = document::schemes(body)
    {
        for (name, node) in schemes {
            tree::set(all, &name, node);
        }
    }
}
