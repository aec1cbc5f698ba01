//! Options that several commands share. Each is a flag and a `TOLLGATE_*` variable.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgAction, ArgMatches, Args, ValueEnum, parser::ValueSource};

use super::auth_options::AuthOptions;
use super::debug::DebugTarget;
use crate::admin::AdminPort;
use crate::definition::settings::{check_region, check_stage_name, check_stage_variable};
use crate::model::ApiKind;

/// Which definitions are read, and how.
#[derive(Args, Clone, Debug, Default)]
pub struct Common {
    /// OpenAPI document, or SAM or CloudFormation template (YAML or JSON); may be repeated. Without
    /// one, template.yaml, openapi.yaml and openapi/*.yaml are looked for [env: TOLLGATE_DEFINITION,
    /// separated by `:`]
    #[arg(value_name = "DEFINITION")]
    pub definitions: Vec<PathBuf>,

    /// The gateway's own configuration [default: tollgate.yaml beside the definition or in the current folder]
    #[arg(long, value_name = "FILE", env = "TOLLGATE_CONFIG")]
    pub config: Option<PathBuf>,

    /// Name of the stage [default: dev for REST APIs, $default for HTTP APIs]
    #[arg(long, value_name = "NAME", env = "TOLLGATE_STAGE", value_parser = stage_name)]
    pub stage: Option<String>,

    /// A stage variable; may be repeated (in the variable: separated by commas)
    #[arg(
        long = "stage-variable",
        value_name = "K=V",
        env = "TOLLGATE_STAGE_VARIABLE"
    )]
    pub stage_variables: Vec<StageVariables>,

    /// What kind of API the documents are [default: told from each document]
    #[arg(long, value_enum, value_name = "TYPE", env = "TOLLGATE_API_TYPE")]
    pub api_type: Option<ApiType>,

    /// AWS region that ARNs and events name [default: us-east-1]
    #[arg(long, value_name = "REGION", env = "TOLLGATE_REGION", value_parser = region)]
    pub region: Option<String>,

    /// File of NAME=VALUE lines: environment variables for local functions
    #[arg(long, value_name = "FILE", env = "TOLLGATE_ENV_FILE")]
    pub env_file: Option<PathBuf>,

    /// Hold every local function to its memory size, as `enforceMemory` does for one
    #[arg(long, env = "TOLLGATE_ENFORCE_MEMORY")]
    pub enforce_memory: bool,

    /// Values of a template's parameters, as SAM and CloudFormation take them: `A=1 B=two` or
    /// `ParameterKey=A,ParameterValue=1`
    #[arg(
        long,
        value_name = "K=V",
        num_args = 1..,
        env = "TOLLGATE_PARAMETER_OVERRIDES"
    )]
    pub parameter_overrides: Vec<String>,

    /// SAM's JSON file of environment variables for a template's functions
    #[arg(long, value_name = "FILE", env = "TOLLGATE_ENV_VARS")]
    pub env_vars: Option<PathBuf>,

    /// Environment of samconfig.toml whose parameter_overrides and env_vars are taken
    #[arg(long, value_name = "NAME", env = "TOLLGATE_CONFIG_ENV")]
    pub config_env: Option<String>,

    /// Logical id of the template's API that answers at the bare address [default: the first]
    #[arg(long, value_name = "LOGICAL_ID", env = "TOLLGATE_API")]
    pub api: Option<String>,

    /// Serve although something is not supported yet; routes whose protection cannot be built answer 500
    #[arg(long, env = "TOLLGATE_LENIENT")]
    pub lenient: bool,

    /// Where each value comes from; filled in after parsing.
    #[arg(skip)]
    pub origins: Origins,

    /// Functions are wanted, and no API: a configuration alone will do.
    #[arg(skip)]
    pub only_functions: bool,
}

