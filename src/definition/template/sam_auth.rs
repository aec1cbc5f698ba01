//! `Auth` of SAM APIs: authorizers, the default one, API keys.
//!
//! Source: AWS SAM developer guide, "ApiAuth", "HttpApiAuth", "ApiFunctionAuth" and
//! "HttpApiFunctionAuth".

use super::document;
use super::sam::{Draft, Transform};
use super::sam_function::Event;
use super::tree::{self, get};
use crate::source::{Diagnostic, Node, Span};

const REST_KEYS: [&str; 8] = [
    "Authorizers",
    "DefaultAuthorizer",
    "InvokeRole",
    "AddDefaultAuthorizerToCorsPreflight",
    "AddApiKeyRequiredToCorsPreflight",
    "ApiKeyRequired",
    "ResourcePolicy",
    "UsagePlan",
];

const HTTP_KEYS: [&str; 3] = ["Authorizers", "DefaultAuthorizer", "EnableIamAuthorizer"];

/// What marks a method that the API's default is not for.
const NO_API_KEY: &str = "api_key_false";

const AUTHORIZER: &str = "x-amazon-apigateway-authorizer";

impl Transform<'_, '_> {
    /// `Auth` of an `Api` event.
    pub(super) fn rest_event_auth(&self, body: &mut Node, draft: &Draft, event: &Event<'_>) {
        let Some(auth) = event.property("Auth") else {
            return;
        };
        let what = event.what();
        let authorizer = event.auth("Authorizer").and_then(Node::as_str);
        let defined = draft.auth("Authorizers");
        match authorizer {
            Some("NONE") if draft.auth("DefaultAuthorizer").is_none() => {
                return self.auth_error(
                    auth.span,
                    format!(
                        "`Authorizer: NONE` of {what} needs a `DefaultAuthorizer` of `{}`",
                        event.api
                    ),
                );
            }
            Some("NONE" | "AWS_IAM") | None => {}
            Some(name) => {
                if defined.and_then(|all| get(all, name)).is_none() {
                    return self.unknown_authorizer(name, defined, auth.span, &what, &event.api);
                }
            }
        }
        let scopes = event.auth("AuthorizationScopes");
        if let (Some(scopes), None) = (scopes, authorizer) {
            return self.auth_error(
                scopes.span,
                format!("`AuthorizationScopes` of {what} needs an `Authorizer`"),
            );
        }
        let api_key = event.auth("ApiKeyRequired").and_then(tree::flag);
        let default_key = draft.auth("ApiKeyRequired").and_then(tree::flag) == Some(true);
        if api_key == Some(false) && !default_key {
            return self.auth_error(
                auth.span,
                format!(
                    "`ApiKeyRequired: false` of {what} needs `ApiKeyRequired: true` of `{}`",
                    event.api
                ),
            );
        }
        if let Some(name) = authorizer {
            let own = defined.and_then(|all| get(get(all, name)?, "AuthorizationScopes"));
            let scopes = match name {
                "NONE" | "AWS_IAM" => None,
                _ => scopes.or(own).cloned(),
            }
            .unwrap_or_else(|| tree::list(Vec::new(), auth.span));
            if name == "AWS_IAM" {
                define(body, "AWS_IAM", iam_scheme(auth.span));
            }
            document::for_operation(body, &event.path, &event.method, &mut |operation| {
                document::add_security(operation, name, scopes.clone());
            });
        }
        if let Some(required) = api_key {
            let scheme = if required { "api_key" } else { NO_API_KEY };
            if required {
                define(body, "api_key", api_key_scheme(auth.span));
            }
            document::for_operation(body, &event.path, &event.method, &mut |operation| {
                document::add_security(operation, scheme, tree::list(Vec::new(), auth.span));
            });
        }
        if let Some(policy) = event.auth("ResourcePolicy") {
            let stage = match draft.stage_name().as_str() {
                Some(name) => tree::text(name, policy.span),
                None => draft.stage_name(),
            };
            self.resource_policy(body, policy, &event.path, &stage);
            self.custom_statements(body, policy);
        }
    }

