//! `tollgate routes`: what an API has, as a table or as JSON.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use indexmap::IndexMap;
use serde_json::{Map, Value as Json, json};

use super::{Common, Loaded, load, print};
use crate::base::FunctionArn;
use crate::definition::settings::stage_of;
use crate::definition::template::{WebSocketApi, WebSocketAuthorizer};
use crate::model::{
    Api, ApiKind, Authorization, AuthorizerKind, Integration, IntegrationKind, ParameterLocation,
    Route, Stage,
};
use crate::plan::function_url::addresses;
use crate::source::Severity;

/// Print the routes of API definitions
#[derive(Args, Debug)]
pub struct Routes {
    /// Which definitions are read, and how.
    #[command(flatten)]
    pub common: Common,

    /// Print JSON: a list of one object a route
    #[arg(long, env = "TOLLGATE_JSON")]
    json: bool,
}

impl Routes {
    /// Prints the routes on stdout.
    ///
    /// # Errors
    ///
    /// Where there is nothing to read.
    pub(super) fn run(self) -> Result<ExitCode> {
        let mut loaded = load(&self.common)?;
        loaded.say_notes();
        // What is not served yet is listed all the same.
        loaded.diagnostics.lenient();
        if loaded.say_findings(Severity::Error) {
            return Ok(ExitCode::from(1));
        }
        let text = if self.json {
            format!("{:#}\n", json_of(&loaded))
        } else {
            format!(
                "{}{}",
                table(&loaded.apis),
                function_urls(&addresses(&loaded.settings))
            )
        };
        print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Functions with a URL of their own, and its host.
fn function_urls(addresses: &[(String, String)]) -> String {
    if addresses.is_empty() {
        return String::new();
    }
    let rows: Vec<[String; 2]> = addresses
        .iter()
        .map(|(function, id)| [format!("{id}.lambda-url.localhost"), one_line(function)])
        .collect();
    format!("\n{}", aligned(["FUNCTION URL", "FUNCTION"], &rows))
}

/// The routes of every API as one table, `METHOD  PATH  INTEGRATION  AUTHORIZER`;
/// with several APIs, each begins with its title.
pub fn table(apis: &[Api]) -> String {
    let mut text = String::new();
    let several = apis.iter().any(|api| api.id != apis[0].id);
    for (index, api) in apis.iter().enumerate() {
        // Of an API with several stages once.
        if apis[..index].iter().any(|other| other.id == api.id) {
            continue;
        }
        if several {
            if index > 0 {
                text.push('\n');
            }
            text.push_str(&format!("{} ({})\n", one_line(&api.title), api.id));
        }
        let rows: Vec<[String; 4]> = api
            .routes
            .iter()
            .map(|route| {
                [
                    route.method.clone().unwrap_or_else(|| "ANY".to_owned()),
                    one_line(&route.path),
                    one_line(&integration_words(route.integration.as_ref())),
                    one_line(&authorizer_words(api, route)),
                ]
            })
            .collect();
        text.push_str(&aligned(
            ["METHOD", "PATH", "INTEGRATION", "AUTHORIZER"],
            &rows,
        ));
    }
    text
}

/// Rows under a heading, two blanks between columns.
pub(super) fn aligned<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> String {
    let heading = heading.map(str::to_owned);
    let lines: Vec<&[String; N]> = std::iter::once(&heading).chain(rows).collect();
    let mut widths = [0; N];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line.iter()) {
            // One very long cell does not push the rest of every line away.
            *width = (*width).max(cell.chars().count().min(72));
        }
    }
    let mut text = String::new();
    for line in lines {
        let mut written = String::new();
        for (width, cell) in widths.iter().zip(line.iter()) {
            written.push_str(cell);
            let blanks = (width + 2).saturating_sub(cell.chars().count()).max(2);
            written.extend(std::iter::repeat_n(' ', blanks));
        }
        text.push_str(written.trim_end());
        text.push('\n');
    }
    text
}

/// Text of a document on one line, without what a terminal would obey.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

fn integration_words(integration: Option<&Integration>) -> String {
    let Some(integration) = integration else {
        return "-".to_owned();
    };
    let kind = integration.kind.as_str();
    if let Some(subtype) = &integration.subtype {
        return format!("{kind} {}", subtype.value);
    }
    let Some(uri) = &integration.uri else {
        return kind.to_owned();
    };
    if integration.kind == IntegrationKind::Mock {
        return kind.to_owned();
    }
    match function_of(&uri.value) {
        Some((name, Some(qualifier))) => format!("{kind} {name}:{qualifier}"),
        Some((name, None)) => format!("{kind} {name}"),
        None => format!("{kind} {}", uri.value),
    }
}

