//! Whether the caller may come at all: resource policy, authorizer or signature,
//! resource policy again.
//!
//! Source: API Gateway developer guide, "How API Gateway resource policies affect
//! authorization workflow".

use std::borrow::Cow;
use std::sync::Arc;

use tracing::debug;

use super::execution_log;
use super::rejection::Rejection;
use crate::auth::iam::policy::INVOKE;
use crate::auth::iam::{
    Ask, Decision, IamUsers, Principal, Signature, SignatureFault, request_keys,
};
use crate::auth::jwt::JwtFault;
use crate::auth::lambda_authorizer::{AuthorizerFault, LambdaAuthorizer, Verdict};
use crate::auth::resource_policy::{ResourcePolicy, together};
use crate::base::Body;
use crate::event::authorizer::{decoded_method_arn, method_arn};
use crate::event::caller::IamCaller;
use crate::event::{Caller, Exchange};
use crate::integration::bounded_body::{PAYLOAD_LIMIT, read_whole};
use crate::integration::{IntegrationError, body_error};
use crate::model::ApiKind;
use crate::observe::metrics;
use crate::observe::watch::Phase;
use crate::plan::{Protection, RouteAuthorizer, RoutePlan};

/// Lets the caller pass, and notes in the exchange who it is.
///
/// The body is only read where its hash is signed.
pub(super) async fn authorize(
    route: &RoutePlan,
    exchange: &mut Exchange<'_>,
    body: Body,
) -> Result<Body, Rejection> {
    let protection = match &route.protection {
        Ok(protection) => protection,
        Err(reason) => return Err(Rejection::Closed(reason.clone())),
    };
    if protection.watched.is_some() {
        exchange.watch.enter(Phase::Authorizer);
    }
    let asked = ask_authorizer(protection, exchange, body).await;
    if let Some(watched) = &protection.watched {
        watched.metrics.decided(verdict(&asked));
        if let Err(rejection) = &asked {
            let why = || format!("authorizer `{}`: {rejection}", watched.name);
            exchange.watch.refused(why);
        }
    }
    if !matches!(protection.authorizer, RouteAuthorizer::Open) {
        let status = match &asked {
            Ok(_) => 200,
            Err(rejection) => rejection.status(exchange.api.kind).as_u16(),
        };
        exchange.authorizer.status = Some(status);
        if let Err(rejection) = &asked {
            exchange.authorizer.error = Some(rejection.to_string());
        }
        execution_log::authorizer_ends(exchange, asked.as_ref().map(|_| ()));
    }
    asked
}

/// What the authorizer's counts call the outcome.
fn verdict(asked: &Result<Body, Rejection>) -> metrics::Verdict {
    match asked {
        Ok(_) => metrics::Verdict::Allow,
        Err(Rejection::AccessDenied(_) | Rejection::InsufficientScope { .. }) => {
            metrics::Verdict::Deny
        }
        Err(Rejection::Unauthorized { .. } | Rejection::Signature(_)) => {
            metrics::Verdict::Unauthorized
        }
        Err(_) => metrics::Verdict::Error,
    }
}

async fn ask_authorizer(
    protection: &Protection,
    exchange: &mut Exchange<'_>,
    body: Body,
) -> Result<Body, Rejection> {
    let policy = protection.resource_policy.as_deref();
    match &protection.authorizer {
        RouteAuthorizer::Open => {
            if let Some(policy) = policy {
                on_its_own(policy, exchange)?;
            }
            Ok(body)
        }
        RouteAuthorizer::Jwt(jwt, scopes) => {
            exchange.caller = jwt
                .authorize(exchange, scopes)
                .await
                .map_err(|fault| token_refused(fault, scopes))?;
            Ok(body)
        }
        RouteAuthorizer::Cognito(cognito, scopes) => {
            let caller = cognito
                .authorize(exchange, scopes)
                .await
                .map_err(|fault| token_refused(fault, scopes))?;
            // "After authentication and on its own": silence is no allow.
            if let Some(policy) = policy {
                on_its_own(policy, exchange)?;
            }
            exchange.caller = caller;
            Ok(body)
        }
        RouteAuthorizer::Lambda(lambda) => {
            lambda_authorizer(lambda, protection, exchange).await?;
            Ok(body)
        }
        RouteAuthorizer::Iam(users) => signature(users, policy, exchange, body).await,
        RouteAuthorizer::Skipped(skipped) => {
            // Whom the API refuses whatever an authorizer says is refused still.
            let decision = policy.map(|policy| asked(exchange, None, |ask| policy.decide(ask)));
            if decision == Some(Decision::Deny) {
                return Err(not_authorized(exchange, None, Decision::Deny));
            }
            exchange.caller = skipped.caller.clone();
            exchange
                .usage_identifier_key
                .clone_from(&skipped.usage_identifier_key);
            Ok(body)
        }
    }
}

