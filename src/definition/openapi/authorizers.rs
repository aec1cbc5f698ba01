//! `x-amazon-apigateway-authorizer` of a security scheme.

use std::time::Duration;

use super::super::intrinsics::Purpose;
use super::super::values::{self, get};
use super::{Reader, mapping};
use crate::base::FunctionArn;
use crate::model::{Authorizer, AuthorizerKind, Spanned};
use crate::source::{Diagnostic, Mapping, Node, Severity, Span};

const KEYS: [&str; 12] = [
    "type",
    "authorizerUri",
    "authorizerCredentials",
    "authorizerPayloadFormatVersion",
    "authorizerResultTtlInSeconds",
    "enableSimpleResponses",
    "identitySource",
    "identityValidationExpression",
    "jwtConfiguration",
    "providerARNs",
    "name",
    "authType",
];

impl<'a> Reader<'a, '_> {
    /// Reads an authorizer; `scheme` is the security scheme around it.
    pub(super) fn read_authorizer(
        &mut self,
        name: &str,
        span: Span,
        scheme: &'a Mapping,
        node: &'a Node,
    ) -> Option<Authorizer> {
        let what = format!("the authorizer `{name}`");
        let node = self.follow(node)?;
        let fields = values::mapping(node, &what, self.findings)?;
        values::unknown_keys(fields, &KEYS, &what, Severity::Warning, self.findings);
        let Some(kind) = get(fields, "type") else {
            self.error("E0611", node.span, format!("{what} has no `type`"));
            return None;
        };
        let words: &[&str] = if self.is_rest() {
            &["token", "request", "cognito_user_pools"]
        } else {
            &["request", "jwt"]
        };
        let word = words[values::word(kind, &format!("`type` of {what}"), words, self.findings)?];
        let written = self.identity_sources(fields, &what);
        let result_ttl = get(fields, "authorizerResultTtlInSeconds").and_then(|node| {
            // CreateAuthorizer: 0 to 3600.
            let seconds = values::integer(
                node,
                "`authorizerResultTtlInSeconds`",
                0,
                3600,
                self.findings,
            )?;
            u64::try_from(seconds).ok().map(Duration::from_secs)
        });
        let has_sources = written.as_ref().is_some_and(|sources| !sources.is_empty());
        let (kind, identity_sources) = match word {
            "token" => {
                let kind = AuthorizerKind::Token {
                    uri: self.authorizer_uri(fields, node, &what)?,
                    credentials: self.authorizer_credentials(fields),
                    identity_validation_expression: get(fields, "identityValidationExpression")
                        .and_then(|node| {
                            values::text(node, "`identityValidationExpression`", self.findings)
                        }),
                };
                (kind, self.scheme_header(scheme, written, node.span, &what))
            }
            "cognito_user_pools" => {
                let provider_arns = self.provider_arns(fields, node, &what)?;
                let kind = AuthorizerKind::CognitoUserPools {
                    provider_arns,
                    identity_validation_expression: get(fields, "identityValidationExpression")
                        .and_then(|node| {
                            values::text(node, "`identityValidationExpression`", self.findings)
                        }),
                };
                (kind, self.scheme_header(scheme, written, node.span, &what))
            }
            "request" => {
                let kind = self.request_authorizer(fields, node, &what)?;
                let caches = result_ttl.map_or(self.is_rest(), |ttl| !ttl.is_zero());
                if self.is_rest() && caches && !has_sources {
                    self.findings.push(
                        Diagnostic::error(
                            "E0613",
                            format!("{what} has no `identitySource`, which it needs while results are cached"),
                        )
                        .at(node.span)
                        .help("name one, or set `authorizerResultTtlInSeconds: 0`"),
                    );
                }
                (kind, written.unwrap_or_default())
            }
            _ => {
                let kind = self.jwt_authorizer(scheme, fields, node, &what)?;
                let sources = written
                    .filter(|sources| !sources.is_empty())
                    .unwrap_or_else(|| {
                        vec![Spanned {
                            value: "$request.header.Authorization".to_owned(),
                            span: node.span,
                        }]
                    });
                (kind, sources)
            }
        };
        Some(Authorizer {
            kind,
            identity_sources,
            result_ttl,
            span,
        })
    }

    fn request_authorizer(
        &mut self,
        fields: &'a Mapping,
        node: &Node,
        what: &str,
    ) -> Option<AuthorizerKind> {
        let uri = self.authorizer_uri(fields, node, what)?;
        let payload_format_version = get(fields, "authorizerPayloadFormatVersion")
            .and_then(|node| self.payload_version(node, "`authorizerPayloadFormatVersion`"));
        let enable_simple_responses = get(fields, "enableSimpleResponses")
            .and_then(|node| values::flag(node, "`enableSimpleResponses`", self.findings))
            .unwrap_or(false);
        if !self.is_rest() {
            if get(fields, "authorizerPayloadFormatVersion").is_none() {
                self.error(
                    "E0612",
                    node.span,
                    format!("{what} has no `authorizerPayloadFormatVersion` (1.0 or 2.0), which HTTP APIs require"),
                );
            }
            let one = payload_format_version
                .as_ref()
                .is_some_and(|version| version.value == "1.0");
            if enable_simple_responses && one {
                self.error(
                    "E0614",
                    node.span,
                    "`enableSimpleResponses` needs `authorizerPayloadFormatVersion: \"2.0\"`",
                );
            }
        }
        Some(AuthorizerKind::Request {
            uri,
            credentials: self.authorizer_credentials(fields),
            payload_format_version,
            enable_simple_responses,
        })
    }

    fn jwt_authorizer(
        &mut self,
        scheme: &'a Mapping,
        fields: &'a Mapping,
        node: &Node,
        what: &str,
    ) -> Option<AuthorizerKind> {
        let configuration = get(fields, "jwtConfiguration")
            .and_then(|node| values::mapping(node, "`jwtConfiguration`", self.findings));
        if let Some(configuration) = configuration {
            values::unknown_keys(
                configuration,
                &["issuer", "audience"],
                "`jwtConfiguration`",
                Severity::Warning,
                self.findings,
            );
        }
        let issuer = match configuration.and_then(|configuration| get(configuration, "issuer")) {
            Some(node) => self.resolved(node, "`issuer`", Purpose::Other),
            None => get(scheme, "openIdConnectUrl")
                .and_then(|node| self.resolved(node, "`openIdConnectUrl`", Purpose::Other))
                .map(|url| Spanned {
                    value: url
                        .value
                        .trim_end_matches("/.well-known/openid-configuration")
                        .to_owned(),
                    span: url.span,
                }),
        };
        let Some(issuer) = issuer else {
            self.findings.push(
                Diagnostic::error("E0615", format!("{what} has no issuer"))
                    .at(node.span)
                    .help("write `jwtConfiguration: {issuer: https://…, audience: […]}`"),
            );
            return None;
        };
        if !issuer.value.starts_with("http://") && !issuer.value.starts_with("https://") {
            self.error(
                "E0615",
                issuer.span,
                format!("the issuer `{}` must be a full URL", issuer.value),
            );
        }
        let audience = configuration.and_then(|configuration| get(configuration, "audience"));
        let audience: Vec<String> = match audience {
            Some(node) if node.as_sequence().is_some() => {
                values::texts(node, "`audience`", self.findings)
                    .into_iter()
                    .map(|text| text.value)
                    .collect()
            }
            Some(node) => self
                .resolved(node, "`audience`", Purpose::Other)
                .map(|text| text.value)
                .into_iter()
                .collect(),
            None => Vec::new(),
        };
        if audience.is_empty() {
            self.error(
                "E0616",
                node.span,
                format!("{what} has no `jwtConfiguration.audience`, which AWS requires"),
            );
        }
        Some(AuthorizerKind::Jwt { issuer, audience })
    }

    fn provider_arns(
        &mut self,
        fields: &'a Mapping,
        node: &Node,
        what: &str,
    ) -> Option<Vec<Spanned<String>>> {
        let list = get(fields, "providerARNs")
            .and_then(|node| values::sequence(node, "`providerARNs`", self.findings));
        let arns: Vec<Spanned<String>> = list
            .unwrap_or_default()
            .iter()
            .filter_map(|node| self.resolved(node, "an entry of `providerARNs`", Purpose::UserPool))
            .collect();
        if arns.is_empty() {
            self.error("E0617", node.span, format!("{what} has no `providerARNs`"));
            return None;
        }
        for arn in &arns {
            if !(arn.value.starts_with("arn:") && arn.value.contains(":userpool/")) {
                self.error(
                    "E0617",
                    arn.span,
                    format!("`{}` is no user pool's ARN: arn:aws:cognito-idp:REGION:ACCOUNT:userpool/ID", arn.value),
                );
            }
        }
        Some(arns)
    }

    fn authorizer_uri(
        &mut self,
        fields: &'a Mapping,
        node: &Node,
        what: &str,
    ) -> Option<Spanned<String>> {
        let Some(uri) = get(fields, "authorizerUri") else {
            self.error("E0618", node.span, format!("{what} has no `authorizerUri`"));
            return None;
        };
        let uri = self.resolved(uri, "`authorizerUri`", Purpose::Function)?;
        let known = FunctionArn::from_uri(&uri.value).is_some()
            || uri.value.contains("${stageVariables")
            || uri.value.starts_with("local:");
        if !known {
            self.error(
                "E0618",
                uri.span,
                format!(
                    "the `authorizerUri` of {what} names no Lambda function: arn:aws:apigateway:REGION:lambda:path/2015-03-31/functions/ARN/invocations"
                ),
            );
        }
        Some(uri)
    }

    fn authorizer_credentials(&mut self, fields: &'a Mapping) -> Option<Spanned<String>> {
        let node = get(fields, "authorizerCredentials")?;
        self.resolved(node, "`authorizerCredentials`", Purpose::Role)
    }

    /// The expressions of `identitySource`, split at commas; `None` where there is no such key.
    fn identity_sources(&mut self, fields: &Mapping, what: &str) -> Option<Vec<Spanned<String>>> {
        let node = get(fields, "identitySource")?;
        let items = match node.as_sequence() {
            Some(items) => items,
            None => std::slice::from_ref(node),
        };
        let mut sources = Vec::new();
        for item in items {
            let Some(text) = values::text(item, "`identitySource`", self.findings) else {
                continue;
            };
            for source in text.value.split(',').map(str::trim) {
                if source.is_empty() {
                    continue;
                }
                if let Err(problem) = mapping::identity_source(source, self.is_rest()) {
                    self.findings.push(
                        Diagnostic::error("E0619", format!("{what}: {problem}")).at(text.span),
                    );
                }
                sources.push(Spanned {
                    value: source.to_owned(),
                    span: text.span,
                });
            }
        }
        Some(sources)
    }

    /// The header of a token or Cognito authorizer: its own identity source, or the scheme's name.
    fn scheme_header(
        &mut self,
        scheme: &Mapping,
        written: Option<Vec<Spanned<String>>>,
        span: Span,
        what: &str,
    ) -> Vec<Spanned<String>> {
        if let Some(sources) = written.filter(|sources| !sources.is_empty()) {
            return sources;
        }
        let place = get(scheme, "in").and_then(Node::as_str).unwrap_or("header");
        let name = get(scheme, "name").filter(|_| place.eq_ignore_ascii_case("header"));
        match name.and_then(|node| Some((node.as_str()?, node.span))) {
            Some((name, span)) => vec![Spanned {
                value: format!("method.request.header.{name}"),
                span,
            }],
            None => {
                self.warn(
                    "W0619",
                    span,
                    format!("{what} takes its token from the header Authorization, since its scheme names none"),
                );
                vec![Spanned {
                    value: "method.request.header.Authorization".to_owned(),
                    span,
                }]
            }
        }
    }
}