    /// `Auth` of an `AWS::Serverless::Api`.
    pub(super) fn rest_auth(&self, body: &mut Node, draft: &Draft, id: &str) {
        let Some(auth) = draft.property("Auth") else {
            return;
        };
        self.known_keys(auth, &REST_KEYS, id);
        let default = self.default_authorizer(draft, id);
        let defined = draft.auth("Authorizers");
        for (name, span, authorizer) in defined.into_iter().flat_map(Node::entries) {
            if let Some(scheme) = self.rest_scheme(name, span, authorizer, id)
                && let Some(schemes) = document::schemes(body)
            {
                tree::set(schemes, name, scheme);
            }
        }
        let flag = |key: &str| draft.auth(key).and_then(tree::flag);
        let has_any = defined.is_some_and(|all| all.entries().next().is_some());
        if let Some(name) = default.filter(|name| has_any || *name == "AWS_IAM") {
            if name == "AWS_IAM" {
                define(body, "AWS_IAM", iam_scheme(auth.span));
            } else if defined.and_then(|all| get(all, name)).is_none() {
                self.unknown_default(name, defined, auth.span, id);
            }
            let names: Vec<String> = defined
                .into_iter()
                .flat_map(Node::entries)
                .map(|(name, _, _)| name.to_owned())
                .chain(["AWS_IAM".to_owned()])
                .collect();
            let scopes = defined
                .and_then(|all| get(get(all, name)?, "AuthorizationScopes"))
                .cloned()
                .unwrap_or_else(|| tree::list(Vec::new(), auth.span));
            let to_preflight = flag("AddDefaultAuthorizerToCorsPreflight").unwrap_or(true);
            for path in document::paths(body) {
                document::for_operations(body, &path, &mut |method, operation| {
                    if to_preflight || method != "options" {
                        default_security(operation, name, &scopes, &names);
                    }
                });
            }
        } else if let Some(name) = default {
            self.unknown_default(name, defined, auth.span, id);
        }
        if flag("ApiKeyRequired") == Some(true) {
            define(body, "api_key", api_key_scheme(auth.span));
            let to_preflight = flag("AddApiKeyRequiredToCorsPreflight").unwrap_or(true);
            for path in document::paths(body) {
                document::for_operations(body, &path, &mut |method, operation| {
                    default_api_key(operation, to_preflight || method != "options");
                });
            }
        }
        if let Some(policy) = draft.auth("ResourcePolicy") {
            let stage = draft.stage_name();
            for path in document::paths(body) {
                self.resource_policy(body, policy, &path, &stage);
            }
            self.custom_statements(body, policy);
        }
    }

    /// `Auth` of an `HttpApi` event.
    pub(super) fn http_event_auth(&self, body: &mut Node, draft: &Draft, event: &Event<'_>) {
        let Some(auth) = event.property("Auth") else {
            return;
        };
        let what = event.what();
        let default = draft.auth("DefaultAuthorizer").and_then(Node::as_str);
        let Some(name) = event.auth("Authorizer").and_then(Node::as_str).or(default) else {
            return self.auth_error(
                auth.span,
                format!(
                    "`Auth` of {what} needs an `Authorizer`, or a `DefaultAuthorizer` of `{}`",
                    event.api
                ),
            );
        };
        let defined = draft.auth("Authorizers");
        let has_iam = draft.auth("EnableIamAuthorizer").and_then(Node::as_bool) == Some(true);
        match name {
            "NONE" if default.is_none() => {
                return self.auth_error(
                    auth.span,
                    format!(
                        "`Authorizer: NONE` of {what} needs a `DefaultAuthorizer` of `{}`",
                        event.api
                    ),
                );
            }
            "NONE" => {}
            "AWS_IAM" if has_iam => {}
            name if defined.and_then(|all| get(all, name)).is_none() => {
                let mut finding = Diagnostic::error(
                    "E1023",
                    format!(
                        "{what} asks for the authorizer `{name}`, which `{}` does not define",
                        event.api
                    ),
                )
                .at(auth.span);
                if name == "AWS_IAM" {
                    finding =
                        finding.help("`EnableIamAuthorizer: true` in `Auth` of the API defines it");
                }
                return self.stack.say(finding);
            }
            _ => {}
        }
        let own = defined.and_then(|all| get(get(all, name)?, "AuthorizationScopes"));
        let scopes = match name {
            "NONE" | "AWS_IAM" => None,
            _ => event
                .auth("AuthorizationScopes")
                .filter(|scopes| scopes.as_sequence().is_some_and(|items| !items.is_empty()))
                .or(own)
                .cloned(),
        }
        .unwrap_or_else(|| tree::list(Vec::new(), auth.span));
        document::for_operation(body, &event.path, &event.method, &mut |operation| {
            document::add_security(operation, name, scopes.clone());
        });
    }

