//! Function URLs, ready for requests.
//!
//! Source: Lambda developer guide, "Creating and managing Lambda function URLs".

use std::sync::Arc;
use std::time::Duration;

use super::Plan;
use super::compile::Compiler;
use super::cors::CorsPlan;
use crate::auth::iam::IamUsers;
use crate::base::FunctionArn;
use crate::base::id::function_url_id;
use crate::event::media_type::MediaTypes;
use crate::event::{ApiFacts, RouteFacts};
use crate::function::FunctionRef;
use crate::model::ApiKind;
use crate::model::settings::Settings;
use crate::observe::metrics::RouteLabels;
use crate::source::{Diagnostic, Diagnostics};

/// One function's URL.
#[derive(Debug)]
pub struct FunctionUrlPlan {
    /// What its events tell of it: the id is the URL's, the stage `$default`.
    pub facts: ApiFacts,
    /// `$default`.
    pub route: RouteFacts,
    /// The function's ARN without qualifier.
    pub function_arn: String,
    /// What is called.
    pub function: FunctionRef,
    /// How long it is waited for; the function's own timeout ends it before.
    pub timeout: Duration,
    /// `InvokeMode: RESPONSE_STREAM`.
    pub streams: bool,
    /// Whose signatures count; absent: everybody may call it. Or why nobody may.
    pub users: Option<Result<Arc<IamUsers>, String>>,
    /// What browsers are told.
    pub cors: Option<CorsPlan>,
}

/// What a host in the `lambda-url` form names.
#[derive(Debug)]
pub enum UrlChoice<'p> {
    /// A URL that is served.
    Url(&'p FunctionUrlPlan),
    /// None of that id.
    Unknown,
}

impl Plan {
    /// The function URL that a host names: `{urlId}.lambda-url.localhost` and AWS's own
    /// form. `None` when the host names none. Without any API the first one answers
    /// at the bare address.
    pub fn function_url_of_host(&self, host: &str) -> Option<UrlChoice<'_>> {
        let label = super::first_label(host);
        let names_a_url = host[label.len()..]
            .get(..".lambda-url.".len())
            .is_some_and(|rest| rest.eq_ignore_ascii_case(".lambda-url."));
        if !names_a_url {
            let only = self.function_urls.first().filter(|_| self.apis.is_empty());
            return only.map(UrlChoice::Url);
        }
        let found = self
            .function_urls
            .iter()
            .find(|url| url.facts.api_id.eq_ignore_ascii_case(label));
        Some(found.map_or(UrlChoice::Unknown, UrlChoice::Url))
    }
}

/// The addresses of a configuration's function URLs: function and first label of the host.
pub fn addresses(settings: &Settings) -> Vec<(String, String)> {
    let with_url = settings.functions.iter().filter_map(|(key, function)| {
        let url = function.life.url.as_ref()?;
        let name = FunctionArn::parse(key).map_or_else(|| key.clone(), |arn| arn.name);
        let id = url.id.clone().unwrap_or_else(|| function_url_id(&name));
        Some((name, id))
    });
    with_url.collect()
}

pub(super) fn compile(
    compiler: &Compiler<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<FunctionUrlPlan> {
    let settings = compiler.settings;
    let mut users = None;
    let mut plans: Vec<FunctionUrlPlan> = Vec::new();
    for ((name, id), (function, url)) in addresses(settings).into_iter().zip(
        settings
            .functions
            .values()
            .filter_map(|function| Some((function, function.life.url.as_ref()?))),
    ) {
        if plans.iter().any(|other| other.facts.api_id == id) {
            let message = format!("two function URLs have the id `{id}`");
            diagnostics.push(Diagnostic::error("E0904", message).at(function.span));
            continue;
        }
        let arn = FunctionArn {
            partition: "aws".to_owned(),
            region: String::new(),
            account: String::new(),
            name,
            qualifier: url.qualifier.clone(),
        };
        let users = url.needs_signature.then(|| {
            users
                .get_or_insert_with(|| {
                    let list = settings.iam_users.as_deref().unwrap_or_default();
                    // What is wrong with a policy is said where authorizers are compiled.
                    IamUsers::new(list)
                        .map(Arc::new)
                        .map_err(|_| "a policy of `iam` is not understood".to_owned())
                })
                .clone()
        });
        plans.push(FunctionUrlPlan {
            facts: ApiFacts {
                kind: ApiKind::Http,
                api_id: id.clone(),
                // Events of a URL without signatures say so in place of an account.
                account_id: match users {
                    Some(_) => settings.account_id.clone(),
                    None => "anonymous".to_owned(),
                },
                region: settings.region.clone(),
                stage: "$default".to_owned(),
                deployment_id: String::new(),
                stage_variables: indexmap::IndexMap::new(),
                binary_media_types: MediaTypes::new(std::iter::empty()),
                canary: None,
                trusted_proxies: settings.trusted_proxies.clone(),
            },
            route: RouteFacts {
                resource_id: "$default".to_owned(),
                resource_path: "$default".to_owned(),
                route_key: "$default".to_owned(),
                backend: format!("lambda {}", arn.name),
                metrics: compiler.observer.metrics.route(RouteLabels {
                    api: id.clone(),
                    stage: "$default".to_owned(),
                    method: "ANY".to_owned(),
                    resource: "$default".to_owned(),
                }),
            },
            function_arn: arn.unqualified(&settings.region, &settings.account_id),
            // An init that is repeated comes on top.
            timeout: function.timeout + Duration::from_secs(30),
            function: compiler.functions.resolve(&arn),
            streams: url.streams,
            users,
            cors: url.cors.as_ref().map(CorsPlan::compile),
        });
    }
    plans
}
