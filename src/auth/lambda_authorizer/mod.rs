//! Lambda authorizers: TOKEN and REQUEST of REST APIs, and those of HTTP APIs.
//!
//! Source: API Gateway developer guide, "Use API Gateway Lambda authorizers" and
//! "Control access to HTTP APIs with AWS Lambda authorizers".

mod answer;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use aws_lc_rs::digest;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::Instant;

use super::bounded_cache::BoundedCache;
use super::identity_source::IdentitySource;
use crate::event::http::PayloadFormat;
use crate::event::{Exchange, authorizer as events};
use crate::function::{FunctionRef, Invocation, InvocationType};

use answer::Reading;
pub use answer::{Answer, Verdict};

/// "Amazon API Gateway quotas": an authorizer function may take 10 s.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A longer method ARN is a 414 ("Output from an API Gateway Lambda authorizer").
const ARN_LIMIT: usize = 1600;
/// Answers that one authorizer keeps, and their bytes.
const KEPT: usize = 10_000;
const KEPT_BYTES: usize = 32 * 1024 * 1024;

/// Why there is no answer to go by. `Display` is for the operator.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorizerFault {
    /// An identity source is missing or empty, or the token is not of the form wanted.
    #[error("an identity source is missing, empty or not of the form wanted")]
    NoIdentity,
    /// The function said `Unauthorized`.
    #[error("the authorizer said Unauthorized")]
    Unauthorized,
    /// The method's ARN is longer than an authorizer may get.
    #[error("the method's ARN is longer than {ARN_LIMIT} bytes")]
    ArnTooLong,
    /// The function failed, or what it answered is no answer.
    #[error("the authorizer failed: {0}")]
    Failed(String),
}

/// What an authorizer's function gets.
#[derive(Debug)]
pub enum Input {
    /// REST, TOKEN.
    Token {
        /// Where the token stands.
        source: IdentitySource,
        /// What the whole token must match.
        expression: Option<fancy_regex::Regex>,
    },
    /// REST, REQUEST.
    Request {
        /// What must be there.
        sources: Vec<IdentitySource>,
    },
    /// HTTP API.
    Http {
        /// What must be there.
        sources: Vec<IdentitySource>,
        /// The event's format.
        format: PayloadFormat,
        /// The function answers `{isAuthorized, context}`.
        simple: bool,
    },
}

/// A Lambda authorizer.
#[derive(Debug)]
pub struct LambdaAuthorizer {
    name: String,
    input: Input,
    function: FunctionRef,
    /// How long an answer is kept; zero where none is.
    ttl: Duration,
    answers: Arc<Answers>,
}

/// Answers that are kept, and calls under way.
#[derive(Debug)]
struct Answers {
    kept: BoundedCache<[u8; 32], Kept>,
    flights: Mutex<HashMap<[u8; 32], Flight>>,
}

#[derive(Clone, Debug)]
struct Kept {
    answer: Arc<Answer>,
    since: Duration,
    until: Duration,
}

type Flight = Shared<BoxFuture<'static, Result<Arc<Answer>, AuthorizerFault>>>;

impl LambdaAuthorizer {
    /// An authorizer that keeps answers for `ttl`.
    pub fn new(name: &str, input: Input, function: FunctionRef, ttl: Duration) -> Self {
        // Without an identity source there is nothing to keep an answer by.
        let ttl = match &input {
            Input::Request { sources } | Input::Http { sources, .. } if sources.is_empty() => {
                Duration::ZERO
            }
            _ => ttl,
        };
        Self {
            name: name.to_owned(),
            input,
            function,
            ttl,
            answers: Arc::new(Answers {
                kept: BoundedCache::new(KEPT, KEPT_BYTES),
                flights: Mutex::new(HashMap::new()),
            }),
        }
    }

    /// What the document calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where what identifies the caller stands.
    pub fn sources(&self) -> &[IdentitySource] {
        match &self.input {
            Input::Token { source, .. } => std::slice::from_ref(source),
            Input::Request { sources } | Input::Http { sources, .. } => sources,
        }
    }

