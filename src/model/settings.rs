//! The gateway's own configuration: what AWS keeps outside of an API's document.

use std::path::PathBuf;
use std::time::Duration;

use indexmap::IndexMap;

use super::user_pool::UserPoolSettings;
use super::{ApiKind, Cors, RateLimit, Spanned, Stage, Throttle};
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
    /// By ARN, with or without version: the folder or zip file of a layer that is at AWS.
    pub layers: IndexMap<String, PathBuf>,
    /// By the name the document gives an authorizer.
    pub authorizers: IndexMap<String, AuthorizerSettings>,
    /// By user pool ARN: where a pool's keys are.
    pub user_pools: IndexMap<String, AuthorizerSettings>,
    /// User pools that run beside the gateway.
    pub local_user_pools: Vec<UserPoolSettings>,
    /// Pools that documents name and the configuration does not are local, too.
    pub user_pool_for_all: bool,
    /// Authorizers are not asked: every caller is the one of these claims.
    pub no_auth: Option<std::sync::Arc<serde_json::Map<String, serde_json::Value>>>,
    /// API keys.
    pub api_keys: Vec<ApiKeySettings>,
    /// Usage plans.
    pub usage_plans: Vec<UsagePlanSettings>,
    /// Whose signatures count; absent where the configuration does not say.
    pub iam_users: Option<Vec<IamUserSettings>>,
    /// What is behind a VPC link, by its id.
    pub vpc_links: IndexMap<String, VpcLinkSettings>,
    /// `memory:`, `sqlite:PATH`, `redis://HOST:PORT`; absent: in memory, but see
    /// `tollgate serve`.
    pub store: Option<Spanned<String>>,
    /// How the store is used.
    pub store_options: StoreOptions,
    /// Custom domain names, which templates have.
    pub domains: Vec<DomainSettings>,
    /// Rate limits beyond AWS's, over every API.
    pub rate_limits: Vec<RateLimit>,
    /// Networks whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// Where the control plane listens.
    pub admin: AdminSettings,
    /// Answers carry nothing that AWS's do not.
    pub strict_aws: bool,
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
            layers: IndexMap::new(),
            authorizers: IndexMap::new(),
            user_pools: IndexMap::new(),
            local_user_pools: Vec::new(),
            user_pool_for_all: false,
            no_auth: None,
            api_keys: Vec::new(),
            usage_plans: Vec::new(),
            iam_users: None,
            vpc_links: IndexMap::new(),
            store: None,
            store_options: StoreOptions::default(),
            domains: Vec::new(),
            rate_limits: Vec::new(),
            trusted_proxies: Vec::new(),
            admin: AdminSettings::default(),
            strict_aws: false,
            base_directory: PathBuf::new(),
        }
    }
}

/// A custom domain name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainSettings {
    /// In lower case.
    pub name: String,
    /// Where its paths lead.
    pub mappings: Vec<DomainMapping>,
}

/// An API behind a custom domain name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainMapping {
    /// What its paths begin with, without slashes around it; empty: with nothing.
    pub path: String,
    /// The API's id.
    pub api_id: String,
    /// Absent: the path goes on with the stage.
    pub stage: Option<String>,
    /// The place of the mapping.
    pub span: Span,
}

/// How the store is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// What a crash may lose.
    pub durability: Durability,
    /// The longest that a request waits for the store.
    pub deadline: Duration,
    /// What happens to requests that the store does not answer in time.
    pub when_down: WhenDown,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Batched,
            deadline: Duration::from_millis(250),
            when_down: WhenDown::Open,
        }
    }
}

/// What a crash may lose of usage counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// What was counted last: see `limit::saver`.
    #[default]
    Batched,
    /// Nothing that counts against a quota: such a request goes on once its count is written.
    Strict,
}

/// What happens to requests that the store does not answer in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenDown {
    /// This gateway's own counters decide.
    #[default]
    Open,
    /// They are refused.
    Closed,
}

/// Where the control plane listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdminSettings {
    /// A loopback address; absent: 127.0.0.1.
    pub host: Option<std::net::IpAddr>,
    /// Absent: the gateway's port and one, or a free one.
    pub port: Option<u16>,
    /// Local functions are told to call Lambda there: `AWS_ENDPOINT_URL_LAMBDA`.
    pub function_endpoint: bool,
}

