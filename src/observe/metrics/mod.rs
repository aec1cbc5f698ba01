//! Counts and times for Prometheus, with CloudWatch's names and meanings where it has them.
//!
//! Whatever counts requests is resolved when the plan is compiled: a request adds
//! to atomic numbers and looks nothing up. So the series are bounded by the
//! definition: one set a route, authorizer and function. A route's series appear
//! with its first request.
//!
//! Source: API Gateway developer guide, "Amazon API Gateway dimensions and
//! metrics" and "Monitor CloudWatch metrics for HTTP APIs".

mod histogram;
mod process;
mod text;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

pub use histogram::Histogram;
pub use text::{OPENMETRICS, TEXT, text};

/// Why a gateway answers itself: the gateway response types, and what is none of them.
pub const REASONS: [&str; 22] = [
    "ACCESS_DENIED",
    "API_CONFIGURATION_ERROR",
    "AUTHORIZER_CONFIGURATION_ERROR",
    "AUTHORIZER_FAILURE",
    "BAD_REQUEST_BODY",
    "BAD_REQUEST_PARAMETERS",
    "DEFAULT_4XX",
    "DEFAULT_5XX",
    "EXPIRED_TOKEN",
    "INTEGRATION_FAILURE",
    "INTEGRATION_TIMEOUT",
    "INVALID_API_KEY",
    "INVALID_SIGNATURE",
    "MISSING_AUTHENTICATION_TOKEN",
    "QUOTA_EXCEEDED",
    "REQUEST_TOO_LARGE",
    "RESOURCE_NOT_FOUND",
    "THROTTLED",
    "UNAUTHORIZED",
    "UNSUPPORTED_MEDIA_TYPE",
    "WAF_FILTERED",
    "OTHER",
];

/// Whose limit refused, as `limit::bucket::Scope` names them.
pub const SCOPES: [&str; 7] = [
    "usage-plan-method",
    "usage-plan",
    "quota",
    "stage",
    "account",
    "rate-limit",
    "store",
];

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds `more`.
    pub fn add_many(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// What it is now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// What it is now.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// One more, until [`Self::less`].
    pub fn more(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One less.
    pub fn less(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// One more, until the guard is dropped.
    pub fn hold(self: &Arc<Self>) -> Held {
        self.more();
        Held(Arc::clone(self))
    }
}

/// One of what a [`Gauge`] counts.
#[derive(Debug)]
pub struct Held(Arc<Gauge>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.less();
    }
}

/// Counts of one API and stage.
#[derive(Debug)]
pub struct ApiMetrics {
    api: Box<str>,
    stage: Box<str>,
    refused: [Counter; REASONS.len()],
    throttled: [Counter; SCOPES.len()],
}

impl ApiMetrics {
    /// The gateway answered by itself; `reason` is the gateway response type.
    pub fn refused(&self, reason: &str) {
        let at = REASONS.iter().position(|known| *known == reason);
        self.refused[at.unwrap_or(REASONS.len() - 1)].add();
    }

    /// A limit refused; `scope` is one of [`SCOPES`].
    pub fn throttled(&self, scope: &str) {
        if let Some(at) = SCOPES.iter().position(|known| *known == scope) {
            self.throttled[at].add();
        }
    }
}

/// What tells a route's series from others.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteLabels {
    /// The API's id.
    pub api: String,
    /// The stage's name.
    pub stage: String,
    /// `GET`, `ANY`; `-` where no route was found.
    pub method: String,
    /// `/pets/{id}`; `-` where no route was found.
    pub resource: String,
}

/// Counts and times of one route.
#[derive(Debug)]
pub struct RouteMetrics {
    labels: RouteLabels,
    client_errors: Counter,
    server_errors: Counter,
    cache_hits: Counter,
    cache_misses: Counter,
    /// Its count is the route's.
    latency: Histogram,
    integration_latency: Histogram,
}

impl RouteMetrics {
    /// An answer went out, `latency` after its request came in.
    pub fn answered(&self, status: u16, latency: Duration) {
        match status {
            400..=499 => self.client_errors.add(),
            500..=599 => self.server_errors.add(),
            _ => {}
        }
        self.latency.observe(latency);
    }

    /// The backend answered, or did not in time.
    pub fn integrated(&self, latency: Duration) {
        self.integration_latency.observe(latency);
    }

    /// The stage's cache had the answer, or not.
    pub fn cached(&self, hit: bool) {
        if hit {
            self.cache_hits.add();
        } else {
            self.cache_misses.add();
        }
    }
}

/// What an authorizer said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The request may pass.
    Allow,
    /// It may not.
    Deny,
    /// It has not shown who it is.
    Unauthorized,
    /// There was nothing to go by.
    Error,
}

impl Verdict {
    const ALL: [Self; 4] = [Self::Allow, Self::Deny, Self::Unauthorized, Self::Error];

    fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Unauthorized => "unauthorized",
            Self::Error => "error",
        }
    }
}

/// Counts of one authorizer.
#[derive(Debug)]
pub struct AuthorizerMetrics {
    api: Box<str>,
    stage: Box<str>,
    name: Box<str>,
    verdicts: [Counter; 4],
    kept: Counter,
    latency: Histogram,
}

impl AuthorizerMetrics {
    /// It has decided.
    pub fn decided(&self, verdict: Verdict) {
        self.verdicts[verdict as usize].add();
    }

