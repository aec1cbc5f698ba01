//! `Cors` of a SAM REST API: an `OPTIONS` mock for every path that has none.
//!
//! Source: AWS SAM developer guide, "CorsConfiguration" of AWS::Serverless::Api.

use super::document::{self, ANY, INTEGRATION};
use super::sam::{Draft, Transform};
use super::tree::{self, contents_mut, get, get_mut};
use crate::source::{Diagnostic, Node, Span};

const KEYS: [&str; 5] = [
    "AllowOrigin",
    "AllowMethods",
    "AllowHeaders",
    "MaxAge",
    "AllowCredentials",
];

impl Transform<'_, '_> {
    pub(super) fn rest_cors(&self, body: &mut Node, draft: &Draft, id: &str) {
        let Some(cors) = draft.property("Cors") else {
            return;
        };
        let span = cors.span;
        let is_text = cors.as_str().is_some() || tree::intrinsic(cors).is_some();
        let cors = if is_text {
            tree::map([("AllowOrigin", cors.clone())], span)
        } else {
            cors.clone()
        };
        let Some(fields) = cors.as_mapping() else {
            return self.error(span, format!("`Cors` of `{id}` must be text or a mapping"));
        };
        for (key, (span, _)) in fields {
            if !KEYS.contains(&key.as_str()) {
                let finding =
                    Diagnostic::error("E1020", format!("`Cors` of `{id}` has no key `{key}`"));
                self.stack.say(finding.at(*span).suggest(key, KEYS));
            }
        }
        let mut cors = cors;
        tree::entry(&mut cors, "AllowOrigin", tree::text("'*'", span));
        let origin = get(&cors, "AllowOrigin");
        let credentials = get(&cors, "AllowCredentials").and_then(Node::as_bool) == Some(true);
        if credentials && origin.and_then(Node::as_str) == Some("'*'") {
            self.error(
                span,
                format!("`AllowCredentials` of `{id}` cannot be true with the origin '*'"),
            );
        }
        let mut seen: Vec<String> = Vec::new();
        for path in document::paths(body) {
            // `/a/` is `/a`, and has one OPTIONS.
            let normal = match path.trim_end_matches('/') {
                "" => "/".to_owned(),
                other => other.to_owned(),
            };
            if seen.contains(&normal) {
                continue;
            }
            seen.push(normal);
            let Some(item) = get_mut(body, "paths").and_then(|paths| get_mut(paths, &path)) else {
                continue;
            };
            contents_mut(item, &mut |item| {
                if item.get("options").is_some() {
                    return;
                }
                let methods = get(&cors, "AllowMethods")
                    .cloned()
                    .unwrap_or_else(|| tree::text(format!("'{}'", methods_of(item)), span));
                tree::set(
                    item,
                    "options",
                    preflight(&cors, methods, credentials, span),
                );
            });
        }
        if document::is_openapi_3(body) {
            for path in document::paths(body) {
                document::for_operations(body, &path, &mut |method, operation| {
                    if method == "options" {
                        tree::remove(operation, "consumes");
                        tree::remove(operation, "produces");
                    }
                });
            }
        }
    }
}

/// The methods of a path and OPTIONS, in order. What stands under a condition counts.
fn methods_of(item: &Node) -> String {
    let mut methods: Vec<String> = if item.get(ANY).is_some() {
        ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]
            .map(str::to_owned)
            .to_vec()
    } else {
        item.entries()
            .map(|(key, _, _)| key.to_uppercase())
            .chain(["OPTIONS".to_owned()])
            .collect()
    };
    methods.sort();
    methods.dedup();
    methods.join(",")
}

fn preflight(cors: &Node, methods: Node, credentials: bool, span: Span) -> Node {
    let header = |name: &str| format!("method.response.header.Access-Control-{name}");
    let mut parameters = tree::empty(span);
    let mut headers = tree::empty(span);
    let mut add = |name: &str, kind: &str, value: Node| {
        tree::set(&mut parameters, &header(name), value);
        let declared = tree::map([("type", tree::text(kind, span))], span);
        tree::set(&mut headers, &format!("Access-Control-{name}"), declared);
    };
    for (key, name, kind) in [
        ("AllowOrigin", "Allow-Origin", "string"),
        ("AllowHeaders", "Allow-Headers", "string"),
    ] {
        if let Some(value) = get(cors, key) {
            add(name, kind, value.clone());
        }
    }
    add("Allow-Methods", "string", methods);
    if let Some(value) = get(cors, "MaxAge") {
        add("Max-Age", "integer", value.clone());
    }
    if credentials {
        add("Allow-Credentials", "string", tree::text("'true'", span));
    }
    let text = |value: &str| tree::text(value, span);
    let json = |value: &str| tree::map([("application/json", text(value))], span);
    let response = tree::map(
        [
            ("statusCode", text("200")),
            ("responseParameters", parameters),
            ("responseTemplates", json("{}\n")),
        ],
        span,
    );
    let integration = tree::map(
        [
            ("type", text("mock")),
            ("requestTemplates", json("{\n  \"statusCode\" : 200\n}\n")),
            ("responses", tree::map([("default", response)], span)),
        ],
        span,
    );
    let declared = tree::map(
        [
            ("description", text("Default response for CORS method")),
            ("headers", headers),
        ],
        span,
    );
    let types = || tree::list(vec![text("application/json")], span);
    tree::map(
        [
            ("summary", text("CORS support")),
            ("consumes", types()),
            ("produces", types()),
            (INTEGRATION, integration),
            ("responses", tree::map([("200", declared)], span)),
        ],
        span,
    )
}
