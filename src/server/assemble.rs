//! From what was read to what serves: functions placed, plan compiled.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use indexmap::IndexMap;

use crate::auth::Issuers;
use crate::auth::lambda_authorizer::AuthorizerAnswers;
use crate::auth::user_pool::UserPools;
use crate::base::{Clock, FunctionArn};
use crate::function::aws_config::AwsOptions;
use crate::function::handler::Handlers;
use crate::function::local::Debugger;
use crate::function::{Functions, FunctionsOptions};
use crate::integration::aws_client::AwsClient;
use crate::integration::client::HttpClient;
use crate::limit::Limits;
use crate::model::Api;
use crate::model::settings::{FunctionPlace, Settings};
use crate::observe::Observer;
use crate::plan::{Compiler, Plan, compile};
use crate::source::{Diagnostic, Diagnostics};
use crate::store::{self, StoreError};

/// What the command line or the embedding program adds to the configuration.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// Handlers by name.
    pub handlers: Handlers,
    /// Profile of the shared AWS configuration files.
    pub profile: Option<String>,
    /// Where Lambda's Invoke API is, instead of at AWS.
    pub lambda_endpoint: Option<String>,
    /// Issuers of tokens that are known from an earlier plan.
    pub issuers: Issuers,
    /// Answers of Lambda authorizers that are known from an earlier plan.
    pub authorizer_answers: AuthorizerAnswers,
    /// Connections to HTTP backends, from plan to plan.
    pub client: HttpClient,
    /// The functions of the plan before: those that stay the same keep their processes.
    pub functions: Option<Functions>,
    /// Where local functions reach Lambda's API, once that is known.
    pub function_endpoint: Arc<OnceLock<String>>,
    /// By function name: its logical id in a template.
    pub logical_ids: IndexMap<String, String>,
    /// By key: the local functions that run under a debugger.
    pub debuggers: IndexMap<String, Debugger>,
    /// The folder of each API's document.
    pub directories: Vec<PathBuf>,
    /// What counts from plan to plan; absent: it ends with this one.
    pub limits: Option<Arc<Limits>>,
    /// What watches from plan to plan.
    pub observer: Arc<Observer>,
}

/// Places the functions and compiles the plan. Starts and connects nothing.
///
/// The plan may be served when `diagnostics` has no error.
pub fn assemble(
    apis: &[Api],
    settings: &Settings,
    extras: Extras,
    diagnostics: &mut Diagnostics,
) -> (Plan, Functions) {
    let functions = place(settings, extras.clone());
    name_destinations(settings, &functions, diagnostics);
    let user_pools = open_user_pools(apis, settings, &extras, diagnostics);
    let client = extras.client;
    let aws = AwsClient::new(functions.aws_config(), client.clone());
    let limits = extras
        .limits
        .unwrap_or_else(|| Arc::new(Limits::new(Clock::System)));
    let compiler = Compiler {
        settings,
        functions: &functions,
        client: &client,
        aws: &aws,
        limits: &limits,
        issuers: &extras.issuers,
        authorizer_answers: &extras.authorizer_answers,
        observer: &extras.observer,
        directories: &extras.directories,
    };
    let mut plan = compile(apis, &compiler, diagnostics);
    plan.user_pools = user_pools;
    (plan, functions)
}

/// Places the functions alone. Starts and connects nothing.
pub fn place(settings: &Settings, extras: Extras) -> Functions {
    let options = FunctionsOptions {
        aws: AwsOptions {
            region: settings.region.clone(),
            profile: extras.profile,
            endpoint: extras.lambda_endpoint,
        },
        account_id: settings.account_id.clone(),
        directory: settings.base_directory.clone(),
        lambda_endpoint: settings
            .admin
            .function_endpoint
            .then_some(extras.function_endpoint),
        logical_ids: extras.logical_ids,
        debuggers: extras.debuggers,
        metrics: Arc::clone(&extras.observer.metrics),
    };
    Functions::after(
        extras.functions.as_ref(),
        &settings.functions,
        extras.handlers,
        options,
    )
}

/// Names the destinations of asynchronous invocations that no function here is: their
/// records are logged.
fn name_destinations(settings: &Settings, functions: &Functions, diagnostics: &mut Diagnostics) {
    for (name, function) in &settings.functions {
        let life = &function.life;
        let targets = [
            ("on-success destination", &life.event_invoke.on_success),
            ("on-failure destination", &life.event_invoke.on_failure),
            ("dead-letter target", &life.dead_letter),
        ];
        let is_elsewhere = matches!(
            function.place,
            FunctionPlace::Endpoint { .. } | FunctionPlace::Handler { .. }
        );
        for (what, target) in targets {
            let Some(target) = target else { continue };
            let address = &target.value;
            let finding = |message| Diagnostic::warning("W1045", message).at(target.span);
            if is_elsewhere {
                diagnostics.push(finding(format!(
                    "the {what} of `{name}` has no effect: only a function that runs as a process has its asynchronous invocations here"
                )));
                continue;
            }
            let here = FunctionArn::parse(address).filter(|arn| functions.find(arn).is_some());
            // A dead-letter target is a queue or a topic.
            if let Some(arn) = here
                && what != "dead-letter target"
            {
                // What keeps it from starting is said, too.
                functions.resolve(&arn);
                continue;
            }
            let finding = finding(format!(
                "the {what} `{address}` of `{name}` is no function here: what it would get goes to the log"
            ));
            let known = functions.all().map(|(key, _)| key);
            let is_name = !address.contains(':');
            diagnostics.push(match is_name {
                true => finding.suggest(address, known),
                false => finding,
            });
        }
    }
}

/// Opens the local user pools of a plan that is going to be served: one whose counts
/// last. A plan that is only looked at makes no keys, and one that is wrong leaves those
/// that the plan before it trusts.
fn open_user_pools(
    apis: &[Api],
    settings: &Settings,
    extras: &Extras,
    diagnostics: &mut Diagnostics,
) -> UserPools {
    let limits = extras.limits.as_ref();
    let Some(limits) = limits.filter(|_| !diagnostics.has_errors()) else {
        return UserPools::default();
    };
    match UserPools::open(apis, settings, limits.clock()) {
        Ok(user_pools) => {
            user_pools.register(&extras.issuers);
            user_pools
        }
        Err(fault) => {
            let message = crate::function::chain(&fault);
            diagnostics.push(Diagnostic::error("E0853", message).at(fault.span));
            UserPools::default()
        }
    }
}

/// Opens the store that the configuration names, for limits that count in it.
///
/// # Errors
///
/// Where it cannot be opened.
pub fn open_limits(settings: &Settings, clock: Clock) -> Result<Limits, StoreError> {
    let address = settings
        .store
        .as_ref()
        .map_or("memory:", |store| &store.value);
    let options = settings.store_options;
    let store = store::open(address, options)?;
    Ok(Limits::with_store(clock, store, options))
}
