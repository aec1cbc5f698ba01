//! From what was read to what serves: functions placed, plan compiled.

use std::path::PathBuf;

use crate::function::aws_config::AwsOptions;
use crate::function::handler::Handlers;
use crate::function::{Functions, FunctionsOptions};
use crate::integration::aws_client::AwsClient;
use crate::integration::client::HttpClient;
use crate::model::Api;
use crate::model::settings::Settings;
use crate::plan::{Compiler, Plan, compile};
use crate::source::Diagnostics;

/// What the command line or the embedding program adds to the configuration.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// Handlers by name.
    pub handlers: Handlers,
    /// Profile of the shared AWS configuration files.
    pub profile: Option<String>,
    /// Where Lambda's Invoke API is, instead of at AWS.
    pub lambda_endpoint: Option<String>,
    /// The folder of each API's document.
    pub directories: Vec<PathBuf>,
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
    let functions = Functions::new(&settings.functions, extras.handlers, options);
    let client = HttpClient::default();
    let aws = AwsClient::new(functions.aws_config(), client.clone());
    let compiler = Compiler {
        settings,
        functions: &functions,
        client: &client,
        aws: &aws,
        directories: &extras.directories,
    };
    let plan = compile(apis, &compiler, diagnostics);
    (plan, functions)
}