    /// Goes on with the answers that an authorizer of that name and the same making
    /// keeps, such as that of an earlier plan.
    #[must_use]
    pub fn keeping(mut self, name: &str, known: &AuthorizerAnswers) -> Self {
        let Self {
            input,
            function,
            ttl,
            answers,
            ..
        } = &self;
        let making = format!(
            "{input:?} {} {:?} {ttl:?}",
            function.name(),
            function.qualifier
        );
        self.answers = known.of(name, making, answers);
        self
    }

    /// Asks the function, or what it said before, and how long that took.
    ///
    /// A kept answer is one for all methods of the stage: whoever gets it
    /// evaluates its policy anew for each request.
    ///
    /// # Errors
    ///
    /// See [`AuthorizerFault`].
    pub async fn ask(
        &self,
        exchange: &Exchange<'_>,
        method_arn: &str,
    ) -> Result<(Arc<Answer>, Duration), AuthorizerFault> {
        let identity = self.identity(exchange)?;
        if method_arn.len() > ARN_LIMIT {
            return Err(AuthorizerFault::ArnTooLong);
        }
        let values = self.sources().iter().map(|source| source.values(exchange));
        let key = key_of(values, self.function.generation());
        let now = exchange.received;
        if !self.ttl.is_zero()
            && let Some(kept) = self.answers.kept.get(&key)
            && kept.since <= now
            && now < kept.until
        {
            return Ok((kept.answer, Duration::ZERO));
        }
        let started = Instant::now();
        let answer = if self.ttl.is_zero() {
            // A task of its own, so that a handler that panics is a failure like any other.
            let call = tokio::spawn(self.call(exchange, method_arn, &identity));
            call.await
                .map_err(|error| AuthorizerFault::Failed(error.to_string()))??
        } else {
            self.flight(key, exchange, method_arn, &identity).await?
        };
        Ok((answer, started.elapsed()))
    }

    /// The values of the identity sources, in their order.
    fn identity(&self, exchange: &Exchange<'_>) -> Result<Vec<String>, AuthorizerFault> {
        match &self.input {
            Input::Token { source, expression } => {
                let token = source.value(exchange).ok_or(AuthorizerFault::NoIdentity)?;
                let fits = expression
                    .as_ref()
                    .is_none_or(|expression| expression.is_match(&token).unwrap_or(false));
                if !fits {
                    return Err(AuthorizerFault::NoIdentity);
                }
                Ok(vec![token.into_owned()])
            }
            Input::Request { sources } | Input::Http { sources, .. } => sources
                .iter()
                .map(|source| {
                    let value = source.value(exchange).ok_or(AuthorizerFault::NoIdentity)?;
                    Ok(value.into_owned())
                })
                .collect(),
        }
    }

    /// Joins the call that is under way for the same identity, or begins one.
    fn flight(
        &self,
        key: [u8; 32],
        exchange: &Exchange<'_>,
        method_arn: &str,
        identity: &[String],
    ) -> Flight {
        let mut flights = self.answers.lock();
        if let Some(flight) = flights.get(&key) {
            return flight.clone();
        }
        let call = self.call(exchange, method_arn, identity);
        let answers = Arc::clone(&self.answers);
        let (since, until) = (exchange.received, exchange.received + self.ttl);
        // A task of its own: the client that began it may go, others wait for it.
        let task = tokio::spawn(async move {
            let result = call.await;
            if let Ok(answer) = &result {
                let kept = Kept {
                    answer: Arc::clone(answer),
                    since,
                    until,
                };
                answers.kept.insert(key, kept, answer.size);
            }
            answers.lock().remove(&key);
            result
        });
        let flight = async move {
            match task.await {
                Ok(result) => result,
                Err(error) => Err(AuthorizerFault::Failed(error.to_string())),
            }
        };
        let flight = flight.boxed().shared();
        flights.insert(key, flight.clone());
        flight
    }

