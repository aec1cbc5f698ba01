//! What a stage sets for one method: its own entry over the one for all.

use indexmap::IndexMap;

use crate::event::execution_log::LogSettings;
use crate::model::{MethodSettings, Route, Throttle};

/// The longest line of an execution log ("Amazon API Gateway important notes").
const LONGEST_LINE: usize = 1024;

/// How much of a route's execution is logged.
pub(super) fn logging(
    settings: &IndexMap<String, MethodSettings>,
    route: &Route,
) -> Option<LogSettings> {
    let settings = effective(settings, route);
    let info = match settings.logging_level.as_deref() {
        Some("INFO") => true,
        Some("ERROR") => false,
        _ => return None,
    };
    Some(LogSettings {
        info,
        data: settings.data_trace_enabled == Some(true),
        longest: LONGEST_LINE,
    })
}

/// The settings of a route: `/path/METHOD`, what is missing there from `*/*`.
pub(super) fn effective(
    settings: &IndexMap<String, MethodSettings>,
    route: &Route,
) -> MethodSettings {
    let all = settings.get("*/*").cloned().unwrap_or_default();
    let Some(own) = own(settings, route) else {
        return all;
    };
    let MethodSettings {
        throttle,
        caching_enabled,
        cache_ttl,
        logging_level,
        data_trace_enabled,
        metrics_enabled,
        require_authorization_for_cache_control,
        unauthorized_cache_control_header_strategy,
    } = own.clone();
    MethodSettings {
        throttle: Throttle {
            rate_limit: throttle.rate_limit.or(all.throttle.rate_limit),
            burst_limit: throttle.burst_limit.or(all.throttle.burst_limit),
        },
        caching_enabled: caching_enabled.or(all.caching_enabled),
        cache_ttl: cache_ttl.or(all.cache_ttl),
        logging_level: logging_level.or(all.logging_level),
        data_trace_enabled: data_trace_enabled.or(all.data_trace_enabled),
        metrics_enabled: metrics_enabled.or(all.metrics_enabled),
        require_authorization_for_cache_control: require_authorization_for_cache_control
            .or(all.require_authorization_for_cache_control),
        unauthorized_cache_control_header_strategy: unauthorized_cache_control_header_strategy
            .or(all.unauthorized_cache_control_header_strategy),
    }
}

/// The route's own entry; the path of `/` is written `//GET` at AWS.
pub(super) fn own<'s>(
    settings: &'s IndexMap<String, MethodSettings>,
    route: &Route,
) -> Option<&'s MethodSettings> {
    let method = route.method.as_deref().unwrap_or("ANY");
    let path = route.path.trim_end_matches('/');
    settings
        .get(&format!("{}/{method}", route.path))
        .or_else(|| settings.get(&format!("{path}/{method}")))
        .or_else(|| settings.get(&format!("{}/{method}", path.trim_start_matches('/'))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(method: &str, path: &str) -> Route {
        Route {
            method: Some(method.to_owned()),
            path: path.to_owned(),
            operation_name: None,
            integration: None,
            authorization: crate::model::Authorization::None,
            api_key_required: false,
            request_validator: None,
            parameters: Vec::new(),
            request_models: IndexMap::new(),
            request_body_required: false,
            responses: IndexMap::new(),
            span: crate::source::Span::default(),
        }
    }

    #[test]
    fn a_methods_own_entry_goes_before_the_one_for_all() {
        let caching = |caching| MethodSettings {
            caching_enabled: Some(caching),
            ..MethodSettings::default()
        };
        let all = MethodSettings {
            metrics_enabled: Some(true),
            ..caching(true)
        };
        let settings = IndexMap::from([
            ("*/*".to_owned(), all),
            ("/pets/GET".to_owned(), caching(false)),
            ("//GET".to_owned(), caching(false)),
        ]);

        let pets = effective(&settings, &route("GET", "/pets"));
        assert_eq!(
            (pets.caching_enabled, pets.metrics_enabled),
            (Some(false), Some(true))
        );
        assert_eq!(
            effective(&settings, &route("GET", "/")).caching_enabled,
            Some(false)
        );
        assert_eq!(
            effective(&settings, &route("POST", "/pets")).caching_enabled,
            Some(true)
        );
    }
}
