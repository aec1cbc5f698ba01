//! Who may pass a route: authorizers, signatures and the resource policy, compiled.
//!
//! What cannot be built closes the route: nobody passes where a protection was
//! asked for and is not there.

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use super::Compiler;
use crate::auth::cognito::{self, CognitoAuthorizer};
use crate::auth::iam::IamUsers;
use crate::auth::identity_source::IdentitySource;
use crate::auth::issuer::{Issuer, Location};
use crate::auth::jwt::{self, JwtAuthorizer};
use crate::auth::lambda_authorizer::{Input, LambdaAuthorizer};
use crate::auth::resource_policy::ResourcePolicy;
use crate::base::FunctionArn;
use crate::event::caller::{Claims, LambdaCaller};
use crate::event::http::PayloadFormat;
use crate::event::{ApiFacts, Caller};
use crate::function::FunctionRef;
use crate::integration::uri::fill_stage_variables;
use crate::model::{Api, ApiKind, Authorization, Authorizer, AuthorizerKind, Route, Spanned};
use crate::observe::metrics::AuthorizerMetrics;
use crate::source::{Diagnostic, Diagnostics, Span};

/// How long a REST authorizer's answer is kept where nothing is said
/// ("x-amazon-apigateway-authorizer object").
const REST_TTL: Duration = Duration::from_secs(300);

/// What a route asks of its callers.
#[derive(Clone, Debug)]
pub struct Protection {
    /// Who tells who they are.
    pub authorizer: RouteAuthorizer,
    /// The API's resource policy (REST).
    pub resource_policy: Option<Arc<ResourcePolicy>>,
    /// What the document calls the authorizer, and its counts.
    pub watched: Option<Watched>,
}

/// An authorizer as logs and metrics know it.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The name of its security scheme.
    pub name: Arc<str>,
    /// Its counts.
    pub metrics: Arc<AuthorizerMetrics>,
}

/// A route's authorizer.
#[derive(Clone, Debug)]
pub enum RouteAuthorizer {
    /// None.
    Open,
    /// Requests are signed.
    Iam(Arc<IamUsers>),
    /// An HTTP API's tokens, and the scopes of which one is wanted.
    Jwt(Arc<JwtAuthorizer>, Vec<String>),
    /// A REST API's tokens, and the scopes of which one is wanted.
    Cognito(Arc<CognitoAuthorizer>, Vec<String>),
    /// A function decides.
    Lambda(Arc<LambdaAuthorizer>),
    /// Nobody is asked: `--no-auth`.
    Skipped(Arc<Skipped>),
}

impl RouteAuthorizer {
    /// Where the authorizer finds what identifies the caller.
    pub fn sources(&self) -> &[IdentitySource] {
        match self {
            Self::Jwt(jwt, _) => &jwt.sources,
            Self::Cognito(cognito, _) => std::slice::from_ref(&cognito.source),
            Self::Lambda(lambda) => lambda.sources(),
            Self::Open | Self::Iam(_) | Self::Skipped(_) => &[],
        }
    }
}

/// Who everybody is, where no authorizer is asked.
#[derive(Clone, Debug)]
pub struct Skipped {
    /// The caller.
    pub caller: Caller,
    /// The API key that a Lambda authorizer would name.
    pub usage_identifier_key: Option<String>,
}

/// Everything that protects routes of one API.
pub(super) struct Protections {
    authorizers: IndexMap<String, (Result<RouteAuthorizer, String>, Watched)>,
    signatures: Option<Watched>,
    users: Result<Arc<IamUsers>, String>,
    resource_policy: Result<Option<Arc<ResourcePolicy>>, String>,
    kinds: IndexMap<String, AuthorizerKind>,
    no_auth: Option<Arc<Claims>>,
}

/// Why something cannot be built, and where it stands.
struct Fault {
    reason: String,
    span: Span,
}

fn fault<T>(reason: impl Into<String>, span: Span) -> Result<T, Fault> {
    Err(Fault {
        reason: reason.into(),
        span,
    })
}

