//! The developer's AWS configuration: region, profile, credentials, endpoints.
//!
//! One of it serves everything that calls AWS (functions, service actions), and
//! nothing of it is read before the first call: reading profiles and root
//! certificates takes time that a start without such a call must not pay.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_types::service_config::ServiceConfigKey;
use tokio::sync::OnceCell;

use crate::base::Clock;

/// The SDK's identity cache: credentials are asked for anew so long before they expire.
const BEFORE_EXPIRY: Duration = Duration::from_secs(10);
/// The SDK's identity cache: credentials that name no end are kept so long.
const WITHOUT_EXPIRY: Duration = Duration::from_secs(15 * 60);
/// The SDK's identity cache: a provider has so long to give credentials.
const PROVIDER_TIMEOUT: Duration = Duration::from_secs(5);

/// How AWS is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwsOptions {
    /// Region for functions whose ARN has none.
    pub region: String,
    /// Profile of the shared configuration files.
    pub profile: Option<String>,
    /// Endpoint instead of Lambda's own; `AWS_ENDPOINT_URL_LAMBDA` does the same.
    pub endpoint: Option<String>,
}

/// The SDK's configuration, loaded at the first call and then kept.
#[derive(Debug)]
pub struct AwsConfig {
    options: AwsOptions,
    loaded: OnceCell<SdkConfig>,
    kept: Mutex<Option<Kept>>,
    // One asks the provider at a time; the others take what it got.
    asking: tokio::sync::Mutex<()>,
}

/// Credentials and until when they are used without asking again.
#[derive(Debug)]
struct Kept {
    credentials: Credentials,
    until: SystemTime,
}

/// Where a service is reached instead of at AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointOverride {
    /// By a setting for this service alone: `AWS_ENDPOINT_URL_SQS`.
    Service(String),
    /// By a setting for all services: `AWS_ENDPOINT_URL`.
    All(String),
}

impl EndpointOverride {
    /// The address.
    pub fn url(&self) -> &str {
        match self {
            Self::Service(url) | Self::All(url) => url,
        }
    }
}

impl AwsConfig {
    /// Loads nothing yet.
    pub fn new(options: AwsOptions) -> Self {
        Self {
            options,
            loaded: OnceCell::new(),
            kept: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// What was configured.
    pub fn options(&self) -> &AwsOptions {
        &self.options
    }

    /// The configuration, by the SDK's chain of providers.
    pub async fn load(&self) -> &SdkConfig {
        self.loaded
            .get_or_init(|| async {
                let mut loader = aws_config::defaults(BehaviorVersion::latest())
                    .region(Region::new(self.options.region.clone()));
                if let Some(profile) = &self.options.profile {
                    loader = loader.profile_name(profile);
                }
                loader.load().await
            })
            .await
    }

    /// The developer's credentials, kept as the SDK's own clients keep them.
    ///
    /// # Errors
    ///
    /// What the chain of providers says, or that it took over 5 seconds.
    pub async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        if let Some(credentials) = self.kept() {
            return Ok(credentials);
        }
        let _asking = self.asking.lock().await;
        if let Some(credentials) = self.kept() {
            return Ok(credentials);
        }
        let config = self.load().await;
        let provider = config
            .credentials_provider()
            .ok_or_else(|| CredentialsError::not_loaded("there is no credentials provider"))?;
        let credentials = tokio::time::timeout(PROVIDER_TIMEOUT, provider.provide_credentials())
            .await
            .map_err(|_| CredentialsError::provider_timed_out(PROVIDER_TIMEOUT))??;
        let until = credentials
            .expiry()
            .map_or_else(|| now() + WITHOUT_EXPIRY, |expiry| expiry - BEFORE_EXPIRY);
        let kept = Kept {
            credentials: credentials.clone(),
            until,
        };
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        Ok(credentials)
    }

    fn kept(&self) -> Option<Credentials> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = kept.as_ref().filter(|kept| now() < kept.until)?;
        Some(kept.credentials.clone())
    }

    /// The endpoint that the environment or the profile names for a service.
    ///
    /// `service_id` is the service's id in the AWS SDKs, `EventBridge`; it makes
    /// `AWS_ENDPOINT_URL_EVENTBRIDGE`.
    ///
    /// Source: AWS SDKs and Tools reference guide, "Service-specific endpoints".
    pub async fn endpoint(&self, service_id: &str) -> Option<EndpointOverride> {
        let config = self.load().await;
        let key = ServiceConfigKey::builder()
            .service_id(service_id)
            .env("AWS_ENDPOINT_URL")
            .profile("endpoint_url")
            .build()
            .ok();
        let own = key.and_then(|key| config.service_config()?.load_config(key));
        let all = config.endpoint_url().map(str::to_owned);
        match (own, all) {
            // The SDK falls back from the service's own setting to the common one.
            (Some(own), Some(all)) if own == all => Some(EndpointOverride::All(all)),
            (Some(own), _) => Some(EndpointOverride::Service(own)),
            (None, all) => all.map(EndpointOverride::All),
        }
    }
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Clock::System.since_epoch()
}
