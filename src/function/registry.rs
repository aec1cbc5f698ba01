//! Which function runs where: the configuration's functions by name or ARN,
//! everything else at AWS.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Request};
use indexmap::IndexMap;

use super::aws::AwsLambda;
use super::aws_config::{AwsConfig, AwsOptions};
use super::destinations::{Delivery, Destinations, Recipients};
use super::endpoint::EndpointFunction;
use super::handler::{Handler, Handlers};
use super::local::{Debugger, LocalOptions, SUSPENDED};
use super::renewable::{Renewable, Retired};
use super::streaming::{self, Opened, Streamed};
use super::{Invocation, InvocationType, InvokeError, Outcome};
use crate::base::{FunctionArn, id};
use crate::model::settings::{FunctionPlace, FunctionSettings};
use crate::observe::Metrics;
use crate::observe::metrics::{Called, FunctionMetrics};

/// The largest event that Lambda takes for a synchronous call, and for an
/// asynchronous one ("Lambda quotas").
const EVENT_LIMIT: usize = 6 * 1024 * 1024;
const ASYNCHRONOUS_EVENT_LIMIT: usize = 1024 * 1024;

/// What all functions of a gateway share.
#[derive(Clone, Debug, Default)]
pub struct FunctionsOptions {
    /// How the real Lambda is reached.
    pub aws: AwsOptions,
    /// Account for ARNs that have none.
    pub account_id: String,
    /// Folder that a function's `local:static/FOLDER` starts from.
    pub directory: PathBuf,
    /// Where local functions reach Lambda's API, once that is known; absent: they are not told.
    pub lambda_endpoint: Option<Arc<OnceLock<String>>>,
    /// By function name: its logical id in a template, by which it is found as well.
    pub logical_ids: IndexMap<String, String>,
    /// By key: the local functions that run under a debugger.
    pub debuggers: IndexMap<String, Debugger>,
    /// Counts calls, by function.
    pub metrics: Arc<Metrics>,
}

impl FunctionsOptions {
    fn local(&self, name: &str) -> LocalOptions {
        LocalOptions {
            metrics: self.metrics.function(name),
            region: self.aws.region.clone(),
            account_id: self.account_id.clone(),
            lambda_endpoint: self.lambda_endpoint.clone().unwrap_or_default(),
            cache: self.directory.join(".tollgate"),
            ..LocalOptions::default()
        }
    }
}

impl FunctionsOptions {
    /// The settings and options of a function; under a debugger it has one process
    /// and all the time.
    fn debugged<'s>(
        &self,
        key: &str,
        settings: &'s FunctionSettings,
    ) -> (Cow<'s, FunctionSettings>, LocalOptions) {
        let options = self.local(key);
        let Some(debugger) = self.debuggers.get(key) else {
            return (Cow::Borrowed(settings), options);
        };
        let mut settings = settings.clone();
        settings.timeout = SUSPENDED;
        let options = LocalOptions {
            max_processes: 1,
            init_timeout: SUSPENDED,
            idle_timeout: SUSPENDED,
            debugger: Some(debugger.clone()),
            ..options
        };
        (Cow::Owned(settings), options)
    }
}

/// A function that can be called.
#[derive(Debug)]
pub struct Function {
    name: String,
    place: Place,
    /// What the configuration or the template says of it.
    settings: Option<FunctionSettings>,
    metrics: Arc<FunctionMetrics>,
    /// An API has asked for it.
    wanted: AtomicBool,
}

impl Function {
    fn new(name: String, place: Place, metrics: &Metrics) -> Self {
        Self {
            metrics: metrics.function(&name),
            name,
            place,
            settings: None,
            wanted: AtomicBool::new(false),
        }
    }
}

enum Place {
    Local(Arc<Renewable>),
    Aws {
        lambda: Arc<AwsLambda>,
        arn: FunctionArn,
    },
    Endpoint(Arc<EndpointFunction>),
    Handler(Arc<dyn Handler>),
    /// The configuration names a handler that is not there.
    Missing(String),
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local(_) => f.write_str("Local"),
            Self::Aws { arn, .. } => write!(f, "Aws({arn})"),
            Self::Endpoint(endpoint) => endpoint.fmt(f),
            Self::Handler(_) => f.write_str("Handler"),
            Self::Missing(why) => write!(f, "Missing({why})"),
        }
    }
}

