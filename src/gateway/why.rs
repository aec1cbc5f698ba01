//! Which rule refused a request and why, in words for the operator. The client
//! gets AWS's bare answer.

use std::time::Duration;

use super::rejection::Rejection;
use crate::event::Exchange;
use crate::function::{InvokeError, chain};
use crate::integration::IntegrationError;
use crate::limit::bucket::Scope;
use crate::limit::{Limits, Refusal, Why};

/// One line.
pub(super) fn why(limits: &Limits, exchange: &Exchange<'_>, rejection: &Rejection) -> String {
    if let Some(noted) = exchange.watch.why() {
        return noted.to_owned();
    }
    match rejection {
        Rejection::Limited(refusal) => limited(limits, exchange, refusal),
        Rejection::InvalidApiKey => no_key(limits, exchange),
        Rejection::Integration(IntegrationError::Invoke(InvokeError::NoCredentials {
            name,
            detail,
        })) => format!(
            "function `{name}` is not in the configuration, so it was to be called at AWS, but there are no \
             credentials ({detail}). Either run it here: add it under `functions:` in tollgate.yaml; or sign in: \
             `aws sso login`, then start with --profile; or name an endpoint that speaks Lambda's Invoke API: \
             --lambda-endpoint URL"
        ),
        _ => chain(rejection),
    }
}

/// `plan gold, method bucket empty, next token in 80 ms`.
fn limited(limits: &Limits, exchange: &Exchange<'_>, refusal: &Refusal) -> String {
    let whose = match refusal.scope {
        Scope::PlanMethod => format!("{}, method bucket", plan(limits, exchange)),
        Scope::Plan => format!("{}, bucket", plan(limits, exchange)),
        Scope::Quota => plan(limits, exchange),
        Scope::Stage => format!("stage {}, method bucket", exchange.api.stage),
        Scope::Account => "account, bucket".to_owned(),
        Scope::Rule => "rate limit, bucket".to_owned(),
        Scope::Store => return refusal.to_string(),
    };
    let limit = refusal.policy.map_or(0, |policy| policy.quota);
    let wait = (refusal.wait != Duration::MAX).then(|| short(refusal.wait));
    match (refusal.why, wait) {
        (Why::QuotaExceeded, Some(wait)) => {
            format!("{whose}, quota of {limit} used up, next period in {wait}")
        }
        (Why::QuotaExceeded, None) => format!("{whose}, quota of {limit} used up"),
        (_, Some(wait)) => format!("{whose} empty, next token in {wait}"),
        (_, None) => format!("{whose} empty, no token will ever be there"),
    }
}

/// `plan gold`, by the key that the request named.
fn plan(limits: &Limits, exchange: &Exchange<'_>) -> String {
    let directory = limits.directory();
    let name = exchange
        .api_key
        .as_ref()
        .and_then(|key| directory.by_id(&key.id))
        .and_then(|holder| holder.membership(&exchange.api.api_id, &exchange.api.stage))
        .map(|membership| {
            let plan = &membership.plan;
            match plan.name.as_str() {
                "" => plan.id.clone(),
                name => name.to_owned(),
            }
        });
    format!("plan {}", name.unwrap_or_default())
}

/// What is wrong with the key: none, unknown, disabled, or in no plan.
fn no_key(limits: &Limits, exchange: &Exchange<'_>) -> String {
    let sent = exchange.headers().last("x-api-key");
    let sent = sent.as_deref().or(exchange.usage_identifier_key.as_deref());
    let Some(sent) = sent else {
        return "the method wants an API key, and none was sent".to_owned();
    };
    let directory = limits.directory();
    match directory.by_value(sent) {
        None => "the API key is not known".to_owned(),
        Some(holder) => {
            let id = &holder.key.id;
            let wrong = match holder.enabled {
                true => "is in no usage plan of the stage",
                false => "is disabled",
            };
            format!("the API key {id} {wrong}")
        }
    }
}

/// `80 ms`, `2.5 s`, `3 h 20 min`.
fn short(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis().max(1)),
        1..60 => format!("{:.1} s", time.as_secs_f64()),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_told_as_people_say_them() {
        for (time, told) in [
            (Duration::from_micros(10), "1 ms"),
            (Duration::from_millis(80), "80 ms"),
            (Duration::from_millis(2500), "2.5 s"),
            (Duration::from_secs(61), "1 min 1 s"),
            (Duration::from_secs(12_000), "3 h 20 min"),
        ] {
            assert_eq!(short(time), told);
        }
    }
}
