//! Security schemes, and what an operation's `security` asks for.

use super::super::values::{self, get};
use super::{Reader, Version};
use crate::model::{Api, Authorization, Route};
use crate::source::{Diagnostic, Mapping, Node, Span};

/// What a security scheme means to API Gateway.
#[derive(Clone, Debug)]
pub(super) enum Scheme {
    /// An authorizer, which is in the API's list under the scheme's name.
    Authorizer,
    /// Requests are signed.
    Iam,
    /// An API key is wanted.
    ApiKey,
    /// Nothing that AWS acts on; words on why.
    Ignored(&'static str),
    /// Its authorizer could not be read, which was said there.
    Broken,
}

impl<'a> Reader<'a, '_> {
    pub(super) fn read_security_schemes(&mut self, api: &mut Api) {
        let node = match self.version {
            Version::Two => get(self.root, "securityDefinitions"),
            Version::Three => {
                get(self.root, "components").and_then(|node| node.get("securitySchemes"))
            }
        };
        let Some(node) = node.filter(|node| !node.is_null()) else {
            return;
        };
        for (name, (span, scheme)) in values::mapping(node, "the security schemes", self.findings)
            .into_iter()
            .flatten()
        {
            let Some(scheme) = self.follow(scheme) else {
                self.authorizers.insert(name.clone(), Scheme::Broken);
                continue;
            };
            let what = format!("the security scheme `{name}`");
            let Some(fields) = values::mapping(scheme, &what, self.findings) else {
                self.authorizers.insert(name.clone(), Scheme::Broken);
                continue;
            };
            let meaning = self.read_scheme(name, *span, fields, api);
            self.authorizers.insert(name.clone(), meaning);
        }
    }

    fn read_scheme(
        &mut self,
        name: &str,
        span: Span,
        fields: &'a Mapping,
        api: &mut Api,
    ) -> Scheme {
        for (key, (span, _)) in fields {
            let known = [
                "x-amazon-apigateway-authorizer",
                "x-amazon-apigateway-authtype",
            ];
            if key.starts_with("x-amazon-apigateway") && !known.contains(&key.as_str()) {
                self.unknown_extension(key, *span, &known, "a security scheme");
            }
        }
        let text = |key: &str| get(fields, key).and_then(Node::as_str).unwrap_or_default();
        let is_api_key = text("type").eq_ignore_ascii_case("apiKey");
        let written = fields.get("x-amazon-apigateway-authorizer");
        if let Some((span, _)) = written.filter(|(_, node)| node.is_null()) {
            // Never open because of a slip: whoever writes the key wants an authorizer.
            self.error(
                "E0611",
                *span,
                format!("the authorizer `{name}` is empty; it has no `type`"),
            );
            return Scheme::Broken;
        }
        if let Some((_, node)) = written {
            return match self.read_authorizer(name, span, fields, node) {
                Some(authorizer) => {
                    api.authorizers.insert(name.to_owned(), authorizer);
                    Scheme::Authorizer
                }
                None => Scheme::Broken,
            };
        }
        let auth_type = text("x-amazon-apigateway-authtype");
        // "any word that begins with aws is reserved": all of them mean Signature Version 4.
        if auth_type
            .get(..3)
            .is_some_and(|start| start.eq_ignore_ascii_case("aws"))
        {
            return Scheme::Iam;
        }
        if !auth_type.is_empty() {
            return Scheme::Ignored(
                "it names a custom type, but has no `x-amazon-apigateway-authorizer`",
            );
        }
        if is_api_key {
            let is_header = text("in").eq_ignore_ascii_case("header");
            if is_header && text("name").eq_ignore_ascii_case("x-api-key") {
                return if self.is_rest() {
                    Scheme::ApiKey
                } else {
                    Scheme::Ignored("HTTP APIs have no API keys")
                };
            }
            return Scheme::Ignored(
                "it is no API key (a header `x-api-key`), and has no `x-amazon-apigateway-authorizer`",
            );
        }
        Scheme::Ignored(
            "AWS acts on a scheme of this type only where it has an `x-amazon-apigateway-authorizer`",
        )
    }