/// A function and the qualifier it is called with.
#[derive(Clone, Debug)]
pub struct FunctionRef {
    function: Arc<Function>,
    /// Alias or version.
    pub qualifier: Option<String>,
    /// The id that the next calls have; without one each gets its own.
    request_id: Option<Arc<str>>,
}

impl FunctionRef {
    /// The function's name.
    pub fn name(&self) -> &str {
        &self.function.name
    }

    /// The same, called under a request id of the caller's.
    #[must_use]
    pub fn with_request_id(mut self, request_id: Arc<str>) -> Self {
        self.request_id = Some(request_id);
        self
    }

    fn next_id(&self) -> Arc<str> {
        self.request_id
            .clone()
            .unwrap_or_else(|| Arc::from(id::request_id()))
    }

    /// How long its answer is waited for by who would wait for `usual`: at a
    /// breakpoint nobody counts.
    pub fn patience(&self, usual: Duration) -> Duration {
        match &self.function.place {
            Place::Local(local) if local.is_debugged() => SUSPENDED,
            _ => usual,
        }
    }

    /// What the configuration or the template says of it, if it does.
    pub fn settings(&self) -> Option<&FunctionSettings> {
        self.function.settings.as_ref()
    }

    /// Whether its qualifier is one that is declared: `$LATEST`, an alias or a version
    /// of the configuration or the template, or its URL's. An endpoint knows its own.
    ///
    /// Source: Lambda API reference, "Invoke": `ResourceNotFoundException`.
    pub fn has_qualifier(&self) -> bool {
        let (Some(qualifier), Some(settings)) = (&self.qualifier, self.settings()) else {
            return true;
        };
        let life = &settings.life;
        let url = life.url.as_ref().and_then(|url| url.qualifier.as_ref());
        qualifier == "$LATEST"
            || life.qualifiers.contains(qualifier)
            || url == Some(qualifier)
            || matches!(self.function.place, Place::Endpoint(_))
    }

    /// Another number once its code was replaced: what it answered before is of old code.
    pub fn generation(&self) -> u64 {
        match &self.function.place {
            Place::Local(local) => local.generation(),
            _ => 0,
        }
    }

    /// The handler behind it, where it is one of this program.
    pub fn handler(&self) -> Option<Arc<dyn Handler>> {
        match &self.function.place {
            Place::Handler(handler) => Some(Arc::clone(handler)),
            _ => None,
        }
    }

    /// Calls it.
    ///
    /// # Errors
    ///
    /// Why it could not be called; a function that fails is an [`Outcome`].
    pub async fn invoke(&self, invocation: Invocation) -> Result<Outcome, InvokeError> {
        let function = &self.function;
        let limit = match invocation.invocation_type {
            InvocationType::Event => ASYNCHRONOUS_EVENT_LIMIT,
            InvocationType::RequestResponse | InvocationType::DryRun => EVENT_LIMIT,
        };
        if invocation.payload.len() > limit {
            return Err(InvokeError::RequestTooLarge {
                name: function.name.clone(),
                detail: format!("{} bytes, the limit is {limit}", invocation.payload.len()),
            });
        }
        let call = async {
            match &function.place {
                Place::Local(local) => {
                    let local = local.current();
                    local.invoke_as(self.next_id(), invocation, None).await
                }
                // The SDK's future has 12 KB, which every request of every route would have room for.
                Place::Aws { lambda, arn } => Box::pin(lambda.invoke(arn, invocation)).await,
                Place::Endpoint(endpoint) => Box::pin(endpoint.invoke(invocation)).await,
                Place::Handler(handler) => {
                    invoke_handler(&function.name, handler.as_ref(), invocation).await
                }
                Place::Missing(why) => Err(InvokeError::CannotStart {
                    name: function.name.clone(),
                    detail: why.clone(),
                }),
            }
        };
        counted(&function.metrics, call).await
    }
}

/// Counts a call and how it ends.
async fn counted(
    metrics: &FunctionMetrics,
    call: impl Future<Output = Result<Outcome, InvokeError>>,
) -> Result<Outcome, InvokeError> {
    let _running = metrics.begin();
    let began = Instant::now();
    let result = call.await;
    let how = match &result {
        Ok(outcome) if outcome.function_error.is_some() => Called::Failed,
        Ok(_) => Called::Done,
        Err(InvokeError::Throttled { .. }) => Called::Throttled,
        Err(_) => Called::NotCalled,
    };
    let ran = result.as_ref().ok().and_then(|outcome| outcome.time);
    let took = ran.map_or_else(|| began.elapsed(), |time| time.duration);
    metrics.ended(how, took);
    result
}