impl Protections {
    pub(super) fn compile(
        api: &Api,
        facts: &ApiFacts,
        compiler: &Compiler<'_>,
        directory: &std::path::Path,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let build = Build {
            api,
            facts,
            compiler,
            directory,
        };
        let watched = |name: &str| Watched {
            name: name.into(),
            metrics: compiler
                .observer
                .metrics
                .authorizer(&facts.api_id, &facts.stage, name),
        };
        let authorizers = api
            .authorizers
            .iter()
            .map(|(name, authorizer)| {
                let built = build.authorizer(name, authorizer).map_err(|fault| {
                    let message = format!(
                        "every request of a route with the authorizer `{name}` will get a 500: {}",
                        fault.reason
                    );
                    diagnostics.push(Diagnostic::warning("W0914", message).at(fault.span));
                    format!("authorizer `{name}`: {}", fault.reason)
                });
                (name.clone(), (built, watched(name)))
            })
            .collect();
        let resource_policy = match &api.policy {
            None => Ok(None),
            Some(document) => match ResourcePolicy::read(&document.value, facts) {
                Ok(policy) => Ok(Some(Arc::new(policy))),
                Err(why) => {
                    let message = format!("the resource policy is not understood: {why}");
                    diagnostics.push(Diagnostic::error("E0912", message).at(document.span));
                    Err(format!("resource policy: {why}"))
                }
            },
        };
        let is_signed = |route: &Route| matches!(route.authorization, Authorization::Iam(_));
        let signed = api.routes.iter().any(is_signed);
        let users = compiler.settings.iam_users.as_deref().unwrap_or_default();
        let users = IamUsers::new(users).map(Arc::new).map_err(|wrong| {
            for (span, why) in wrong {
                let message = format!("the policy of an IAM user is not understood: {why}");
                let known = diagnostics
                    .iter()
                    .any(|other| other.span == Some(span) && other.message == message);
                if !known {
                    diagnostics.push(Diagnostic::error("E0912", message).at(span));
                }
            }
            "the policy of an IAM user is not understood".to_owned()
        });
        Self {
            authorizers,
            signatures: signed.then(|| watched("AWS_IAM")),
            users,
            resource_policy,
            kinds: api
                .authorizers
                .iter()
                .map(|(name, authorizer)| (name.clone(), authorizer.kind.clone()))
                .collect(),
            no_auth: compiler.settings.no_auth.clone(),
        }
    }

    /// What protects a route, or why it stays closed.
    pub(super) fn of_route(&self, route: &Route) -> Result<Protection, String> {
        let mut watched = None;
        let authorizer = match &route.authorization {
            asked if self.skips(asked) => self.skipped(asked),
            Authorization::None => RouteAuthorizer::Open,
            Authorization::Iam(_) => {
                watched.clone_from(&self.signatures);
                RouteAuthorizer::Iam(self.users.clone()?)
            }
            Authorization::Authorizer { name, scopes, .. } => {
                let (built, known) = self
                    .authorizers
                    .get(name)
                    .ok_or_else(|| format!("there is no authorizer `{name}`"))?;
                watched = Some(known.clone());
                match built.clone()? {
                    RouteAuthorizer::Jwt(jwt, _) => RouteAuthorizer::Jwt(jwt, scopes.clone()),
                    RouteAuthorizer::Cognito(cognito, _) => {
                        RouteAuthorizer::Cognito(cognito, scopes.clone())
                    }
                    other => other,
                }
            }
        };
        Ok(Protection {
            authorizer,
            resource_policy: self.resource_policy.clone()?,
            watched,
        })
    }
}

impl Protections {
    fn skips(&self, asked: &Authorization) -> bool {
        self.no_auth.is_some() && !matches!(asked, Authorization::None)
    }

    /// The caller of `--claims` in the form that the route's authorizer would give.
    fn skipped(&self, asked: &Authorization) -> RouteAuthorizer {
        let claims = self.no_auth.clone().unwrap_or_default();
        let text = |name: &str| claims.get(name).and_then(serde_json::Value::as_str);
        let usage_identifier_key = text("usageIdentifierKey").map(str::to_owned);
        let caller = match asked {
            Authorization::None | Authorization::Iam(_) => Caller::Anonymous,
            Authorization::Authorizer { name, scopes, .. } => match self.kinds.get(name) {
                Some(AuthorizerKind::Token { .. } | AuthorizerKind::Request { .. }) => {
                    let principal = text("principalId").or_else(|| text("sub"));
                    let mut context = (*claims).clone();
                    context.remove("principalId");
                    context.remove("usageIdentifierKey");
                    Caller::Lambda(Arc::new(LambdaCaller {
                        principal_id: principal.map(str::to_owned),
                        context: Some(context),
                    }))
                }
                _ => Caller::Token {
                    scopes: (!scopes.is_empty()).then(|| jwt::scopes_of(&claims)),
                    claims,
                },
            },
        };
        RouteAuthorizer::Skipped(Arc::new(Skipped {
            caller,
            usage_identifier_key,
        }))
    }
}

struct Build<'b> {
    api: &'b Api,
    facts: &'b ApiFacts,
    compiler: &'b Compiler<'b>,
    directory: &'b std::path::Path,
}