    /// Its function was asked and took this long, or, where that is zero, a kept answer served.
    pub fn asked(&self, took: Duration) {
        if took.is_zero() {
            self.kept.add();
        } else {
            self.latency.observe(took);
        }
    }
}

/// Counts of one function.
#[derive(Debug, Default)]
pub struct FunctionMetrics {
    errors: Counter,
    throttles: Counter,
    failures: Counter,
    cold_starts: Counter,
    init: Histogram,
    duration: Histogram,
    concurrent: Arc<Gauge>,
}

/// How a call of a function ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    /// It gave a result.
    Done,
    /// It ran and failed.
    Failed,
    /// Its concurrency was used up.
    Throttled,
    /// It could not be called.
    NotCalled,
}

impl FunctionMetrics {
    /// A call begins; it runs until the guard is dropped.
    pub fn begin(&self) -> Held {
        self.concurrent.hold()
    }

    /// A call has ended.
    pub fn ended(&self, how: Called, took: Duration) {
        match how {
            Called::Done => {}
            Called::Failed => self.errors.add(),
            Called::Throttled => return self.throttles.add(),
            Called::NotCalled => return self.failures.add(),
        }
        self.duration.observe(took);
    }

    /// A process was started for it, and was ready after this long.
    pub fn cold_start(&self, init: Duration) {
        self.cold_starts.add();
        self.init.observe(init);
    }
}

/// Counts of connections and of requests under way.
#[derive(Debug, Default)]
pub struct ConnectionMetrics {
    /// Connections that were accepted.
    pub accepted: Counter,
    /// Connections that are open.
    pub open: Arc<Gauge>,
    /// Idle connections that were closed to make place.
    pub shed: Counter,
    /// Requests that are being answered.
    pub in_flight: Arc<Gauge>,
}

/// Counts of the store of limits.
#[derive(Debug, Default)]
pub struct StoreMetrics {
    /// `memory`, `sqlite`, `redis`.
    pub kind: OnceLock<&'static str>,
    /// It did not answer when it was last asked.
    pub down: AtomicBool,
    /// Questions that failed or took too long.
    pub errors: Counter,
    /// How long it took.
    pub latency: Histogram,
}

impl StoreMetrics {
    /// It was asked and answered, or not.
    pub fn asked(&self, answered: bool, took: Duration) {
        self.latency.observe(took);
        if !answered {
            self.errors.add();
        }
        self.down.store(!answered, Ordering::Relaxed);
    }
}

type Named<K, V> = Mutex<BTreeMap<K, Arc<V>>>;

/// All of them.
#[derive(Debug, Default)]
pub struct Metrics {
    apis: Named<(String, String), ApiMetrics>,
    routes: Named<RouteLabels, RouteMetrics>,
    authorizers: Named<(String, String, String), AuthorizerMetrics>,
    functions: Named<String, FunctionMetrics>,
    /// Connections.
    pub connections: Arc<ConnectionMetrics>,
    store: OnceLock<Arc<StoreMetrics>>,
    stopping: AtomicBool,
}

impl Metrics {
    /// Those of an API and stage.
    pub fn api(&self, api: &str, stage: &str) -> Arc<ApiMetrics> {
        let mut apis = lock(&self.apis);
        let there = apis.entry((api.to_owned(), stage.to_owned()));
        Arc::clone(there.or_insert_with(|| {
            Arc::new(ApiMetrics {
                api: api.into(),
                stage: stage.into(),
                refused: Default::default(),
                throttled: Default::default(),
            })
        }))
    }

    /// Those of a route: the ones that are there, after a reload.
    pub fn route(&self, labels: RouteLabels) -> Arc<RouteMetrics> {
        let mut routes = lock(&self.routes);
        let there = routes.entry(labels.clone());
        Arc::clone(there.or_insert_with(|| {
            Arc::new(RouteMetrics {
                labels,
                client_errors: Counter::default(),
                server_errors: Counter::default(),
                cache_hits: Counter::default(),
                cache_misses: Counter::default(),
                latency: Histogram::default(),
                integration_latency: Histogram::default(),
            })
        }))
    }

    /// Those of an authorizer.
    pub fn authorizer(&self, api: &str, stage: &str, name: &str) -> Arc<AuthorizerMetrics> {
        let key = (api.to_owned(), stage.to_owned(), name.to_owned());
        let mut authorizers = lock(&self.authorizers);
        Arc::clone(authorizers.entry(key).or_insert_with(|| {
            Arc::new(AuthorizerMetrics {
                api: api.into(),
                stage: stage.into(),
                name: name.into(),
                verdicts: Default::default(),
                kept: Counter::default(),
                latency: Histogram::default(),
            })
        }))
    }

    /// Those of a function.
    pub fn function(&self, name: &str) -> Arc<FunctionMetrics> {
        let mut functions = lock(&self.functions);
        Arc::clone(functions.entry(name.to_owned()).or_default())
    }

    /// Says whose the store is. The first stays.
    pub fn watch_store(&self, store: &Arc<StoreMetrics>) {
        // A reload keeps the store.
        let _ = self.store.set(Arc::clone(store));
    }

    /// Says that no new connections are taken.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether requests are welcome.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn ready(&self) -> Result<(), &'static str> {
        if self.stopping.load(Ordering::Relaxed) {
            return Err("stopping");
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
