//! Resource policies of REST APIs, and how they go together with authorizers.
//!
//! Source: API Gateway developer guide, "How API Gateway resource policies affect
//! authorization workflow".

use super::iam::{Ask, Attached, Decision, Policy};
use crate::event::ApiFacts;
use crate::event::authorizer::partition;

/// `x-amazon-apigateway-policy`, read once.
#[derive(Debug)]
pub struct ResourcePolicy {
    policy: Policy,
}

impl ResourcePolicy {
    /// Reads a policy document.
    ///
    /// # Errors
    ///
    /// What is not understood.
    pub fn read(document: &serde_json::Value, api: &ApiFacts) -> Result<Self, String> {
        let arn = format!(
            "arn:{}:execute-api:{}:{}:{}",
            partition(&api.region),
            api.region,
            api.account_id,
            api.api_id
        );
        let policy = Policy::read(document, Attached::ToApi { arn: &arn })?;
        Ok(Self { policy })
    }

    /// The statement that denies a request, counted from 1, if one does: for the operator.
    pub fn denied_by(&self, ask: &Ask<'_>) -> Option<usize> {
        self.policy.denied_by(ask)
    }

    /// What it says of a request.
    pub fn decide(&self, ask: &Ask<'_>) -> Decision {
        self.policy.decide(ask)
    }
}

/// The guide's tables A (`same_account`) and B: what a caller's own policy and
/// the API's make together. [`Decision::Silent`] is an implicit deny.
pub fn together(own: Decision, api: Decision, same_account: bool) -> Decision {
    match (own, api) {
        (Decision::Deny, _) | (_, Decision::Deny) => Decision::Deny,
        (Decision::Allow, Decision::Allow) => Decision::Allow,
        (Decision::Allow, Decision::Silent) | (Decision::Silent, Decision::Allow)
            if same_account =>
        {
            Decision::Allow
        }
        _ => Decision::Silent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_of_the_guide() {
        use Decision::{Allow, Deny, Silent};

        for (own, api, same, other) in [
            (Allow, Allow, Allow, Allow),
            (Allow, Silent, Allow, Silent),
            (Silent, Allow, Allow, Silent),
            (Silent, Silent, Silent, Silent),
            (Allow, Deny, Deny, Deny),
            (Silent, Deny, Deny, Deny),
            (Deny, Allow, Deny, Deny),
            (Deny, Silent, Deny, Deny),
            (Deny, Deny, Deny, Deny),
        ] {
            assert_eq!(together(own, api, true), same, "{own:?} {api:?}");
            assert_eq!(together(own, api, false), other, "{own:?} {api:?}");
        }
    }
}
