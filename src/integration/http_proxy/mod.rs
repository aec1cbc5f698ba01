//! `http_proxy`: an HTTP backend gets the request and its answer goes back.
//!
//! What REST and HTTP APIs share stands here: sending with the integration
//! timeout, and passing the body on as it comes.

pub mod http;
pub mod private;
pub mod rest;

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::http::header::{CONTENT_LENGTH, HOST};
use ::http::{Method, Response};
use http_body::Body as _;
use tokio::time::Instant;

use self::private::PrivateLink;
use super::bounded_body::{BoundedBody, PAYLOAD_LIMIT};
use super::client::{Address, ClientError, HttpClient, Kept, Trust, Upstream};
use super::lambda_stream::Timed;
use super::{IntegrationError, RequestBody};
use crate::base::body::BodyFault;
use crate::base::{Body, HeaderLines};

/// Who holds an origin that nothing but one request knows: its address, and what was found for it.
const USES_OF_ONE_REQUEST: usize = 2;

/// How a backend is reached.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The pools.
    pub client: HttpClient,
    /// From sending to the last byte of the answer; to its head with `stream`.
    pub timeout: Duration,
    /// `tlsConfig.insecureSkipVerification`.
    pub insecure: bool,
    /// `tlsConfig.serverNameToVerify`: the name in the backend's certificate.
    pub server_name: Option<String>,
    /// `connectionType: VPC_LINK`: where the backend is instead of at the address.
    pub link: Option<Arc<PrivateLink>>,
    /// `responseTransferMode: STREAM`: no bound on the answer's bytes.
    pub stream: bool,
    /// The server that is asked: the same for every request, mostly. Begins empty.
    pub upstream: OnceLock<Upstream>,
}

impl Connection {
    /// Sends a request and waits for the answer's head, with the headers that are to be kept.
    ///
    /// # Errors
    ///
    /// A timeout, a backend that cannot be reached, a request body over its
    /// bound, or an answer that announces more than 10 MB.
    pub async fn send(
        &self,
        method: Method,
        address: Address,
        mut headers: HeaderLines,
        body: RequestBody,
        kept: Kept,
    ) -> Result<Response<Body>, IntegrationError> {
        let body = match body {
            RequestBody::Whole(bytes) => Body::from(bytes),
            RequestBody::Streaming(body) => body,
        };
        let wants_length = matches!(method, Method::POST | Method::PUT | Method::PATCH);
        if wants_length && matches!(body, Body::Empty) {
            // An empty body has no framing of its own; AWS sends its length (recorded).
            headers.set(CONTENT_LENGTH.as_str(), b"0");
        }
        let (address, kept_upstream) = self.direct(address, &mut headers)?;
        let upstream = self.upstream(&address, kept_upstream)?;
        let deadline = Instant::now() + self.timeout;
        let target = &address.target;
        let sent = upstream.send(&method, target, &headers, body, kept, Some(deadline));
        let answer = match sent.await {
            Err(ClientError::TimedOut) => return Err(IntegrationError::Timeout(self.timeout)),
            Err(error) => return Err(own_fault(error)),
            Ok(answer) => answer,
        };
        let (parts, body) = answer.into_parts();
        let body = self.answer_body(body, deadline)?;
        Ok(Response::from_parts(parts, body))
    }

    /// The address behind the VPC link, where there is one, and where its connections are kept.
    fn direct(
        &self,
        address: Address,
        headers: &mut HeaderLines,
    ) -> Result<(Address, &OnceLock<Upstream>), IntegrationError> {
        let Some(link) = &self.link else {
            return Ok((address, &self.upstream));
        };
        if link.keeps_host && !headers.contains(HOST.as_str()) {
            headers.push(
                HOST.as_str(),
                address.origin.authority().as_str().as_bytes(),
            );
        }
        link.direct(&address.target).ok_or_else(|| {
            IntegrationError::Configuration(format!("`{address}` has no path for the VPC link"))
        })
    }

    fn upstream<'u>(
        &self,
        address: &Address,
        kept: &'u OnceLock<Upstream>,
    ) -> Result<Cow<'u, Upstream>, IntegrationError> {
        if let Some(known) = kept.get()
            && Arc::ptr_eq(known.origin(), &address.origin)
        {
            return Ok(Cow::Borrowed(known));
        }
        let found = self.client.upstream(&address.origin, self.trust());
        let found = found.map_err(IntegrationError::Network)?;
        // One that only this request names, by a placeholder in the host, is not kept.
        if Arc::strong_count(&address.origin) > USES_OF_ONE_REQUEST {
            let _ = kept.set(found.clone());
        }
        Ok(Cow::Owned(found))
    }

    fn trust(&self) -> Trust<'_> {
        match &self.server_name {
            _ if self.insecure => Trust::Anyone,
            Some(name) => Trust::Name(name),
            None => Trust::Host,
        }
    }

    fn answer_body(&self, body: Body, deadline: Instant) -> Result<Body, IntegrationError> {
        if body.is_end_stream() {
            return Ok(Body::Empty);
        }
        if self.stream {
            return Ok(Body::stream(Timed::new(body)));
        }
        let announced = body.size_hint().lower();
        if announced > PAYLOAD_LIMIT as u64 {
            return Err(IntegrationError::AnswerTooLarge(announced));
        }
        if matches!(body, Body::Full(_)) {
            return Ok(body);
        }
        let bounded = BoundedBody::new(body, PAYLOAD_LIMIT, Some(deadline));
        Ok(Body::stream(bounded))
    }
}

/// A request that failed because the client's body did is the client's fault.
fn own_fault(error: ClientError) -> IntegrationError {
    use std::error::Error;

    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        if error.is::<super::bounded_body::BoundError>() {
            return IntegrationError::PayloadTooLarge;
        }
        if let Some(fault) = error.downcast_ref::<BodyFault>() {
            return IntegrationError::Body(*fault);
        }
        // `io::Error` gives its content's source, not its content.
        if let Some(fault) = error
            .downcast_ref::<std::io::Error>()
            .and_then(|error| error.get_ref()?.downcast_ref::<BodyFault>())
        {
            return IntegrationError::Body(*fault);
        }
        cause = error.source();
    }
    IntegrationError::Network(error)
}

/// The method towards the backend: the integration's, or the client's for `ANY`.
pub(super) fn method_towards(configured: Option<&Method>, client: &Method) -> Method {
    configured.unwrap_or(client).clone()
}
