//! The developer's AWS configuration: region, profile, credentials, endpoints.
//!
//! One of it serves everything that calls AWS (functions, service actions), and
//! nothing of it is read before the first call: reading profiles and root
//! certificates takes time that a start without such a call must not pay.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_types::service_config::ServiceConfigKey;
use tokio::sync::OnceCell;

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