impl FunctionRef {
    /// Calls it and passes its result on as it comes. A function that cannot
    /// stream gives its whole result at once.
    ///
    /// # Errors
    ///
    /// Why it could not be called.
    pub async fn invoke_streaming(&self, invocation: Invocation) -> Result<Streamed, InvokeError> {
        self.open_stream(invocation)
            .await
            .map(|opened| opened.streamed)
    }

    /// As [`Self::invoke_streaming`], with what kind of stream it is.
    ///
    /// # Errors
    ///
    /// Why it could not be called.
    pub async fn open_stream(&self, invocation: Invocation) -> Result<Opened, InvokeError> {
        let function = Arc::clone(&self.function);
        if invocation.payload.len() > EVENT_LIMIT {
            return Err(InvokeError::RequestTooLarge {
                name: function.name.clone(),
                detail: format!(
                    "{} bytes, the limit is {EVENT_LIMIT}",
                    invocation.payload.len()
                ),
            });
        }
        match &function.place {
            Place::Local(local) => {
                let local = local.current();
                let id = self.next_id();
                let metrics = Arc::clone(&function.metrics);
                streaming::run(|sink| async move {
                    counted(&metrics, local.invoke_as(id, invocation, Some(sink))).await
                })
                .await
            }
            Place::Aws { lambda, arn } => {
                let (lambda, arn) = (Arc::clone(lambda), arn.clone());
                let metrics = Arc::clone(&function.metrics);
                streaming::run(|sink| async move {
                    counted(&metrics, lambda.invoke_streaming(&arn, invocation, sink)).await
                })
                .await
            }
            Place::Endpoint(endpoint) => {
                let endpoint = Arc::clone(endpoint);
                streaming::run(
                    |sink| async move { endpoint.invoke_streaming(invocation, sink).await },
                )
                .await
            }
            Place::Handler(_) | Place::Missing(_) => {
                let whole = self.clone();
                streaming::run(|_| async move { whole.invoke(invocation).await }).await
            }
        }
    }
}

/// Gives a handler the event as the body of a POST; its answer's body is the result.
async fn invoke_handler(
    name: &str,
    handler: &dyn Handler,
    invocation: Invocation,
) -> Result<Outcome, InvokeError> {
    use http_body_util::BodyExt;

    let mut request = Request::new(invocation.payload);
    *request.method_mut() = Method::POST;
    request.headers_mut().insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    let response = handler.call(request).await;
    let failed = !response.status().is_success();
    let payload: Bytes = response
        .into_body()
        .collect()
        .await
        .map_err(|error| InvokeError::Unreachable {
            name: name.to_owned(),
            detail: error.to_string(),
        })?
        .to_bytes();
    Ok(Outcome {
        status: 200,
        payload,
        function_error: failed.then(|| "Unhandled".to_owned()),
        time: None,
    })
}

/// All functions of a gateway. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Functions {
    placed: Arc<Placed>,
    aws: Arc<AwsConfig>,
    lambda: Arc<AwsLambda>,
    handlers: Handlers,
    options: Arc<FunctionsOptions>,
    retired: Arc<Retired>,
    /// Of all plans: where the records of asynchronous invocations go.
    destinations: Destinations,
}

/// The functions that the configuration or a template places, by key.
#[derive(Debug)]
struct Placed {
    functions: IndexMap<String, Arc<Function>>,
    options: Arc<FunctionsOptions>,
}

impl Placed {
    /// As [`Functions::find`].
    fn find(&self, arn: &FunctionArn) -> Option<FunctionRef> {
        let functions = &self.functions;
        let by_name = || {
            functions
                .values()
                .find(|function| function.name == arn.name)
        };
        let by_logical_id = || {
            let ids = &self.options.logical_ids;
            let (name, _) = ids.iter().find(|(_, id)| **id == arn.name)?;
            functions.get(name)
        };
        let unqualified = arn.unqualified(&self.options.aws.region, &self.options.account_id);
        let function = [unqualified.as_str(), arn.name.as_str()]
            .iter()
            .find_map(|key| functions.get(*key))
            // One whose key is an ARN with that name.
            .or_else(by_name)
            .or_else(by_logical_id)?;
        Some(FunctionRef {
            function: Arc::clone(function),
            qualifier: arn.qualifier.clone(),
            request_id: None,
        })
    }
}

