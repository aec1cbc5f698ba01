//! What surrounds a function: its URL and its asynchronous invocations, as
//! `tollgate.yaml` and templates say them. Keys may begin with a capital, as in templates.
//!
//! Source: CloudFormation template reference, "AWS::Lambda::Url" and
//! "AWS::Lambda::EventInvokeConfig".

use std::time::Duration;

use super::values;
use crate::model::settings::{EventInvokeSettings, FunctionUrlSettings};
use crate::model::{Cors, Spanned};
use crate::source::{Diagnostic, Diagnostics, Node, Severity, Span};

/// The first letter's case does not matter.
fn plain(key: &str) -> String {
    let mut letters = key.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => String::new(),
    }
}

fn entries<'n>(
    node: &'n Node,
    what: &str,
    findings: &mut Diagnostics,
) -> Vec<(String, Span, &'n Node)> {
    let fields = values::mapping(node, what, findings);
    fields
        .into_iter()
        .flatten()
        .filter(|(_, (_, node))| !node.is_null())
        .map(|(key, (span, node))| (plain(key), *span, node))
        .collect()
}

/// Reads `functionUrl`, `FunctionUrlConfig` or the properties of an `AWS::Lambda::Url`.
///
/// A value that cannot be read leaves the URL closed: it needs a signature then.
pub(super) fn function_url(
    node: &Node,
    what: &str,
    severity: Severity,
    findings: &mut Diagnostics,
) -> FunctionUrlSettings {
    const KEYS: [&str; 6] = [
        "authType",
        "cors",
        "invokeMode",
        "id",
        "targetFunctionArn",
        "qualifier",
    ];
    let mut url = FunctionUrlSettings {
        needs_signature: true,
        ..FunctionUrlSettings::default()
    };
    let mut has_type = false;
    for (key, span, value) in entries(node, what, findings) {
        let name = format!("`{key}`");
        match key.as_str() {
            "authType" => {
                has_type = true;
                let word = values::word(value, &name, &["NONE", "AWS_IAM"], findings);
                url.needs_signature = word != Some(0);
            }
            "cors" => url.cors = Some(cors(value, severity, findings)),
            "invokeMode" => {
                let word = values::word(value, &name, &["BUFFERED", "RESPONSE_STREAM"], findings);
                url.streams = word == Some(1);
            }
            "id" => {
                let text = values::text(value, &name, findings);
                let is_label = |text: &str| {
                    (1..=63).contains(&text.len())
                        && text
                            .bytes()
                            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
                };
                match text {
                    Some(text) if is_label(&text.value) => url.id = Some(text.value),
                    Some(text) => findings.push(
                        Diagnostic::error(
                            "E0203",
                            format!(
                                "`id` is `{}`, but must be lower-case letters and digits",
                                text.value
                            ),
                        )
                        .at(text.span),
                    ),
                    None => {}
                }
            }
            "qualifier" => {
                url.qualifier = values::text(value, &name, findings).map(|text| text.value)
            }
            "targetFunctionArn" => {}
            _ => findings.push(values::unknown_key(&key, span, &KEYS, what, severity)),
        }
    }
    if !has_type {
        findings.push(
            Diagnostic::error("E0814", format!("{what} has no `authType`"))
                .at(node.span)
                .help("`NONE` lets everybody call it, `AWS_IAM` wants signed requests"),
        );
    }
    url
}

