//! Which limits a route's requests meet: throttles of the stage, and rules beyond AWS's.

use std::sync::Arc;

use super::compile::route_key;
use super::{Compiler, method_settings};
use crate::event::ApiFacts;
use crate::limit::bucket::{Bucket, Scope};
use crate::limit::rate_limit::Rule;
use crate::limit::token_bucket::Pace;
use crate::limit::{MOST_RULES, RouteTolls};
use crate::model::{Api, ApiKind, Route, Stage, Throttle};
use crate::source::{Diagnostic, Diagnostics};

/// Gathers a route's limits. Buckets that are there already, by name, are taken with their tokens.
pub(super) fn compile(
    api: &Api,
    route: &Route,
    stage: &Stage,
    facts: &ApiFacts,
    compiler: &Compiler<'_>,
    diagnostics: &mut Diagnostics,
) -> RouteTolls {
    let settings = compiler.settings;
    let key = route_key(route);
    let endpoint = format!("{}/{}/{key}", facts.api_id, facts.stage);
    let throttle = match api.kind {
        ApiKind::Rest => method_settings::effective(&stage.method_settings, route).throttle,
        ApiKind::Http => route_throttle(stage, &key),
    };
    let account = compiler.limits.account_bucket(settings);
    RouteTolls {
        api_id: facts.api_id.clone(),
        stage: facts.stage.clone(),
        method: method_key(route),
        api_key_required: route.api_key_required,
        rules: rules(api, route, facts, compiler, diagnostics),
        stage_bucket: bucket(throttle, &account, &endpoint, compiler),
        account,
        endpoint,
    }
}

/// A bucket of the route's own, where the stage has a throttle for it. What the
/// throttle leaves open is the account's.
fn bucket(
    throttle: Throttle,
    account: &Bucket,
    endpoint: &str,
    compiler: &Compiler<'_>,
) -> Option<Arc<Bucket>> {
    if throttle == Throttle::default() {
        return None;
    }
    let account = account.tokens.pace();
    let pace = Pace::new(
        throttle.rate_limit.unwrap_or(account.rate()),
        throttle.burst_limit.unwrap_or(account.burst()),
    );
    let name = format!("stage/{endpoint}");
    Some(compiler.limits.bucket(name, Scope::Stage, pace))
}

/// `/pets/GET`, `//GET` for the root, `/pets/ANY`.
fn method_key(route: &Route) -> String {
    format!(
        "{}/{}",
        route.path,
        route.method.as_deref().unwrap_or("ANY")
    )
}

/// `routeSettings` over `defaultRouteSettings`.
fn route_throttle(stage: &Stage, key: &str) -> Throttle {
    let own = stage.route_settings.get(key).copied().unwrap_or_default();
    Throttle {
        rate_limit: own.rate_limit.or(stage.default_route_settings.rate_limit),
        burst_limit: own.burst_limit.or(stage.default_route_settings.burst_limit),
    }
}

/// The configuration's rules, the document's, the path's, the operation's. The name
/// says who shares a rule's buckets.
fn rules(
    api: &Api,
    route: &Route,
    facts: &ApiFacts,
    compiler: &Compiler<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<Arc<Rule>> {
    let api_id = &facts.api_id;
    let of_path = api.path_rate_limits.get(&route.path);
    let levels = [
        ("all".to_owned(), compiler.settings.rate_limits.as_slice()),
        (api_id.clone(), api.rate_limits.as_slice()),
        (
            format!("{api_id}{}", route.path),
            of_path.map(Vec::as_slice).unwrap_or_default(),
        ),
        (
            format!("{api_id}/{}", route_key(route)),
            route.rate_limits.as_slice(),
        ),
    ];
    let mut rules = Vec::new();
    for (level, limits) in levels {
        for (index, limit) in limits.iter().enumerate() {
            if rules.len() == MOST_RULES {
                let message = format!(
                    "more than {MOST_RULES} rate limits apply to {}",
                    route_key(route)
                );
                diagnostics.push(Diagnostic::error("E0910", message).at(limit.span));
                return rules;
            }
            rules.push(compiler.limits.rule(&format!("{level}/{index}"), limit));
        }
    }
    rules
}
