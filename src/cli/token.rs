//! `tollgate token`: a token of a local user pool, made from the keys it keeps.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::{Common, load, print};
use crate::auth::user_pool::{ADMIN_SCOPE, Grant, UserPool, UserPools};
use crate::base::Clock;
use crate::model::user_pool::UserPoolClient;
use crate::source::Severity;

/// Print a token of a local user pool
///
/// It is made from the keys in .tollgate/, whether a gateway runs or not, and no password
/// is asked for. A user that the pool knows has his own sub, attributes and groups. Without
/// --id or --access it is an access token where scopes are asked for, else an id token.
#[derive(Args, Debug)]
pub struct Token {
    /// Which definitions are read, and how.
    #[command(flatten)]
    pub common: Common,

    /// Whose token
    #[arg(long, value_name = "NAME")]
    user: String,

    /// A group that the user is in, beside his own; may be repeated
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,

    /// A scope of the access token; may be repeated
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,

    /// How long it holds: 90s, 30m, 1h, 7d [default: what the client says]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    expires: Option<Duration>,

    /// App client [default: the pool's first]
    #[arg(long, value_name = "ID")]
    client: Option<String>,

    /// Id, ARN or name of the pool [default: the first]
    #[arg(long, value_name = "POOL")]
    pool: Option<String>,

    /// An id token
    #[arg(long, conflicts_with_all = ["access", "scopes"])]
    id: bool,

    /// An access token
    #[arg(long)]
    access: bool,
}

/// `90`, `90s`, `30m`, `1h`, `7d`: at least a second, at most ten years.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a time as in 90s, 30m, 1h or 7d".to_owned();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let seconds = number.saturating_mul(unit);
    if !(1..=3650 * 24 * 60 * 60).contains(&seconds) {
        return Err("expected a time from 1s to 3650d".to_owned());
    }
    Ok(Duration::from_secs(seconds))
}

impl Token {
    /// Prints the token on stdout.
    ///
    /// # Errors
    ///
    /// Where there is no such pool or client, or the keys cannot be read.
    pub(super) fn run(self) -> Result<ExitCode> {
        let mut loaded = load(&self.common)?;
        if loaded.say_findings(Severity::Error) {
            return Ok(ExitCode::FAILURE);
        }
        // What `serve --user-pool` would run is there for its tokens as well.
        loaded.settings.user_pool_for_all = true;
        let pools = UserPools::open(&loaded.apis, &loaded.settings, &Clock::System)?;
        let pool = match &self.pool {
            None => pools.iter().next(),
            Some(name) => pools.iter().find(|pool| pool.is_called(name)),
        };
        let Some(pool) = pool else {
            let known: Vec<&str> = pools.iter().map(|pool| pool.id()).collect();
            bail!(
                "there is no local user pool `{}`; there is {}",
                self.pool.unwrap_or_default(),
                known.join(", ")
            );
        };
        print(&format!("{}\n", self.token(pool)?))?;
        Ok(ExitCode::SUCCESS)
    }

    fn token(&self, pool: &UserPool) -> Result<String> {
        let client = self.client(pool)?;
        let mut user = pool.user_or_stranger(&self.user);
        user.groups.extend(self.groups.iter().cloned());
        let scope = match self.scopes.as_slice() {
            [] => ADMIN_SCOPE.to_owned(),
            scopes => scopes.join(" "),
        };
        let grant = Grant {
            origin: pool.origin(&user)?,
            user: &user,
            client: &client,
            scope,
        };
        let token = if self.access || !self.scopes.is_empty() {
            pool.access_token(&grant, self.expires.unwrap_or(client.access_token_validity))
        } else {
            pool.id_token(&grant, self.expires.unwrap_or(client.id_token_validity))
        };
        Ok(token?)
    }

    fn client(&self, pool: &UserPool) -> Result<UserPoolClient> {
        match &self.client {
            Some(id) => pool.client(id).with_context(|| {
                let known: Vec<String> = pool
                    .clients()
                    .into_iter()
                    .map(|one| one.client_id)
                    .collect();
                format!(
                    "the pool {} has no client `{id}`; it has {}",
                    pool.id(),
                    known.join(", ")
                )
            }),
            None => {
                let first = pool.clients().into_iter().next();
                first.with_context(|| format!("the pool {} has no client", pool.id()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit_and_a_bound() {
        let seconds = |text: &str| duration(text).map(|time| time.as_secs()).ok();

        assert_eq!(seconds("90"), Some(90));
        assert_eq!(seconds("90s"), Some(90));
        assert_eq!(seconds("30m"), Some(1800));
        assert_eq!(seconds("1h"), Some(3600));
        assert_eq!(seconds("7d"), Some(604_800));
        for bad in [
            "",
            "0s",
            "h",
            "-1h",
            "1w",
            "1.5h",
            "9999999d",
            "18446744073709551615d",
        ] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
