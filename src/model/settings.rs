//! The gateway's own configuration: what AWS keeps outside of an API's document.

use std::path::PathBuf;
use std::time::Duration;

use indexmap::IndexMap;

use super::{ApiKind, Spanned, Stage, Throttle};
use crate::source::Span;

/// Everything `tollgate.yaml`, the environment and the command line decide.
#[derive(Clone, Debug)]
pub struct Settings {
    /// AWS region, `us-east-1` by default.
    pub region: String,
    /// Twelve digits, `123456789012` by default.
    pub account_id: String,
    /// REST or HTTP; absent: told from the document.
    pub api_type: Option<ApiKind>,
    /// Absent: derived from the document's title.
    pub api_id: Option<String>,
    /// The stage's name; absent: `dev` for REST, `$default` for HTTP.
    pub stage_name: Option<String>,
    /// The stage; its name is filled in once the kind of API is known.
    pub stage: Stage,
    /// The account's throttle.
    pub throttle: Throttle,
    /// By name or ARN.
    pub functions: IndexMap<String, FunctionSettings>,
    /// By the name the document gives an authorizer.
    pub authorizers: IndexMap<String, AuthorizerSettings>,
    /// By user pool ARN: where a pool's keys are.
    pub user_pools: IndexMap<String, AuthorizerSettings>,
    /// API keys.
    pub api_keys: Vec<ApiKeySettings>,
    /// Usage plans.
    pub usage_plans: Vec<UsagePlanSettings>,
    /// What is behind a VPC link, by its id.
    pub vpc_links: IndexMap<String, VpcLinkSettings>,
    /// `memory:`, `sqlite:PATH`, `redis://HOST:PORT`.
    pub store: Option<Spanned<String>>,
    /// Folder that relative paths of the configuration start from.
    pub base_directory: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            region: "us-east-1".to_owned(),
            account_id: "123456789012".to_owned(),
            api_type: None,
            api_id: None,
            stage_name: None,
            stage: Stage::default(),
            // "Amazon API Gateway quotas": 10,000 requests a second, burst 5,000.
            throttle: Throttle {
                rate_limit: Some(10_000.0),
                burst_limit: Some(5_000),
            },
            functions: IndexMap::new(),
            authorizers: IndexMap::new(),
            user_pools: IndexMap::new(),
            api_keys: Vec::new(),
            usage_plans: Vec::new(),
            vpc_links: IndexMap::new(),
            store: None,
            base_directory: PathBuf::new(),
        }
    }
}

/// A function that the configuration places.
#[derive(Clone, Debug, PartialEq)]
pub struct FunctionSettings {
    /// Where and how it runs.
    pub place: FunctionPlace,
    /// The function's timeout, 3 s by default as at AWS.
    pub timeout: Duration,
    /// Memory in MB that the function is told, 128 by default.
    pub memory_size: u32,
    /// Environment variables.
    pub environment: IndexMap<String, String>,
    /// Most processes at once.
    pub reserved_concurrency: Option<u32>,
    /// The place of the entry.
    pub span: Span,
}

/// Where a function runs.
#[derive(Clone, Debug, PartialEq)]
pub enum FunctionPlace {
    /// A process with one of the bootstraps that the program carries, or a `bootstrap` of its own.
    Runtime {
        /// `python3.12`, `nodejs20.x`, `provided.al2023`.
        runtime: Spanned<String>,
        /// `app.handler`.
        handler: String,
        /// Folder of the code, absolute.
        code_uri: PathBuf,
    },
    /// Any program that speaks the Lambda Runtime API.
    Command {
        /// Program and arguments.
        command: Vec<String>,
        /// Folder it runs in, absolute.
        working_directory: PathBuf,
    },
    /// An endpoint that speaks the Lambda Invoke API.
    Endpoint {
        /// `http://127.0.0.1:9001`.
        url: Spanned<String>,
    },
    /// A handler built in or registered by the embedding program, by its name after `local:`.
    Handler {
        /// `echo`.
        name: Spanned<String>,
    },
}

/// What a VPC link leads to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VpcLinkSettings {
    /// Addresses that take turns, `http://127.0.0.1:9001`.
    pub targets: Vec<Spanned<String>>,
    /// The place of the entry.
    pub span: Span,
}

/// Where an issuer's keys are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuthorizerSettings {
    /// `iss` of its tokens.
    pub issuer: Option<Spanned<String>>,
    /// Where its keys are.
    pub jwks_uri: Option<Spanned<String>>,
    /// Audiences, instead of the document's.
    pub audience: Option<Vec<String>>,
    /// The place of the entry.
    pub span: Span,
}

/// An API key.
#[derive(Clone, PartialEq)]
pub struct ApiKeySettings {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The secret that clients send.
    pub value: String,
    /// A disabled key is refused.
    pub enabled: bool,
    /// The place of the entry.
    pub span: Span,
}

impl std::fmt::Debug for ApiKeySettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKeySettings")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("value", &"***")
            .field("enabled", &self.enabled)
            .finish()
    }
}

/// A usage plan.
#[derive(Clone, Debug, PartialEq)]
pub struct UsagePlanSettings {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Keys of the plan, by name or id.
    pub api_keys: Vec<Spanned<String>>,
    /// Throttle for each key.
    pub throttle: Throttle,
    /// Quota for each key.
    pub quota: Option<QuotaSettings>,
    /// Throttle for each key and method, by `/path/METHOD`.
    pub method_throttles: IndexMap<String, Throttle>,
    /// The API stages it holds for; `None`: all that are served.
    pub api_stages: Option<Vec<ApiStage>>,
    /// The place of the entry.
    pub span: Span,
}

/// An API and its stage, as a template's usage plan names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiStage {
    /// [`Api::id`](super::Api::id).
    pub api_id: String,
    /// The stage's name.
    pub stage: String,
}

/// A quota.
#[derive(Clone, Debug, PartialEq)]
pub struct QuotaSettings {
    /// Requests in a period.
    pub limit: u64,
    /// How long a period is.
    pub period: QuotaPeriod,
    /// Requests taken off the first period.
    pub offset: u64,
}

/// A quota's period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaPeriod {
    /// From midnight UTC.
    Day,
    /// From Sunday, midnight UTC.
    Week,
    /// From the first, midnight UTC.
    Month,
}
