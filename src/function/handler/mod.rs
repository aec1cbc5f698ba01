//! Handlers inside the program: built in, or registered by an embedding program.

mod built_in;
mod directory;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::response::IntoResponse;
use bytes::Bytes;
use http::{Request, Response};
use indexmap::IndexMap;

use crate::base::Body;
pub use directory::Directory;

/// What a handler gives back, some time later.
pub type HandlerFuture = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// Answers requests inside the program.
///
/// Implemented for every `async fn(Request<Bytes>) -> impl IntoResponse`; the
/// request's path and query are as sent, and a [`HandlerContext`] stands in its
/// extensions.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request.
    fn call(&self, request: Request<Bytes>) -> HandlerFuture;
}

impl<F, Fut> Handler for F
where
    F: Fn(Request<Bytes>) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: IntoResponse,
{
    fn call(&self, request: Request<Bytes>) -> HandlerFuture {
        let answer = self(request);
        Box::pin(async move {
            use http_body_util::BodyExt;

            let response = answer.await.into_response();
            response.map(|body| Body::stream(body.map_err(Into::into)))
        })
    }
}

/// What the gateway knows of a request that a handler gets.
#[derive(Clone, Debug, Default)]
pub struct HandlerContext {
    /// The request's id.
    pub request_id: String,
    /// The client's address.
    pub source_ip: String,
    /// The stage's name.
    pub stage: String,
    /// Stage variables.
    pub stage_variables: IndexMap<String, String>,
    /// The route's path as declared.
    pub resource_path: String,
    /// The route's variables, as sent.
    pub path_parameters: IndexMap<String, String>,
    /// Who calls, as `requestContext.authorizer` of an event tells it: claims, what
    /// a Lambda authorizer said, or who signed. Null where nobody was asked.
    pub authorizer: serde_json::Value,
}

/// Handlers by name.
#[derive(Clone, Default)]
pub struct Handlers {
    own: IndexMap<String, Arc<dyn Handler>>,
}

impl Handlers {
    /// Registers a handler; one that is built in may be replaced.
    pub fn insert(&mut self, name: impl Into<String>, handler: Arc<dyn Handler>) {
        self.own.insert(name.into(), handler);
    }

    /// Finds a handler by what stands after `local:`.
    ///
    /// Built in are `echo`, `health`, and `static/FOLDER`, whose folder starts
    /// from `directory`.
    ///
    /// # Errors
    ///
    /// Why there is none, and which there are.
    pub fn find(
        &self,
        name: &str,
        directory: &std::path::Path,
    ) -> Result<Arc<dyn Handler>, String> {
        if let Some(handler) = self.own.get(name) {
            return Ok(Arc::clone(handler));
        }
        match name
            .split_once('/')
            .map_or((name, None), |(name, rest)| (name, Some(rest)))
        {
            ("echo", None) => Ok(Arc::new(built_in::echo)),
            ("health", None) => Ok(Arc::new(built_in::health)),
            ("static", folder) => {
                let folder = directory.join(folder.unwrap_or("."));
                let root = folder.canonicalize().map_err(|error| {
                    format!("the folder {} cannot be served: {error}", folder.display())
                })?;
                Ok(Arc::new(Directory::new(root)))
            }
            _ => {
                let known: Vec<&str> = self
                    .own
                    .keys()
                    .map(String::as_str)
                    .chain(["echo", "health", "static/FOLDER"])
                    .collect();
                Err(format!(
                    "there is no handler `{name}`; there are {}",
                    known.join(", ")
                ))
            }
        }
    }
}

impl std::fmt::Debug for Handlers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.own.keys()).finish()
    }
}
