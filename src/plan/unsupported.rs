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
    for plan in &settings.usage_plans {
        report("usage plan", plan.span);
    }
    let throttled = stage
        .method_settings
        .values()
        .any(|settings| settings.throttle != Default::default());
    if throttled {
        report("throttling of methods (stage.methodSettings)", api.span);
    }
    if !stage.route_settings.is_empty() || stage.default_route_settings != Default::default() {
        report("throttling of routes (stage.routeSettings)", api.span);
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
    closed
}