fn authorizer_words(api: &Api, route: &Route) -> String {
    let authorizer = match &route.authorization {
        Authorization::None => None,
        Authorization::Iam(_) => Some("AWS_IAM".to_owned()),
        Authorization::Authorizer { name, scopes, .. } => {
            let kind = api
                .authorizers
                .get(name)
                .map_or("", |authorizer| authorizer_type(&authorizer.kind));
            let scopes = if scopes.is_empty() {
                String::new()
            } else {
                format!(" {}", scopes.join(","))
            };
            Some(format!("{name} ({kind}){scopes}"))
        }
    };
    match (authorizer, route.api_key_required) {
        (None, false) => "-".to_owned(),
        (None, true) => "API key".to_owned(),
        (Some(authorizer), false) => authorizer,
        (Some(authorizer), true) => format!("{authorizer} + API key"),
    }
}

fn authorizer_type(kind: &AuthorizerKind) -> &'static str {
    match kind {
        AuthorizerKind::Token { .. } => "token",
        AuthorizerKind::Request { .. } => "request",
        AuthorizerKind::CognitoUserPools { .. } => "cognito_user_pools",
        AuthorizerKind::Jwt { .. } => "jwt",
    }
}

/// Name and qualifier of the function that a uri calls; either may be a stage variable.
fn function_of(uri: &str) -> Option<(String, Option<String>)> {
    if let Some(arn) = FunctionArn::from_uri(uri) {
        return Some((arn.name, arn.qualifier));
    }
    let (_, rest) = uri.split_once(":function:")?;
    let rest = rest
        .rsplit_once("/invocations")
        .map_or(rest, |(name, _)| name);
    // A qualifier stands behind a colon; `${stageVariables.x}` has none.
    let (name, qualifier) = match rest.rsplit_once(':') {
        Some((name, qualifier)) => (name, Some(qualifier.to_owned())),
        None => (rest, None),
    };
    let valid = !name.is_empty() && !name.contains([':', '/']);
    valid.then(|| (name.to_owned(), qualifier))
}

/// The routes of every API and its stage as JSON: a list by API, stage, path and method.
///
/// Keys that do not apply are left out.
pub fn json_of(loaded: &Loaded) -> Json {
    let mut rows: Vec<([String; 4], Json)> = Vec::new();
    for api in &loaded.apis {
        let stage = stage_of(&loaded.settings, api);
        let listing = Listing {
            api,
            stage: &stage,
            function_ids: &loaded.function_ids,
        };
        for route in &api.routes {
            let key = [
                listing.name().to_owned(),
                stage.name.clone(),
                route.path.clone(),
                route.method.clone().unwrap_or_else(|| "ANY".to_owned()),
            ];
            rows.push((key, Json::Object(listing.route_object(route))));
        }
    }
    for api in &loaded.websocket_apis {
        websocket_rows(api, &loaded.function_ids, &mut rows);
    }
    rows.sort_by(|(a, _), (b, _)| a.cmp(b));
    rows.into_iter().map(|(_, row)| row).collect()
}

/// One API and stage on the way to JSON.
struct Listing<'l> {
    api: &'l Api,
    stage: &'l Stage,
    function_ids: &'l IndexMap<String, String>,
}

