//! The plan: everything that can be decided before the first request.
//!
//! Readers give a [`model`](crate::model), [`compile`] makes a [`Plan`] of it,
//! once. It is immutable and shared; a reload builds a whole new one beside it
//! and swaps.

mod access_log;
pub mod caching;
mod compile;
pub mod cors;
pub mod function_url;
pub mod gateway_response;
mod integration;
mod method_settings;
mod protection;
pub mod router;
mod tolls;
pub mod validation;

use std::sync::Arc;

use crate::auth::user_pool::UserPools;
use crate::event::execution_log::LogSettings;
use crate::event::{ApiFacts, CanaryFacts, RouteFacts};
use crate::function::Functions;
use crate::integration::Integration;
use crate::limit::{Configured, Limits, RouteTolls};
use crate::model::ApiKeySource;
use crate::model::settings::{DomainMapping, DomainSettings, Settings};
use crate::observe::Observer;
use crate::observe::metrics::{ApiMetrics, RouteMetrics};

pub use access_log::AccessLogPlan;
pub use caching::Caching;
pub use compile::{Compiler, compile};
pub use function_url::{FunctionUrlPlan, UrlChoice};
pub use gateway_response::GatewayResponses;
pub use protection::{Protection, RouteAuthorizer, Skipped};
pub use router::Router;
pub use validation::Validation;

/// All APIs that are served, the first one also at the bare address. An API with
/// several stages is there once for each.
#[derive(Debug)]
pub struct Plan {
    /// In the order they were given.
    pub apis: Vec<ApiPlan>,
    /// The functions that the configuration and templates place.
    pub functions: Functions,
    /// Custom domain names, the longest paths of each first.
    pub domains: Vec<DomainSettings>,
    /// URLs of functions, which belong to no API.
    pub function_urls: Vec<FunctionUrlPlan>,
    /// Counts for all of them; the same from plan to plan.
    pub limits: Arc<Limits>,
    /// API keys, usage plans and the account's throttle, put in force with the plan.
    pub configured: Configured,
    /// Answers carry nothing that AWS's do not.
    pub strict_aws: bool,
    /// What watches all of them; the same from plan to plan.
    pub observer: Arc<Observer>,
    /// The local user pools, which the admin listener serves.
    pub user_pools: UserPools,
}

impl Plan {
    /// A plan without APIs.
    pub fn empty(
        limits: Arc<Limits>,
        functions: Functions,
        observer: Arc<Observer>,
        settings: &Settings,
    ) -> Self {
        let mut domains = settings.domains.clone();
        for domain in &mut domains {
            let length = |mapping: &DomainMapping| std::cmp::Reverse(mapping.path.len());
            domain.mappings.sort_by_key(length);
        }
        Self {
            observer,
            domains,
            apis: Vec::new(),
            functions,
            function_urls: Vec::new(),
            limits,
            configured: Configured::new(settings),
            strict_aws: settings.strict_aws,
            user_pools: UserPools::default(),
        }
    }
}

/// One API, ready for requests.
#[derive(Debug)]
pub struct ApiPlan {
    /// What every event and variable tells of it.
    pub facts: ApiFacts,
    /// Finds a route.
    pub router: Router,
    /// Routes, by the router's index.
    pub routes: Vec<RoutePlan>,
    /// Answers that the gateway gives itself (REST).
    pub gateway_responses: GatewayResponses,
    /// `disableExecuteApiEndpoint`.
    pub endpoint_disabled: bool,
    /// The least size of a response in bytes that is compressed.
    pub minimum_compression_size: Option<u32>,
    /// The stage's canary.
    pub canary: Option<CanaryPlan>,
    /// `x-amazon-apigateway-cors` (HTTP).
    pub cors: Option<cors::CorsPlan>,
    /// `accessLogSettings`.
    pub access_log: Option<AccessLogPlan>,
    /// Counts what the gateway refuses.
    pub metrics: Arc<ApiMetrics>,
    /// Counts requests that no route was found for.
    pub unmatched: Arc<RouteMetrics>,
}

/// A stage's canary.
#[derive(Debug)]
pub struct CanaryPlan {
    /// How many of a hundred requests it gets, 0.0 to 100.0.
    pub percent_traffic: f64,
    /// The API's facts with the canary's stage variables.
    pub facts: ApiFacts,
}

