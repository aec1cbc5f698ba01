//! Local Lambda functions: real processes behind the Lambda Runtime API.
//!
//! A [`LocalFunction`] starts nothing until it is called. Then:
//!
//! * `launch` finds the program: an interpreter with one of the clients that the
//!   gateway carries (`bootstrap`), another language's own client (`runtimes`), or a
//!   command; with `layers` and zip files (`unpack`), and `typescript` built;
//! * `pool` decides which process gets an event, and when another one is started (`table`);
//! * `process` supervises one process, in a `process_group` that leaves nothing behind,
//!   with Lambda's `environment`;
//! * `runtime_api` is what the process talks to, `extension_api` what its `extensions`
//!   talk to, and `telemetry` what they hear;
//! * `log_lines` carries its output, `failure` says how it failed;
//! * `retry` tries asynchronous invocations again, `records` go to their destinations.
//!
//! User code never runs inside the gateway's process. An invocation that has begun
//! runs to its end or its timeout, whether or not its caller still waits.
//!
//! A `debugger` may stand before the program, and `log_tail` gives one call's log to its caller.

mod bootstrap;
mod debugger;
mod environment;
mod extension_api;
mod extensions;
mod failure;
mod interpreter;
mod launch;
mod layers;
mod log_lines;
mod log_tail;
mod memory_limit;
mod pool;
mod process;
mod process_group;
mod records;
mod retry;
mod runtime_api;
mod runtimes;
mod table;
mod telemetry;
mod typescript;
mod unpack;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderValue;
use indexmap::IndexMap;
use tokio::sync::oneshot;
use tokio::time::Instant;

pub use debugger::{Debugger, SUSPENDED};
pub use log_lines::TARGET as LOG_TARGET;
pub use log_tail::LogTail;

use super::destinations::Destinations;
use super::streaming::Sink;
use super::{Invocation, InvocationType, InvokeError, Outcome};
use crate::base::{Clock, FunctionArn, id};
use crate::model::settings::FunctionSettings;
use crate::observe::metrics::FunctionMetrics;
use pool::Pool;
use table::Job;

/// Largest event in bytes. "Lambda quotas": invocation payload 6 MB.
pub const LONGEST_EVENT: usize = 6 * 1024 * 1024;

/// Largest event of the kind `Event` in bytes. "Lambda quotas": 1 MB for asynchronous.
pub const LONGEST_ASYNCHRONOUS_EVENT: usize = 1024 * 1024;

/// Processes of one function at once, unless [`LocalOptions::max_processes`] says otherwise.
///
/// At AWS the account's concurrency (1,000) is the bound; a thousand Node.js processes
/// would want some 60 GB here. Calls above this bound wait for a process.
pub const DEFAULT_MAX_PROCESSES: usize = 32;

/// How long [`LocalFunction::shutdown`] waits for processes that were killed.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(5);

/// What all local functions have in common.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// Region that functions are told.
    pub region: String,
    /// Account in functions' ARNs.
    pub account_id: String,
    /// Variables for every function, such as those of `--env-file`; a function's own outweigh them.
    pub environment: IndexMap<String, String>,
    /// Passes the gateway's own AWS credentials to functions. Without it they get some that open nothing.
    pub pass_credentials: bool,
    /// Most processes of one function at once, at least one; further calls wait.
    pub max_processes: usize,
    /// How long a process may take to ask for its first event; then it is started again
    /// within the function's own timeout.
    pub init_timeout: Duration,
    /// How long a process without work is kept.
    pub idle_timeout: Duration,
    /// How long an asynchronous invocation that failed waits for its second try; it
    /// waits twice as long for the third.
    pub retry_delay: Duration,
    /// Folder for what is unpacked and built; made when it is needed.
    pub cache: PathBuf,
    /// The time in deadlines and messages.
    pub clock: Clock,
    /// Where functions reach Lambda's API, once that is known: `http://127.0.0.1:3001`.
    pub lambda_endpoint: Arc<OnceLock<String>>,
    /// What its processes run under.
    pub debugger: Option<Debugger>,
    /// Which functions get the records of asynchronous invocations.
    pub destinations: Destinations,
    /// Counts cold starts.
    pub metrics: Arc<FunctionMetrics>,
}

impl Default for LocalOptions {
    fn default() -> Self {
        Self {
            region: "us-east-1".to_owned(),
            account_id: "123456789012".to_owned(),
            environment: IndexMap::new(),
            pass_credentials: false,
            max_processes: DEFAULT_MAX_PROCESSES,
            // "Understanding the Lambda execution environment lifecycle": init phase 10 s.
            init_timeout: Duration::from_secs(10),
            // Lambda keeps an idle environment for some minutes and does not say how many.
            idle_timeout: Duration::from_secs(5 * 60),
            // "Configuring error handling settings for asynchronous invocations":
            // one minute before the second try, two before the third.
            retry_delay: Duration::from_secs(60),
            cache: PathBuf::from(".tollgate"),
            clock: Clock::System,
            lambda_endpoint: Arc::default(),
            debugger: None,
            destinations: Destinations::default(),
            metrics: Arc::default(),
        }
    }
}

