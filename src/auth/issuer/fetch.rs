//! Gets an issuer's documents.
//!
//! No redirects and no proxy: the configuration names the address, and nobody
//! else moves it. Nothing is connected before the first token comes.

use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value as Json;

use super::key_set::KeySet;

/// "Amazon API Gateway quotas": time for discovery and for the key set, each.
const TIMEOUT: Duration = Duration::from_millis(1500);
/// "Amazon API Gateway quotas": size of a key set.
const SIZE_LIMIT: usize = 150_000;

/// Where an issuer's keys are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Location {
    /// `ISSUER/.well-known/openid-configuration` names them.
    Discovery,
    /// Here.
    KeySet(String),
    /// Here, and they are a user pool's: Cognito signs by RS256 and nothing else.
    UserPool(String),
    /// In this process: a local user pool's. Nothing is ever fetched.
    Own,
}

/// The address of an issuer's discovery document.
fn discovery_url(issuer: &str) -> String {
    format!(
        "{}/.well-known/openid-configuration",
        issuer.trim_end_matches('/')
    )
}

/// Asks the issuer where its keys are.
///
/// # Errors
///
/// Why that is not known now.
pub(super) async fn discover(issuer: &str) -> Result<String, String> {
    let url = discovery_url(issuer);
    let text = get(&url).await?;
    let document: Json =
        serde_json::from_slice(&text).map_err(|error| format!("{url} is not JSON: {error}"))?;
    // OpenID Connect Discovery 1.0, 4.3: what another issuer says of its keys must not
    // be used. One that does not say who it is, is held by its tokens' `iss` alone.
    if let Some(told) = document.get("issuer")
        && told.as_str() != Some(issuer)
    {
        return Err(format!("{url} is of another issuer: {told}"));
    }
    let keys = document
        .get("jwks_uri")
        .and_then(Json::as_str)
        .ok_or_else(|| format!("{url} names no `jwks_uri`"))?;
    let plain = keys.starts_with("http://");
    if !plain && !keys.starts_with("https://") {
        return Err(format!("the `jwks_uri` of {url} is no URL"));
    }
    if plain && issuer.starts_with("https://") {
        return Err(format!(
            "the `jwks_uri` of {url} is not encrypted, as its issuer is"
        ));
    }
    Ok(keys.to_owned())
}

/// Gets a key set.
///
/// # Errors
///
/// Why there is none now.
pub(super) async fn key_set(url: &str) -> Result<KeySet, String> {
    let text = get(url).await?;
    KeySet::read(&text).map_err(|why| format!("{url}: {why}"))
}

async fn get(url: &str) -> Result<Vec<u8>, String> {
    let failed = |error: reqwest::Error| crate::function::chain(&error);
    let mut response = client()?.get(url).send().await.map_err(failed)?;
    if response.status() != http::StatusCode::OK {
        return Err(format!("{url} answered {}", response.status().as_u16()));
    }
    let mut text = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(failed)? {
        if text.len() + piece.len() > SIZE_LIMIT {
            return Err(format!("{url} is larger than {SIZE_LIMIT} bytes"));
        }
        text.extend_from_slice(&piece);
    }
    Ok(text)
}

fn client() -> Result<&'static reqwest::Client, String> {
    // One for the whole program: it holds connections, no state of an issuer.
    static CLIENT: OnceLock<Result<reqwest::Client, String>> = OnceLock::new();
    CLIENT
        .get_or_init(|| {
            reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .timeout(TIMEOUT)
                .pool_idle_timeout(Duration::from_secs(10))
                .build()
                .map_err(|error| crate::function::chain(&error))
        })
        .as_ref()
        .map_err(Clone::clone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_at_the_issuers_end_is_not_doubled() {
        assert_eq!(
            discovery_url("https://a.example/"),
            "https://a.example/.well-known/openid-configuration"
        );
        assert_eq!(
            discovery_url("http://h:1/pool"),
            "http://h:1/pool/.well-known/openid-configuration"
        );
    }
}
