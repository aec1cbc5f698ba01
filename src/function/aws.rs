//! The real Lambda, with the developer's own credentials.
//!
//! No connection leaves the machine before a request asks for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_config::Region;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvokeWithResponseStreamResponseEvent as Event;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Limited};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::aws_config::AwsConfig;
use super::signature::sign;
use super::streaming::Sink;
use super::{Invocation, InvokeError, Outcome};
use crate::base::{Body, FunctionArn};
use crate::http_client::{HttpClient, Trust};

/// The SDK's clients wait so long for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3100);
/// Over the 6 MB that a function may answer ("Lambda quotas"), written as JSON.
const MOST_ANSWERED: usize = 16 * 1024 * 1024;
/// What stands in an address as it is: the unreserved characters.
const LABEL: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// Who calls, for CloudTrail.
const AGENT: &str = concat!("tollgate/", env!("CARGO_PKG_VERSION"));

/// Lambda's Invoke API, and through the AWS SDK its streaming one.
#[derive(Debug)]
pub struct AwsLambda {
    config: Arc<AwsConfig>,
    http: HttpClient,
    // By region.
    endpoints: Mutex<HashMap<String, Arc<str>>>,
    // One client a region: a function's ARN says where it lives.
    clients: Mutex<HashMap<String, Client>>,
}

impl AwsLambda {
    /// Loads nothing yet.
    pub fn new(config: Arc<AwsConfig>) -> Self {
        Self {
            config,
            http: HttpClient::with_connect_timeout(CONNECT_TIMEOUT),
            endpoints: Mutex::default(),
            clients: Mutex::new(HashMap::new()),
        }
    }

    /// Calls a function.
    ///
    /// The request is written here and not by the SDK, whose layers cost more
    /// than all the rest of a call: same address, credentials and signature.
    ///
    /// # Errors
    ///
    /// What Lambda said, that there are no credentials, or that it cannot be reached.
    pub async fn invoke(
        &self,
        arn: &FunctionArn,
        invocation: Invocation,
    ) -> Result<Outcome, InvokeError> {
        let name = &arn.name;
        let unreachable = |detail: String| InvokeError::Unreachable {
            name: name.clone(),
            detail,
        };
        let region = self.region(arn);
        // Boxed: large, and rarely more than a look.
        let endpoint = Box::pin(self.endpoint(region)).await.map_err(unreachable)?;
        let credentials = Box::pin(self.config.credentials()).await.map_err(|error| {
            InvokeError::NoCredentials {
                name: name.clone(),
                detail: super::chain(&error),
            }
        })?;
        let mut request = self
            .request(&endpoint, arn, invocation)
            .map_err(unreachable)?;
        sign(&mut request, "lambda", region, credentials)
            .map_err(|error| unreachable(super::chain(&error)))?;
        let response = self
            .http
            .send(request.map(Body::from), Trust::Host)
            .await
            .map_err(|error| unreachable(super::chain(&error)))?;
        let (parts, body) = response.into_parts();
        let payload = match body {
            Body::Full(bytes) => bytes,
            body => Limited::new(body, MOST_ANSWERED)
                .collect()
                .await
                .map_err(|error| unreachable(super::chain(error.as_ref())))?
                .to_bytes(),
        };
        let header = |name: &str| {
            let value = parts.headers.get(name)?;
            Some(value.to_str().ok()?.to_owned())
        };
        let status = parts.status.as_u16();
        if parts.status.is_success() {
            return Ok(Outcome {
                status,
                payload,
                function_error: header("x-amz-function-error"),
                time: None,
            });
        }
        let (code, message) = exception(header("x-amzn-errortype"), &payload);
        Err(super::service_error(name, status, &code, message))
    }

