//! Signed requests to AWS services, with the developer's credentials or those of
//! a role.
//!
//! Profiles are read and credentials asked for at the first call: a start
//! without such an integration must not pay for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::Request;
use hyper::body::Incoming;
use tokio::sync::{Mutex, OnceCell};

use crate::base::{Body, Clock};
use crate::integration::client::{ClientError, HttpClient};

/// Credentials without an end are asked for again after this time.
const KEPT: Duration = Duration::from_secs(900);
/// Credentials are renewed this long before they end.
const MARGIN: Duration = Duration::from_secs(300);

/// Signs and sends. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AwsClient(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    http: HttpClient,
    region: String,
    profile: Option<String>,
    clock: Clock,
    config: OnceCell<SdkConfig>,
    /// By role; the developer's own under the empty name.
    credentials: Mutex<HashMap<String, (Credentials, Duration)>>,
}

/// For whom a request is signed.
#[derive(Clone, Copy, Debug)]
pub struct Signature<'s> {
    /// The service's signing name.
    pub service: &'s str,
    /// The region.
    pub region: &'s str,
    /// The role that is assumed for it.
    pub role: Option<&'s str>,
}

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// There are no credentials, or the role cannot be assumed.
    #[error("no AWS credentials{}: {detail}", .role.as_deref().map(|role| format!(" of the role {role}")).unwrap_or_default())]
    Credentials {
        /// The role, where one was to be assumed.
        role: Option<String>,
        /// What the provider said.
        detail: String,
    },
    /// The request cannot be signed.
    #[error("the request cannot be signed: {0}")]
    Signing(String),
    /// The service cannot be reached.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl AwsClient {
    /// Loads nothing yet.
    pub fn new(http: HttpClient, region: String, profile: Option<String>) -> Self {
        Self(Arc::new(Inner {
            http,
            region,
            profile,
            clock: Clock::System,
            config: OnceCell::new(),
            credentials: Mutex::default(),
        }))
    }

    /// Signs a request and sends it.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub async fn send(
        &self,
        mut request: Request<Bytes>,
        signature: Signature<'_>,
    ) -> Result<http::Response<Incoming>, SendError> {
        let credentials = self.credentials(signature.role).await?;
        self.sign(&mut request, &credentials, signature)?;
        Ok(self.0.http.send(request.map(Body::from), false).await?)
    }

    fn sign(
        &self,
        request: &mut Request<Bytes>,
        credentials: &Credentials,
        signature: Signature<'_>,
    ) -> Result<(), SendError> {
        let fault =
            |error: &dyn std::error::Error| SendError::Signing(crate::function::chain(error));
        let mut settings = SigningSettings::default();
        if signature.service == "s3" {
            // S3 signs the path as it stands, and wants the body's hash.
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        let identity = credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(signature.region)
            .name(signature.service)
            .time(UNIX_EPOCH + self.0.clock.since_epoch())
            .settings(settings)
            .build()
            .map_err(|error| fault(&error))?
            .into();
        // Only these are signed: others may be respelt on the way.
        let signed: Vec<(String, String)> = request
            .headers()
            .iter()
            .filter(|(name, _)| {
                let name = name.as_str();
                name == "content-type" || name == "host" || name.starts_with("x-amz-")
            })
            .map(|(name, value)| {
                let value = crate::event::headers::text_of(value.as_bytes()).into_owned();
                (name.as_str().to_owned(), value)
            })
            .collect();
        let uri = request.uri().to_string();
        let signable = SignableRequest::new(
            request.method().as_str(),
            uri,
            signed
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
            SignableBody::Bytes(request.body()),
        )
        .map_err(|error| fault(&error))?;
        let (instructions, _) = sign(signable, &parameters)
            .map_err(|error| fault(&error))?
            .into_parts();
        instructions.apply_to_request_http1x(request);
        Ok(())
    }

    async fn credentials(&self, role: Option<&str>) -> Result<Credentials, SendError> {
        let now = self.0.clock.since_epoch();
        let key = role.unwrap_or_default();
        // One asks at a time: the others find what it got.
        let mut known = self.0.credentials.lock().await;
        if let Some((credentials, until)) = known.get(key)
            && now < *until
        {
            return Ok(credentials.clone());
        }
        let fault = |error: &dyn std::error::Error| SendError::Credentials {
            role: role.map(str::to_owned),
            detail: crate::function::chain(error),
        };
        let config = self.0.config.get_or_init(|| self.load()).await;
        let credentials = match role {
            Some(role) => AssumeRoleProvider::builder(role)
                .session_name("BackplaneAssumeRoleSession")
                .configure(config)
                .build()
                .await
                .provide_credentials()
                .await
                .map_err(|error| fault(&error))?,
            None => match config.credentials_provider() {
                Some(provider) => provider
                    .provide_credentials()
                    .await
                    .map_err(|error| fault(&error))?,
                None => {
                    return Err(SendError::Credentials {
                        role: None,
                        detail: "no provider is configured".to_owned(),
                    });
                }
            },
        };
        let until = credentials
            .expiry()
            .and_then(|expiry| expiry.duration_since(UNIX_EPOCH).ok())
            .map_or(now + KEPT, |expiry| expiry.saturating_sub(MARGIN));
        known.insert(key.to_owned(), (credentials.clone(), until));
        Ok(credentials)
    }

    async fn load(&self) -> SdkConfig {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(self.0.region.clone()));
        if let Some(profile) = &self.0.profile {
            loader = loader.profile_name(profile);
        }
        loader.load().await
    }
}