/// What a function is, once its settings are read.
struct Function {
    name: String,
    arn: String,
    settings: FunctionSettings,
    options: LocalOptions,
}

/// A function that runs as processes on this machine.
///
/// Dropping it lets what is under way end in its own time and ends idle processes;
/// [`shutdown`](Self::shutdown) ends all at once and waits for it.
pub struct LocalFunction {
    pool: Arc<Pool>,
}

impl LocalFunction {
    /// A function called `name`, which may be an ARN. Nothing is started or looked for.
    pub fn new(name: &str, settings: &FunctionSettings, options: LocalOptions) -> Arc<Self> {
        let arn = FunctionArn::parse(name).unwrap_or_else(|| FunctionArn {
            partition: "aws".to_owned(),
            region: String::new(),
            account: String::new(),
            name: name.to_owned(),
            qualifier: None,
        });
        let function = Function {
            arn: arn.unqualified(&options.region, &options.account_id),
            name: arn.name,
            settings: settings.clone(),
            options,
        };
        Arc::new(Self {
            pool: Pool::new(function),
        })
    }

    /// The function's name.
    pub fn name(&self) -> &str {
        &self.pool.function.name
    }

    /// Whether the function could be started, as far as that is told without starting
    /// anything: runtime, interpreter, folder, handler's file, command.
    ///
    /// # Errors
    ///
    /// What is missing and what to do, for a line that begins with the function's name.
    pub fn check(&self) -> Result<(), String> {
        let search_path = std::env::var_os("PATH");
        let places = launch::Places {
            search_path: search_path.as_deref(),
            cache: &self.pool.function.options.cache,
        };
        launch::find(&self.pool.function.settings, places).map(|_| ())
    }

    /// Calls the function.
    ///
    /// Dropping the future does not end the invocation. Must be called within a tokio
    /// runtime, which from then on holds the function's processes.
    ///
    /// # Errors
    ///
    /// The function could not be called at all; when it ran and failed, that is an
    /// [`Outcome`] with `function_error`.
    pub async fn invoke(&self, invocation: Invocation) -> Result<Outcome, InvokeError> {
        self.invoke_as(Arc::from(id::request_id()), invocation, None)
            .await
    }

    /// Calls it under a request id; a result in the streaming mode goes into `sink`
    /// in pieces.
    pub(in crate::function) async fn invoke_as(
        &self,
        request_id: Arc<str>,
        invocation: Invocation,
        sink: Option<Sink>,
    ) -> Result<Outcome, InvokeError> {
        let function = &self.pool.function;
        let is_event = invocation.invocation_type == InvocationType::Event;
        let limit = if is_event {
            LONGEST_ASYNCHRONOUS_EVENT
        } else {
            LONGEST_EVENT
        };
        if invocation.payload.len() > limit {
            return Err(InvokeError::RequestTooLarge {
                name: function.name.clone(),
                detail: format!("{} bytes, the limit is {limit}", invocation.payload.len()),
            });
        }
        let done = |status| Outcome {
            status,
            payload: Bytes::new(),
            function_error: None,
            time: None,
        };
        if invocation.invocation_type == InvocationType::DryRun {
            return Ok(done(204));
        }
        let arn = match &invocation.qualifier {
            Some(qualifier) => HeaderValue::try_from(format!("{}:{qualifier}", function.arn)),
            None => HeaderValue::from_str(&function.arn),
        };
        let (reply, result) = oneshot::channel();
        let job = Job {
            request_id,
            payload: invocation.payload,
            arn: arn.map_err(|_| self.invalid("its name or qualifier cannot be sent"))?,
            // A trace header that cannot be sent says nothing to anybody.
            trace_id: invocation
                .trace_id
                .and_then(|text| HeaderValue::try_from(text).ok()),
            client_context: invocation
                .client_context
                .map(|encoded| self.client_context(&encoded))
                .transpose()?,
            sink,
            reply: (!is_event).then_some(reply),
            accepted: Instant::now(),
            failures: 0,
        };
        self.pool.submit(job)?;
        if is_event {
            return Ok(done(202));
        }
        result.await.unwrap_or_else(|_| {
            Err(InvokeError::Unreachable {
                name: function.name.clone(),
                detail: "its process was lost".to_owned(),
            })
        })
    }

    /// Starts a process where none is, before anybody calls. Must be called within a
    /// tokio runtime.
    pub fn warm(&self) {
        self.pool.warm();
    }

    /// The operating system's ids of the processes that run now.
    pub fn processes(&self) -> Vec<u32> {
        self.pool.processes()
    }

