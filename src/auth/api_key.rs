//! API keys: which one a request shows, and whether it counts in a stage.
//!
//! Source: API Gateway developer guide, "Usage plans and API keys for REST APIs"
//! and "Choose an API key source". Limits of the plans are not this file's.

use std::sync::Arc;

use aws_lc_rs::digest;
use indexmap::IndexMap;

use crate::event::Exchange;
use crate::model::ApiKeySource;
use crate::model::settings::Settings;

/// A key that counts.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its value, a secret.
    pub value: String,
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ApiKey({})", self.id)
    }
}

/// The keys that count in a stage.
#[derive(Debug)]
pub struct ApiKeys {
    source: ApiKeySource,
    /// By digest of the value, so that how long a look-up takes tells nothing of a value.
    keys: IndexMap<[u8; 32], Arc<ApiKey>>,
}

impl ApiKeys {
    /// The enabled keys that are in a usage plan.
    pub fn new(settings: &Settings, source: ApiKeySource) -> Self {
        let in_a_plan = |id: &str, name: &str| {
            settings
                .usage_plans
                .iter()
                .flat_map(|plan| &plan.api_keys)
                .any(|key| key.value == id || key.value == name)
        };
        let keys = settings
            .api_keys
            .iter()
            .filter(|key| key.enabled && in_a_plan(&key.id, &key.name))
            .map(|key| {
                let entry = ApiKey {
                    id: key.id.clone(),
                    name: key.name.clone(),
                    value: key.value.clone(),
                };
                (hash(&key.value), Arc::new(entry))
            })
            .collect();
        Self { source, keys }
    }

    /// The key that a request shows; `usage_identifier` is what its authorizer
    /// says. `None` is a 403.
    pub fn find(
        &self,
        exchange: &Exchange<'_>,
        usage_identifier: Option<&str>,
    ) -> Option<&Arc<ApiKey>> {
        match self.source {
            ApiKeySource::Header => {
                let mut values = exchange.headers().all("x-api-key");
                let (value, None) = (values.next()?, values.next()) else {
                    // Two keys are no key: limits must not be a matter of luck.
                    return None;
                };
                self.keys.get(&hash(&value))
            }
            ApiKeySource::Authorizer => self.keys.get(&hash(usage_identifier?)),
        }
    }
}

fn hash(value: &str) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, value.as_bytes());
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref());
    hash
}