impl Recipients for Placed {
    fn call(&self, target: &FunctionArn, invocation: Invocation) -> Option<Delivery> {
        let function = self.find(target)?;
        Some(Box::pin(async move { function.invoke(invocation).await }))
    }
}

impl Functions {
    /// Places the configuration's functions; starts and connects nothing.
    pub fn new(
        settings: &IndexMap<String, FunctionSettings>,
        handlers: Handlers,
        options: FunctionsOptions,
    ) -> Self {
        Self::after(None, settings, handlers, options)
    }

    /// The same, where others serve already: a local function whose settings are
    /// the same keeps its processes, the way to AWS its credentials.
    pub fn after(
        before: Option<&Self>,
        settings: &IndexMap<String, FunctionSettings>,
        handlers: Handlers,
        options: FunctionsOptions,
    ) -> Self {
        let retired = before.map_or_else(Arc::default, |before| Arc::clone(&before.retired));
        let destinations = before.map(|before| before.destinations.clone());
        let destinations = destinations.unwrap_or_default();
        let same_world = before.filter(|before| {
            before.options.aws == options.aws
                && before.options.account_id == options.account_id
                && before.options.lambda_endpoint.is_some() == options.lambda_endpoint.is_some()
        });
        let there = |key: &str, settings: &FunctionSettings, options: &LocalOptions| {
            let function = same_world?.placed.functions.get(key)?;
            match &function.place {
                Place::Local(local) if local.is_of(settings, options) => Some(Arc::clone(local)),
                _ => None,
            }
        };
        let functions = settings
            .iter()
            .map(|(key, settings)| {
                // A key may be an ARN; the function is known by its name then.
                let arn = FunctionArn::parse(key);
                let (name, qualifier) =
                    arn.map_or_else(|| (key.clone(), None), |arn| (arn.name, arn.qualifier));
                let place = match &settings.place {
                    FunctionPlace::Endpoint { url } => {
                        Place::Endpoint(Arc::new(EndpointFunction::new(&name, &url.value)))
                    }
                    FunctionPlace::Handler { name } => {
                        match handlers.find(&name.value, &options.directory) {
                            Ok(handler) => Place::Handler(handler),
                            Err(why) => Place::Missing(why),
                        }
                    }
                    FunctionPlace::Runtime { .. } | FunctionPlace::Command { .. } => {
                        let (settings, mut own) = options.debugged(key, settings);
                        own.destinations = destinations.clone();
                        Place::Local(there(key, &settings, &own).unwrap_or_else(|| {
                            Renewable::new(key, &settings, own, Arc::clone(&retired))
                        }))
                    }
                };
                let mut function = Function::new(name, place, &options.metrics);
                let mut settings = settings.clone();
                settings.life.qualifiers.extend(qualifier);
                function.settings = Some(settings);
                (key.clone(), Arc::new(function))
            })
            .collect();
        let (aws, lambda) = match same_world {
            Some(before) => (Arc::clone(&before.aws), Arc::clone(&before.lambda)),
            None => {
                let aws = Arc::new(AwsConfig::new(options.aws.clone()));
                let lambda = Arc::new(AwsLambda::new(Arc::clone(&aws)));
                (aws, lambda)
            }
        };
        let options = Arc::new(options);
        let placed = Arc::new(Placed {
            functions,
            options: Arc::clone(&options),
        });
        if before.is_none() {
            destinations.lead_to(&placed);
        }
        Self {
            placed,
            aws,
            lambda,
            handlers,
            options,
            retired,
            destinations,
        }
    }

    /// The AWS configuration that the functions at AWS are called with.
    pub fn aws_config(&self) -> Arc<AwsConfig> {
        Arc::clone(&self.aws)
    }

