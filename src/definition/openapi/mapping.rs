//! Parameter mapping: the syntax of targets and sources.
//!
//! Only the syntax, and what it names: what a mapping does is compiled in the plan.
//! Rules: "Parameter mapping source reference for REST APIs in API Gateway" and
//! "Transform API requests and responses for HTTP APIs in API Gateway".

use crate::model::{Parameter, ParameterLocation};

/// What is wrong with a mapping, for the finding's message.
pub(super) type Problem = String;

/// A parameter of the method that an expression reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MethodParameter<'a> {
    pub(super) location: ParameterLocation,
    pub(super) name: &'a str,
}

impl MethodParameter<'_> {
    pub(super) fn is_declared(&self, parameters: &[Parameter]) -> bool {
        parameters
            .iter()
            .any(|known| known.location == self.location && known.name == self.name)
    }
}

/// Splits `PREFIX.KIND.NAME` behind the prefix.
fn parts<'a>(text: &'a str, prefix: &str) -> Option<(&'a str, &'a str)> {
    text.strip_prefix(prefix)?.split_once('.')
}

/// "Names must match `[a-zA-Z0-9._$-]+`".
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._$-".contains(&byte))
}

/// Looser than [`is_name`]: names of clients' parameters have brackets and the like.
fn is_source_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// Sources that every REST mapping knows: `'text'`, `stageVariables.N`, `context.N`.
fn common_source(source: &str) -> bool {
    let constant = source.len() >= 2 && source.starts_with('\'') && source.ends_with('\'');
    constant
        || ["stageVariables.", "context."]
            .iter()
            .any(|prefix| source.strip_prefix(prefix).is_some_and(is_source_name))
}

/// A body, whole or a part of it: `body`, `body.a.b`, `body[0].a`.
fn is_body(text: &str) -> bool {
    match text.strip_prefix("body") {
        Some("") => true,
        Some(rest) => rest.len() > 1 && rest.starts_with(['.', '[']),
        None => false,
    }
}

/// A request mapping of a REST API; gives the method parameter it reads.
pub(super) fn rest_request<'a>(
    target: &str,
    source: &'a str,
) -> Result<Option<MethodParameter<'a>>, Problem> {
    match parts(target, "integration.request.") {
        Some(("header" | "querystring" | "path", name)) if is_name(name) => {}
        Some(("header" | "querystring" | "path", name)) => {
            return Err(format!(
                "the target `{target}` has the name `{name}`, but names have letters, digits and `. _ $ -`"
            ));
        }
        _ => {
            return Err(format!(
                "the target `{target}` is none of integration.request.header.NAME, integration.request.querystring.NAME, integration.request.path.NAME"
            ));
        }
    }
    rest_request_source(source)
}

/// A source of a REST API's request mapping.
pub(super) fn rest_request_source(source: &str) -> Result<Option<MethodParameter<'_>>, Problem> {
    if common_source(source) {
        return Ok(None);
    }
    let wrong = || {
        format!(
            "`{source}` is no mapping expression: method.request.{{path,querystring,header,multivaluequerystring,multivalueheader}}.NAME, method.request.body, stageVariables.NAME, context.NAME or 'text'"
        )
    };
    let inner = source.strip_prefix("method.request.").ok_or_else(wrong)?;
    if is_body(inner) {
        return Ok(None);
    }
    method_parameter(inner).map(Some).ok_or_else(wrong)
}

fn method_parameter(inner: &str) -> Option<MethodParameter<'_>> {
    let (kind, name) = inner.split_once('.')?;
    let location = match kind {
        "path" => ParameterLocation::Path,
        "querystring" | "multivaluequerystring" => ParameterLocation::QueryString,
        "header" | "multivalueheader" => ParameterLocation::Header,
        _ => return None,
    };
    is_source_name(name).then_some(MethodParameter { location, name })
}

/// A cache key of a REST API; gives the method parameter it is.
pub(super) fn cache_key(key: &str) -> Result<Option<MethodParameter<'_>>, Problem> {
    if parts(key, "integration.request.").is_some_and(|(kind, name)| {
        matches!(kind, "header" | "querystring" | "path") && is_name(name)
    }) {
        return Ok(None);
    }
    key.strip_prefix("method.request.")
        .and_then(method_parameter)
        .map(Some)
        .ok_or_else(|| {
            format!("`{key}` is no cache key: method.request.{{path,querystring,header}}.NAME or integration.request.…")
        })
}