    /// One call of the function; everything it takes of the request is taken now.
    fn call(
        &self,
        exchange: &Exchange<'_>,
        method_arn: &str,
        identity: &[String],
    ) -> impl Future<Output = Result<Arc<Answer>, AuthorizerFault>> + Send + use<> {
        let (payload, reading) = match &self.input {
            Input::Token { .. } => {
                let token = identity.first().map_or("", String::as_str);
                (events::token_event(token, method_arn), Reading::Rest)
            }
            Input::Request { .. } => (events::request_event(exchange, method_arn), Reading::Rest),
            Input::Http { format, simple, .. } => {
                let event = events::http_event(exchange, *format, method_arn, identity);
                let reading = if *simple {
                    Reading::HttpSimple
                } else {
                    Reading::HttpPolicy
                };
                (event, reading)
            }
        };
        let invocation = Invocation {
            payload: payload.into(),
            invocation_type: InvocationType::RequestResponse,
            qualifier: self.function.qualifier.clone(),
            trace_id: Some(exchange.trace_id.clone()),
            client_context: None,
        };
        let function = self.function.clone();
        async move {
            let failed = AuthorizerFault::Failed;
            let patience = function.patience(TIMEOUT);
            let called = tokio::time::timeout(patience, function.invoke(invocation)).await;
            let outcome = match called {
                Err(_) => return Err(failed(format!("no answer in {TIMEOUT:?}"))),
                Ok(Err(error)) => return Err(failed(error.to_string())),
                Ok(Ok(outcome)) => outcome,
            };
            if outcome.function_error.is_some() {
                return Err(match answer::error_message(&outcome.payload) {
                    Some(message) if message == "Unauthorized" && reading == Reading::Rest => {
                        AuthorizerFault::Unauthorized
                    }
                    _ => failed(format!(
                        "function {} failed: {}",
                        function.name(),
                        String::from_utf8_lossy(&outcome.payload)
                    )),
                });
            }
            answer::read(&outcome.payload, reading)
                .map(Arc::new)
                .map_err(|why| {
                    failed(format!(
                        "function {} answered wrongly: {why}",
                        function.name()
                    ))
                })
        }
    }
}

impl Answers {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Flight>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answers that authorizers keep, by the authorizer's name: they outlive
/// plans. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct AuthorizerAnswers {
    known: Arc<Mutex<HashMap<String, Known>>>,
}

#[derive(Debug)]
struct Known {
    /// Which authorizer gave the answers: another one of the same name has its own.
    making: String,
    answers: Weak<Answers>,
}

impl AuthorizerAnswers {
    fn of(&self, name: &str, making: String, new: &Arc<Answers>) -> Arc<Answers> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, one| one.answers.strong_count() > 0);
        let there = known
            .get(name)
            .filter(|one| one.making == making)
            .and_then(|one| one.answers.upgrade());
        if let Some(there) = there {
            return there;
        }
        let answers = Arc::downgrade(new);
        known.insert(name.to_owned(), Known { making, answers });
        Arc::clone(new)
    }
}

/// What an answer is kept by: the identity, and the code of the function that gave
/// it. A digest: the tokens themselves are not kept.
fn key_of<'v>(identity: impl Iterator<Item = Vec<Cow<'v, str>>>, generation: u64) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&generation.to_be_bytes());
    for values in identity {
        // With their number and lengths, so that two values are not one longer one:
        // the function is told a header that is sent twice otherwise than one with a comma.
        context.update(&(values.len() as u64).to_be_bytes());
        for value in values {
            context.update(&(value.len() as u64).to_be_bytes());
            context.update(value.as_bytes());
        }
    }
    let mut key = [0; 32];
    key.copy_from_slice(context.finish().as_ref());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_do_not_run_into_each_other() {
        let key = |sources: &[&[&'static str]]| {
            let values = sources
                .iter()
                .map(|source| source.iter().map(|one| Cow::from(*one)).collect());
            key_of(values, 0)
        };

        assert_ne!(key(&[&["ab"], &["c"]]), key(&[&["a"], &["bc"]]));
        assert_ne!(key(&[&["a"]]), key(&[&["a"], &[""]]));
        assert_ne!(key(&[&["a", "b"]]), key(&[&["a"], &["b"]]));
        assert_ne!(key(&[&["a", "b"]]), key(&[&["a,b"]]));
        assert_ne!(key(&[&["a,b", "c"]]), key(&[&["a", "b,c"]]));
        assert_eq!(key(&[&["a"], &["b"]]), key(&[&["a"], &["b"]]));
    }
}