/// Reads `qualifiers`: aliases and versions. `$LATEST` is always there and need not be named.
/// Source: Lambda API reference, "CreateAlias" (`Name`: letters, digits, `-`, `_`, at most 128).
pub(super) fn qualifiers(node: &Node, findings: &mut Diagnostics) -> Vec<String> {
    let is_name = |text: &str| {
        (1..=128).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let mut names: Vec<String> = Vec::new();
    for text in values::texts(node, "`qualifiers`", findings) {
        if is_name(&text.value) || text.value == "$LATEST" {
            names.push(text.value);
        } else {
            findings.push(
                Diagnostic::error(
                    "E0203",
                    format!("`{}` is no alias and no version", text.value),
                )
                .at(text.span)
                .help("letters, digits, `-` and `_`: `qualifiers: [live, 3]`"),
            );
        }
    }
    names
}

fn cors(node: &Node, severity: Severity, findings: &mut Diagnostics) -> Cors {
    const KEYS: [&str; 6] = [
        "allowOrigins",
        "allowMethods",
        "allowHeaders",
        "exposeHeaders",
        "maxAge",
        "allowCredentials",
    ];
    let mut cors = Cors::default();
    for (key, span, value) in entries(node, "`cors`", findings) {
        let name = format!("`{key}`");
        let list = |findings: &mut Diagnostics| -> Vec<String> {
            let texts = values::texts(value, &name, findings);
            texts.into_iter().map(|text| text.value).collect()
        };
        match key.as_str() {
            "allowOrigins" => cors.allow_origins = list(findings),
            "allowMethods" => cors.allow_methods = list(findings),
            "allowHeaders" => cors.allow_headers = list(findings),
            "exposeHeaders" => cors.expose_headers = list(findings),
            // "AWS::Lambda::Url Cors": 0 to 86400.
            "maxAge" => cors.max_age = values::integer(value, &name, 0, 86_400, findings),
            "allowCredentials" => {
                cors.allow_credentials = values::flag(value, &name, findings).unwrap_or(false);
            }
            _ => findings.push(values::unknown_key(&key, span, &KEYS, "`cors`", severity)),
        }
    }
    cors
}

/// Reads `eventInvokeConfig`, `EventInvokeConfig` or the properties of an
/// `AWS::Lambda::EventInvokeConfig`. `made_up` names the queue or topic that SAM makes
/// where only its type is given: by the condition and the type.
pub(super) fn event_invoke(
    node: &Node,
    what: &str,
    severity: Severity,
    findings: &mut Diagnostics,
    made_up: impl Fn(&str, &str) -> Option<String>,
) -> EventInvokeSettings {
    const KEYS: [&str; 5] = [
        "maximumRetryAttempts",
        "maximumEventAgeInSeconds",
        "destinationConfig",
        "functionName",
        "qualifier",
    ];
    let mut settings = EventInvokeSettings::default();
    for (key, span, value) in entries(node, what, findings) {
        let name = format!("`{key}`");
        match key.as_str() {
            "maximumRetryAttempts" => {
                if let Some(count) = values::integer(value, &name, 0, 2, findings) {
                    settings.maximum_retry_attempts = u32::try_from(count).unwrap_or(2);
                }
            }
            "maximumEventAgeInSeconds" => {
                if let Some(seconds) = values::integer(value, &name, 60, 21_600, findings) {
                    let seconds = u64::try_from(seconds).unwrap_or(21_600);
                    settings.maximum_event_age = Duration::from_secs(seconds);
                }
            }
            "destinationConfig" => {
                for (key, span, value) in entries(value, &name, findings) {
                    let place = match key.as_str() {
                        "onSuccess" => &mut settings.on_success,
                        "onFailure" => &mut settings.on_failure,
                        _ => {
                            let keys = ["onSuccess", "onFailure"];
                            findings.push(values::unknown_key(&key, span, &keys, &name, severity));
                            continue;
                        }
                    };
                    let made_up = |kind: &str| made_up(&key, kind);
                    *place = destination(value, &key, severity, findings, made_up);
                }
            }
            "functionName" | "qualifier" => {}
            _ => findings.push(values::unknown_key(&key, span, &KEYS, what, severity)),
        }
    }
    settings
}

/// Reads `deadLetterConfig`, `DeadLetterConfig` or SAM's `DeadLetterQueue`.
pub(super) fn dead_letter(
    node: &Node,
    severity: Severity,
    findings: &mut Diagnostics,
) -> Option<Spanned<String>> {
    let what = "`deadLetterConfig`";
    let mut target = None;
    for (key, span, value) in entries(node, what, findings) {
        match key.as_str() {
            "targetArn" => target = values::text(value, "`targetArn`", findings),
            // SAM's, which says no more than the ARN.
            "type" => {}
            _ => findings.push(values::unknown_key(
                &key,
                span,
                &["targetArn"],
                what,
                severity,
            )),
        }
    }
    target
}

/// One destination: `{destination: ARN}`, in SAM with its `type` or with that alone.
fn destination(
    node: &Node,
    what: &str,
    severity: Severity,
    findings: &mut Diagnostics,
    made_up: impl Fn(&str) -> Option<String>,
) -> Option<Spanned<String>> {
    const KINDS: [&str; 5] = ["SQS", "SNS", "Lambda", "EventBridge", "S3Bucket"];
    let what = format!("`{what}`");
    let (mut kind, mut target) = (None, None);
    let mut is_faulty = false;
    for (key, span, value) in entries(node, &what, findings) {
        match key.as_str() {
            "type" => {
                let word = values::word(value, "`type`", &KINDS, findings);
                is_faulty |= word.is_none();
                kind = word.and_then(|index| KINDS.get(index));
            }
            "destination" => {
                target = values::text(value, "`destination`", findings);
                is_faulty |= target.is_none();
            }
            _ => findings.push(values::unknown_key(
                &key,
                span,
                &["destination", "type"],
                &what,
                severity,
            )),
        }
    }
    let of_kind = || {
        Some(Spanned {
            value: made_up(kind?)?,
            span: node.span,
        })
    };
    let found = target.or_else(of_kind);
    if found.is_none() && !is_faulty {
        findings.push(
            Diagnostic::error("E0815", format!("{what} has no `destination`"))
                .at(node.span)
                .help("a function's name or ARN, or the ARN of a queue, topic, bus or bucket"),
        );
    }
    found
}