/// A response mapping of a REST API; gives the header it sets.
pub(super) fn rest_response<'a>(target: &'a str, source: &str) -> Result<&'a str, Problem> {
    let name = target
        .strip_prefix("method.response.header.")
        .filter(|name| is_name(name))
        .ok_or_else(|| format!("the target `{target}` is not method.response.header.NAME"))?;
    let known = common_source(source)
        || source
            .strip_prefix("integration.response.")
            .is_some_and(|inner| {
                is_body(inner)
                    || inner.split_once('.').is_some_and(|(kind, name)| {
                        matches!(kind, "header" | "multivalueheader") && is_source_name(name)
                    })
            });
    if known {
        Ok(name)
    } else {
        Err(format!(
            "`{source}` is no mapping expression: integration.response.{{header,multivalueheader}}.NAME, integration.response.body, stageVariables.NAME, context.NAME or 'text'"
        ))
    }
}

/// How a constant is written.
pub(super) fn quoting(source: &str) -> String {
    format!(
        "a constant has quotes of its own: \"'{}'\"",
        source.trim_matches('\'')
    )
}

/// A header of a gateway response.
pub(super) fn gateway_response(target: &str, source: &str) -> Result<(), Problem> {
    if !target
        .strip_prefix("gatewayresponse.header.")
        .is_some_and(is_name)
    {
        return Err(format!(
            "the target `{target}` is not gatewayresponse.header.NAME"
        ));
    }
    let known = common_source(source)
        || source
            .strip_prefix("method.request.")
            .and_then(method_parameter)
            .is_some()
        || source
            .strip_prefix("method.input.params.")
            .is_some_and(is_source_name);
    if known {
        Ok(())
    } else {
        Err(format!(
            "`{source}` is no mapping expression: method.request.{{path,querystring,header}}.NAME, stageVariables.NAME, context.NAME or 'text'"
        ))
    }
}

/// Headers that HTTP APIs keep for themselves.
const RESERVED: [&str; 22] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-location",
    "forwarded",
    "keep-alive",
    "origin",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailers",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "via",
    "access-control-",
    "apigw-",
    "x-amz-",
    "x-amzn-",
];

fn is_reserved(header: &str) -> bool {
    let header = header.to_ascii_lowercase();
    RESERVED.iter().any(|word| {
        if word.ends_with('-') {
            header.starts_with(word)
        } else {
            header == *word
        }
    })
}

const OPERATIONS: [&str; 3] = ["append", "overwrite", "remove"];

/// A request mapping of an HTTP API.
pub(super) fn http_request(target: &str, source: &str) -> Result<(), Problem> {
    let expected = || {
        format!(
            "the target `{target}` is none of append:, overwrite:, remove: with header.NAME or querystring.NAME, or overwrite:path"
        )
    };
    let (operation, place) = target.split_once(':').ok_or_else(expected)?;
    if !OPERATIONS.contains(&operation) {
        return Err(expected());
    }
    match place.split_once('.') {
        Some(("header", name)) if !name.is_empty() => {
            if is_reserved(name) {
                return Err(format!(
                    "the header `{name}` is reserved and cannot be mapped"
                ));
            }
        }
        Some(("querystring", name)) if !name.is_empty() => {}
        None if place == "path" && operation == "overwrite" => {}
        _ => return Err(expected()),
    }
    http_source(operation, source, "request")
}

/// A response mapping of an HTTP API.
pub(super) fn http_response(target: &str, source: &str) -> Result<(), Problem> {
    let expected = || {
        format!(
            "the target `{target}` is none of append:, overwrite:, remove: with header.NAME, or overwrite:statuscode"
        )
    };
    let (operation, place) = target.split_once(':').ok_or_else(expected)?;
    if !OPERATIONS.contains(&operation) {
        return Err(expected());
    }
    match place.split_once('.') {
        Some(("header", name)) if !name.is_empty() => {
            if is_reserved(name) {
                return Err(format!(
                    "the header `{name}` is reserved and cannot be mapped"
                ));
            }
        }
        None if place == "statuscode" && operation == "overwrite" => {}
        _ => return Err(expected()),
    }
    http_source(operation, source, "response")
}

/// The value of a service action's parameter.
pub(super) fn http_value(source: &str) -> Result<(), Problem> {
    if source.is_empty() {
        return Ok(());
    }
    http_source("overwrite", source, "request")
}