    /// `Auth` of an `AWS::Serverless::HttpApi`.
    pub(super) fn http_auth(&self, body: &mut Node, draft: &Draft, id: &str) {
        let Some(auth) = draft.property("Auth") else {
            return;
        };
        self.known_keys(auth, &HTTP_KEYS, id);
        let has_iam = draft.auth("EnableIamAuthorizer").and_then(Node::as_bool) == Some(true);
        let defined = draft.auth("Authorizers");
        for (name, span, authorizer) in defined.into_iter().flat_map(Node::entries) {
            if let Some(scheme) = self.http_scheme(name, span, authorizer, id)
                && let Some(schemes) = document::schemes(body)
            {
                tree::set(schemes, name, scheme);
            }
        }
        if has_iam {
            define(body, "AWS_IAM", iam_scheme(auth.span));
        }
        let Some(name) = self.default_authorizer(draft, id) else {
            return;
        };
        let is_known = defined.and_then(|all| get(all, name)).is_some();
        let is_built_in = name == "AWS_IAM" && has_iam;
        if !is_known && !is_built_in {
            return self.unknown_default(name, defined, auth.span, id);
        }
        let scopes = defined
            .and_then(|all| get(get(all, name)?, "AuthorizationScopes"))
            .cloned()
            .unwrap_or_else(|| tree::list(Vec::new(), auth.span));
        for path in document::paths(body) {
            document::for_operations(body, &path, &mut |method, operation| {
                if method != "options" && document::security(operation).is_empty() {
                    document::add_security(operation, name, scopes.clone());
                }
            });
        }
    }