/// A resource policy where nothing else speaks of the request: it must allow it.
fn on_its_own(policy: &ResourcePolicy, exchange: &Exchange<'_>) -> Result<(), Rejection> {
    match asked(exchange, None, |ask| policy.decide(ask)) {
        Decision::Allow => Ok(()),
        decision => {
            policy_refused(policy, exchange, None);
            Err(not_authorized(exchange, None, decision))
        }
    }
}

/// Notes which statement of the resource policy refused.
fn policy_refused(policy: &ResourcePolicy, exchange: &Exchange<'_>, caller: Option<&IamCaller>) {
    let statement = asked(exchange, caller, |ask| policy.denied_by(ask));
    exchange.watch.refused(|| match statement {
        Some(number) => format!("the resource policy denies by statement {number}"),
        None => "no statement of the resource policy allows it".to_owned(),
    });
}

async fn lambda_authorizer(
    lambda: &LambdaAuthorizer,
    protection: &Protection,
    exchange: &mut Exchange<'_>,
) -> Result<(), Rejection> {
    let policy = protection.resource_policy.as_deref();
    let api = policy.map(|policy| asked(exchange, None, |ask| policy.decide(ask)));
    if let (Some(policy), Some(Decision::Deny)) = (policy, api) {
        // The function is not even called.
        policy_refused(policy, exchange, None);
        return Err(not_authorized(exchange, None, Decision::Deny));
    }
    execution_log::authorizer_starts(exchange, lambda.name());
    let (answer, latency) = lambda
        .ask(exchange, &method_arn(exchange))
        .await
        .map_err(|fault| match fault {
            AuthorizerFault::NoIdentity | AuthorizerFault::Unauthorized => {
                Rejection::Unauthorized {
                    why: fault.to_string(),
                    message: "Unauthorized",
                    challenge: None,
                }
            }
            AuthorizerFault::ArnTooLong => Rejection::MethodArnTooLong,
            AuthorizerFault::Failed(why) => Rejection::AuthorizerFailed(why),
        })?;
    exchange.authorizer.latency = latency;
    execution_log::authorizer_said(exchange, &answer);
    let name = protection.watched.as_ref().map_or("", |watched| {
        watched.metrics.asked(latency);
        &*watched.name
    });
    let own = match &answer.verdict {
        Verdict::Simple(true) => Decision::Allow,
        Verdict::Simple(false) => Decision::Deny,
        Verdict::Policy(policy) => asked(exchange, None, |ask| policy.decide(ask)),
    };
    let decision = api.map_or(own, |api| together(own, api, true));
    if decision != Decision::Allow {
        let statement = match &answer.verdict {
            Verdict::Policy(policy) => asked(exchange, None, |ask| policy.denied_by(ask)),
            Verdict::Simple(_) => None,
        };
        exchange.watch.refused(|| match (own, statement) {
            (Decision::Allow, _) => "no statement of the resource policy allows it".to_owned(),
            (_, Some(number)) => {
                format!("authorizer `{name}` said deny by policy statement {number}")
            }
            (Decision::Deny, None) => format!("authorizer `{name}` said isAuthorized false"),
            (Decision::Silent, None) => {
                format!("authorizer `{name}` said nothing of this method in its policy")
            }
        });
    }
    match decision {
        Decision::Allow => {
            exchange.caller = Caller::Lambda(Arc::clone(&answer.caller));
            exchange
                .usage_identifier_key
                .clone_from(&answer.usage_identifier_key);
            Ok(())
        }
        Decision::Deny => Err(Rejection::AccessDenied(Cow::Borrowed(
            "User is not authorized to access this resource with an explicit deny in an identity-based policy",
        ))),
        Decision::Silent => Err(Rejection::AccessDenied(Cow::Borrowed(
            "User is not authorized to access this resource",
        ))),
    }
}

