//! Which routes' responses are cached, by what, and for how long.
//!
//! Source: API Gateway developer guide, "Cache settings for REST APIs in API
//! Gateway".

use std::time::Duration;

use super::method_settings;
use crate::integration::mapping::Source;
use crate::model::{Integration, Route, Stage};
use crate::source::{Diagnostic, Diagnostics};

/// How long a response is kept where no setting says so.
const DEFAULT_TTL: Duration = Duration::from_secs(300);

/// A route whose responses are cached.
#[derive(Debug)]
pub struct Caching {
    /// How long.
    pub ttl: Duration,
    /// Only GET requests: no setting of the method's own asks for more.
    pub only_get: bool,
    /// `cacheNamespace`, or the resource with its method.
    pub namespace: String,
    /// What distinguishes entries.
    pub key: Vec<Source>,
    /// What a client gets that invalidates an entry.
    pub invalidation: Invalidation,
}

/// What `Cache-Control: max-age=0` of a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalidation {
    /// It fetches a fresh response, whoever asks.
    Free,
    /// Who may not do it gets 403.
    FailWith403,
    /// Who may not do it gets the cached response, with a `Warning`.
    Warn,
    /// Who may not do it gets the cached response.
    Ignore,
}

/// Compiles a route's caching; `None` where nothing is cached.
pub(super) fn compile(
    stage: &Stage,
    route: &Route,
    integration: &Integration,
    diagnostics: &mut Diagnostics,
) -> Option<Caching> {
    if !stage.cache_cluster_enabled || integration.stream {
        return None;
    }
    let settings = method_settings::effective(&stage.method_settings, route);
    let ttl = settings.cache_ttl.unwrap_or(DEFAULT_TTL);
    if settings.caching_enabled != Some(true) || ttl.is_zero() {
        return None;
    }
    let asked_for = method_settings::own(&stage.method_settings, route)
        .is_some_and(|own| own.caching_enabled == Some(true));
    let only_get = !asked_for;
    if only_get && !matches!(route.method.as_deref(), None | Some("GET")) {
        return None;
    }
    let key = integration
        .cache_key_parameters
        .iter()
        .filter_map(|parameter| {
            let text = parameter.value.trim();
            // A parameter of the integration request stands for what is mapped to it.
            let expression = match integration.request_parameters.get(text) {
                Some(mapped) => mapped.value.as_str(),
                None => text,
            };
            let source = Source::parse(expression);
            if source.is_none() {
                let message = format!("`{text}` is no parameter of this method or its integration");
                diagnostics.push(Diagnostic::error("E0911", message).at(parameter.span));
            }
            source
        })
        .collect();
    let invalidation = match settings.require_authorization_for_cache_control {
        Some(true) => match settings
            .unauthorized_cache_control_header_strategy
            .as_deref()
        {
            Some("FAIL_WITH_403") => Invalidation::FailWith403,
            Some("SUCCEED_WITHOUT_RESPONSE_HEADER") => Invalidation::Ignore,
            // AWS's default.
            _ => Invalidation::Warn,
        },
        _ => Invalidation::Free,
    };
    let own_namespace = || {
        format!(
            "{}\0{}",
            route.path,
            route.method.as_deref().unwrap_or("ANY")
        )
    };
    Some(Caching {
        ttl,
        only_get,
        namespace: integration
            .cache_namespace
            .clone()
            .unwrap_or_else(own_namespace),
        key,
        invalidation,
    })
}
