//! Flags of `serve` on who may pass: the local user pool, and doing without authorizers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value as Json;

use crate::model::settings::Settings;

/// Who may pass.
#[derive(Args, Clone, Debug, Default)]
pub struct AuthOptions {
    /// Run the Cognito user pools that the definitions name beside the gateway, on the control
    /// plane's port; where they name none, one of the id REGION_local
    #[arg(long, env = "TOLLGATE_USER_POOL")]
    pub user_pool: bool,

    /// Ask no authorizer and check no signature: everybody passes. Only on loopback
    #[arg(long, env = "TOLLGATE_NO_AUTH")]
    pub no_auth: bool,

    /// JSON file with the claims, or the Lambda authorizer's context, that every caller has
    /// with --no-auth
    #[arg(
        long,
        value_name = "FILE",
        env = "TOLLGATE_CLAIMS",
        requires = "no_auth"
    )]
    pub claims: Option<PathBuf>,
}

impl AuthOptions {
    /// Puts the flags over the configuration.
    ///
    /// # Errors
    ///
    /// Where the file of claims cannot be read or is no JSON object.
    pub fn put_over(&self, settings: &mut Settings) -> Result<()> {
        settings.user_pool_for_all |= self.user_pool;
        if !self.no_auth {
            return Ok(());
        }
        let claims = match &self.claims {
            None => serde_json::Map::new(),
            Some(path) => {
                let name = path.display();
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read the file {name} of --claims"))?;
                match serde_json::from_str(&text) {
                    Ok(Json::Object(claims)) => claims,
                    Ok(_) => bail!("the file {name} of --claims is no JSON object"),
                    Err(error) => bail!("the file {name} of --claims is no JSON: {error}"),
                }
            }
        };
        settings.no_auth = Some(Arc::new(claims));
        Ok(())
    }

    /// Refuses to let everybody pass who can reach another address than loopback, and
    /// says loudly that everybody passes.
    ///
    /// # Errors
    ///
    /// Where one of the addresses is not loopback.
    pub fn check_addresses(&self, addresses: &[SocketAddr]) -> Result<()> {
        if !self.no_auth {
            return Ok(());
        }
        if let Some(open) = addresses.iter().find(|one| !one.ip().is_loopback()) {
            bail!(
                "--no-auth lets everybody pass, and {} can be reached from other machines: leave --host at 127.0.0.1, or --no-auth out",
                open.ip()
            );
        }
        tracing::warn!(
            "NO AUTHORIZATION: --no-auth lets every request pass without token, signature or Lambda authorizer"
        );
        Ok(())
    }
}
