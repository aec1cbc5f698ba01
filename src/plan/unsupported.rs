//! What a definition asks and the gateway does not do yet: named at load, never
//! passed over.

use crate::model::settings::Settings;
use crate::model::{Api, Route};
use crate::source::{Diagnostic, Diagnostics, Span};

/// Reports what concerns the whole API.
pub(super) fn report_api(api: &Api, settings: &Settings, diagnostics: &mut Diagnostics) {
    let mut report =
        |feature: &str, span: Span| diagnostics.push(Diagnostic::unsupported(feature).at(span));
    if let Some(cors) = &api.cors {
        report("CORS of HTTP APIs (x-amazon-apigateway-cors)", cors.span);
    }
    if settings.stage.access_log.is_some() {
        report("access log (stage.accessLogSettings)", api.span);
    }
}

/// Reports what concerns one route.
pub(super) fn report_route(route: &Route, diagnostics: &mut Diagnostics) {
    let Some(integration) = &route.integration else {
        return;
    };
    let mut report =
        |feature: &str, span: Span| diagnostics.push(Diagnostic::unsupported(feature).at(span));
    if let Some(subtype) = &integration.subtype {
        report(&format!("service action `{}`", subtype.value), subtype.span);
    }
    if let Some(link) = &integration.vpc_link {
        report("VPC_LINK", link.span);
    }
}