impl Listing<'_> {
    /// What the API is called: its logical id in a template, else its title.
    fn name(&self) -> &str {
        self.api.logical_id.as_deref().unwrap_or(&self.api.title)
    }

    fn route_object(&self, route: &Route) -> Map<String, Json> {
        let Self { api, stage, .. } = *self;
        let mut object = Map::new();
        let mut put = |key: &str, value: Json| {
            object.insert(key.to_owned(), value);
        };
        let is_rest = api.kind == ApiKind::Rest;
        put("api", json!(self.name()));
        put("type", json!(if is_rest { "REST" } else { "HTTP" }));
        // An API of a template may have none.
        if api.logical_id.is_none() || api.stage.is_some() {
            put("stage", json!(stage.name));
        }
        if !stage.variables.is_empty() {
            put("stageVariables", super::load::texts(&stage.variables));
        }
        put("method", json!(route.method.as_deref().unwrap_or("ANY")));
        put("path", json!(route.path));
        if let Some(integration) = &route.integration {
            put("integration", self.integration_object(integration, is_rest));
        }
        if let Some(authorizer) = self.authorizer_object(route) {
            put("authorizer", authorizer);
        }
        if route.api_key_required {
            put("apiKeyRequired", json!(true));
        }
        if is_rest {
            let validates: Vec<&str> = route
                .request_validator
                .iter()
                .flat_map(|validator| {
                    [
                        (validator.body, "body"),
                        (validator.parameters, "parameters"),
                    ]
                })
                .filter_map(|(on, word)| on.then_some(word))
                .collect();
            if !validates.is_empty() {
                put("validates", json!(validates));
            }
            let required = required_parameters(route);
            if !required.is_empty() {
                put("requiredParameters", json!(required));
            }
            if !route.request_models.is_empty() {
                let models: Map<String, Json> = route
                    .request_models
                    .iter()
                    .map(|(media_type, schema)| {
                        (media_type.clone(), json!(model_name(&schema.value)))
                    })
                    .collect();
                put("models", Json::Object(models));
            }
            if let Some(cors) = preflight(route) {
                put("cors", cors);
            }
            if !api.binary_media_types.is_empty() {
                let types: Vec<String> = api
                    .binary_media_types
                    .iter()
                    .map(|media_type| media_type.replace("~1", "/"))
                    .collect();
                put("binaryMediaTypes", json!(types));
            }
        } else if let Some(cors) = &api.cors {
            let cors = &cors.value;
            let mut fields = Map::new();
            for (key, list) in [
                ("allowOrigins", &cors.allow_origins),
                ("allowMethods", &cors.allow_methods),
                ("allowHeaders", &cors.allow_headers),
                ("exposeHeaders", &cors.expose_headers),
            ] {
                if !list.is_empty() {
                    fields.insert(key.to_owned(), json!(list));
                }
            }
            if let Some(max_age) = cors.max_age {
                fields.insert("maxAge".to_owned(), json!(max_age));
            }
            if cors.allow_credentials {
                fields.insert("allowCredentials".to_owned(), json!(true));
            }
            put("cors", Json::Object(fields));
        }
        object
    }

    fn integration_object(&self, integration: &Integration, is_rest: bool) -> Json {
        let mut object = Map::new();
        object.insert("type".to_owned(), json!(integration.kind.as_str()));
        if let Some(subtype) = &integration.subtype {
            object.insert("subtype".to_owned(), json!(subtype.value));
        } else if integration.kind != IntegrationKind::Mock
            && let Some(uri) = &integration.uri
        {
            self.put_uri(&mut object, &uri.value);
        }
        if let (false, Some(version)) = (is_rest, &integration.payload_format_version) {
            object.insert("payloadFormatVersion".to_owned(), json!(version.value));
        }
        Json::Object(object)
    }

    fn authorizer_object(&self, route: &Route) -> Option<Json> {
        let api = self.api;
        match &route.authorization {
            Authorization::None => None,
            Authorization::Iam(_) => Some(json!({"type": "aws_iam"})),
            Authorization::Authorizer { name, scopes, .. } => {
                let mut object = Map::new();
                object.insert("name".to_owned(), json!(name));
                if let Some(authorizer) = api.authorizers.get(name) {
                    let kind = authorizer_type(&authorizer.kind);
                    object.insert("type".to_owned(), json!(kind));
                    match &authorizer.kind {
                        AuthorizerKind::Token { uri, .. } | AuthorizerKind::Request { uri, .. } => {
                            self.put_uri(&mut object, &uri.value);
                        }
                        AuthorizerKind::CognitoUserPools { .. } | AuthorizerKind::Jwt { .. } => {}
                    }
                    if !authorizer.identity_sources.is_empty() {
                        let sources: Vec<&str> = authorizer
                            .identity_sources
                            .iter()
                            .map(|source| source.value.as_str())
                            .collect();
                        object.insert("identitySource".to_owned(), json!(sources));
                    }
                }
                if !scopes.is_empty() {
                    object.insert("scopes".to_owned(), json!(scopes));
                }
                Some(Json::Object(object))
            }
        }
    }

    /// `function` and `qualifier`, or `uri`.
    fn put_uri(&self, object: &mut Map<String, Json>, uri: &str) {
        let known = self.api.logical_id.is_some().then_some(self.function_ids);
        put_uri(object, uri, known);
    }
}

/// `function` and `qualifier`, or `uri`. Of a template's API only functions of the
/// template are `known`, by their logical id.
fn put_uri(object: &mut Map<String, Json>, uri: &str, known: Option<&IndexMap<String, String>>) {
    let function = function_of(uri).and_then(|(name, qualifier)| match known {
        Some(known) => Some((known.get(&name)?.clone(), qualifier)),
        None => Some((name, qualifier)),
    });
    match function {
        Some((name, qualifier)) => {
            object.insert("function".to_owned(), json!(name));
            if let Some(qualifier) = qualifier {
                object.insert("qualifier".to_owned(), json!(qualifier));
            }
        }
        None => {
            object.insert("uri".to_owned(), json!(uri));
        }
    }
}

