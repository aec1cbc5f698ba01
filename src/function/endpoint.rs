//! A function behind any endpoint that speaks the Lambda Invoke API: another
//! emulator, a test double, a function served by another tool.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::event_stream::{Event, EventReader};
use super::streaming::Sink;
use super::{Invocation, InvocationType, InvokeError, Outcome};

/// The format of Lambda's streams.
const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

/// One function at an endpoint.
#[derive(Debug)]
pub struct EndpointFunction {
    name: String,
    url: String,
    /// The endpoint was asked for a stream and knows no such call.
    has_no_streams: AtomicBool,
}

impl EndpointFunction {
    /// The function `name` at `url`, `http://127.0.0.1:9001`. Nothing is connected yet.
    pub fn new(name: &str, url: &str) -> Self {
        Self {
            name: name.to_owned(),
            url: url.trim_end_matches('/').to_owned(),
            has_no_streams: AtomicBool::new(false),
        }
    }

    /// Calls it.
    ///
    /// # Errors
    ///
    /// What the endpoint said, or that it cannot be reached.
    pub async fn invoke(&self, invocation: Invocation) -> Result<Outcome, InvokeError> {
        let response = self.send("2015-03-31", "invocations", invocation).await?;
        self.outcome(response).await
    }

    /// Calls it and sends its result on in pieces (InvokeWithResponseStream). An
    /// endpoint that knows no such call is asked for the whole result.
    ///
    /// # Errors
    ///
    /// As for [`Self::invoke`]; a failure in the midst is an [`Outcome`] with `function_error`.
    pub(super) async fn invoke_streaming(
        &self,
        invocation: Invocation,
        sink: Sink,
    ) -> Result<Outcome, InvokeError> {
        if self.has_no_streams.load(Ordering::Relaxed) {
            return self.invoke(invocation).await;
        }
        let again = invocation.clone();
        let response = self
            .send("2021-11-15", "response-streaming-invocations", invocation)
            .await?;
        let status = response.status();
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        // Lambda names its errors; a path that a server does not know has no such name.
        let is_unknown =
            matches!(status.as_u16(), 404 | 405 | 501) && header("x-amzn-errortype").is_none();
        if is_unknown {
            self.has_no_streams.store(true, Ordering::Relaxed);
            return self.invoke(again).await;
        }
        let is_stream = header("content-type").is_some_and(|kind| kind.starts_with(EVENT_STREAM));
        if !status.is_success() || !is_stream {
            return self.outcome(response).await;
        }
        if let Some(kind) = header("x-amzn-remapped-content-type") {
            sink.begin(kind);
        }
        let broken = |detail: String| InvokeError::Unreachable {
            name: self.name.clone(),
            detail,
        };
        let mut events = EventReader::default();
        let mut response = response;
        loop {
            while let Some(event) = events.next().map_err(&broken)? {
                match event {
                    Event::Payload(piece) => sink.send(piece).await,
                    Event::Complete(outcome) => return Ok(outcome),
                }
            }
            match response.chunk().await {
                Ok(Some(bytes)) => events.add(&bytes),
                Ok(None) => {
                    return Err(broken("the stream ended before it was complete".to_owned()));
                }
                Err(error) => return Err(broken(super::chain(&error))),
            }
        }
    }

    async fn send(
        &self,
        version: &str,
        call: &str,
        invocation: Invocation,
    ) -> Result<reqwest::Response, InvokeError> {
        let name = utf8_percent_encode(&self.name, NON_ALPHANUMERIC);
        let mut url = format!("{}/{version}/functions/{name}/{call}", self.url);
        if let Some(qualifier) = &invocation.qualifier {
            url = format!(
                "{url}?Qualifier={}",
                utf8_percent_encode(qualifier, NON_ALPHANUMERIC)
            );
        }
        let mut request = client()
            .post(url)
            .header("content-type", "application/json")
            .header("x-amz-invocation-type", invocation.invocation_type.as_str())
            .body(invocation.payload);
        if let Some(trace_id) = &invocation.trace_id {
            request = request.header("x-amzn-trace-id", trace_id);
        }
        if let Some(context) = &invocation.client_context {
            request = request.header("x-amz-client-context", context);
        }
        request
            .send()
            .await
            .map_err(|error| self.unreachable(&error))
    }

    fn unreachable(&self, error: &reqwest::Error) -> InvokeError {
        InvokeError::Unreachable {
            name: self.name.clone(),
            detail: super::chain(error),
        }
    }

    /// What a whole answer says.
    async fn outcome(&self, response: reqwest::Response) -> Result<Outcome, InvokeError> {
        let status = response.status().as_u16();
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        let function_error = header("x-amz-function-error");
        let code = header("x-amzn-errortype");
        let payload = response
            .bytes()
            .await
            .map_err(|error| self.unreachable(&error))?;
        if (200..300).contains(&status) {
            return Ok(Outcome {
                status,
                payload,
                function_error,
                time: None,
            });
        }
        let detail = serde_json::from_slice::<serde_json::Value>(&payload)
            .ok()
            .and_then(|json| {
                ["message", "Message"]
                    .iter()
                    .find_map(|key| json.get(key)?.as_str().map(str::to_owned))
            })
            .unwrap_or_else(|| {
                String::from_utf8_lossy(&payload)
                    .chars()
                    .take(200)
                    .collect()
            });
        let code = code.unwrap_or_default();
        Err(super::service_error(
            &self.name,
            status,
            code.split([':', '#']).next().unwrap_or_default(),
            detail,
        ))
    }
}

/// One client for all endpoints; no proxy, no redirects: the endpoint is what the configuration names.
fn client() -> &'static reqwest::Client {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    CLIENT.get_or_init(|| {
        reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .build()
            .unwrap_or_default()
    })
}

impl InvocationType {
    /// As Lambda's Invoke API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequestResponse => "RequestResponse",
            Self::Event => "Event",
            Self::DryRun => "DryRun",
        }
    }
}
