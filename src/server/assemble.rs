//! From what was read to what serves: functions placed, plan compiled.

use std::path::PathBuf;
use std::sync::Arc;

use crate::auth::Issuers;
use crate::auth::user_pool::UserPools;
use crate::base::Clock;
use crate::function::aws_config::AwsOptions;
use crate::function::handler::Handlers;
use crate::function::{Functions, FunctionsOptions};
use crate::integration::aws_client::AwsClient;
use crate::integration::client::HttpClient;
use crate::limit::Limits;
use crate::model::Api;
use crate::model::settings::Settings;
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
    /// The folder of each API's document.
    pub directories: Vec<PathBuf>,
    /// What counts from plan to plan; absent: it ends with this one.
    pub limits: Option<Arc<Limits>>,
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
    let options = FunctionsOptions {
        aws: AwsOptions {
            region: settings.region.clone(),
            profile: extras.profile,
            endpoint: extras.lambda_endpoint,
        },
        account_id: settings.account_id.clone(),
        directory: settings.base_directory.clone(),
    };
    let user_pools = open_user_pools(apis, settings, extras.limits.as_deref(), diagnostics);
    user_pools.register(&extras.issuers);
    let functions = Functions::new(&settings.functions, extras.handlers, options);
    let client = HttpClient::default();
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
        directories: &extras.directories,
    };
    let mut plan = compile(apis, &compiler, diagnostics);
    plan.user_pools = user_pools;
    (plan, functions)
}

/// Opens the local user pools of a plan that is going to be served: one whose counts
/// last. A plan that is only looked at makes no keys.
fn open_user_pools(
    apis: &[Api],
    settings: &Settings,
    limits: Option<&Limits>,
    diagnostics: &mut Diagnostics,
) -> UserPools {
    let Some(limits) = limits.filter(|_| !diagnostics.has_errors()) else {
        return UserPools::default();
    };
    UserPools::open(apis, settings, limits.clock()).unwrap_or_else(|fault| {
        let message = crate::function::chain(&fault);
        diagnostics.push(Diagnostic::error("E0853", message).at(fault.span));
        UserPools::default()
    })
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
