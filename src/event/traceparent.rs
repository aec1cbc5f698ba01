//! W3C's `traceparent` towards backends, in place of the client's, while the gateway traces.

use std::borrow::Cow;

use ::http::{HeaderName, HeaderValue};
use indexmap::IndexMap;

use super::Exchange;
use crate::base::ChangeHeaders;

const NAME: &str = "traceparent";

/// Puts it among an event's headers.
pub(super) fn put_into_event<'e>(
    headers: &mut IndexMap<Cow<'e, str>, Vec<Cow<'e, str>>>,
    exchange: &'e Exchange<'_>,
) {
    if let Some(own) = &exchange.traceparent {
        headers.retain(|name, _| !name.eq_ignore_ascii_case(NAME));
        headers.insert(Cow::Borrowed(NAME), vec![Cow::Borrowed(own.as_str())]);
    }
}

/// Puts it among an HTTP backend's headers.
pub fn put_into(headers: &mut impl ChangeHeaders, exchange: &Exchange<'_>) {
    let own = exchange.traceparent.as_deref();
    if let Some(value) = own.and_then(|own| HeaderValue::from_str(own).ok()) {
        let name = HeaderName::from_static(NAME);
        headers.take_away(&name);
        headers.add(&name, value);
    }
}