    /// Ends all processes at once, with whatever they started, and waits until they
    /// are gone (5 s at most). Calls under way fail; new ones are refused.
    pub async fn shutdown(&self) {
        self.pool.close(SHUTDOWN_PATIENCE).await;
    }

    /// What is left of it once it is dropped.
    pub(in crate::function) fn remains(&self) -> Remains {
        Remains(Arc::downgrade(&self.pool))
    }

    /// The JSON in a base64 client context, on one line.
    fn client_context(&self, encoded: &str) -> Result<HeaderValue, InvokeError> {
        STANDARD
            .decode(encoded)
            .ok()
            .and_then(|json| serde_json::from_slice::<serde_json::Value>(&json).ok())
            .and_then(|json| HeaderValue::try_from(json.to_string()).ok())
            .ok_or_else(|| self.invalid("the client context must be base64 of valid JSON"))
    }

    fn invalid(&self, detail: &str) -> InvokeError {
        InvokeError::Service {
            name: self.pool.function.name.clone(),
            status: 400,
            code: "InvalidRequestContentException".to_owned(),
            detail: detail.to_owned(),
        }
    }
}

/// The processes of a function that has been dropped, as long as they run.
pub(in crate::function) struct Remains(Weak<Pool>);

impl Remains {
    pub(in crate::function) fn are_gone(&self) -> bool {
        self.0.strong_count() == 0
    }

    /// As [`LocalFunction::shutdown`].
    pub(in crate::function) async fn shutdown(&self) {
        if let Some(pool) = self.0.upgrade() {
            pool.close(SHUTDOWN_PATIENCE).await;
        }
    }
}

impl Drop for LocalFunction {
    fn drop(&mut self) {
        self.pool.retire();
    }
}

impl std::fmt::Debug for LocalFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalFunction")
            .field("name", &self.name())
            .field("processes", &self.processes())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Spanned;
    use crate::model::settings::{FunctionLife, FunctionPlace};
    use crate::source::Span;

    pub(super) fn function(options: LocalOptions) -> Function {
        Function {
            name: "pets".to_owned(),
            arn: "arn:aws:lambda:us-east-1:123456789012:function:pets".to_owned(),
            settings: settings(),
            options,
        }
    }

    pub(super) fn settings() -> FunctionSettings {
        FunctionSettings {
            place: FunctionPlace::Runtime {
                runtime: Spanned {
                    value: "python3.12".to_owned(),
                    span: Span::default(),
                },
                handler: "app.handler".to_owned(),
                code_uri: "/nowhere".into(),
            },
            timeout: Duration::from_secs(3),
            memory_size: 128,
            environment: IndexMap::new(),
            reserved_concurrency: None,
            life: FunctionLife::default(),
            span: Span::default(),
        }
    }

    fn invocation(payload: Vec<u8>, invocation_type: InvocationType) -> Invocation {
        Invocation {
            payload: payload.into(),
            invocation_type,
            qualifier: None,
            trace_id: None,
            client_context: None,
        }
    }

    #[tokio::test]
    async fn what_cannot_be_started_is_said_to_the_caller() {
        let function = LocalFunction::new("pets", &settings(), LocalOptions::default());

        let outcome = function
            .invoke(invocation(b"{}".to_vec(), InvocationType::RequestResponse))
            .await;

        let error = outcome.unwrap_err().to_string();
        assert!(error.contains("codeUri /nowhere does not exist"), "{error}");
        assert_eq!(
            function.check().unwrap_err(),
            error.split_once("started: ").unwrap().1
        );
    }

    #[tokio::test]
    async fn events_over_lambdas_limits_are_refused() {
        let function = LocalFunction::new("pets", &settings(), LocalOptions::default());

        for (size, invocation_type) in [
            (LONGEST_EVENT + 1, InvocationType::RequestResponse),
            (LONGEST_ASYNCHRONOUS_EVENT + 1, InvocationType::Event),
        ] {
            let outcome = function
                .invoke(invocation(vec![b' '; size], invocation_type))
                .await;
            assert!(matches!(outcome, Err(InvokeError::RequestTooLarge { .. })));
        }
    }

    #[tokio::test]
    async fn a_client_context_that_is_no_json_is_refused() {
        let function = LocalFunction::new("pets", &settings(), LocalOptions::default());
        let mut bad = invocation(b"{}".to_vec(), InvocationType::RequestResponse);
        bad.client_context = Some("!".to_owned());

        let outcome = function.invoke(bad).await;

        assert!(matches!(
            outcome,
            Err(InvokeError::Service { status: 400, .. })
        ));
    }

    #[test]
    fn an_arn_as_name_gives_the_functions_name() {
        let name = "arn:aws:lambda:eu-west-1:111122223333:function:pets";

        let function = LocalFunction::new(name, &settings(), LocalOptions::default());

        assert_eq!(function.name(), "pets");
        assert_eq!(function.pool.function.arn, name);
    }
}