/// Everything `tollgate serve` takes.
#[derive(Args, Clone, Debug)]
pub struct ServeOptions {
    /// Which definitions are read, and how.
    #[command(flatten)]
    pub common: Common,

    /// Address to listen on; with the default, ::1 is listened on as well
    #[arg(
        long,
        value_name = "HOST",
        env = "TOLLGATE_HOST",
        default_value = "127.0.0.1"
    )]
    pub host: String,

    /// Port to listen on; 0 takes a free one
    #[arg(
        long,
        value_name = "PORT",
        env = "TOLLGATE_PORT",
        default_value_t = 3000
    )]
    pub port: u16,

    /// AWS profile for functions that are invoked at AWS
    #[arg(long, value_name = "PROFILE", env = "TOLLGATE_PROFILE")]
    pub profile: Option<String>,

    /// Address of a Lambda Invoke API for functions that are not configured
    #[arg(long, value_name = "URL", env = "TOLLGATE_LAMBDA_ENDPOINT")]
    pub lambda_endpoint: Option<String>,

    /// Port of the control plane, on loopback; `off` for none [default: the gateway's port + 1, or a free one]
    #[arg(long, value_name = "PORT", env = "TOLLGATE_ADMIN_PORT")]
    pub admin_port: Option<AdminPortFlag>,

    /// Reload when definitions, configuration or functions' code change [default: in a terminal]
    #[arg(
        long,
        env = "TOLLGATE_WATCH",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = clap::builder::BoolishValueParser::new(),
        overrides_with = "no_watch"
    )]
    pub watch: Option<bool>,

    /// Do not reload
    #[arg(long, overrides_with = "watch")]
    pub no_watch: bool,

    /// Run a function under a debugger (Python: debugpy; Node.js: inspector) in one process without
    /// timeouts; may be repeated [default port: 5678 or 9229, or the next free one]
    #[arg(long, value_name = "FUNCTION[:PORT]")]
    pub debug: Vec<DebugTarget>,

    /// Run code of --debug once a debugger is attached
    #[arg(long, requires = "debug")]
    pub debug_wait: bool,

    /// Who may pass.
    #[command(flatten)]
    pub auth: AuthOptions,

    /// Leave out of answers whatever AWS does not send: Retry-After and RateLimit headers
    #[arg(long, env = "TOLLGATE_STRICT_AWS")]
    pub strict_aws: bool,

    /// Log more: -v tells of each step, -vv of everything
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,

    /// Log less: -q leaves out requests that went well, -qq all but errors
    #[arg(short, long, action = ArgAction::Count, conflicts_with = "verbose")]
    pub quiet: u8,

    /// How logs look
    #[arg(long, value_enum, value_name = "FORMAT", env = "TOLLGATE_LOG_FORMAT", default_value_t = LogFormat::Pretty)]
    pub log_format: LogFormat,
}

impl ServeOptions {
    /// The host that was asked for; `None` where nobody did, which is 127.0.0.1 and ::1.
    pub fn chosen_host(&self) -> Option<&str> {
        self.common.origins.get("host").map(|_| self.host.as_str())
    }

    /// Whether changes are watched for: as asked, else in a terminal.
    pub fn watches(&self) -> bool {
        use std::io::IsTerminal;

        match (self.no_watch, self.watch) {
            (true, _) => false,
            (false, Some(watch)) => watch,
            (false, None) => std::io::stdout().is_terminal() || std::io::stderr().is_terminal(),
        }
    }

    /// How often `-v` was given, less how often `-q` was.
    pub fn verbosity(&self) -> i16 {
        i16::from(self.verbose) - i16::from(self.quiet)
    }

    /// The control plane's port beside a gateway at `port`: flag over configuration over default.
    pub fn chosen_admin_port(&self, configured: Option<u16>, port: u16) -> AdminPort {
        match (self.admin_port, configured) {
            (Some(AdminPortFlag::Off), _) => AdminPort::Off,
            (Some(AdminPortFlag::Port(port)), _) | (None, Some(port)) => AdminPort::Exactly(port),
            (None, None) => AdminPort::Rather(port.checked_add(1).unwrap_or(0)),
        }
    }
}