    fn default_authorizer<'d>(&self, draft: &'d Draft, id: &str) -> Option<&'d str> {
        let node = draft.auth("DefaultAuthorizer")?;
        if node.as_str().is_none() {
            self.auth_error(
                node.span,
                format!("`DefaultAuthorizer` of `{id}` must be the name of an authorizer"),
            );
        }
        node.as_str()
    }

    fn rest_scheme(&self, name: &str, span: Span, authorizer: &Node, id: &str) -> Option<Node> {
        let what = format!("the authorizer `{name}` of `{id}`");
        if authorizer.as_mapping().is_none() {
            self.auth_error(span, format!("{what} must be a mapping"));
            return None;
        }
        let text = |value: &str| tree::text(value, span);
        let identity = get(authorizer, "Identity");
        self.check_identity(identity, &what)?;
        let field = |key: &str| identity.and_then(|identity| get(identity, key));
        let header = field("Header")
            .cloned()
            .unwrap_or_else(|| text("Authorization"));
        let scheme = |header: Node, auth_type: &str, extension: Node| {
            tree::map(
                [
                    ("type", text("apiKey")),
                    ("name", header),
                    ("in", text("header")),
                    ("x-amazon-apigateway-authtype", text(auth_type)),
                    (AUTHORIZER, extension),
                ],
                span,
            )
        };
        let validation = field("ValidationExpression").cloned();
        if let Some(pool) = get(authorizer, "UserPoolArn") {
            let pools = match pool.as_sequence() {
                Some(_) => pool.clone(),
                None => tree::list(vec![pool.clone()], pool.span),
            };
            let mut extension = tree::map(
                [
                    ("type", text("cognito_user_pools")),
                    ("providerARNs", pools),
                ],
                span,
            );
            if let Some(validation) = validation {
                tree::set(&mut extension, "identityValidationExpression", validation);
            }
            return Some(scheme(header, "cognito_user_pools", extension));
        }
        let payload = get(authorizer, "FunctionPayloadType")
            .and_then(Node::as_str)
            .unwrap_or("TOKEN");
        if !matches!(payload, "TOKEN" | "REQUEST") {
            self.auth_error(
                span,
                format!(
                    "`FunctionPayloadType` of {what} is `{payload}`, but must be TOKEN or REQUEST"
                ),
            );
            return None;
        }
        let mut extension = tree::map(
            [(
                "type",
                text(if payload == "REQUEST" {
                    "request"
                } else {
                    "token"
                }),
            )],
            span,
        );
        self.lambda_fields(&mut extension, authorizer, span, &what)?;
        let ttl = field("ReauthorizeEvery");
        if let Some(ttl) = ttl {
            tree::set(&mut extension, "authorizerResultTtlInSeconds", ttl.clone());
        }
        if payload == "TOKEN" {
            if let Some(validation) = validation {
                tree::set(&mut extension, "identityValidationExpression", validation);
            }
            return Some(scheme(header, "custom", extension));
        }
        let sources = identity_sources(
            identity,
            [
                ("Headers", "method.request.header."),
                ("QueryStrings", "method.request.querystring."),
                ("StageVariables", "stageVariables."),
                ("Context", "context."),
            ],
        );
        let caches = ttl.and_then(Node::as_u64).is_none_or(|ttl| ttl > 0);
        if sources.is_empty() && caches {
            self.auth_error(
                span,
                format!("{what} needs one of `Headers`, `QueryStrings`, `StageVariables`, `Context` in `Identity`"),
            );
        }
        if !sources.is_empty() {
            tree::set(&mut extension, "identitySource", text(&sources.join(", ")));
        }
        Some(scheme(text("Unused"), "custom", extension))
    }

    fn http_scheme(&self, name: &str, span: Span, authorizer: &Node, id: &str) -> Option<Node> {
        let what = format!("the authorizer `{name}` of `{id}`");
        if authorizer.as_mapping().is_none() {
            self.auth_error(span, format!("{what} must be a mapping"));
            return None;
        }
        let text = |value: &str| tree::text(value, span);
        if let Some(configuration) = get(authorizer, "JwtConfiguration") {
            let Some(source) = get(authorizer, "IdentitySource") else {
                self.auth_error(span, format!("{what} has no `IdentitySource`"));
                return None;
            };
            let lower: Vec<(String, Node)> = configuration
                .entries()
                .map(|(key, _, node)| (key.to_lowercase(), node.clone()))
                .collect();
            let extension = tree::map(
                [
                    ("jwtConfiguration", tree::map(lower, configuration.span)),
                    ("identitySource", source.clone()),
                    ("type", text("jwt")),
                ],
                span,
            );
            return Some(tree::map(
                [("type", text("oauth2")), (AUTHORIZER, extension)],
                span,
            ));
        }
        let mut extension = tree::map([("type", text("request"))], span);
        self.lambda_fields(&mut extension, authorizer, span, &what)?;
        let identity = get(authorizer, "Identity");
        self.check_identity(identity, &what)?;
        if let Some(identity) = identity {
            if let Some(ttl) = get(identity, "ReauthorizeEvery") {
                tree::set(&mut extension, "authorizerResultTtlInSeconds", ttl.clone());
            }
            let sources = identity_sources(
                Some(identity),
                [
                    ("Headers", "$request.header."),
                    ("QueryStrings", "$request.querystring."),
                    ("StageVariables", "$stageVariables."),
                    ("Context", "$context."),
                ],
            );
            let sources = sources.iter().map(|source| text(source)).collect();
            tree::set(&mut extension, "identitySource", tree::list(sources, span));
        }
        match get(authorizer, "AuthorizerPayloadFormatVersion") {
            Some(version) => tree::set(
                &mut extension,
                "authorizerPayloadFormatVersion",
                version.clone(),
            ),
            None => {
                self.auth_error(
                    span,
                    format!("{what} has no `AuthorizerPayloadFormatVersion`"),
                );
                return None;
            }
        }
        if let Some(simple) = get(authorizer, "EnableSimpleResponses") {
            tree::set(&mut extension, "enableSimpleResponses", simple.clone());
        }
        Some(tree::map(
            [
                ("type", text("apiKey")),
                ("name", text("Unused")),
                ("in", text("header")),
                (AUTHORIZER, extension),
            ],
            span,
        ))
    }

    /// `Identity` is a mapping, and its sources are lists of text.
    fn check_identity(&self, identity: Option<&Node>, what: &str) -> Option<()> {
        let Some(identity) = identity else {
            return Some(());
        };
        if identity.as_mapping().is_none() || tree::intrinsic(identity).is_some() {
            self.auth_error(
                identity.span,
                format!("`Identity` of {what} must be a mapping"),
            );
            return None;
        }
        for key in ["Headers", "QueryStrings", "StageVariables", "Context"] {
            let Some(sources) = get(identity, key) else {
                continue;
            };
            let is_list = sources.as_sequence().is_some_and(|items| {
                items
                    .iter()
                    .all(|item| item.as_str().is_some() && item.as_mapping().is_none())
            });
            if !is_list {
                self.auth_error(
                    sources.span,
                    format!("`{key}` in `Identity` of {what} must be a list of text"),
                );
                return None;
            }
        }
        Some(())
    }

    /// The uri and role of a Lambda authorizer.
    fn lambda_fields(
        &self,
        extension: &mut Node,
        authorizer: &Node,
        span: Span,
        what: &str,
    ) -> Option<()> {
        let Some(function) = get(authorizer, "FunctionArn") else {
            self.auth_error(
                span,
                format!(
                    "{what} says with `FunctionArn`, `UserPoolArn` or `JwtConfiguration` what it is"
                ),
            );
            return None;
        };
        let uri = tree::text(
            "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${__FunctionArn__}/invocations",
            function.span,
        );
        let variables = tree::map([("__FunctionArn__", function.clone())], function.span);
        let uri = tree::map(
            [("Fn::Sub", tree::list(vec![uri, variables], function.span))],
            function.span,
        );
        tree::set(extension, "authorizerUri", uri);
        if let Some(role) = get(authorizer, "FunctionInvokeRole")
            && role.as_str() != Some("NONE")
        {
            tree::set(extension, "authorizerCredentials", role.clone());
        }
        Some(())
    }

    fn known_keys(&self, auth: &Node, known: &[&str], id: &str) {
        for (key, span, _) in auth.entries() {
            if !known.contains(&key) {
                self.stack.say(
                    Diagnostic::error("E1023", format!("`Auth` of `{id}` has no key `{key}`"))
                        .at(span)
                        .suggest(key, known.iter().copied()),
                );
            }
        }
    }

    fn unknown_authorizer(
        &self,
        name: &str,
        defined: Option<&Node>,
        span: Span,
        what: &str,
        id: &str,
    ) {
        let names: Vec<&str> = defined
            .into_iter()
            .flat_map(Node::entries)
            .map(|(name, _, _)| name)
            .collect();
        self.stack.say(
            Diagnostic::error(
                "E1023",
                format!("{what} asks for the authorizer `{name}`, which `{id}` does not define"),
            )
            .at(span)
            .suggest(name, names),
        );
    }

    fn unknown_default(&self, name: &str, defined: Option<&Node>, span: Span, id: &str) {
        self.unknown_authorizer(name, defined, span, "`DefaultAuthorizer`", id);
    }

    fn auth_error(&self, span: Span, message: String) {
        self.stack.say(Diagnostic::error("E1023", message).at(span));
    }
}

