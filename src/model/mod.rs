//! The typed API: what a definition says, whatever text it came from.
//!
//! No I/O and no behaviour: readers (`definition`) make it, `plan` compiles it.
//! Names are those of the AWS API in snake case. Whatever can be wrong later
//! carries its [`Span`], so that a finding names the line.

pub mod settings;
pub mod user_pool;

use std::time::Duration;

use indexmap::IndexMap;
use serde_json::Value as Json;

use crate::source::Span;

/// A value and the place it was written at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub span: Span,
}

/// What kind of API it is. WebSocket APIs come from templates alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ApiKind {
    /// API Gateway v1.
    Rest,
    /// API Gateway v2, protocol HTTP.
    Http,
}

/// One API and the stage it is served in.
#[derive(Clone, Debug)]
pub struct Api {
    /// REST or HTTP.
    pub kind: ApiKind,
    /// Ten letters and digits, as in the host name `{id}.execute-api.{region}.amazonaws.com`.
    pub id: String,
    /// `info.title`.
    pub title: String,
    /// What a template calls it; none for an API of a document of its own.
    pub logical_id: Option<String>,
    /// The stage that a template gives it, configuration already over it; absent:
    /// the configuration's stage.
    pub stage: Option<Stage>,
    /// Every method and path, in the document's order.
    pub routes: Vec<Route>,
    /// Every resource of a REST API in the document's order, those without methods too.
    pub resources: Vec<String>,
    /// By the name of the security scheme.
    pub authorizers: IndexMap<String, Authorizer>,
    /// `x-amazon-apigateway-binary-media-types`, as written.
    pub binary_media_types: Vec<String>,
    /// `x-amazon-apigateway-gateway-responses`, by response type.
    pub gateway_responses: IndexMap<String, GatewayResponse>,
    /// JSON schemas by name: `definitions` or `components.schemas`, as written.
    pub models: IndexMap<String, Json>,
    /// Where an API key comes from.
    pub api_key_source: ApiKeySource,
    /// `x-amazon-apigateway-minimum-compression-size` in bytes.
    pub minimum_compression_size: Option<u32>,
    /// `x-amazon-apigateway-policy`: the resource policy's document.
    pub policy: Option<Spanned<Json>>,
    /// `x-amazon-apigateway-cors` of an HTTP API.
    pub cors: Option<Spanned<Cors>>,
    /// The default endpoint is closed: every request by it is 403 Forbidden.
    pub disable_execute_api_endpoint: bool,
    /// `x-tollgate-rate-limit` at the top: shared by all routes.
    pub rate_limits: Vec<RateLimit>,
    /// `x-tollgate-rate-limit` of a path: shared by its methods. By the path as declared.
    pub path_rate_limits: IndexMap<String, Vec<RateLimit>>,
    /// The place of the document's root.
    pub span: Span,
}

/// A rate limit that AWS does not have: `rateLimits`, `x-tollgate-rate-limit`.
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimit {
    /// Who has a bucket of their own.
    pub key: RateLimitKey,
    /// Requests in a period.
    pub limit: u32,
    /// The period.
    pub period: Duration,
    /// The bucket's size; absent: the limit.
    pub burst: Option<u32>,
    /// The place of the entry.
    pub span: Span,
}

/// Who has a bucket of their own under a [`RateLimit`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RateLimitKey {
    /// `ip`: each client address.
    Ip,
    /// `claim:sub`: each value of a token's claim.
    Claim(String),
    /// `apiKey`: each API key.
    ApiKey,
    /// `header:NAME`: each value of a header.
    Header(String),
    /// `endpoint`: each route, whoever calls.
    Endpoint,
}

impl std::fmt::Display for RateLimitKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ip => f.write_str("ip"),
            Self::Claim(name) => write!(f, "claim:{name}"),
            Self::ApiKey => f.write_str("apiKey"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Endpoint => f.write_str("endpoint"),
        }
    }
}

