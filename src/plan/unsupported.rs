//! What a definition asks and the gateway does not do yet: named at load, never
//! passed over. A route whose protection cannot be built lets nobody pass.

use crate::model::settings::Settings;
use crate::model::{Api, Authorization, Route, Stage};
use crate::source::{Diagnostic, Diagnostics, Span};

/// Reports what concerns the whole API.
pub(super) fn report_api(
    api: &Api,
    stage: &Stage,
    settings: &Settings,
    diagnostics: &mut Diagnostics,
) {
    let mut report =
        |feature: &str, span: Span| diagnostics.push(Diagnostic::unsupported(feature).at(span));
    if let Some(policy) = &api.policy {
        report("resource policy (x-amazon-apigateway-policy)", policy.span);
    }
    if let Some(cors) = &api.cors {
        report("CORS of HTTP APIs (x-amazon-apigateway-cors)", cors.span);
    }
    if api.minimum_compression_size.is_some() {
        report(
            "response compression (x-amazon-apigateway-minimum-compression-size)",
            api.span,
        );
    }
    for plan in &settings.usage_plans {
        report("usage plan", plan.span);
    }
    if !stage.method_settings.is_empty() {
        report("stage.methodSettings", api.span);
    }
    if !stage.route_settings.is_empty() || stage.default_route_settings != Default::default() {
        report("throttling of routes (stage.routeSettings)", api.span);
    }
    if stage.canary.is_some() {
        report("canary (stage.canarySettings)", api.span);
    }
    if stage.cache_cluster_enabled {
        report("response cache (stage.cacheClusterEnabled)", api.span);
    }
    if stage.access_log.is_some() {
        report("access log (stage.accessLogSettings)", api.span);
    }
}

/// Reports what concerns one route. The result says why the route must stay closed.
pub(super) fn report_route(
    api: &Api,
    route: &Route,
    diagnostics: &mut Diagnostics,
) -> Option<String> {
    let mut closed = None;
    let mut close = |feature: String, span: Span| {
        diagnostics.push(Diagnostic::unsupported(&feature).at(span));
        closed = Some(feature);
    };
    match &route.authorization {
        Authorization::None => {}
        Authorization::Iam(span) => close("IAM authorization".to_owned(), *span),
        Authorization::Authorizer { name, span, .. } => {
            close(format!("authorizer `{name}`"), *span)
        }
    }
    if route.api_key_required {
        close("API key".to_owned(), route.span);
    }
    if api.policy.is_some() {
        closed.get_or_insert_with(|| "resource policy".to_owned());
    }
    if route
        .request_validator
        .is_some_and(|validator| validator.body || validator.parameters)
    {
        diagnostics.push(Diagnostic::unsupported("request validation").at(route.span));
        closed.get_or_insert_with(|| "request validation".to_owned());
    }
    if let Some(integration) = &route.integration {
        let mut report =
            |feature: &str, span: Span| diagnostics.push(Diagnostic::unsupported(feature).at(span));
        if let Some(subtype) = &integration.subtype {
            report(&format!("service action `{}`", subtype.value), subtype.span);
        }
        if let Some(link) = &integration.vpc_link {
            report("VPC_LINK", link.span);
        }
    }
    closed
}
