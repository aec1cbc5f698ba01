//! Model to plan.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::cors::CorsPlan;
use super::protection::Protections;
use super::validation::Schemas;
use super::{
    ApiPlan, CanaryPlan, GatewayResponses, Plan, RoutePlan, Router, access_log, caching,
    function_url, integration, method_settings, tolls,
};
use crate::auth::Issuers;
use crate::auth::lambda_authorizer::AuthorizerAnswers;
use crate::base::id::stable_id;
use crate::definition::settings::stage_of;
use crate::event::media_type::MediaTypes;
use crate::event::{ApiFacts, CanaryFacts, RouteFacts};
use crate::function::Functions;
use crate::integration::Integration;
use crate::integration::aws_client::AwsClient;
use crate::integration::client::HttpClient;
use crate::limit::Limits;
use crate::model::settings::Settings;
use crate::model::{Api, ApiKind, Route, Stage};
use crate::observe::Observer;
use crate::observe::metrics::RouteLabels;
use crate::source::{Diagnostic, Diagnostics};

/// What compiling takes besides the model.
#[derive(Debug)]
pub struct Compiler<'c> {
    /// The gateway's configuration.
    pub settings: &'c Settings,
    /// Where functions run.
    pub functions: &'c Functions,
    /// Connections to HTTP backends.
    pub client: &'c HttpClient,
    /// Signed requests to AWS services.
    pub aws: &'c AwsClient,
    /// Counts for all APIs, from plan to plan.
    pub limits: &'c Arc<Limits>,
    /// Issuers of tokens with their keys, from plan to plan.
    pub issuers: &'c Issuers,
    /// Answers of Lambda authorizers, from plan to plan.
    pub authorizer_answers: &'c AuthorizerAnswers,
    /// What watches requests, from plan to plan.
    pub observer: &'c Arc<Observer>,
    /// Folder that `local:static/FOLDER` of a document starts from, by API.
    pub directories: &'c [std::path::PathBuf],
}