impl Build<'_> {
    fn authorizer(&self, name: &str, model: &Authorizer) -> Result<RouteAuthorizer, Fault> {
        let sources = sources(&model.identity_sources)?;
        match &model.kind {
            AuthorizerKind::Token {
                uri,
                identity_validation_expression,
                ..
            } => {
                let Some(source) = sources.into_iter().next() else {
                    return fault("it has no identity source", model.span);
                };
                let expression = match identity_validation_expression {
                    None => None,
                    Some(text) => Some(whole_match(text)?),
                };
                self.lambda(name, Input::Token { source, expression }, uri, model)
            }
            AuthorizerKind::Request {
                uri,
                payload_format_version,
                enable_simple_responses,
                ..
            } => {
                let input = match self.api.kind {
                    ApiKind::Rest => Input::Request { sources },
                    ApiKind::Http => {
                        let version = payload_format_version
                            .as_ref()
                            .map(|text| text.value.as_str());
                        Input::Http {
                            sources,
                            format: match version {
                                Some("1.0" | "1") => PayloadFormat::V1,
                                _ => PayloadFormat::V2,
                            },
                            simple: *enable_simple_responses,
                        }
                    }
                };
                self.lambda(name, input, uri, model)
            }
            AuthorizerKind::CognitoUserPools {
                provider_arns,
                identity_validation_expression,
            } => {
                let Some(source) = sources.into_iter().next() else {
                    return fault("it has no identity source", model.span);
                };
                let pools = provider_arns
                    .iter()
                    .map(|arn| self.user_pool(name, arn))
                    .collect::<Result<_, _>>()?;
                let audience_expression = match identity_validation_expression {
                    None => None,
                    Some(text) => Some(whole_match(text)?),
                };
                let cognito = CognitoAuthorizer {
                    pools,
                    source,
                    audience_expression,
                };
                Ok(RouteAuthorizer::Cognito(Arc::new(cognito), Vec::new()))
            }
            AuthorizerKind::Jwt { issuer, audience } => {
                let own = self.compiler.settings.authorizers.get(name);
                let configured = own.and_then(|own| own.issuer.as_ref());
                let location = match own.and_then(|own| own.jwks_uri.as_ref()) {
                    Some(url) => Location::KeySet(url.value.clone()),
                    None => Location::Discovery,
                };
                let issuer = configured.unwrap_or(issuer);
                let audience = own
                    .and_then(|own| own.audience.as_ref())
                    .unwrap_or(audience);
                let jwt = JwtAuthorizer {
                    issuer: self.compiler.issuers.get(&issuer.value, location),
                    audience: audience.clone(),
                    sources,
                };
                Ok(RouteAuthorizer::Jwt(Arc::new(jwt), Vec::new()))
            }
        }
    }

    fn lambda(
        &self,
        name: &str,
        input: Input,
        uri: &Spanned<String>,
        model: &Authorizer,
    ) -> Result<RouteAuthorizer, Fault> {
        let ttl = model.result_ttl.unwrap_or(match self.api.kind {
            ApiKind::Rest => REST_TTL,
            ApiKind::Http => Duration::ZERO,
        });
        let function = self.function(uri)?;
        let whole_name = format!("{}/{}/{name}", self.facts.api_id, self.facts.stage);
        let known = self.compiler.authorizer_answers;
        let lambda = LambdaAuthorizer::new(name, input, function, ttl).keeping(&whole_name, known);
        Ok(RouteAuthorizer::Lambda(Arc::new(lambda)))
    }

    fn function(&self, uri: &Spanned<String>) -> Result<FunctionRef, Fault> {
        let functions = self.compiler.functions;
        if let Some(name) = uri.value.strip_prefix("local:") {
            return functions
                .of_handler(name, self.directory)
                .or_else(|reason| fault(reason, uri.span));
        }
        let (filled, missing) = fill_stage_variables(&uri.value, &self.facts.stage_variables);
        match (FunctionArn::from_uri(&filled), missing.as_slice()) {
            (Some(arn), []) => Ok(functions.resolve(&arn)),
            (_, [_, ..]) => fault(
                format!("the stage variable `{}` is not set", missing.join("`, `")),
                uri.span,
            ),
            (None, []) => fault(format!("`{filled}` names no Lambda function"), uri.span),
        }
    }

    /// A user pool: the configuration's, else the one at AWS.
    fn user_pool(&self, name: &str, arn: &Spanned<String>) -> Result<Arc<Issuer>, Fault> {
        let settings = self.compiler.settings;
        let own = settings
            .user_pools
            .get(&arn.value)
            .or_else(|| settings.authorizers.get(name));
        let at_aws = cognito::pool_at_aws(&arn.value);
        let issuer = own
            .and_then(|own| own.issuer.as_ref())
            .map(|issuer| issuer.value.clone())
            .or_else(|| at_aws.map(|(issuer, _)| issuer));
        let Some(issuer) = issuer else {
            return fault(format!("`{}` is no user pool's ARN", arn.value), arn.span);
        };
        let keys = own
            .and_then(|own| own.jwks_uri.as_ref())
            .map_or_else(|| cognito::key_set_url(&issuer), |url| url.value.clone());
        Ok(self.compiler.issuers.get(&issuer, Location::UserPool(keys)))
    }
}

fn sources(texts: &[Spanned<String>]) -> Result<Vec<IdentitySource>, Fault> {
    texts
        .iter()
        .map(|text| match IdentitySource::parse(&text.value) {
            Some(source) => Ok(source),
            None => fault(format!("`{}` is no identity source", text.value), text.span),
        })
        .collect()
}

/// A validation expression that must match the whole value. AWS does not say
/// whether a part is enough; the stricter reading is taken.
fn whole_match(text: &Spanned<String>) -> Result<fancy_regex::Regex, Fault> {
    let whole = format!(r"\A(?:{})\z", text.value);
    fancy_regex::RegexBuilder::new(&whole)
        .backtrack_limit(100_000)
        .build()
        .or_else(|error| {
            fault(
                format!("`{}` is no regular expression: {error}", text.value),
                text.span,
            )
        })
}