impl Default for AdminSettings {
    fn default() -> Self {
        Self {
            host: None,
            port: None,
            function_endpoint: true,
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
    /// What else belongs to it.
    pub life: FunctionLife,
    /// The place of the entry.
    pub span: Span,
}

impl FunctionSettings {
    /// The same without its place in the file: equal to what says the same elsewhere.
    #[must_use]
    pub fn without_spans(&self) -> Self {
        let mut settings = self.clone();
        settings.span = Span::default();
        match &mut settings.place {
            FunctionPlace::Runtime { runtime, .. } => runtime.span = Span::default(),
            FunctionPlace::Endpoint { url } => url.span = Span::default(),
            FunctionPlace::Handler { name } => name.span = Span::default(),
            FunctionPlace::Command { .. } => {}
        }
        let FunctionLife {
            event_invoke,
            dead_letter,
            ..
        } = &mut settings.life;
        let targets = [
            &mut event_invoke.on_success,
            &mut event_invoke.on_failure,
            dead_letter,
        ];
        for target in targets.into_iter().flatten() {
            target.span = Span::default();
        }
        settings
    }
}

/// What surrounds a function's own program: its layers, its limits, its address.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FunctionLife {
    /// Folders or zip files, in the order in which they are unpacked to `/opt`.
    pub layers: Vec<PathBuf>,
    /// How TypeScript is built before it runs.
    pub esbuild: Option<EsbuildSettings>,
    /// What becomes of asynchronous invocations.
    pub event_invoke: EventInvokeSettings,
    /// The queue or topic for events that failed for good (`DeadLetterConfig`).
    pub dead_letter: Option<Spanned<String>>,
    /// A process may use no more memory than `memory_size`.
    pub enforce_memory: bool,
    /// Its own URL.
    pub url: Option<FunctionUrlSettings>,
    /// Its aliases and published versions, beside `$LATEST`.
    pub qualifiers: Vec<String>,
}

/// SAM's `Metadata` of `BuildMethod: esbuild`: `BuildProperties`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EsbuildSettings {
    /// Files to build, from the folder of the code; empty: the handler's.
    pub entry_points: Vec<String>,
    /// Options of esbuild's command line, such as `--target=es2022`.
    pub options: Vec<String>,
}

/// What becomes of asynchronous invocations (`EventInvokeConfig`).
#[derive(Clone, Debug, PartialEq)]
pub struct EventInvokeSettings {
    /// How often one that failed is tried again, 0 to 2.
    pub maximum_retry_attempts: u32,
    /// How old an event may get, 60 s to 6 h.
    pub maximum_event_age: Duration,
    /// Where the records of those go that succeeded: a function's name or ARN, or another ARN.
    pub on_success: Option<Spanned<String>>,
    /// Where the records of those go that failed for good.
    pub on_failure: Option<Spanned<String>>,
}

impl Default for EventInvokeSettings {
    fn default() -> Self {
        // "Configuring error handling settings for asynchronous invocations".
        Self {
            maximum_retry_attempts: 2,
            maximum_event_age: Duration::from_secs(6 * 60 * 60),
            on_success: None,
            on_failure: None,
        }
    }
}

/// A function's URL (`FunctionUrlConfig`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FunctionUrlSettings {
    /// The first label of its host; absent: derived from the function's name.
    pub id: Option<String>,
    /// `AuthType: AWS_IAM`: requests must be signed.
    pub needs_signature: bool,
    /// What browsers are told of other origins.
    pub cors: Option<Cors>,
    /// `InvokeMode: RESPONSE_STREAM`.
    pub streams: bool,
    /// Alias that is called.
    pub qualifier: Option<String>,
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
        /// Folder or zip file of the code, absolute.
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

/// An IAM user, or a role's session, whose requests are known by their signature.
#[derive(Clone, PartialEq)]
pub struct IamUserSettings {
    /// The id of his access key.
    pub access_key_id: String,
    /// The secret behind it.
    pub secret_access_key: String,
    /// A session's token.
    pub session_token: Option<String>,
    /// When the session ends, in seconds since 1970.
    pub expiration: Option<u64>,
    /// `arn:aws:iam::123456789012:user/alice`.
    pub user_arn: String,
    /// What he may do. Absent: everything; an empty list: nothing.
    pub policies: Option<Vec<Spanned<serde_json::Value>>>,
    /// The place of the entry.
    pub span: Span,
}

impl std::fmt::Debug for IamUserSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IamUserSettings")
            .field("access_key_id", &self.access_key_id)
            .field("secret_access_key", &"***")
            .field("session_token", &self.session_token.as_ref().map(|_| "***"))
            .field("user_arn", &self.user_arn)
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
#[derive(Clone, Debug, PartialEq)]
pub struct ApiStage {
    /// [`Api::id`](super::Api::id).
    pub api_id: String,
    /// The stage's name.
    pub stage: String,
    /// Throttle for each key and method of the stage, by `/path/METHOD`.
    pub throttle: IndexMap<String, Throttle>,
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