/// `--admin-port`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminPortFlag {
    /// No control plane.
    Off,
    /// This port; 0 takes a free one.
    Port(u16),
}

impl FromStr for AdminPortFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            port => port
                .parse()
                .map(Self::Port)
                .map_err(|_| "expected a port or `off`".to_owned()),
        }
    }
}

impl std::fmt::Display for AdminPortFlag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Port(port) => port.fmt(f),
        }
    }
}

/// `--api-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ApiType {
    /// API Gateway v1
    Rest,
    /// API Gateway v2
    Http,
}

impl From<ApiType> for ApiKind {
    fn from(kind: ApiType) -> Self {
        match kind {
            ApiType::Rest => Self::Rest,
            ApiType::Http => Self::Http,
        }
    }
}

/// `--log-format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    #[default]
    Pretty,
    /// One JSON object a line
    Json,
}

/// `K=V`, or several of them separated by commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageVariables(pub Vec<(String, String)>);

impl FromStr for StageVariables {
    type Err = String;

    /// A piece without `=` belongs to the value before it: values may have commas.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut variables: Vec<(String, String)> = Vec::new();
        for piece in text.split(',') {
            match (piece.split_once('='), variables.last_mut()) {
                (Some((name, value)), _) => variables.push((name.to_owned(), value.to_owned())),
                (None, Some((_, value))) => {
                    value.push(',');
                    value.push_str(piece);
                }
                (None, None) => return Err("expected NAME=VALUE".to_owned()),
            }
        }
        for (name, value) in &variables {
            check_stage_variable(name, value)?;
        }
        Ok(Self(variables))
    }
}

pub(super) fn stage_name(text: &str) -> Result<String, String> {
    check_stage_name(text).map(|()| text.to_owned())
}

fn region(text: &str) -> Result<String, String> {
    check_region(text).map(|()| text.to_owned())
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag, `--region`.
    Flag(String),
    /// A variable, `TOLLGATE_REGION`.
    Environment(String),
    /// A line of a file.
    File(crate::source::Span),
    /// Nobody said anything.
    Default,
}

/// By argument (`stage_variables`), for those that a flag or a variable sets.
#[derive(Clone, Debug, Default)]
pub struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// Where clap found each argument of `command`.
    pub(super) fn of(command: &clap::Command, matches: &ArgMatches) -> Self {
        let mut origins = BTreeMap::new();
        for argument in command.get_arguments() {
            let id = argument.get_id().as_str();
            // An argument that only another command has is not among the matches.
            if !matches!(matches.try_contains_id(id), Ok(true)) {
                continue;
            }
            let origin = match matches.value_source(id) {
                Some(ValueSource::CommandLine) => Origin::Flag(match argument.get_long() {
                    Some(long) => format!("--{long}"),
                    None => "argument".to_owned(),
                }),
                Some(ValueSource::EnvVariable) => {
                    let name = argument.get_env().unwrap_or_default();
                    Origin::Environment(name.to_string_lossy().into_owned())
                }
                _ => continue,
            };
            origins.insert(id.to_owned(), origin);
        }
        Self(origins)
    }

    /// Where the argument comes from, if a flag or a variable sets it.
    pub fn get(&self, id: &str) -> Option<&Origin> {
        self.0.get(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_stage_variables_stand_in_one_variable() {
        let one: StageVariables = "a=1,2,b=x=y".parse().unwrap();

        assert_eq!(
            one.0,
            [
                ("a".to_owned(), "1,2".to_owned()),
                ("b".to_owned(), "x=y".to_owned())
            ]
        );
        assert!("a".parse::<StageVariables>().is_err());
        assert!("a-b=1".parse::<StageVariables>().is_err());
    }
}