/// Where a method's API key is taken from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ApiKeySource {
    /// The header `x-api-key`.
    #[default]
    Header,
    /// The authorizer's `usageIdentifierKey`.
    Authorizer,
}

/// A method of a resource, or a route of an HTTP API.
#[derive(Clone, Debug)]
pub struct Route {
    /// Upper case; `None` is ANY.
    pub method: Option<String>,
    /// As declared, without a trailing slash: `/pets/{id}`; `$default` for an HTTP API's default route.
    pub path: String,
    /// `operationId`.
    pub operation_name: Option<String>,
    /// The backend; absent when the document names none.
    pub integration: Option<Integration>,
    /// Who may pass.
    pub authorization: Authorization,
    /// An API key is wanted.
    pub api_key_required: bool,
    /// What is validated before the integration is called.
    pub request_validator: Option<RequestValidator>,
    /// Declared parameters, the path item's included.
    pub parameters: Vec<Parameter>,
    /// Content type to the body's schema (inline, or `{"$ref": …}` as written).
    pub request_models: IndexMap<String, Spanned<Json>>,
    /// The request body is declared as required (OpenAPI 3).
    pub request_body_required: bool,
    /// Declared responses: status (or `default`) to the names of their headers.
    pub responses: IndexMap<String, Vec<String>>,
    /// `x-tollgate-rate-limit` of the operation.
    pub rate_limits: Vec<RateLimit>,
    /// The place of the operation.
    pub span: Span,
}

/// How a route is authorized.
#[derive(Clone, Debug, PartialEq)]
pub enum Authorization {
    /// Open.
    None,
    /// `AWS_IAM`.
    Iam(Span),
    /// By an authorizer of the API.
    Authorizer {
        /// Its key in [`Api::authorizers`].
        name: String,
        /// OAuth scopes of which a token must have one.
        scopes: Vec<String>,
        /// The place that asks for it.
        span: Span,
    },
}

/// A declared request parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name, as written.
    pub name: String,
    /// Where it stands.
    pub location: ParameterLocation,
    /// Whether a request must have it.
    pub required: bool,
}

/// Where a parameter stands in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParameterLocation {
    /// A variable of the path.
    Path,
    /// The query string.
    QueryString,
    /// A header.
    Header,
}

/// `x-amazon-apigateway-request-validators`: an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestValidator {
    /// The body is checked against the model.
    pub body: bool,
    /// Required parameters must be there.
    pub parameters: bool,
}

/// `x-amazon-apigateway-integration`: the backend of a route.
///
/// Source: API Gateway developer guide, "x-amazon-apigateway-integration object".
#[derive(Clone, Debug)]
pub struct Integration {
    /// What kind of backend.
    pub kind: IntegrationKind,
    /// Its address, intrinsics resolved, stage variables left as they stand.
    pub uri: Option<Spanned<String>>,
    /// Method towards the backend, upper case; `ANY` repeats the client's.
    pub http_method: Option<Spanned<String>>,
    /// Role ARN, or `arn:aws:iam::*:user/*`.
    pub credentials: Option<Spanned<String>>,
    /// `1.0` or `2.0` (HTTP APIs).
    pub payload_format_version: Option<Spanned<String>>,
    /// A first-class service action of an HTTP API, `SQS-SendMessage`.
    pub subtype: Option<Spanned<String>>,
    /// `VPC_LINK`'s id.
    pub vpc_link: Option<Spanned<String>>,
    /// Request parameter mappings as written: target to expression.
    pub request_parameters: IndexMap<String, Spanned<String>>,
    /// Media type to VTL template.
    pub request_templates: IndexMap<String, Spanned<String>>,
    /// What happens to a body without a template.
    pub passthrough_behavior: PassthroughBehavior,
    /// How the request's payload is converted.
    pub content_handling: Option<ContentHandling>,
    /// Integration timeout; absent means the kind of API's default.
    pub timeout: Option<Duration>,
    /// Cache tag; the resource when absent.
    pub cache_namespace: Option<String>,
    /// Request parameters that form the cache key.
    pub cache_key_parameters: Vec<Spanned<String>>,
    /// REST: integration responses in the document's order.
    pub responses: Vec<IntegrationResponse>,
    /// HTTP API: response parameter mappings by status code.
    pub response_parameters: IndexMap<String, IndexMap<String, Spanned<String>>>,
    /// `responseTransferMode: STREAM`.
    pub stream: bool,
    /// `tlsConfig`.
    pub tls: TlsConfig,
    /// The place of the extension.
    pub span: Span,
}

