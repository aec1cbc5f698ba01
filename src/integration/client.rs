//! The connections to HTTP backends: pooled, plain HTTP/1.1, bytes passed on.
//!
//! hyper-util's client is used and not reqwest: reqwest reads addresses by the
//! URL standard, which resolves `..`, `%2e%2e` and backslashes, so that
//! `/a/../admin` would reach `/admin` although `/a/{proxy+}` was matched.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::base::Body;

/// How long a connection without work is kept.
const IDLE: Duration = Duration::from_secs(60);
/// The most header lines of a backend's answer; hyper's own default is 100.
const MAX_HEADERS: usize = 512;

/// Clients that share their pools by being cloned.
#[derive(Clone, Default)]
pub struct HttpClient {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    plain: OnceLock<Client<HttpConnector, Body>>,
    // Building one reads the system's root certificates: not before it is needed.
    verified: OnceLock<Client<HttpsConnector<HttpConnector>, Body>>,
    unverified: OnceLock<Client<HttpsConnector<HttpConnector>, Body>>,
    // One a name of the configuration: as many as it has.
    named: Mutex<HashMap<String, Client<HttpsConnector<HttpConnector>, Body>>>,
}

/// Whose certificate a TLS backend must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust<'t> {
    /// The host's of the address.
    Host,
    /// This name's.
    Name(&'t str),
    /// Anyone's: who signed it is not checked.
    Anyone,
}

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The backend could not be reached, or broke the protocol.
    #[error("the backend cannot be reached or broke off")]
    Exchange(#[source] hyper_util::client::legacy::Error),
    /// The system has no usable root certificates.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

impl HttpClient {
    /// Sends a request; its address tells plain or TLS.
    ///
    /// # Errors
    ///
    /// When no answer's head came: see [`ClientError`].
    pub async fn send(
        &self,
        request: Request<Body>,
        trust: Trust<'_>,
    ) -> Result<Response<Incoming>, ClientError> {
        let https = request.uri().scheme_str() == Some("https");
        let sent = match (https, trust) {
            (false, _) => {
                self.inner
                    .plain
                    .get_or_init(|| builder().build(connector()))
                    .request(request)
                    .await
            }
            (true, Trust::Host) => self.verified()?.request(request).await,
            (true, Trust::Name(name)) => self.named(name)?.request(request).await,
            (true, Trust::Anyone) => {
                self.inner
                    .unverified
                    .get_or_init(|| builder().build(tls::unverified()))
                    .request(request)
                    .await
            }
        };
        sent.map_err(ClientError::Exchange)
    }

    fn verified(&self) -> Result<&Client<HttpsConnector<HttpConnector>, Body>, ClientError> {
        if let Some(client) = self.inner.verified.get() {
            return Ok(client);
        }
        let https = HttpsConnectorBuilder::new()
            .try_with_platform_verifier()
            .map_err(|error| ClientError::Tls(error.to_string()))?
            .https_only()
            .enable_http1()
            .wrap_connector(connector());
        Ok(self.inner.verified.get_or_init(|| builder().build(https)))
    }
}

impl HttpClient {
    /// The client that wants a certificate of `name`, whatever the address.
    fn named(
        &self,
        name: &str,
    ) -> Result<Client<HttpsConnector<HttpConnector>, Body>, ClientError> {
        let mut named = self
            .inner
            .named
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = named.get(name) {
            return Ok(client.clone());
        }
        let server_name = rustls::pki_types::ServerName::try_from(name.to_owned())
            .map_err(|_| ClientError::Tls(format!("`{name}` is no server name")))?;
        let https = HttpsConnectorBuilder::new()
            .try_with_platform_verifier()
            .map_err(|error| ClientError::Tls(error.to_string()))?
            .https_only()
            .with_server_name_resolver(hyper_rustls::FixedServerNameResolver::new(server_name))
            .enable_http1()
            .wrap_connector(connector());
        let client = builder().build(https);
        named.insert(name.to_owned(), client.clone());
        Ok(client)
    }
}

impl std::fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HttpClient")
    }
}

fn builder() -> hyper_util::client::legacy::Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(1024)
        .http1_max_headers(MAX_HEADERS);
    builder
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_keepalive(Some(IDLE));
    connector
}

/// `tlsConfig.insecureSkipVerification`.
mod tls {
    use std::sync::Arc;

    use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
    use hyper_util::client::legacy::connect::HttpConnector;
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::{
        CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
    };
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{DigitallySignedStruct, Error, SignatureScheme};

    /// Accepts any certificate; the handshake's signatures are still checked.
    #[derive(Debug)]
    struct AnyCertificate(Arc<CryptoProvider>);

    impl ServerCertVerifier for AnyCertificate {
        fn verify_server_cert(
            &self,
            _certificate: &CertificateDer<'_>,
            _intermediates: &[CertificateDer<'_>],
            _name: &ServerName<'_>,
            _ocsp: &[u8],
            _now: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(
                message,
                certificate,
                signed,
                &self.0.signature_verification_algorithms,
            )
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(
                message,
                certificate,
                signed,
                &self.0.signature_verification_algorithms,
            )
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }

    pub(super) fn unverified() -> HttpsConnector<HttpConnector> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Arc::new(AnyCertificate(Arc::clone(&provider)));
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("aws-lc-rs supports rustls's default protocol versions")
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_only()
            .enable_http1()
            .wrap_connector(super::connector())
    }
}
