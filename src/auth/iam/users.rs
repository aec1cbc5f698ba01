//! The users whose signatures count, and what their policies let them do.

use std::collections::HashMap;
use std::sync::Arc;

use super::policy::{Ask, Attached, Decision, Policy};
use super::sigv4::{Signature, SignatureFault};
use crate::base::id::stable_id;
use crate::event::Exchange;
use crate::event::caller::IamCaller;
use crate::model::settings::IamUserSettings;

/// A user, or a role's session.
pub struct IamUser {
    /// Who he is to functions and policies.
    pub caller: Arc<IamCaller>,
    secret: String,
    session_token: Option<String>,
    /// Seconds since 1970 at which the session ends.
    expiration: Option<u64>,
    /// Absent: he may call everything.
    policies: Option<Vec<Policy>>,
}

impl std::fmt::Debug for IamUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IamUser({})", self.caller.user_arn)
    }
}

/// Users by access key.
#[derive(Debug, Default)]
pub struct IamUsers {
    by_key: HashMap<String, IamUser>,
}

impl IamUsers {
    /// Reads the users of a configuration.
    ///
    /// # Errors
    ///
    /// The policy that is not understood, by user and place among his policies.
    pub fn new(settings: &[IamUserSettings]) -> Result<Self, Vec<(crate::source::Span, String)>> {
        let mut by_key = HashMap::new();
        let mut wrong = Vec::new();
        for user in settings {
            let policies = user.policies.as_ref().map(|documents| {
                documents
                    .iter()
                    .filter_map(|document| {
                        Policy::read(&document.value, Attached::ToCaller)
                            .map_err(|why| wrong.push((document.span, why)))
                            .ok()
                    })
                    .collect()
            });
            let account = user.user_arn.split(':').nth(4).unwrap_or_default();
            let caller = IamCaller {
                access_key: user.access_key_id.clone(),
                account_id: account.to_owned(),
                user_id: user_id(&user.user_arn),
                user_arn: user.user_arn.clone(),
            };
            let user = IamUser {
                caller: Arc::new(caller),
                secret: user.secret_access_key.clone(),
                session_token: user.session_token.clone(),
                expiration: user.expiration,
                policies,
            };
            by_key.insert(user.caller.access_key.clone(), user);
        }
        if wrong.is_empty() {
            Ok(Self { by_key })
        } else {
            Err(wrong)
        }
    }

    /// The user whose key a signature names, if his session still runs.
    ///
    /// # Errors
    ///
    /// Nobody has that key, the session token is another's, or its time is over.
    pub fn find(
        &self,
        signature: &Signature,
        exchange: &Exchange<'_>,
    ) -> Result<&IamUser, SignatureFault> {
        let user = self
            .by_key
            .get(&signature.access_key)
            .ok_or(SignatureFault::UnknownKey)?;
        let same = match (&user.session_token, &signature.security_token) {
            (None, None) => true,
            (Some(own), Some(told)) => {
                aws_lc_rs::constant_time::verify_slices_are_equal(own.as_bytes(), told.as_bytes())
                    .is_ok()
            }
            _ => false,
        };
        if !same {
            return Err(SignatureFault::UnknownKey);
        }
        if user
            .expiration
            .is_some_and(|end| exchange.received.as_secs() >= end)
        {
            return Err(SignatureFault::ExpiredToken);
        }
        Ok(user)
    }
}

impl IamUser {
    /// Checks that he signed the request.
    ///
    /// # Errors
    ///
    /// He did not.
    pub fn verify(
        &self,
        signature: &Signature,
        exchange: &Exchange<'_>,
        body: &[u8],
    ) -> Result<(), SignatureFault> {
        signature.verify(exchange, body, &self.secret)
    }

    /// What his own policies say of a request.
    pub fn decide(&self, ask: &Ask<'_>) -> Decision {
        let Some(policies) = &self.policies else {
            return Decision::Allow;
        };
        let mut decision = Decision::Silent;
        for policy in policies {
            match policy.decide(ask) {
                Decision::Deny => return Decision::Deny,
                Decision::Allow => decision = Decision::Allow,
                Decision::Silent => {}
            }
        }
        decision
    }
}

/// `AIDA…` and the session's name for a role; the account for its root.
fn user_id(arn: &str) -> String {
    let account = arn.split(':').nth(4).unwrap_or_default();
    if arn.ends_with(":root") {
        return account.to_owned();
    }
    let letters = |text: &str| -> String {
        format!("{}{}", stable_id(text), stable_id(&format!("{text}/")))
            .to_ascii_uppercase()
            .chars()
            .take(17)
            .collect()
    };
    match arn.split_once(":assumed-role/") {
        Some((account, role)) => {
            let (role, session) = role.split_once('/').unwrap_or((role, ""));
            format!("AROA{}:{session}", letters(&format!("{account}/{role}")))
        }
        None => format!("AIDA{}", letters(arn)),
    }
}