async fn signature(
    users: &IamUsers,
    policy: Option<&ResourcePolicy>,
    exchange: &mut Exchange<'_>,
    body: Body,
) -> Result<Body, Rejection> {
    let signature = Signature::read(exchange)?;
    let user = users.find(&signature, exchange)?;
    signature.check(exchange, "execute-api")?;
    let (body, bytes) = whole(body).await?;
    user.verify(&signature, exchange, &bytes)?;
    let caller = &user.caller;
    let own = asked(exchange, Some(caller), |ask| user.decide(ask));
    let api = policy.map(|policy| asked(exchange, Some(caller), |ask| policy.decide(ask)));
    let same_account = caller.account_id == exchange.api.account_id;
    let decision = match api {
        Some(api) => together(own, api, same_account),
        // Whoever is of another account needs the API's own word, too.
        None => together(own, Decision::Silent, same_account),
    };
    if decision != Decision::Allow {
        match policy {
            Some(policy) if own == Decision::Allow || api == Some(Decision::Deny) => {
                policy_refused(policy, exchange, Some(caller));
            }
            _ => exchange.watch.refused(|| match own {
                Decision::Deny => format!("a policy of {} denies it", caller.user_arn),
                _ => format!("no policy of {} allows it", caller.user_arn),
            }),
        }
        return Err(not_authorized(exchange, Some(caller), decision));
    }
    exchange.caller = Caller::Iam(Arc::clone(caller));
    Ok(body)
}

/// The whole body, so that its hash can be taken.
pub(super) async fn whole(body: Body) -> Result<(Body, bytes::Bytes), Rejection> {
    use http_body::Body as _;

    if body.size_hint().lower() > PAYLOAD_LIMIT as u64 {
        return Err(IntegrationError::PayloadTooLarge.into());
    }
    if body.is_end_stream() {
        return Ok((body, bytes::Bytes::new()));
    }
    let bytes = read_whole(body, PAYLOAD_LIMIT).await.map_err(body_error)?;
    Ok((Body::from(bytes.clone()), bytes))
}

/// What a policy says of a request by `caller`.
fn asked<T>(
    exchange: &Exchange<'_>,
    caller: Option<&IamCaller>,
    decide: impl Fn(&Ask<'_>) -> T,
) -> T {
    let (resource, other) = (method_arn(exchange), decoded_method_arn(exchange));
    let principal = match caller {
        None => Principal::Anonymous,
        Some(caller) => Principal::Iam {
            account: &caller.account_id,
            arn: &caller.user_arn,
        },
    };
    let keys = |key: &str| request_keys::value(exchange, caller, key);
    decide(&Ask {
        action: INVOKE,
        resource: &resource,
        other_spelling: other.as_deref(),
        principal,
        owner_account: &exchange.api.account_id,
        keys: &keys,
    })
}

/// AWS's words where a policy does not let a request pass. The account number
/// is masked in them (recorded).
fn not_authorized(
    exchange: &Exchange<'_>,
    caller: Option<&IamCaller>,
    decision: Decision,
) -> Rejection {
    let account = &exchange.api.account_id;
    let shown = account.len().saturating_sub(4);
    let masked = format!("{}{}", "*".repeat(shown), &account[shown..]);
    let arn = method_arn(exchange).replacen(account.as_str(), &masked, 1);
    let who = caller.map_or("anonymous", |caller| &caller.user_arn);
    let tail = match decision {
        Decision::Deny => " with an explicit deny",
        _ if caller.is_none() => {
            " because no resource-based policy allows the execute-api:Invoke action"
        }
        _ => "",
    };
    Rejection::AccessDenied(Cow::Owned(format!(
        "User: {who} is not authorized to perform: execute-api:Invoke on resource: {arn}{tail}"
    )))
}

fn token_refused(fault: JwtFault, scopes: &[String]) -> Rejection {
    let challenge = match &fault {
        JwtFault::Missing => "Bearer".to_owned(),
        JwtFault::Scope => format!(
            r#"Bearer scope="{}" error="insufficient_scope" error_description="{}""#,
            scopes.join(" "),
            fault.description()
        ),
        _ => format!(
            r#"Bearer scope="{}" error="invalid_token" error_description="{}""#,
            scopes.join(" "),
            fault.description()
        ),
    };
    if fault == JwtFault::Scope {
        return Rejection::InsufficientScope { challenge };
    }
    Rejection::Unauthorized {
        message: match fault {
            // Reported of Cognito authorizers; HTTP APIs say it in the challenge alone.
            JwtFault::Expired => "The incoming token has expired",
            _ => "Unauthorized",
        },
        why: fault.to_string(),
        challenge: Some(challenge),
    }
}

/// What a REST API says where no method matches: an `Authorization` header that
/// is no signature is told so first (recorded at AWS).
pub(super) fn no_route(exchange: &Exchange<'_>) -> Option<Rejection> {
    if exchange.api.kind != ApiKind::Rest || !exchange.headers().contains("authorization") {
        return None;
    }
    match Signature::read(exchange) {
        Err(fault @ SignatureFault::Incomplete(_)) => {
            debug!("a request for no route has a header `Authorization` that is no signature");
            Some(fault.into())
        }
        _ => None,
    }
}