/// The types of integration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IntegrationKind {
    /// A service action, or Lambda with mappings.
    Aws,
    /// Lambda with the whole request as event.
    AwsProxy,
    /// An HTTP backend with mappings.
    Http,
    /// An HTTP backend that gets the request as it is.
    HttpProxy,
    /// No backend.
    Mock,
}

impl IntegrationKind {
    /// The type as AWS writes it in lower case: `aws_proxy`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::AwsProxy => "aws_proxy",
            Self::Http => "http",
            Self::HttpProxy => "http_proxy",
            Self::Mock => "mock",
        }
    }
}

/// `passthroughBehavior`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PassthroughBehavior {
    /// The body passes where no template matches its type.
    #[default]
    WhenNoMatch,
    /// The body passes only where there is no template at all.
    WhenNoTemplates,
    /// 415 where no template matches.
    Never,
}

/// `contentHandling`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentHandling {
    /// Bytes become base64 text.
    ConvertToText,
    /// Base64 text becomes bytes.
    ConvertToBinary,
}

/// `tlsConfig` of an integration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TlsConfig {
    /// REST: the backend's certificate need not come from a public authority.
    pub insecure_skip_verification: bool,
    /// HTTP API, private integrations: the name in the backend's certificate.
    pub server_name_to_verify: Option<String>,
}

/// An entry of an integration's `responses`.
#[derive(Clone, Debug)]
pub struct IntegrationResponse {
    /// A Java regular expression; `None` for `default`.
    pub selection_pattern: Option<Spanned<String>>,
    /// Status towards the client.
    pub status_code: Spanned<String>,
    /// `method.response.header.NAME` to expression.
    pub response_parameters: IndexMap<String, Spanned<String>>,
    /// Media type to VTL template.
    pub response_templates: IndexMap<String, Spanned<String>>,
    /// How the response's payload is converted.
    pub content_handling: Option<ContentHandling>,
}

/// `x-amazon-apigateway-authorizer` of a security scheme.
#[derive(Clone, Debug)]
pub struct Authorizer {
    /// What kind, with what only that kind has.
    pub kind: AuthorizerKind,
    /// Identity sources as written, split at commas: `method.request.header.Authorization`,
    /// `$request.header.Authorization`. A REST token or Cognito authorizer has its scheme's header here.
    pub identity_sources: Vec<Spanned<String>>,
    /// How long a result is kept; absent is AWS's default of 300 s (REST) or none (HTTP API, JWT).
    pub result_ttl: Option<Duration>,
    /// The place of the scheme.
    pub span: Span,
}

/// The kinds of authorizers.
#[derive(Clone, Debug)]
pub enum AuthorizerKind {
    /// REST, `token`.
    Token {
        /// `authorizerUri`.
        uri: Spanned<String>,
        /// `authorizerCredentials`.
        credentials: Option<Spanned<String>>,
        /// A regular expression that the token must match.
        identity_validation_expression: Option<Spanned<String>>,
    },
    /// `request`: REST, or an HTTP API's Lambda authorizer.
    Request {
        /// `authorizerUri`.
        uri: Spanned<String>,
        /// `authorizerCredentials`.
        credentials: Option<Spanned<String>>,
        /// HTTP API: `1.0` or `2.0`.
        payload_format_version: Option<Spanned<String>>,
        /// HTTP API: the function answers `{isAuthorized, context}`.
        enable_simple_responses: bool,
    },
    /// REST, `cognito_user_pools`.
    CognitoUserPools {
        /// `providerARNs`.
        provider_arns: Vec<Spanned<String>>,
        /// A regular expression that the token's `aud` must match.
        identity_validation_expression: Option<Spanned<String>>,
    },
    /// HTTP API, `jwt`.
    Jwt {
        /// `jwtConfiguration.issuer`, or taken from `openIdConnectUrl`.
        issuer: Spanned<String>,
        /// `jwtConfiguration.audience`.
        audience: Vec<String>,
    },
}

