//! REST `COGNITO_USER_POOLS` authorizers.
//!
//! Source: API Gateway developer guide, "Control access to REST APIs using
//! Amazon Cognito user pools as an authorizer"; Cognito developer guide,
//! "Verifying JSON web tokens".

use std::sync::Arc;

use serde_json::Value as Json;

use super::identity_source::IdentitySource;
use super::issuer::Issuer;
use super::jwt::{self, JwtFault, Registered, UnverifiedToken};
use crate::event::caller::Claims;
use crate::event::{Caller, Exchange};

/// A Cognito authorizer of a REST API.
#[derive(Debug)]
pub struct CognitoAuthorizer {
    /// The user pools whose tokens count.
    pub pools: Vec<Arc<Issuer>>,
    /// Where the token stands.
    pub source: IdentitySource,
    /// What the whole of `aud` must match. A token without `aud` does not.
    pub audience_expression: Option<fancy_regex::Regex>,
}

impl CognitoAuthorizer {
    /// Lets the bearer of a good token pass: an id token where the method asks
    /// for no scopes, else an access token that has one of them.
    ///
    /// # Errors
    ///
    /// What is wrong with the token. All of it is a 401, a missing scope too.
    pub async fn authorize(
        &self,
        exchange: &Exchange<'_>,
        scopes: &[String],
    ) -> Result<Caller, JwtFault> {
        let value = self.source.value(exchange).ok_or(JwtFault::Missing)?;
        let token = jwt::bearer(&value);
        let pool = self.pool_of(token)?;
        let now = exchange.received;
        let check = |claims: &Claims, registered: &Registered| {
            registered.check_issuer()?;
            self.check_use(claims, scopes)?;
            registered.check_times(now)
        };
        let claims = pool.verify(token, check).await?;
        Ok(Caller::Token {
            claims,
            scopes: None,
        })
    }

    /// The pool that a token says it is of. With one pool there is nothing to
    /// choose, and its token need not be read twice.
    fn pool_of(&self, token: &str) -> Result<&Arc<Issuer>, JwtFault> {
        if let [only] = self.pools.as_slice() {
            return Ok(only);
        }
        let unverified = UnverifiedToken::parse(token)?;
        let issuer = unverified.claims.get("iss").and_then(Json::as_str);
        self.pools
            .iter()
            .find(|pool| Some(pool.name()) == issuer)
            .ok_or(JwtFault::Issuer)
    }

    fn check_use(&self, claims: &Claims, scopes: &[String]) -> Result<(), JwtFault> {
        let wanted = if scopes.is_empty() { "id" } else { "access" };
        match claims.get("token_use") {
            Some(Json::String(told)) if told == wanted => {}
            Some(Json::String(_)) => return Err(JwtFault::Use),
            _ => return Err(JwtFault::Claim("token_use")),
        }
        if !scopes.is_empty() {
            // Cognito's claim is `scope`; another name is somebody else's.
            let held = match claims.get("scope") {
                Some(Json::String(text)) => text.as_str(),
                _ => "",
            };
            let mut held = held.split(' ').filter(|scope| !scope.is_empty());
            if !held.any(|scope| scopes.iter().any(|wanted| wanted == scope)) {
                return Err(JwtFault::Scope);
            }
        }
        if let Some(expression) = &self.audience_expression {
            let audience = claims.get("aud").and_then(Json::as_str);
            let fits = audience.is_some_and(|aud| expression.is_match(aud).unwrap_or(false));
            if !fits {
                return Err(JwtFault::Audience);
            }
        }
        Ok(())
    }
}

/// A user pool's issuer and key set at AWS, by the pool's ARN; `None` if it is no pool's.
pub fn pool_at_aws(arn: &str) -> Option<(String, String)> {
    let mut parts = arn.splitn(6, ':');
    let (arn, partition, service, region) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let pool = parts.nth(1)?.strip_prefix("userpool/")?;
    let word = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    if arn != "arn" || service != "cognito-idp" || !word(region) || !word(pool) {
        return None;
    }
    let suffix = match partition {
        "aws-cn" => "amazonaws.com.cn",
        _ => "amazonaws.com",
    };
    let issuer = format!("https://cognito-idp.{region}.{suffix}/{pool}");
    let keys = key_set_url(&issuer);
    Some((issuer, keys))
}

/// Where a user pool's keys are.
pub fn key_set_url(issuer: &str) -> String {
    format!("{}/.well-known/jwks.json", issuer.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_of_aws_has_its_issuer_in_its_region() {
        let arn = "arn:aws:cognito-idp:eu-west-1:123456789012:userpool/eu-west-1_AbC";

        assert_eq!(
            pool_at_aws(arn),
            Some((
                "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC".to_owned(),
                "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC/.well-known/jwks.json"
                    .to_owned()
            ))
        );
        for bad in [
            "",
            "arn:aws:lambda:eu-west-1:1:function:f",
            "arn:aws:cognito-idp:evil.example/:1:userpool/x",
            "arn:aws:cognito-idp:eu-west-1:1:userpool/../x",
        ] {
            assert_eq!(pool_at_aws(bad), None, "{bad}");
        }
    }
}