    pub(super) fn read_security(&mut self, operation: &Mapping, route: &mut Route) {
        let asked = self.auth_extension(operation);
        if let Some(node) = get(operation, "security") {
            self.read_requirements(node, route);
        }
        match asked {
            None => {}
            Some(("AWS_IAM", span)) => {
                if let Authorization::Authorizer { name, .. } = &route.authorization {
                    let message = format!(
                        "the operation asks for AWS_IAM and, in `security`, for the authorizer `{name}`; a method has one of them"
                    );
                    self.error("E0604", span, message);
                } else {
                    route.authorization = Authorization::Iam(span);
                }
            }
            Some(("NONE", span)) if route.authorization != Authorization::None => {
                self.warn(
                    "W0604",
                    span,
                    "the operation asks for NONE, but its `security` names an authorizer, which stays in force",
                );
            }
            Some(("NONE", _)) => {}
            Some((other, span)) if route.authorization == Authorization::None => {
                self.error(
                    "E0604",
                    span,
                    format!(
                        "the operation asks for {other}, but its `security` names no authorizer"
                    ),
                );
            }
            Some(_) => {}
        }
    }

    /// `x-amazon-apigateway-auth` of an operation.
    fn auth_extension(&mut self, operation: &Mapping) -> Option<(&'static str, Span)> {
        const TYPES: [&str; 5] = ["NONE", "AWS_IAM", "CUSTOM", "COGNITO_USER_POOLS", "JWT"];
        let node = get(operation, "x-amazon-apigateway-auth")?;
        let fields = values::mapping(node, "`x-amazon-apigateway-auth`", self.findings)?;
        let kind = get(fields, "type")?;
        let index = values::word(
            kind,
            "`type` of `x-amazon-apigateway-auth`",
            &TYPES,
            self.findings,
        )?;
        Some((TYPES[index], kind.span))
    }

    fn read_requirements(&mut self, node: &Node, route: &mut Route) {
        let Some(requirements) = values::sequence(node, "`security`", self.findings) else {
            // Never open because of a slip.
            return;
        };
        let mut first: Option<(String, Span)> = None;
        for requirement in requirements {
            let Some(schemes) =
                values::mapping(requirement, "an entry of `security`", self.findings)
            else {
                continue;
            };
            if schemes.is_empty() && requirements.len() > 1 {
                self.warn(
                    "W0603",
                    requirement.span,
                    "AWS has no optional security: this empty entry has no effect",
                );
            }
            for (name, (span, scopes)) in schemes {
                let meaning = self.authorizers.get(name).cloned();
                let authorization = match meaning {
                    Some(Scheme::ApiKey) => {
                        route.api_key_required = true;
                        continue;
                    }
                    Some(Scheme::Iam) => Authorization::Iam(*span),
                    Some(Scheme::Authorizer) => Authorization::Authorizer {
                        name: name.clone(),
                        scopes: self.read_scopes(scopes),
                        span: *span,
                    },
                    Some(Scheme::Broken) => continue,
                    Some(Scheme::Ignored(why)) => {
                        self.warn("W0601", *span, format!("`{name}` protects nothing: {why}"));
                        continue;
                    }
                    None if name == "NONE" => {
                        self.findings.push(
                            Diagnostic::note("N0601", "`NONE` is no scheme: the method is open")
                                .at(*span),
                        );
                        continue;
                    }
                    None => {
                        let known: Vec<String> = self.authorizers.keys().cloned().collect();
                        let place = match self.version {
                            Version::Two => "securityDefinitions",
                            Version::Three => "components.securitySchemes",
                        };
                        let finding = Diagnostic::error(
                            "E0601",
                            format!("there is no security scheme `{name}`"),
                        )
                        .at(*span)
                        .help(format!("schemes stand in `{place}`"))
                        .suggest(name, known.iter().map(String::as_str));
                        self.findings.push(finding);
                        continue;
                    }
                };
                if let Some((other, place)) = &first {
                    self.findings.push(
                        Diagnostic::error(
                            "E0602",
                            format!(
                                "`{other}` and `{name}` both authorize; a method has one authorizer"
                            ),
                        )
                        .at(*span)
                        .related(*place, "the first one"),
                    );
                    continue;
                }
                first = Some((name.clone(), *span));
                route.authorization = authorization;
            }
        }
    }

    fn read_scopes(&mut self, node: &Node) -> Vec<String> {
        if node.is_null() {
            return Vec::new();
        }
        values::texts(node, "the scopes", self.findings)
            .into_iter()
            .map(|text| text.value)
            .collect()
    }
}