    /// The Invoke request without its signature.
    ///
    /// Source: Lambda API reference, "Invoke".
    fn request(
        &self,
        endpoint: &str,
        arn: &FunctionArn,
        invocation: Invocation,
    ) -> Result<Request<Bytes>, String> {
        let name = self.name(arn);
        let name = utf8_percent_encode(&name, LABEL);
        let mut uri = format!("{endpoint}/2015-03-31/functions/{name}/invocations");
        if let Some(qualifier) = &invocation.qualifier {
            uri.push_str("?Qualifier=");
            uri.extend(utf8_percent_encode(qualifier, LABEL));
        }
        let uri: Uri = uri
            .parse()
            .map_err(|error| format!("`{uri}` is no address: {error}"))?;
        let mut request = Request::new(invocation.payload);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.reserve(10);
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        );
        headers.insert(
            "x-amz-invocation-type",
            HeaderValue::from_static(invocation.invocation_type.as_str()),
        );
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let optional = [
            ("x-amzn-trace-id", invocation.trace_id),
            ("x-amz-client-context", invocation.client_context),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                let value = HeaderValue::try_from(value)
                    .map_err(|error| format!("`{name}` has no header value: {error}"))?;
                headers.insert(name, value);
            }
        }
        Ok(request)
    }

    /// Where Lambda is for a region, by the SDK's own rules; without a slash at the end.
    async fn endpoint(&self, region: &str) -> Result<Arc<str>, String> {
        if let Some(known) = lock(&self.endpoints).get(region) {
            return Ok(Arc::clone(known));
        }
        let config = self.config.load().await;
        let other = match &self.config.options().endpoint {
            Some(endpoint) => Some(endpoint.clone()),
            None => {
                let other = self.config.endpoint("Lambda").await;
                other.map(|other| other.url().to_owned())
            }
        };
        let params = Params::builder()
            .region(region)
            .set_use_fips(config.use_fips())
            .set_use_dual_stack(config.use_dual_stack())
            .set_endpoint(other)
            .build()
            .map_err(|error| super::chain(&error))?;
        let resolver = DefaultResolver::new();
        let endpoint = ResolveEndpoint::resolve_endpoint(&resolver, &params)
            .await
            .map_err(|error| super::chain(error.as_ref()))?;
        let endpoint: Arc<str> = endpoint.url().trim_end_matches('/').into();
        lock(&self.endpoints).insert(region.to_owned(), Arc::clone(&endpoint));
        Ok(endpoint)
    }

    fn region<'r>(&'r self, arn: &'r FunctionArn) -> &'r str {
        if arn.region.is_empty() {
            &self.config.options().region
        } else {
            &arn.region
        }
    }

    /// Calls a function and sends its result on in pieces.
    ///
    /// # Errors
    ///
    /// As for [`Self::invoke`]; a failure in the midst is an [`Outcome`] with `function_error`.
    pub(super) async fn invoke_streaming(
        &self,
        arn: &FunctionArn,
        invocation: Invocation,
        sink: Sink,
    ) -> Result<Outcome, InvokeError> {
        let client = self.client(arn).await;
        let mut call = client
            .invoke_with_response_stream()
            .function_name(self.name(arn))
            .set_qualifier(invocation.qualifier)
            .payload(Blob::new(invocation.payload))
            .set_client_context(invocation.client_context)
            .customize();
        if let Some(trace_id) = invocation.trace_id {
            call = call.mutate_request(move |request| {
                request
                    .headers_mut()
                    .insert("x-amzn-trace-id", trace_id.clone());
            });
        }
        let output = call
            .send()
            .await
            .map_err(|error| self.invoke_error(&arn.name, error))?;
        if let Some(kind) = &output.response_stream_content_type {
            sink.begin(kind);
        }
        let mut events = output.event_stream;
        let mut outcome = Outcome {
            status: 200,
            payload: Bytes::new(),
            function_error: None,
            time: None,
        };
        loop {
            match events.recv().await {
                Ok(Some(Event::PayloadChunk(chunk))) => {
                    let piece = chunk.payload.map(Blob::into_inner).unwrap_or_default();
                    if !piece.is_empty() {
                        sink.send(piece.into()).await;
                    }
                }
                Ok(Some(Event::InvokeComplete(end))) => {
                    if let Some(code) = end.error_code {
                        outcome.payload = end.error_details.unwrap_or_default().into();
                        outcome.function_error = Some(code);
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => return Ok(outcome),
                Err(error) => {
                    return Err(InvokeError::Unreachable {
                        name: arn.name.clone(),
                        detail: super::chain(&error),
                    });
                }
            }
        }
    }

    fn name(&self, arn: &FunctionArn) -> String {
        if arn.account.is_empty() {
            arn.name.clone()
        } else {
            arn.unqualified(&self.config.options().region, &arn.account)
        }
    }

    async fn client(&self, arn: &FunctionArn) -> Client {
        let config = self.config.load().await;
        let region = self.region(arn);
        let mut clients = lock(&self.clients);
        if let Some(client) = clients.get(region) {
            return client.clone();
        }
        let mut builder = aws_sdk_lambda::config::Builder::from(config)
            .region(Region::new(region.to_owned()))
            // API Gateway calls once: a retry would run the function twice.
            .retry_config(RetryConfig::disabled());
        if let Some(endpoint) = &self.config.options().endpoint {
            builder = builder.endpoint_url(endpoint);
        }
        let client = Client::from_conf(builder.build());
        clients.insert(region.to_owned(), client.clone());
        client
    }

    fn invoke_error<E>(&self, name: &str, error: SdkError<E>) -> InvokeError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let detail = super::chain(&error);
        let name = name.to_owned();
        match &error {
            SdkError::ServiceError(service) => {
                let status = service.raw().status().as_u16();
                let code = service.err().code().unwrap_or_default();
                let message = service.err().message().unwrap_or_default().to_owned();
                super::service_error(&name, status, code, message)
            }
            // Credentials are asked for before anything is sent.
            _ if detail.contains("redentials") => InvokeError::NoCredentials { name, detail },
            _ => InvokeError::Unreachable { name, detail },
        }
    }
}

