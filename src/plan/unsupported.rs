//! What a definition asks and the gateway does not do yet: named at load, never
//! passed over.

use crate::model::Api;
use crate::model::settings::Settings;
use crate::source::{Diagnostic, Diagnostics, Span};

/// Reports what concerns the whole API.
pub(super) fn report_api(api: &Api, settings: &Settings, diagnostics: &mut Diagnostics) {
    let mut report =
        |feature: &str, span: Span| diagnostics.push(Diagnostic::unsupported(feature).at(span));
    if settings.stage.access_log.is_some() {
        report("access log (stage.accessLogSettings)", api.span);
    }
}