/// `x-amazon-apigateway-gateway-responses`: an entry.
#[derive(Clone, Debug, Default)]
pub struct GatewayResponse {
    /// Status; absent keeps the default.
    pub status_code: Option<Spanned<u16>>,
    /// `gatewayresponse.header.NAME` to expression.
    pub response_parameters: IndexMap<String, Spanned<String>>,
    /// Media type to template text (substitution only).
    pub response_templates: IndexMap<String, Spanned<String>>,
    /// The place of the entry.
    pub span: Span,
}

/// `x-amazon-apigateway-cors`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cors {
    /// `allowOrigins`.
    pub allow_origins: Vec<String>,
    /// `allowMethods`.
    pub allow_methods: Vec<String>,
    /// `allowHeaders`.
    pub allow_headers: Vec<String>,
    /// `exposeHeaders`.
    pub expose_headers: Vec<String>,
    /// `maxAge` in seconds.
    pub max_age: Option<i64>,
    /// `allowCredentials`.
    pub allow_credentials: bool,
}

/// A stage of an API, from the configuration or a template.
#[derive(Clone, Debug, Default)]
pub struct Stage {
    /// `dev`, `$default`.
    pub name: String,
    /// `stageVariables`.
    pub variables: IndexMap<String, String>,
    /// REST: by `/path/METHOD` or `*/*`.
    pub method_settings: IndexMap<String, MethodSettings>,
    /// HTTP API.
    pub default_route_settings: Throttle,
    /// HTTP API: by route key.
    pub route_settings: IndexMap<String, Throttle>,
    /// Responses may be cached.
    pub cache_cluster_enabled: bool,
    /// Where access logs go and how they look.
    pub access_log: Option<AccessLog>,
    /// REST: the canary.
    pub canary: Option<Canary>,
}

/// A rate and a burst; absent means no limit of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Throttle {
    /// Tokens a second.
    pub rate_limit: Option<f64>,
    /// The bucket's size.
    pub burst_limit: Option<u32>,
}

/// Settings of a method in a stage.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MethodSettings {
    /// The stage's throttle for the method.
    pub throttle: Throttle,
    /// Responses of the method are cached.
    pub caching_enabled: Option<bool>,
    /// How long a response is cached.
    pub cache_ttl: Option<Duration>,
    /// `OFF`, `ERROR`, `INFO`.
    pub logging_level: Option<String>,
    /// Whole requests and responses are logged.
    pub data_trace_enabled: Option<bool>,
    /// Detailed metrics.
    pub metrics_enabled: Option<bool>,
    /// Invalidating the cache takes an authorized caller.
    pub require_authorization_for_cache_control: Option<bool>,
    /// What an unauthorized invalidation gets: `FAIL_WITH_403`, `SUCCEED_WITH_RESPONSE_HEADER`, `SUCCEED_WITHOUT_RESPONSE_HEADER`.
    pub unauthorized_cache_control_header_strategy: Option<String>,
}

/// `accessLogSettings`.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessLog {
    /// `stdout`, a file's path, or the ARN of a template.
    pub destination: String,
    /// Text with `$context` variables, or the name of one of AWS's own formats; absent:
    /// the template's, or the Common Log Format.
    pub format: Option<String>,
    /// The place of the entry.
    pub span: Span,
}

/// `canarySettings`.
#[derive(Clone, Debug, PartialEq)]
pub struct Canary {
    /// 0.0 to 100.0.
    pub percent_traffic: f64,
    /// Stage variables for the canary's requests.
    pub stage_variable_overrides: IndexMap<String, String>,
    /// The canary shares the stage's cache.
    pub use_stage_cache: bool,
}