fn http_source(operation: &str, source: &str, side: &str) -> Result<(), Problem> {
    if operation == "remove" {
        return if matches!(source, "" | "''") {
            Ok(())
        } else {
            Err(format!("`remove` takes the value `''`, found `{source}`"))
        };
    }
    if source.is_empty() {
        return Err(format!("`{operation}` takes a value, found nothing"));
    }
    let check = |variable: &str| {
        if is_http_variable(variable, side) {
            Ok(())
        } else {
            Err(format!("`${variable}` is no value of a {side} mapping"))
        }
    };
    if let Some(variable) = source.strip_prefix('$')
        && !variable.starts_with('{')
    {
        // A variable ends at the first blank; what follows is text.
        return check(variable.split_whitespace().next().unwrap_or_default());
    }
    let mut rest = source;
    while let Some(start) = rest.find("${") {
        let from = &rest[start + 2..];
        let Some(end) = from.find('}') else {
            return Err(format!("`{source}` has a `${{` without `}}`"));
        };
        check(&from[..end])?;
        rest = &from[end + 1..];
    }
    Ok(())
}

fn is_http_variable(variable: &str, side: &str) -> bool {
    for prefix in ["context.", "stageVariables."] {
        if let Some(name) = variable.strip_prefix(prefix) {
            return is_source_name(name);
        }
    }
    let Some(inner) = variable
        .strip_prefix(side)
        .and_then(|rest| rest.strip_prefix('.'))
    else {
        return false;
    };
    if is_body(inner) {
        return true;
    }
    match inner.split_once('.') {
        Some(("header", name)) => is_source_name(name),
        Some(("querystring" | "path", name)) if side == "request" => is_source_name(name),
        None => side == "request" && inner == "path",
        _ => false,
    }
}

/// An identity source of an authorizer.
pub(super) fn identity_source(source: &str, rest: bool) -> Result<(), Problem> {
    let prefixes: &[&str] = if rest {
        &[
            "method.request.header.",
            "method.request.querystring.",
            "stageVariables.",
            "context.",
        ]
    } else {
        &[
            "$request.header.",
            "$request.querystring.",
            "$stageVariables.",
            "$context.",
        ]
    };
    let known = prefixes
        .iter()
        .any(|prefix| source.strip_prefix(prefix).is_some_and(is_source_name));
    if known {
        return Ok(());
    }
    let names: Vec<String> = prefixes
        .iter()
        .map(|prefix| format!("{prefix}NAME"))
        .collect();
    Err(format!(
        "`{source}` is no identity source: {}",
        names.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rest_expressions_are_told_from_slips() {
        let header = "integration.request.header.X";
        for good in [
            "'text'",
            "''",
            "stageVariables.a",
            "context.authorizer.principalId",
            "method.request.body",
            "method.request.body.a.b",
            "method.request.body[0].price",
            "method.request.multivalueheader.Accept",
            "method.request.querystring.filter[x]",
        ] {
            assert!(rest_request(header, good).is_ok(), "{good}");
        }
        for bad in [
            "text",
            "'text",
            "method.request.headers.X",
            "method.request.bodyx",
            "$context.stage",
            "",
            "method.request.path.",
            "integration.response.header.X",
        ] {
            assert!(rest_request(header, bad).is_err(), "{bad}");
        }
        assert!(rest_request("integration.request.body.x", "'a'").is_err());
        assert!(rest_request("integration.request.header.a b", "'a'").is_err());
        assert_eq!(
            rest_request(header, "method.request.path.id").unwrap(),
            Some(MethodParameter {
                location: ParameterLocation::Path,
                name: "id"
            })
        );
    }

    #[test]
    fn http_mappings_refuse_reserved_headers() {
        assert!(http_request("overwrite:header.x-tenant", "$request.header.x").is_ok());
        assert!(http_request("overwrite:path", "/v2/${request.path.id}").is_ok());
        assert!(http_request("remove:querystring.debug", "''").is_ok());
        assert!(http_response("overwrite:statuscode", "403").is_ok());
        assert!(http_response("append:header.e", "$response.body.code").is_ok());

        for (target, source) in [
            ("append:header.Authorization", "x"),
            ("overwrite:header.X-Amz-Date", "x"),
            ("append:path", "/x"),
            ("replace:header.x", "x"),
            ("append:header.x", ""),
            ("remove:header.x", "x"),
            ("append:header.x", "$response.header.x"),
            ("append:header.x", "${request.path.id"),
            ("header.x", "x"),
        ] {
            assert!(http_request(target, source).is_err(), "{target} {source}");
        }
        assert!(http_response("append:querystring.x", "y").is_err());
    }
}
