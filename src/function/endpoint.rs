//! A function behind any endpoint that speaks the Lambda Invoke API: another
//! emulator, a test double, a function served by another tool.

use std::sync::OnceLock;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Invocation, InvocationType, InvokeError, Outcome};

/// One function at an endpoint.
#[derive(Debug)]
pub struct EndpointFunction {
    name: String,
    url: String,
}

impl EndpointFunction {
    /// The function `name` at `url`, `http://127.0.0.1:9001`. Nothing is connected yet.
    pub fn new(name: &str, url: &str) -> Self {
        Self {
            name: name.to_owned(),
            url: url.trim_end_matches('/').to_owned(),
        }
    }

    /// Calls it.
    ///
    /// # Errors
    ///
    /// What the endpoint said, or that it cannot be reached.
    pub async fn invoke(&self, invocation: Invocation) -> Result<Outcome, InvokeError> {
        let unreachable = |error: reqwest::Error| InvokeError::Unreachable {
            name: self.name.clone(),
            detail: super::chain(&error),
        };
        let name = utf8_percent_encode(&self.name, NON_ALPHANUMERIC);
        let mut url = format!("{}/2015-03-31/functions/{name}/invocations", self.url);
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
        let response = request.send().await.map_err(unreachable)?;
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
        let payload = response.bytes().await.map_err(unreachable)?;
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