fn identity_sources(identity: Option<&Node>, places: [(&str, &str); 4]) -> Vec<String> {
    places
        .iter()
        .flat_map(|(key, prefix)| {
            identity
                .and_then(|identity| get(identity, key))
                .and_then(Node::as_sequence)
                .unwrap_or_default()
                .iter()
                .filter_map(Node::as_str)
                .map(move |name| format!("{prefix}{name}"))
        })
        .collect()
}

/// Puts a scheme into the document, where it has none of that name.
fn define(body: &mut Node, name: &str, scheme: Node) {
    if let Some(schemes) = document::schemes(body) {
        tree::entry(schemes, name, scheme);
    }
}

fn iam_scheme(span: Span) -> Node {
    let text = |value: &str| tree::text(value, span);
    tree::map(
        [
            ("x-amazon-apigateway-authtype", text("awsSigv4")),
            ("type", text("apiKey")),
            ("name", text("Authorization")),
            ("in", text("header")),
        ],
        span,
    )
}

fn api_key_scheme(span: Span) -> Node {
    let text = |value: &str| tree::text(value, span);
    tree::map(
        [
            ("type", text("apiKey")),
            ("name", text("x-api-key")),
            ("in", text("header")),
        ],
        span,
    )
}

fn names(entry: &Node, name: &str) -> bool {
    entry.entries().any(|(key, _, _)| key == name)
}

/// Gives a method the default authorizer, unless it has one or wants none.
fn default_security(operation: &mut Node, name: &str, scopes: &Node, authorizers: &[String]) {
    let span = operation.span;
    let (own, mut rest): (Vec<Node>, Vec<Node>) = document::security(operation)
        .into_iter()
        .partition(|entry| authorizers.iter().any(|known| names(entry, known)));
    if let Some(none) = rest.iter().position(|entry| names(entry, "NONE")) {
        rest.remove(none);
    } else if own.is_empty() {
        rest.push(tree::map([(name, scopes.clone())], span));
    } else {
        rest.extend(own);
    }
    if !rest.is_empty() {
        tree::set(operation, "security", tree::list(rest, span));
    }
}

/// Makes a method ask for an API key, unless it says that it does not.
fn default_api_key(operation: &mut Node, wanted: bool) {
    let span = operation.span;
    let (own, mut rest): (Vec<Node>, Vec<Node>) = document::security(operation)
        .into_iter()
        .partition(|entry| names(entry, "api_key") || names(entry, NO_API_KEY));
    let refuses = own.iter().any(|entry| names(entry, NO_API_KEY));
    if wanted && !refuses {
        rest.push(tree::map([("api_key", tree::list(Vec::new(), span))], span));
    }
    if rest.is_empty() {
        tree::remove(operation, "security");
    } else {
        tree::set(operation, "security", tree::list(rest, span));
    }
}
