//! What a request has for the condition keys of policies.
//!
//! Source: API Gateway developer guide, "AWS condition keys that can be used in
//! API Gateway resource policies". VPC keys are for private APIs and never there.

use std::borrow::Cow;

use crate::event::caller::IamCaller;
use crate::event::{Exchange, Scheme};

/// The value of a condition key, by its lower-case name.
///
/// The source address is the connection's: what a client says in
/// `X-Forwarded-For` does not count (recorded at AWS).
pub fn value<'e>(
    exchange: &'e Exchange<'_>,
    caller: Option<&'e IamCaller>,
    key: &str,
) -> Option<Cow<'e, str>> {
    let owned = |text: String| Some(Cow::Owned(text));
    match key {
        "aws:sourceip" => owned(exchange.source_ip()),
        "aws:currenttime" => {
            let seconds = i64::try_from(exchange.received.as_secs()).ok()?;
            owned(jiff::Timestamp::from_second(seconds).ok()?.to_string())
        }
        "aws:epochtime" => owned(exchange.received.as_secs().to_string()),
        "aws:referer" => exchange.headers().last("referer"),
        "aws:useragent" => exchange.user_agent(),
        "aws:securetransport" => Some(Cow::Borrowed(match exchange.request.scheme {
            Scheme::Https => "true",
            Scheme::Http => "false",
        })),
        "aws:requestedregion" => Some(Cow::Borrowed(&exchange.api.region)),
        "aws:principalarn" => Some(Cow::Borrowed(&caller?.user_arn)),
        "aws:principalaccount" => Some(Cow::Borrowed(&caller?.account_id)),
        "aws:userid" => Some(Cow::Borrowed(&caller?.user_id)),
        "aws:username" => {
            let (_, name) = caller?.user_arn.split_once(":user/")?;
            name.rsplit('/').next().map(Cow::Borrowed)
        }
        "aws:principaltype" => Some(Cow::Borrowed(match caller {
            None => "Anonymous",
            Some(caller) if caller.user_arn.contains(":assumed-role/") => "AssumedRole",
            Some(caller) if caller.user_arn.ends_with(":root") => "Account",
            Some(_) => "User",
        })),
        _ => None,
    }
}