/// One route, ready for requests.
#[derive(Debug)]
pub struct RoutePlan {
    /// What every event and variable tells of it.
    pub facts: RouteFacts,
    /// The names of its path's variables, in the order of the path.
    pub variables: Vec<String>,
    /// Who may pass; or why nobody may, where the protection cannot be built.
    pub protection: Result<Protection, String>,
    /// What is checked before the backend is called (REST).
    pub validation: Validation,
    /// How much of its execution is logged, where it is (REST).
    pub logging: Option<LogSettings>,
    /// How responses are cached, where they are.
    pub caching: Option<Caching>,
    /// What limits its requests.
    pub tolls: RouteTolls,
    /// Where its API key is sent, if the gateway itself is to look for it.
    pub api_key_source: ApiKeySource,
    /// The backend.
    pub integration: Integration,
    /// The backend with the canary's stage variables.
    pub canary: Option<Integration>,
}

impl RoutePlan {
    /// The backend for a request of the stage or of its canary.
    pub fn integration(&self, facts: &ApiFacts) -> &Integration {
        match (facts.canary, &self.canary) {
            (
                Some(CanaryFacts {
                    requested: true, ..
                }),
                Some(canary),
            ) => canary,
            _ => &self.integration,
        }
    }
}

impl Plan {
    /// The API that a host name asks for: `{apiId}.execute-api.localhost` and
    /// AWS's own form. `None` when the host names no API.
    pub fn api_of_host(&self, host: &str) -> Option<HostChoice<'_>> {
        let label = first_label(host);
        let names_an_api = host.len() > label.len()
            && host[label.len()..]
                .get(..".execute-api.".len())
                .is_some_and(|rest| rest.eq_ignore_ascii_case(".execute-api."));
        if !names_an_api {
            return None;
        }
        let found = self
            .apis
            .iter()
            .find(|api| api.facts.api_id.eq_ignore_ascii_case(label));
        Some(found.map_or(HostChoice::Unknown, HostChoice::Api))
    }

    /// Where a request by a custom domain name leads: the mapping of the longest path,
    /// as at AWS ("API mappings for custom domain names"). `None` for every other host.
    pub fn mapping_of<'p, 'r>(
        &'p self,
        host: &str,
        path: &'r str,
    ) -> Option<MappingChoice<'p, 'r>> {
        if self.domains.is_empty() {
            return None;
        }
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let domain = self
            .domains
            .iter()
            .find(|domain| domain.name.eq_ignore_ascii_case(name))?;
        let found = domain.mappings.iter().find_map(|mapping| {
            let rest = if mapping.path.is_empty() {
                path
            } else {
                path.strip_prefix('/')?
                    .strip_prefix(mapping.path.as_str())?
            };
            if !rest.is_empty() && !rest.starts_with('/') {
                return None;
            }
            let api = self.apis.iter().find(|api| {
                api.facts.api_id == mapping.api_id
                    && mapping
                        .stage
                        .as_ref()
                        .is_none_or(|stage| api.facts.stage == *stage)
            })?;
            Some((
                api,
                if rest.is_empty() { "/" } else { rest },
                mapping.stage.is_some(),
            ))
        });
        Some(match found {
            Some((api, rest, has_stage)) => MappingChoice::Api {
                api,
                rest,
                has_stage,
            },
            None => MappingChoice::Nothing,
        })
    }

    /// Of the stages of `api`, each of which is an entry of its own, the one that the
    /// path's first segment names; else `$default`, else `api` itself.
    pub fn stage_of_path<'p>(&'p self, api: &'p ApiPlan, path: &str) -> &'p ApiPlan {
        let stages = || {
            self.apis
                .iter()
                .filter(|other| other.facts.api_id == api.facts.api_id)
        };
        let named = |name: &str| stages().find(|other| other.facts.stage == name);
        if stages().nth(1).is_none() {
            return api;
        }
        let first = path.trim_start_matches('/').split('/').next();
        first
            .and_then(named)
            .or_else(|| named("$default"))
            .unwrap_or(api)
    }
}

/// A host up to its first dot.
fn first_label(host: &str) -> &str {
    let end = memchr::memchr(b'.', host.as_bytes()).unwrap_or(host.len());
    &host[..end]
}

/// Where a path of a custom domain name leads.
#[derive(Debug)]
pub enum MappingChoice<'p, 'r> {
    /// To an API.
    Api {
        /// The API, at the mapping's stage if that has one.
        api: &'p ApiPlan,
        /// The path without the mapping's.
        rest: &'r str,
        /// The mapping tells the stage; else the path does.
        has_stage: bool,
    },
    /// No mapping of the domain has this path.
    Nothing,
}

/// What a host in the `execute-api` form names.
#[derive(Debug)]
pub enum HostChoice<'p> {
    /// An API that is served.
    Api(&'p ApiPlan),
    /// No API of that id.
    Unknown,
}