    /// Finds the function that an ARN names: the configuration's by the whole
    /// ARN or by name, else the real one.
    pub fn resolve(&self, arn: &FunctionArn) -> FunctionRef {
        let unqualified = arn.unqualified(&self.options.aws.region, &self.options.account_id);
        let placed = [
            arn.to_string().as_str(),
            unqualified.as_str(),
            arn.name.as_str(),
        ]
        .iter()
        .find_map(|key| self.placed.functions.get(*key).cloned());
        let function = placed.unwrap_or_else(|| {
            let place = Place::Aws {
                lambda: Arc::clone(&self.lambda),
                arn: arn.clone(),
            };
            Arc::new(Function::new(
                arn.name.clone(),
                place,
                &self.options.metrics,
            ))
        });
        function.wanted.store(true, Ordering::Relaxed);
        FunctionRef {
            function,
            qualifier: arn.qualifier.clone(),
            request_id: None,
        }
    }

    /// Finds a handler of this program by what stands after `local:`.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn handler(
        &self,
        name: &str,
        directory: &std::path::Path,
    ) -> Result<Arc<dyn Handler>, String> {
        self.handlers.find(name, directory)
    }

    /// A handler of this program as a function.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn of_handler(
        &self,
        name: &str,
        directory: &std::path::Path,
    ) -> Result<FunctionRef, String> {
        let handler = self.handlers.find(name, directory)?;
        Ok(FunctionRef {
            function: Arc::new(Function::new(
                name.to_owned(),
                Place::Handler(handler),
                &self.options.metrics,
            )),
            qualifier: None,
            request_id: None,
        })
    }

    /// Ends every process that was started. Bounded in time.
    pub async fn shutdown(&self) {
        let ending = self
            .local()
            .map(|(_, local)| async move { local.current().shutdown().await });
        futures_util::future::join_all(ending).await;
        self.retired.shutdown().await;
    }

    /// Lets the calls of a local function from now on run in new processes, since
    /// its code has changed. Calls under way end in their own time.
    pub fn renew(&self, key: &str) {
        if let Some((_, local)) = self.local().find(|(other, _)| *other == key) {
            local.renew();
        }
    }

    /// Starts the processes that run under a debugger, so that one can be attached
    /// before the first call. Must be called within a tokio runtime.
    pub fn warm_debugged(&self) {
        for (_, local) in self.local().filter(|(_, local)| local.is_debugged()) {
            local.current().warm();
        }
    }

    /// The functions that the configuration or a template places, by key.
    pub fn all(&self) -> impl Iterator<Item = (&str, FunctionRef)> {
        self.placed.functions.iter().map(|(key, function)| {
            let function = FunctionRef {
                function: Arc::clone(function),
                qualifier: None,
                request_id: None,
            };
            (key.as_str(), function)
        })
    }

    /// The function of that name, ARN or logical id that the configuration or a
    /// template places. Unlike [`resolve`](Self::resolve) it never gives one at AWS.
    pub fn find(&self, arn: &FunctionArn) -> Option<FunctionRef> {
        self.placed.find(arn)
    }

    /// Lets the records of asynchronous invocations go to these functions from now on,
    /// those of processes that an earlier plan started as well. Those of the first plan do
    /// so from the start.
    pub fn take_over(&self) {
        self.destinations.lead_to(&self.placed);
    }

    /// Tells local functions that start from now on where Lambda's API is. The first
    /// word stands, for the functions of later plans as well.
    pub fn reach_lambda_at(&self, url: String) {
        if let Some(endpoint) = &self.options.lambda_endpoint {
            let _ = endpoint.set(url);
        }
    }

    /// The region and account of functions whose name alone is known.
    pub fn home(&self) -> (&str, &str) {
        (&self.options.aws.region, &self.options.account_id)
    }

    /// What keeps the functions that were resolved from starting, as far as that
    /// is told without starting them: the function's key and the reason.
    pub fn faults(&self) -> Vec<(&str, String)> {
        let wanted = |key: &str| {
            self.placed
                .functions
                .get(key)
                .is_some_and(|function| function.wanted.load(Ordering::Relaxed))
        };
        let missing =
            self.placed
                .functions
                .iter()
                .filter_map(|(key, function)| match &function.place {
                    Place::Missing(why) => Some((key.as_str(), why.clone())),
                    _ => None,
                });
        let local = self
            .local()
            .filter_map(|(key, local)| Some((key, local.current().check().err()?)));
        missing
            .chain(local)
            .filter(|(key, _)| wanted(key))
            .collect()
    }

    fn local(&self) -> impl Iterator<Item = (&str, &Arc<Renewable>)> {
        self.placed
            .functions
            .iter()
            .filter_map(|(key, function)| match &function.place {
                Place::Local(local) => Some((key.as_str(), local)),
                _ => None,
            })
    }
}
