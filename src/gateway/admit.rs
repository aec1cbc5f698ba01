//! Whether the caller may come now: the API key, then everything that limits.

use std::borrow::Cow;

use super::rejection::Rejection;
use crate::event::Exchange;
use crate::limit::Limits;
use crate::model::ApiKeySource;
use crate::observe::watch::Phase;
use crate::plan::RoutePlan;

/// Lets a request pass, or not.
pub(super) async fn admit(
    limits: &Limits,
    route: &RoutePlan,
    exchange: &mut Exchange<'_>,
) -> Result<(), Rejection> {
    exchange.watch.enter(Phase::Throttle);
    if route.tolls.api_key_required {
        find_api_key(limits, route, exchange)?;
    }
    Ok(limits.admit(&route.tolls, exchange).await?)
}

/// The request's key, unless an authorizer has named it already.
fn find_api_key(
    limits: &Limits,
    route: &RoutePlan,
    exchange: &mut Exchange<'_>,
) -> Result<(), Rejection> {
    if exchange.api_key.is_some() {
        return Ok(());
    }
    let sent = match route.api_key_source {
        ApiKeySource::Header => {
            // Of two keys nobody can say which was meant.
            let mut sent = exchange.headers().all("x-api-key");
            sent.next().filter(|_| sent.next().is_none())
        }
        ApiKeySource::Authorizer => exchange.usage_identifier_key.as_deref().map(Cow::Borrowed),
    };
    let tolls = &route.tolls;
    let key = sent.and_then(|value| limits.accepted_key(&value, &tolls.api_id, &tolls.stage));
    match key {
        Some(key) => {
            exchange.api_key = Some(key);
            Ok(())
        }
        None => Err(Rejection::InvalidApiKey),
    }
}
