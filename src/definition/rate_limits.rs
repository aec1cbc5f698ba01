//! `rateLimits` of the configuration and `x-tollgate-rate-limit` of a document.

use std::time::Duration;

use super::values::{self, get};
use crate::model::{RateLimit, RateLimitKey};
use crate::source::{Diagnostic, Diagnostics, Node, Severity};

/// Reads one limit or a list of them; what is wrong is named and left out.
pub(super) fn read(node: &Node, what: &str, findings: &mut Diagnostics) -> Vec<RateLimit> {
    match node.as_sequence() {
        Some(items) => items
            .iter()
            .filter_map(|item| read_one(item, what, findings))
            .collect(),
        None => read_one(node, what, findings).into_iter().collect(),
    }
}

fn read_one(node: &Node, what: &str, findings: &mut Diagnostics) -> Option<RateLimit> {
    let fields = values::mapping(node, &format!("an entry of {what}"), findings)?;
    let known = ["key", "limit", "period", "burst"];
    values::unknown_keys(fields, &known, what, Severity::Error, findings);
    let mut missing = |key: &str| {
        findings.push(
            Diagnostic::error("E0826", format!("a rate limit in {what} has a `{key}`"))
                .at(node.span)
                .help("{key: ip, limit: 100, period: 60, burst: 20}"),
        );
    };
    let (Some(key), Some(limit), Some(period)) = (
        get(fields, "key").or_else(|| {
            missing("key");
            None
        }),
        get(fields, "limit").or_else(|| {
            missing("limit");
            None
        }),
        get(fields, "period").or_else(|| {
            missing("period");
            None
        }),
    ) else {
        return None;
    };
    let key = read_key(key, findings);
    let most = i64::from(u32::MAX);
    let mut whole = |node: &Node, what: &str| {
        values::integer(node, what, 0, most, findings).and_then(|count| u32::try_from(count).ok())
    };
    let limit = whole(limit, "`limit`");
    let burst = get(fields, "burst").and_then(|node| whole(node, "`burst`"));
    // A year, in seconds.
    let period = values::number(period, "`period`", 0.001, 31_536_000.0, findings)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Some(RateLimit {
        key: key?,
        limit: limit?,
        period: period?,
        burst,
        span: node.span,
    })
}

fn read_key(node: &Node, findings: &mut Diagnostics) -> Option<RateLimitKey> {
    let text = values::text(node, "`key`", findings)?;
    let key = match text.value.split_once(':') {
        Some(("claim", name)) if !name.is_empty() => Some(RateLimitKey::Claim(name.to_owned())),
        Some(("header", name)) if !name.is_empty() => Some(RateLimitKey::Header(name.to_owned())),
        None => match text.value.as_str() {
            "ip" => Some(RateLimitKey::Ip),
            "apiKey" => Some(RateLimitKey::ApiKey),
            "endpoint" => Some(RateLimitKey::Endpoint),
            _ => None,
        },
        Some(_) => None,
    };
    if key.is_none() {
        let words = ["ip", "apiKey", "endpoint", "claim:sub", "header:X-Client"];
        findings.push(
            Diagnostic::error(
                "E0827",
                format!(
                    "`key` is `{}`, but must be {}",
                    text.value,
                    values::either(&words)
                ),
            )
            .at(text.span)
            .suggest(&text.value, words),
        );
    }
    key
}
