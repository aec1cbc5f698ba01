//! What a definition asks and the gateway does not do yet: named at load, never
//! passed over.

use crate::model::{Api, Stage};
use crate::source::{Diagnostic, Diagnostics};

/// Reports what concerns the whole API.
pub(super) fn report_api(api: &Api, stage: &Stage, diagnostics: &mut Diagnostics) {
    if stage.access_log.is_some() {
        let feature = "access log (stage.accessLogSettings)";
        diagnostics.push(Diagnostic::unsupported(feature).at(api.span));
    }
}