/// The routes of a WebSocket API in each of its stages.
fn websocket_rows(
    api: &WebSocketApi,
    known: &IndexMap<String, String>,
    rows: &mut Vec<([String; 4], Json)>,
) {
    let none = Stage::default();
    let stages: Vec<&Stage> = match api.stages.as_slice() {
        [] => vec![&none],
        stages => stages.iter().collect(),
    };
    for stage in stages {
        for route in &api.routes {
            let mut object = Map::new();
            let mut put = |key: &str, value: Json| {
                object.insert(key.to_owned(), value);
            };
            put("api", json!(api.logical_id));
            put("type", json!("WEBSOCKET"));
            if !stage.name.is_empty() {
                put("stage", json!(stage.name));
            }
            if !stage.variables.is_empty() {
                put("stageVariables", super::load::texts(&stage.variables));
            }
            put("routeKey", json!(route.key));
            if let Some((kind, uri)) = &route.integration {
                let mut integration = Map::new();
                integration.insert("type".to_owned(), json!(kind.as_str()));
                if let (Some(uri), true) = (uri, *kind != IntegrationKind::Mock) {
                    put_uri(&mut integration, uri, Some(known));
                }
                put("integration", Json::Object(integration));
            }
            match &route.authorizer {
                None => {}
                Some(WebSocketAuthorizer::Iam) => put("authorizer", json!({"type": "aws_iam"})),
                Some(WebSocketAuthorizer::Request {
                    name,
                    uri,
                    identity_sources,
                }) => {
                    let mut authorizer = Map::new();
                    authorizer.insert("name".to_owned(), json!(name));
                    authorizer.insert("type".to_owned(), json!("request"));
                    if let Some(uri) = uri {
                        put_uri(&mut authorizer, uri, Some(known));
                    }
                    if !identity_sources.is_empty() {
                        authorizer.insert("identitySource".to_owned(), json!(identity_sources));
                    }
                    put("authorizer", Json::Object(authorizer));
                }
            }
            if route.api_key_required {
                put("apiKeyRequired", json!(true));
            }
            if route.has_response {
                put("routeResponse", json!(true));
            }
            let key = [
                api.logical_id.clone(),
                stage.name.clone(),
                route.key.clone(),
                String::new(),
            ];
            rows.push((key, Json::Object(object)));
        }
    }
}

fn required_parameters(route: &Route) -> Vec<String> {
    let mut required: Vec<String> = route
        .parameters
        .iter()
        .filter(|parameter| parameter.required)
        .filter_map(|parameter| match parameter.location {
            ParameterLocation::Path => None,
            ParameterLocation::QueryString => Some(format!("querystring.{}", parameter.name)),
            ParameterLocation::Header => Some(format!("header.{}", parameter.name)),
        })
        .collect();
    required.sort();
    required
}

/// The last part of a schema's `$ref`, or `(inline)`.
fn model_name(schema: &Json) -> &str {
    schema
        .get("$ref")
        .and_then(Json::as_str)
        .and_then(|reference| reference.rsplit('/').next())
        .unwrap_or("(inline)")
}

/// What an `OPTIONS` mock answers browsers, from its constant headers.
fn preflight(route: &Route) -> Option<Json> {
    const HEADERS: [(&str, &str); 6] = [
        ("access-control-allow-origin", "allowOrigin"),
        ("access-control-allow-methods", "allowMethods"),
        ("access-control-allow-headers", "allowHeaders"),
        ("access-control-max-age", "maxAge"),
        ("access-control-allow-credentials", "allowCredentials"),
        ("access-control-expose-headers", "exposeHeaders"),
    ];
    let integration = route.integration.as_ref()?;
    if route.method.as_deref() != Some("OPTIONS") || integration.kind != IntegrationKind::Mock {
        return None;
    }
    let mut cors = Map::new();
    for (target, source) in integration
        .responses
        .iter()
        .flat_map(|response| &response.response_parameters)
    {
        let name = target
            .strip_prefix("method.response.header.")?
            .to_ascii_lowercase();
        let value = source
            .value
            .strip_prefix('\'')
            .and_then(|value| value.strip_suffix('\''));
        let key = HEADERS.iter().find(|(header, _)| *header == name);
        if let (Some((_, key)), Some(value)) = (key, value) {
            cors.entry(*key).or_insert_with(|| json!(value));
        }
    }
    (!cors.is_empty()).then_some(Json::Object(cors))
}