/// Compiles every API.
///
/// The plan is complete even where there are errors, so that all of them are
/// found in one go; it may be served when `diagnostics` has none.
pub fn compile(apis: &[Api], compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Plan {
    let mut plan = Plan::empty(
        Arc::clone(compiler.limits),
        compiler.functions.clone(),
        Arc::clone(compiler.observer),
        compiler.settings,
    );
    for (index, api) in apis.iter().enumerate() {
        let directory = compiler
            .directories
            .get(index)
            .map_or(Path::new("."), |path| path.as_path());
        let compiled = compile_api(api, compiler, directory, diagnostics);
        let twin = plan.apis.iter().any(|other: &ApiPlan| {
            other.facts.api_id == compiled.facts.api_id && other.facts.stage == compiled.facts.stage
        });
        if twin {
            let message = format!(
                "two APIs have the id `{}`, so one of them cannot be reached",
                compiled.facts.api_id
            );
            let help = "give one of the documents another `info.title`";
            diagnostics.push(Diagnostic::error("E0904", message).at(api.span).help(help));
        }
        plan.apis.push(compiled);
    }
    plan.function_urls = function_url::compile(compiler, diagnostics);
    plan
}

fn compile_api(
    api: &Api,
    compiler: &Compiler<'_>,
    directory: &Path,
    diagnostics: &mut Diagnostics,
) -> ApiPlan {
    let settings = compiler.settings;
    let stage = stage_of(settings, api);
    let facts = ApiFacts {
        kind: api.kind,
        api_id: api.id.clone(),
        account_id: settings.account_id.clone(),
        region: settings.region.clone(),
        deployment_id: stable_id(&format!("{}/{}", api.id, stage.name))[..6].to_owned(),
        stage: stage.name.clone(),
        stage_variables: stage.variables.clone(),
        binary_media_types: MediaTypes::new(api.binary_media_types.iter().map(String::as_str)),
        canary: stage.canary.as_ref().map(|canary| CanaryFacts {
            requested: false,
            use_stage_cache: canary.use_stage_cache,
        }),
        trusted_proxies: settings.trusted_proxies.clone(),
    };
    let canary = stage
        .canary
        .as_ref()
        .filter(|_| api.kind == ApiKind::Rest)
        .map(|canary| CanaryPlan {
            percent_traffic: canary.percent_traffic,
            facts: canary_facts(&facts, canary),
        });
    let observer = compiler.observer;
    let access_log = stage
        .access_log
        .as_ref()
        .and_then(|log| access_log::compile(log, api, observer, diagnostics));
    let metrics = &observer.metrics;
    let protections = Protections::compile(api, &facts, compiler, directory, diagnostics);
    let mut schemas = Schemas::default();
    let mut router = Router::new(api.kind);
    let mut routes = Vec::with_capacity(api.routes.len());
    for route in &api.routes {
        if router
            .add(route.method.as_deref(), &route.path, routes.len())
            .is_err()
        {
            let message = format!("the route {} is there twice", route_key(route));
            diagnostics.push(Diagnostic::error("E0903", message).at(route.span));
            continue;
        }
        routes.push(compile_route(
            api,
            route,
            &facts,
            &stage,
            canary.as_ref().map(|canary| &canary.facts),
            compiler,
            directory,
            &protections,
            &mut schemas,
            diagnostics,
        ));
    }
    ApiPlan {
        access_log,
        metrics: metrics.api(&facts.api_id, &facts.stage),
        unmatched: metrics.route(route_labels(&facts, "-", "-")),
        facts,
        router,
        routes,
        gateway_responses: GatewayResponses::compile(&api.gateway_responses, diagnostics),
        endpoint_disabled: api.disable_execute_api_endpoint,
        minimum_compression_size: api
            .minimum_compression_size
            .filter(|_| api.kind == ApiKind::Rest),
        canary,
        cors: api
            .cors
            .as_ref()
            .filter(|_| api.kind == ApiKind::Http)
            .map(|cors| CorsPlan::compile(&cors.value)),
    }
}

/// What tells a route's counts from others.
fn route_labels(facts: &ApiFacts, method: &str, resource: &str) -> RouteLabels {
    RouteLabels {
        api: facts.api_id.clone(),
        stage: facts.stage.clone(),
        method: method.to_owned(),
        resource: resource.to_owned(),
    }
}

/// The facts of a canary's requests: its variables over the stage's.
fn canary_facts(facts: &ApiFacts, canary: &crate::model::Canary) -> ApiFacts {
    let mut own = facts.clone();
    for (name, value) in &canary.stage_variable_overrides {
        own.stage_variables.insert(name.clone(), value.clone());
    }
    own.canary = Some(CanaryFacts {
        requested: true,
        use_stage_cache: canary.use_stage_cache,
    });
    own
}

#[expect(clippy::too_many_arguments, reason = "what one route needs of its API")]
fn compile_route(
    api: &Api,
    route: &Route,
    facts: &ApiFacts,
    stage: &Stage,
    canary: Option<&ApiFacts>,
    compiler: &Compiler<'_>,
    directory: &Path,
    protections: &Protections,
    schemas: &mut Schemas,
    diagnostics: &mut Diagnostics,
) -> RoutePlan {
    let route_key = route_key(route);
    let resource_id = match api.kind {
        ApiKind::Rest => stable_id(&format!("{}{}", api.id, route.path))[..6].to_owned(),
        ApiKind::Http => route_key.clone(),
    };
    let mut canary_integration = None;
    let caching = route
        .integration
        .as_ref()
        .filter(|_| api.kind == ApiKind::Rest)
        .and_then(|integration| caching::compile(stage, route, integration, diagnostics));
    let integration = match &route.integration {
        Some(integration) => {
            let compile = |facts, diagnostics: &mut Diagnostics| {
                let compile = integration::Compile {
                    api,
                    route,
                    facts,
                    compiler,
                    directory,
                };
                compile.integration(integration, diagnostics)
            };
            let stable = compile(facts, diagnostics);
            // What is wrong with both is said once.
            let mut own = Diagnostics::default();
            canary_integration = canary.map(|facts| compile(facts, &mut own));
            let known = |finding: &Diagnostic| {
                diagnostics
                    .iter()
                    .any(|other| other.message == finding.message && other.span == finding.span)
            };
            let new: Vec<Diagnostic> = own
                .0
                .into_iter()
                .filter(|finding| !known(finding))
                .collect();
            diagnostics.extend(new);
            stable
        }
        // The reader has said so.
        None => Integration::Misconfigured {
            reason: format!("the route {route_key} has no integration"),
        },
    };
    RoutePlan {
        facts: RouteFacts {
            resource_id,
            resource_path: route.path.clone(),
            route_key,
            backend: integration.label(),
            metrics: compiler.observer.metrics.route(route_labels(
                facts,
                route.method.as_deref().unwrap_or("ANY"),
                &route.path,
            )),
        },
        variables: variables(&route.path),
        protection: protections.of_route(route),
        validation: schemas.compile(api, route, diagnostics),
        logging: (api.kind == ApiKind::Rest)
            .then(|| method_settings::logging(&stage.method_settings, route))
            .flatten(),
        caching,
        tolls: tolls::compile(api, route, stage, facts, compiler, diagnostics),
        api_key_source: api.api_key_source,
        integration,
        canary: canary_integration,
    }
}

/// `GET /pets/{id}`, `ANY /x`, `$default`.
pub(super) fn route_key(route: &Route) -> String {
    if route.path == "$default" {
        return route.path.clone();
    }
    format!(
        "{} {}",
        route.method.as_deref().unwrap_or("ANY"),
        route.path
    )
}

/// The names of a path's variables.
fn variables(path: &str) -> Vec<String> {
    path.split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| name.trim_end_matches('+').to_owned())
        .collect()
}

/// The integration timeout where none is set: 29 s (REST) and 30 s (HTTP)
/// ("Amazon API Gateway quotas").
pub(super) fn default_timeout(kind: ApiKind) -> Duration {
    match kind {
        ApiKind::Rest => Duration::from_secs(29),
        ApiKind::Http => Duration::from_secs(30),
    }
}