/// What Lambda calls an error, and its message: the code from the header or the
/// body, as AWS's restJson1 protocol orders it.
fn exception(header: Option<String>, body: &[u8]) -> (String, String) {
    let json = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
    let text = |names: &[&str]| {
        names
            .iter()
            .find_map(|name| json.get(name)?.as_str().map(str::to_owned))
    };
    let code = header
        .or_else(|| text(&["code", "__type"]))
        .unwrap_or_default();
    // `aws.protocoltests#FooError:http://...` is `FooError`.
    let code = code.split(':').next().unwrap_or_default();
    let code = code.rsplit('#').next().unwrap_or_default().to_owned();
    let message = text(&["message", "Message", "errorMessage"]).unwrap_or_default();
    (code, message)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::InvocationType;
    use super::super::aws_config::AwsOptions;
    use super::*;

    fn invocation() -> Invocation {
        Invocation {
            payload: Bytes::from_static(b"{}"),
            invocation_type: InvocationType::Event,
            qualifier: Some("live".to_owned()),
            trace_id: Some("Root=1".to_owned()),
            client_context: None,
        }
    }

    fn lambda(endpoint: Option<&str>) -> AwsLambda {
        AwsLambda::new(Arc::new(AwsConfig::new(AwsOptions {
            region: "eu-west-1".to_owned(),
            profile: None,
            endpoint: endpoint.map(str::to_owned),
        })))
    }

    #[tokio::test]
    async fn the_endpoint_is_the_regions_or_the_one_that_was_set() {
        let own = lambda(None);
        let other = lambda(Some("http://127.0.0.1:1/base/"));

        let china = own.endpoint("cn-north-1").await.unwrap();

        assert_eq!(&*china, "https://lambda.cn-north-1.amazonaws.com.cn");
        assert_eq!(
            &*other.endpoint("us-east-1").await.unwrap(),
            "http://127.0.0.1:1/base"
        );
    }

    #[test]
    fn a_function_of_another_account_is_named_by_its_arn() {
        let arn =
            FunctionArn::parse("arn:aws:lambda:us-east-1:123456789012:function:orders").unwrap();

        let request = lambda(None)
            .request("https://lambda.us-east-1.amazonaws.com", &arn, invocation())
            .unwrap();

        assert_eq!(
            request.uri(),
            "https://lambda.us-east-1.amazonaws.com/2015-03-31/functions/\
             arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Aorders/invocations?Qualifier=live"
        );
        assert_eq!(request.headers()["x-amz-invocation-type"], "Event");
        assert_eq!(request.headers()["x-amzn-trace-id"], "Root=1");
    }

    #[test]
    fn an_exception_is_named_by_header_or_body() {
        let named = |header: Option<&str>, body: &str| {
            exception(header.map(str::to_owned), body.as_bytes())
        };
        assert_eq!(
            named(
                Some("TooManyRequestsException:http://x"),
                r#"{"Message":"slow"}"#
            ),
            ("TooManyRequestsException".to_owned(), "slow".to_owned())
        );
        assert_eq!(
            named(
                None,
                r#"{"__type":"com.amazonaws#AccessDeniedException","message":"no"}"#
            ),
            ("AccessDeniedException".to_owned(), "no".to_owned())
        );
        assert_eq!(named(None, "<html>"), (String::new(), String::new()));
    }
}
